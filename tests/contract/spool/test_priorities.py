"""What a claim takes first: the urgent, a share of the least urgent, not from whom it is told."""

from __future__ import annotations

from gateway.domain.window import Priority
from gateway.spool.store import SqlSpool
from gateway.spool.values import Claimed
from tests.contract.spool.conftest import Admit
from tests.support.builders import an_envelope
from tests.support.manual_clock import ManualClock


def claimed(found: Claimed) -> list[tuple[Priority, str]]:
    """Priority and sender of what was claimed, in order."""
    return [
        (letter.priority, "" if letter.reverse_path is None else letter.reverse_path.text)
        for letter in found.letters
    ]


async def crowd(
    admit: Admit, count: int, priority: Priority, sender: str | None = "a@x.example"
) -> None:
    """So many letters of one sender and priority."""
    for _ in range(count):
        await admit(envelope=an_envelope(reverse_path=sender), priority=priority)


async def test_the_urgent_are_claimed_first(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """However long others have been due."""
    await crowd(admit, 3, Priority.BULK)
    await crowd(admit, 3, Priority.NORMAL)
    await crowd(admit, 2, Priority.HIGH)
    found = await spool.claim("main", clock.now(), 4)
    assert [priority for priority, _ in claimed(found)] == [Priority.HIGH] * 2 + [
        Priority.NORMAL
    ] * 2


async def test_places_beyond_the_limit_are_for_the_urgent(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """A full window still takes a password reset, and nothing else."""
    await crowd(admit, 3, Priority.NORMAL)
    await crowd(admit, 3, Priority.HIGH)
    found = await spool.claim("main", clock.now(), 0, urgent=2)
    assert [priority for priority, _ in claimed(found)] == [Priority.HIGH] * 2
    found = await spool.claim("main", clock.now(), 2, urgent=2)
    assert [priority for priority, _ in claimed(found)] == [Priority.HIGH, Priority.NORMAL]


async def test_the_least_urgent_have_a_share(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """A flood of other mail slows newsletters and does not stop them; alone they have it all."""
    await crowd(admit, 10, Priority.BULK)
    await crowd(admit, 20, Priority.NORMAL)
    found = claimed(await spool.claim("main", clock.now(), 16))
    assert [priority for priority, _ in found].count(Priority.BULK) == 2
    found = claimed(await spool.claim("main", clock.now(), 16))
    assert [priority for priority, _ in found].count(Priority.BULK) == 8, "and what is left"


async def test_senders_that_are_named_are_left_where_they_are(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Who fills the window is passed by; the null reverse-path is a sender like any other."""
    await crowd(admit, 5, Priority.NORMAL, "flood@x.example")
    await crowd(admit, 1, Priority.NORMAL, "small@x.example")
    await crowd(admit, 1, Priority.NORMAL, None)
    besides = frozenset({"flood@x.example"})
    found = claimed(await spool.claim("main", clock.now(), 10, besides=besides))
    assert [sender for _, sender in found] == ["small@x.example", ""]
    await crowd(admit, 1, Priority.NORMAL, None)
    besides = frozenset({"flood@x.example", ""})
    assert claimed(await spool.claim("main", clock.now(), 10, besides=besides)) == []
    assert len((await spool.claim("main", clock.now(), 10)).letters) == 6
