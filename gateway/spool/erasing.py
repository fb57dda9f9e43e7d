"""
Forgetting a person: an address taken out of the records, what waits for it removed.

A work (`batcher.Work`) on a bounded number of letters; `store` finds them on a reader and repeats.
Counts stay, so that the ledger balances, and so do states, moments and status codes. What is being
sent needs its address still and is left; so is the reverse-path of a letter that has recipients to
be settled, and who logged in to send it. Sits on `transaction`, `rows` and `reading`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from sqlalchemy import Connection, Table, and_, or_, select, update

from gateway.domain.lifecycle import SETTLED, State
from gateway.spool.reading import AT_ONCE, ascii_lower, folded, written_forms
from gateway.spool.rows import AnyRow, micros_from_moment
from gateway.spool.schema import attempt, message, note, recipient, tracking_event
from gateway.spool.transaction import Transaction
from gateway.spool.values import Erasure

ERASED = "erased@erased.invalid"
"""What stands in place of an address that was erased; no such domain can exist (RFC 6761 6.4)."""

TOLD = {
    message: ("client", "message_id", "envid", "instructions"),
    recipient: ("orcpt", "diagnostic", "provider_message_id"),
    attempt: ("diagnostic", "provider_message_id"),
    note: ("text",),
    tracking_event: ("recipient", "mta_response", "click_url", "raw"),
}
"""Texts that may hold an address in the midst of other words, by table."""


@dataclass(frozen=True, slots=True)
class Step:
    """The argument of `erase`: an address as `forms_of` has it, and letters that have it."""

    forms: frozenset[str]
    numbers: Sequence[int]
    now: datetime


def forms_of(address: str) -> frozenset[str]:
    """How an address may stand in the records, in lower case."""
    return frozenset(written_forms(address))


def spellings_of(forms: Iterable[str]) -> frozenset[str]:
    """
    How these forms may stand in the midst of other texts, in lower case.

    As they are, in a URL, in JSON, and in a parameter of SMTP (xtext, RFC 3461 4).
    """
    written = (_plain, _in_url, _in_json, _in_xtext)
    return frozenset(write(form).lower() for form in forms for write in written)


def erasable_after(connection: Connection, forms: frozenset[str], after: int) -> Sequence[int]:
    """The next letters, past `after`, that name the address as sender, recipient or user."""
    original = {f"{kind};{_in_xtext(form)}".lower() for form in forms for kind in _ADDRESS_TYPES}
    # Of a letter to a list, only what is told later names the readers.
    told_of = select(tracking_event.c.message_id).where(
        folded(tracking_event.c.recipient).in_(forms)
    )
    query = (
        select(message.c.id)
        .distinct()
        .join(recipient, recipient.c.message_id == message.c.id)
        .where(
            message.c.id > after,
            or_(
                folded(recipient.c.forward_path).in_(forms),
                folded(recipient.c.orcpt).in_(original),
                folded(message.c.reverse_path).in_(forms),
                folded(message.c.user).in_(forms),
                message.c.id.in_(told_of),
            ),
        )
        .order_by(message.c.id)
        .limit(AT_ONCE)
    )
    return connection.execute(query).scalars().all()


def erase(tx: Transaction, steps: Sequence[Step]) -> Sequence[Erasure]:
    """Take the address out of these letters' records."""
    return [sum((_erase(tx, step, number) for number in step.numbers), Erasure()) for step in steps]


def _erase(tx: Transaction, step: Step, number: int) -> Erasure:
    rows = tx.connection.execute(
        select(recipient.c.key, recipient.c.state, recipient.c.forward_path)
        .where(recipient.c.message_id == number)
        .order_by(recipient.c.key)
        .with_for_update()
    ).all()
    states = {row.key: row.state for row in rows}
    theirs = [row.key for row in rows if _is(row.forward_path, step.forms)]
    free = [key for key in theirs if states[key] != State.SENDING.value]
    removed = [key for key in free if states[key] not in _SETTLED_WORDS]
    _remove(tx, number, removed, step.now)
    _set(tx, recipient, number, free, forward_path=ERASED)
    states.update(dict.fromkeys(removed, State.REMOVED.value))
    left = len(theirs) - len(free)
    columns = (message.c.reverse_path, message.c.user)
    letter = tx.connection.execute(select(*columns).where(message.c.id == number)).one()
    from_whom = [
        column for column in columns if _is(getattr(letter, column.name) or "", step.forms)
    ]
    if from_whom:
        if all(state in _SETTLED_WORDS for state in states.values()):
            erased = dict.fromkeys(from_whom, ERASED)
            tx.connection.execute(update(message).where(message.c.id == number).values(erased))
        else:
            left += len(from_whom)
    if not left:
        _clean_texts(tx, number, step.forms)
    return Erasure(letters=1, removed=len(removed), left=left)


def _remove(tx: Transaction, number: int, keys: Sequence[int], now: datetime) -> None:
    if not keys:
        return
    _set(
        tx,
        recipient,
        number,
        keys,
        state=State.REMOVED.value,
        settled=1,
        due_at=None,
        was_due=None,
        lease=None,
    )
    at = micros_from_moment(now)
    tx.cursor.executemany(
        tx.statements.insert_note,
        [(number, at, key, "removed: its address was erased") for key in keys],
    )
    tx.count(State.REMOVED.value, len(keys))
    tx.drop_settled_contents({number})


def _set(tx: Transaction, table: Table, number: int, keys: Sequence[int], **values: object) -> None:
    if keys:
        tx.connection.execute(
            update(table).where(table.c.message_id == number, table.c.key.in_(keys)).values(values)
        )


def _clean_texts(tx: Transaction, number: int, forms: Iterable[str]) -> None:
    longest_first = sorted(spellings_of(forms), key=len, reverse=True)
    address = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)
    for table, names in TOLD.items():
        of_letter = (table.c.id if table is message else table.c.message_id) == number
        for row in tx.connection.execute(select(table).where(of_letter)).all():
            changed = _cleaned(row, names, address)
            if changed:
                same = (column == getattr(row, column.name) for column in table.primary_key)
                tx.connection.execute(update(table).where(and_(*same)).values(changed))


def _cleaned(row: AnyRow, names: Iterable[str], address: re.Pattern[str]) -> dict[str, str]:
    texts = {name: text for name in names if (text := getattr(row, name))}
    cleaned = {name: address.sub(ERASED, text) for name, text in texts.items()}
    return {name: text for name, text in cleaned.items() if text != texts[name]}


def _plain(form: str) -> str:
    return form


def _in_url(form: str) -> str:
    return quote(form, safe="")


def _in_json(form: str) -> str:
    return json.dumps(form)[1:-1]


def _in_xtext(form: str) -> str:
    return _NOT_XCHAR.sub(lambda found: f"+{ord(found[0]):02X}", form)


def _is(text: str, forms: frozenset[str]) -> bool:
    return text.lower() in forms or ascii_lower(text) in forms


_ADDRESS_TYPES = ("rfc822", "utf-8")
_NOT_XCHAR = re.compile(r"[^!-*,-<>-~]")
_SETTLED_WORDS = frozenset(state.value for state in SETTLED)
