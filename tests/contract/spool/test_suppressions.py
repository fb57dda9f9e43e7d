"""The suppression list in the spool: changed, looked up, followed, and accounts told of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from gateway.domain.suppression import Suppression, SuppressionReason
from gateway.spool.store import SqlSpool
from gateway.spool.suppressions import AT_ONCE, SubscriptionCall
from tests.contract.spool.conftest import OpenSpool
from tests.contract.spool.engines import ON_POSTGRESQL
from tests.support.manual_clock import ManualClock

BOUNCED, COMPLAINED, MANUAL = (
    SuppressionReason.BOUNCED,
    SuppressionReason.COMPLAINED,
    SuppressionReason.MANUAL,
)


def entry(
    clock: ManualClock, address: str, reason: SuppressionReason = MANUAL, comment: str = ""
) -> Suppression:
    return Suppression(address, reason, clock.now(), "command line", comment)


async def test_an_address_may_be_there_for_several_reasons(
    spool: SqlSpool, clock: ManualClock
) -> None:
    """What is there stays as it was first; each reason counts by itself and goes by itself."""
    list_ = spool.suppressions
    first = entry(clock, "bob@example.org", comment="asked by phone")
    assert await list_.add([first, first]) == 1
    clock.advance(60)
    again = entry(clock, "bob@example.org")
    bounced = entry(clock, "bob@example.org", BOUNCED)
    assert await list_.add([again, bounced]) == 1
    assert set(await list_.of({"bob@example.org", "eve@example.org"})) == {first, bounced}
    assert await list_.remove(["bob@example.org"], clock.now(), BOUNCED) == 1
    assert await list_.of({"bob@example.org"}) == (first,)
    assert await list_.remove(["bob@example.org"], clock.now()) == 1
    assert await list_.remove(["bob@example.org"], clock.now()) == 0
    assert await list_.of({"bob@example.org"}) == ()


async def test_pages_follow_each_other_and_filters_hold(
    spool: SqlSpool, clock: ManualClock
) -> None:
    """By address and reason; the next page begins after the last entry that was seen."""
    list_ = spool.suppressions
    entries = [entry(clock, f"u{n}@example.org", r) for n in range(3) for r in (BOUNCED, MANUAL)]
    assert await list_.add(entries[::-1]) == 6
    assert await list_.page(10) == tuple(entries)
    page = await list_.page(4)
    rest = await list_.page(4, after=(page[-1].address, page[-1].reason.value))
    assert page + rest == tuple(entries)
    assert await list_.page(10, reason=BOUNCED) == tuple(entries[::2])
    assert await list_.page(10, text="U1@") == tuple(entries[2:4])
    assert await list_.page(10, text="%") == ()


async def test_followers_see_each_change_once_and_in_order(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """Whoever changes the list, from whichever process; more than a transaction takes."""
    beside = await open_spool(exclusive=False)
    many = [entry(clock, f"u{n:04}@example.org") for n in range(AT_ONCE + 1)]
    assert await beside.suppressions.add(many) == len(many)
    page = await spool.suppressions.changed(0, AT_ONCE)
    assert page.entries == tuple(many[:AT_ONCE])
    page = await spool.suppressions.changed(page.turn, AT_ONCE)
    assert page.entries == (many[-1],)
    assert (await spool.suppressions.changed(page.turn, 10)).entries == ()
    await beside.suppressions.remove(["u0000@example.org"], clock.now())
    await beside.suppressions.add([entry(clock, "new@example.org")])
    after = await spool.suppressions.changed(page.turn, 10)
    assert [one.address for one in after.entries] == ["new@example.org"]


@ON_POSTGRESQL
async def test_writers_at_once_leave_no_gap_for_followers(
    open_spool: OpenSpool, clock: ManualClock
) -> None:
    """A turn that is seen has none before it that comes later, from three gateways at once."""
    gateways = [await open_spool() for _ in range(3)]
    seen: list[str] = []
    done = asyncio.Event()

    async def follow() -> None:
        since = 0
        while True:
            over = done.is_set()
            page = await gateways[0].suppressions.changed(since, 7)
            seen.extend(one.address for one in page.entries)
            since = page.turn
            if over and not page.entries:
                return

    async def write(number: int) -> None:
        for n in range(20):
            address = f"u{number}-{n}@example.org"
            await gateways[number].suppressions.add([entry(clock, address)])

    following = asyncio.create_task(follow())
    await asyncio.gather(*map(write, range(3)))
    done.set()
    await following
    assert len(seen) == len(set(seen)) == 60


async def test_accounts_are_told_of_what_is_new_and_of_what_is_lifted(
    spool: SqlSpool, clock: ManualClock
) -> None:
    """One call for an address and account, the latest wish; lifted only with the last reason."""
    list_ = spool.suppressions
    await list_.add([entry(clock, "bob@example.org")], ["bulk"])
    await list_.add([entry(clock, "bob@example.org")], ["bulk"])
    until = clock.now() + timedelta(minutes=1)
    (call,) = await list_.due_calls(clock.now(), until, 10)
    assert call == SubscriptionCall("bulk", "bob@example.org", subscribed=False)
    assert await list_.due_calls(clock.now(), until, 10) == []
    await list_.call_done(call)
    await list_.add([entry(clock, "bob@example.org", COMPLAINED)])
    await list_.remove(["bob@example.org"], clock.now(), MANUAL, ["bulk"])
    assert await list_.due_calls(clock.now(), until, 10) == []
    await list_.remove(["bob@example.org"], clock.now(), COMPLAINED, ["bulk"])
    (call,) = await list_.due_calls(clock.now(), until, 10)
    assert call.subscribed


async def test_an_account_hears_of_wishes_that_it_does_not_know(
    spool: SqlSpool, clock: ManualClock
) -> None:
    """Unsubscribed elsewhere: told; at the account itself or a bounce: neither told nor lifted."""
    list_ = spool.suppressions
    accounts, until = ["bulk", "rest"], clock.now() + timedelta(minutes=1)
    unsubscribed = entry(clock, "bob@example.org", SuppressionReason.UNSUBSCRIBED)
    await list_.add([replace(unsubscribed, source="rest")], accounts)
    await list_.add([entry(clock, "eve@example.org", SuppressionReason.BOUNCED)], accounts)
    (call,) = await list_.due_calls(clock.now(), until, 10)
    assert call == SubscriptionCall("bulk", "bob@example.org", subscribed=False)
    await list_.call_done(call)
    await list_.add([entry(clock, "bob@example.org", SuppressionReason.BOUNCED)], accounts)
    for address, reason in (
        ("eve@example.org", None),
        ("bob@example.org", SuppressionReason.UNSUBSCRIBED),
        ("bob@example.org", None),
    ):
        assert await list_.remove([address], clock.now(), reason, accounts) == 1
    (call,) = await list_.due_calls(clock.now(), until, 10)
    assert call == SubscriptionCall("bulk", "bob@example.org", subscribed=True)


async def test_a_call_that_is_put_off_comes_again_and_one_out_of_date_changes_nothing(
    spool: SqlSpool, clock: ManualClock
) -> None:
    """The account was away; meanwhile a person thinks better of it."""
    list_ = spool.suppressions
    await list_.add([entry(clock, "bob@example.org")], ["bulk"])
    (call,) = await list_.due_calls(clock.now(), clock.now() + timedelta(minutes=1), 10)
    await list_.put_off(call, clock.now() + timedelta(seconds=30), "503")
    clock.advance(30)
    (again,) = await list_.due_calls(clock.now(), clock.now() + timedelta(minutes=1), 10)
    assert again.attempts == 1
    await list_.remove(["bob@example.org"], clock.now(), None, ["bulk"])
    await list_.call_done(again)  # the answer to a wish that stands no more
    (newer,) = await list_.due_calls(clock.now(), clock.now() + timedelta(minutes=1), 10)
    assert newer.subscribed


async def test_a_claimed_call_survives_its_gateway(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """A crash between the call and its record: it is made again."""
    await spool.suppressions.add([entry(clock, "bob@example.org")], ["bulk"])
    until = clock.now() + timedelta(minutes=1)
    assert len(await spool.suppressions.due_calls(clock.now(), until, 10)) == 1
    await spool.aclose()
    again = await open_spool()
    clock.advance(60)
    assert len(await again.suppressions.due_calls(clock.now(), clock.now(), 10)) == 1
