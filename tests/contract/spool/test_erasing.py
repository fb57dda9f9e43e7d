"""Forgetting a person: nothing of an address is left, and the ledger balances."""

from __future__ import annotations

from pathlib import Path

from gateway.domain.lifecycle import State
from gateway.spool.erasing import ERASED
from gateway.spool.protocol import Erasure, Filter
from gateway.spool.store import SqlSpool
from providers.contract.outcome import accepted
from tests.contract.spool.conftest import Admit, OpenSpool
from tests.contract.spool.engines import ON_SQLITE
from tests.support.builders import an_envelope
from tests.support.letters import a_change, a_start
from tests.support.manual_clock import ManualClock

ALL = Filter(states=frozenset(State))
NOBODY = Filter(address="bob@", states=frozenset(State))


async def test_an_address_goes_from_every_record(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Recipient, provider's words and id, notes, client; states and counts are as before."""
    letter = await admit("Bob@Example.org", leased=True, client="bob@example.org at 192.0.2.7")
    await spool.start([a_start(letter.queue_id, clock.now())])
    outcome = accepted("bob@example.org:12345", diagnostic="250 for <Bob@example.org>")
    notes = ("main lost Cc of bob@example.org",)
    await spool.record([a_change(letter.queue_id, clock.now(), outcome=outcome, notes=notes)])
    before = await spool.stats(clock.now())
    assert await spool.erase("BOB@example.org", clock.now()) == Erasure(1)
    story = await spool.story(letter.queue_id)
    assert "bob@" not in repr(story).lower()
    assert story.recipients[0].forward_path == ERASED
    assert story.recipients[0].provider_message_id == f"{ERASED}:12345"
    assert story.recipients[0].state is State.HANDED_OVER
    after = await spool.stats(clock.now())
    assert (after.accepted, after.settled) == (before.accepted, before.settled)
    assert await spool.find("bob@example.org", 10) == ()
    assert await spool.erase("bob@example.org", clock.now()) == Erasure()


async def test_what_waits_for_the_address_is_removed(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """And nobody else's copy of the letter."""
    letter = await admit("bob@example.org", "eve@example.org", "xbob@example.org")
    assert await spool.erase("bob@example.org", clock.now()) == Erasure(1, removed=1)
    rows = {row.forward_path: row.state for row in await spool.list(ALL, 10)}
    assert rows == {
        ERASED: State.REMOVED,
        "eve@example.org": State.WAITING,
        "xbob@example.org": State.WAITING,
    }
    assert await spool.content(letter.queue_id) == letter.content


async def test_what_is_being_sent_keeps_its_address_for_now(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """An attempt under way may have to be made again; erased when it is settled."""
    letter = await admit("bob@example.org", leased=True)
    await spool.start([a_start(letter.queue_id, clock.now())])
    assert await spool.erase("bob@example.org", clock.now()) == Erasure(1, left=1)
    await spool.record([a_change(letter.queue_id, clock.now())])
    assert await spool.erase("bob@example.org", clock.now()) == Erasure(1)
    assert await spool.list(NOBODY, 10) == ()


async def test_a_sender_is_erased_when_nobody_has_to_be_told(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Reports go to the reverse-path until the last recipient is settled."""
    await admit(envelope=an_envelope("eve@example.org", reverse_path="bob@example.org"))
    assert await spool.erase("bob@example.org", clock.now()) == Erasure(1, left=1)
    await spool.remove(Filter(), clock.now())
    assert await spool.erase("bob@example.org", clock.now()) == Erasure(1)
    assert (await spool.list(ALL, 10))[0].reverse_path == ERASED


async def test_scrubbing_is_possible_beside_the_gateway(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock, admit: Admit
) -> None:
    """On every engine; what is kept is untouched."""
    letter = await admit()
    beside = await open_spool(exclusive=False)
    assert await beside.scrub()
    assert await spool.content(letter.queue_id) == letter.content


@ON_SQLITE
async def test_what_was_erased_is_nowhere_in_the_file(
    open_spool: OpenSpool, clock: ManualClock, admit: Admit, tmp_path: Path
) -> None:
    """Neither address nor content: deleted rows are overwritten, and the log is emptied."""
    await admit("very.private@example.org", content=b"Subject: x\r\n\r\ndeeply secret\r\n" * 50)

    def on_disk(octets: bytes) -> bool:
        files = (path for path in tmp_path.rglob("*") if path.is_file())
        return any(octets in path.read_bytes() for path in files)

    assert on_disk(b"very.private@example.org")
    assert on_disk(b"deeply secret")
    beside = await open_spool(exclusive=False)
    assert await beside.erase("very.private@example.org", clock.now()) == Erasure(1, removed=1)
    assert await beside.scrub()
    assert not on_disk(b"very.private@example.org")
    assert not on_disk(b"deeply secret")
