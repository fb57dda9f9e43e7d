"""
The suppression list as the spool keeps it, and what accounts are still to be told of it.

Every change moves the turn on, in the same transaction: a gateway that has seen all up to a turn
asks for what came after it, whoever changed the list. Works (`batcher.Work`), questions, and
`SqlSuppressions`, which puts both behind calls. Sits on `transaction` and `rows`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, delete, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from gateway.domain.suppression import Suppression, SuppressionReason
from gateway.spool.batcher import Work
from gateway.spool.rows import AnyRow, micros_from_moment, moment_from_micros
from gateway.spool.schema import subscription_call, suppression, turn
from gateway.spool.transaction import Transaction

R = TypeVar("R")
A = TypeVar("A")

AT_ONCE = 500
"""How many addresses are changed in one transaction, so that letters coming in wait little."""

_TURN = "suppression"
# An address that bounced is no wish of anybody's.
_WISHES = frozenset(SuppressionReason) - {SuppressionReason.BOUNCED}


@dataclass(frozen=True, slots=True)
class SubscriptionCall:
    """An account that is to keep its mailings from an address, or to lift that again."""

    provider: str
    address: str
    subscribed: bool
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class SuppressionPage:
    """Some of the list, and the turn of the last of them where it was asked for by turns."""

    entries: tuple[Suppression, ...]
    turn: int = 0


@dataclass(frozen=True, slots=True)
class _Adding:
    """The argument of `_add`."""

    entries: Sequence[Suppression]
    accounts: Collection[str]


@dataclass(frozen=True, slots=True)
class _Removing:
    """The argument of `_remove`."""

    addresses: Sequence[str]
    reason: SuppressionReason | None
    accounts: Collection[str]
    now: datetime


class Submit(Protocol):
    """Have a work done by the writer; its result once it is on disk."""

    def __call__(self, work: Work[Transaction, A, R], argument: A) -> Awaitable[R]:
        """Do it."""
        ...


Read = Callable[[Callable[[Connection], Any]], Awaitable[Any]]


class SqlSuppressions:
    """
    The list of a spool.

    Args:
        submit: Writes.
        read: Reads.

    Every call raises `SpoolError` where the spool cannot be had; then nothing was changed.
    """

    def __init__(self, submit: Submit, read: Read) -> None:
        self._submit = submit
        self._read = read

    async def add(self, entries: Sequence[Suppression], accounts: Collection[str] = ()) -> int:
        """
        Put addresses on the list; how many entries are new. One that is there stays as it was.

        Args:
            entries: Addresses in folded form.
            accounts: Providers that are told to keep their mailings from those that are new and
                there by hand or for a complaint.
        """
        added = 0
        for start in range(0, len(entries), AT_ONCE):
            some = _Adding(entries[start : start + AT_ONCE], accounts)
            added += await self._submit(_add, some)
        return added

    async def remove(
        self,
        addresses: Sequence[str],
        now: datetime,
        reason: SuppressionReason | None = None,
        accounts: Collection[str] = (),
    ) -> int:
        """
        Take addresses off the list; how many entries went.

        Args:
            addresses: In folded form.
            now: For what accounts are to be told.
            reason: Of this one alone; `None`: of all.
            accounts: Providers that are told to lift what keeps mailings from an address, once
                there is no other reason for it.
        """
        removed = 0
        for start in range(0, len(addresses), AT_ONCE):
            some = _Removing(addresses[start : start + AT_ONCE], reason, accounts, now)
            removed += await self._submit(_remove, some)
        return removed

    async def of(self, addresses: Collection[str]) -> tuple[Suppression, ...]:
        """What the list says of these addresses, in folded form."""

        def ask(connection: Connection) -> tuple[Suppression, ...]:
            query = select(suppression).where(suppression.c.address.in_(addresses))
            return tuple(_entry(row) for row in connection.execute(query))

        found: tuple[Suppression, ...] = await self._read(ask)
        return found

    async def page(
        self,
        limit: int,
        *,
        after: tuple[str, str] = ("", ""),
        reason: SuppressionReason | None = None,
        text: str = "",
    ) -> tuple[Suppression, ...]:
        """
        Some of the list, by address and reason.

        Args:
            limit: At most so many.
            after: Address and reason of the last that was seen.
            reason: Only of this one.
            text: Only with this in the address, in any case.
        """

        def ask(connection: Connection) -> tuple[Suppression, ...]:
            key = (suppression.c.address, suppression.c.reason)
            query = select(suppression).order_by(*key).limit(limit)
            if after != ("", ""):
                query = query.where(tuple_(*key) > tuple_(*after))
            if reason is not None:
                query = query.where(suppression.c.reason == reason.value)
            if text:
                query = query.where(suppression.c.address.contains(text.lower(), autoescape=True))
            return tuple(_entry(row) for row in connection.execute(query))

        found: tuple[Suppression, ...] = await self._read(ask)
        return found

    async def changed(self, since: int, limit: int) -> SuppressionPage:
        """What was put on the list after a turn and is there still, in turn."""

        def ask(connection: Connection) -> SuppressionPage:
            query = (
                select(suppression)
                .where(suppression.c.turn > since)
                .order_by(suppression.c.turn)
                .limit(limit)
            )
            rows = connection.execute(query).all()
            return SuppressionPage(
                tuple(_entry(row) for row in rows), rows[-1].turn if rows else since
            )

        page: SuppressionPage = await self._read(ask)
        return page

    async def due_calls(self, now: datetime, until: datetime, limit: int) -> list[SubscriptionCall]:
        """
        Calls to accounts that are due; nobody else gets them before `until`.

        One that is neither `done` nor `put_off` by then is due again: a call may be made twice.
        """
        return await self._submit(_claim_calls, (now, until, limit))

    async def call_done(self, call: SubscriptionCall) -> None:
        """The account knows; a newer call for the same address stays."""
        await self._submit(_end_call, call)

    async def put_off(self, call: SubscriptionCall, due_at: datetime, said: str) -> None:
        """The account could not be told: again then."""
        await self._submit(_put_off, (call, due_at, said))


def _add(tx: Transaction, many: Sequence[_Adding]) -> Sequence[int]:
    return [add_in(tx, one.entries, one.accounts) for one in many]


def add_in(tx: Transaction, entries: Sequence[Suppression], accounts: Collection[str]) -> int:
    """Put addresses on the list in a transaction that writes more; how many are new."""
    first = _take_turns(tx, len(entries))  # who has its row has all that follow wait
    keys = {(one.address, one.reason.value): one for one in entries}
    there = select(suppression.c.address, suppression.c.reason).where(
        suppression.c.address.in_({address for address, _ in keys})
    )
    known = {tuple(row) for row in tx.connection.execute(there)}
    new = [one for key, one in keys.items() if key not in known]
    if not new:
        return 0
    rows = [
        {
            "address": one.address,
            "reason": one.reason.value,
            "since": micros_from_moment(one.since),
            "source": one.source,
            "comment": one.comment,
            "turn": first + place,
        }
        for place, one in enumerate(new)
    ]
    tx.connection.execute(insert(suppression), rows)
    for one in new:
        for account in accounts:
            if _concerns(account, one.reason.value, one.source):
                _call(tx, account, one.address, subscribed=False, now=one.since)
    return len(new)


def _remove(tx: Transaction, many: Sequence[_Removing]) -> Sequence[int]:
    return [_remove_some(tx, one) for one in many]


def _remove_some(tx: Transaction, removing: _Removing) -> int:
    _take_turns(tx, 1)  # nobody adds meanwhile
    of_these = suppression.c.address.in_(removing.addresses)
    there = _wishes(tx, removing)
    wanted = delete(suppression).where(of_these)
    if removing.reason is not None:
        wanted = wanted.where(suppression.c.reason == removing.reason.value)
    gone = tx.connection.execute(wanted).rowcount
    for account, address in sorted(there - _wishes(tx, removing)):
        _call(tx, account, address, subscribed=True, now=removing.now)
    return gone


def _wishes(tx: Transaction, removing: _Removing) -> set[tuple[str, str]]:
    """Which accounts keep their mailings from which of the addresses, by what stands there."""
    columns = (suppression.c.address, suppression.c.reason, suppression.c.source)
    query = select(*columns).where(suppression.c.address.in_(removing.addresses))
    return {
        (account, row.address)
        for row in tx.connection.execute(query)
        for account in removing.accounts
        if _concerns(account, row.reason, row.source)
    }


def _concerns(account: str, reason: str, source: str) -> bool:
    """Whether an account is to know: it knows already who unsubscribed from its own mailings."""
    if reason == SuppressionReason.UNSUBSCRIBED.value and account == source:
        return False
    return reason in _WISHES


def _take_turns(tx: Transaction, number: int) -> int:
    """
    Take so many turns, all after those taken before; the first.

    The row is ours until the commit: turns become visible in their order.
    """
    take = (
        update(turn)
        .where(turn.c.name == _TURN)
        .values(number=turn.c.number + number)
        .returning(turn.c.number)
    )
    last = tx.connection.execute(take).scalar()
    if last is None:
        # Another gateway may be first; then its row is there.
        with contextlib.suppress(IntegrityError), tx.connection.begin_nested():
            tx.connection.execute(insert(turn).values(name=_TURN, number=0))
        last = tx.connection.execute(take).scalar_one()
    return int(last) - number + 1


def _call(tx: Transaction, provider: str, address: str, *, subscribed: bool, now: datetime) -> None:
    """Have an account told; what it was to be told before is out of date."""
    same = (
        subscription_call.c.provider == provider,
        subscription_call.c.address == address,
    )
    tx.connection.execute(delete(subscription_call).where(*same))
    tx.connection.execute(
        insert(subscription_call).values(
            provider=provider,
            address=address,
            subscribed=int(subscribed),
            due_at=micros_from_moment(now),
            attempts=0,
            said="",
        )
    )


def _claim_calls(
    tx: Transaction, many: Sequence[tuple[datetime, datetime, int]]
) -> Sequence[list[SubscriptionCall]]:
    return [_claim_some(tx, *one) for one in many]


def _claim_some(
    tx: Transaction, now: datetime, until: datetime, limit: int
) -> list[SubscriptionCall]:
    table = subscription_call
    query = (
        select(table)
        .where(table.c.due_at <= micros_from_moment(now))
        .order_by(table.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    calls = [
        SubscriptionCall(row.provider, row.address, bool(row.subscribed), row.attempts)
        for row in tx.connection.execute(query)
    ]
    for call in calls:
        tx.connection.execute(
            update(table).where(*_same(call)).values(due_at=micros_from_moment(until))
        )
    return calls


def _end_call(tx: Transaction, many: Sequence[SubscriptionCall]) -> Sequence[None]:
    for call in many:
        tx.connection.execute(delete(subscription_call).where(*_same(call)))
    return [None] * len(many)


def _put_off(
    tx: Transaction, many: Sequence[tuple[SubscriptionCall, datetime, str]]
) -> Sequence[None]:
    for call, due_at, said in many:
        tx.connection.execute(
            update(subscription_call)
            .where(*_same(call))
            .values(due_at=micros_from_moment(due_at), attempts=call.attempts + 1, said=said)
        )
    return [None] * len(many)


def _same(call: SubscriptionCall) -> tuple[Any, ...]:
    """The very call: one that was asked for since says something else, or has no attempts yet."""
    table = subscription_call
    return (
        table.c.provider == call.provider,
        table.c.address == call.address,
        table.c.subscribed == int(call.subscribed),
        table.c.attempts == call.attempts,
    )


def _entry(row: AnyRow) -> Suppression:
    return Suppression(
        row.address,
        SuppressionReason(row.reason),
        moment_from_micros(row.since),
        row.source,
        row.comment,
    )
