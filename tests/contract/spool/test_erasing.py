"""Forgetting a person: nothing of an address is left, and the ledger balances."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from gateway.domain.instructions import Instructions
from gateway.domain.lifecycle import State
from gateway.domain.tracking import Source, Told
from gateway.spool.erasing import ERASED
from gateway.spool.inquiries import Inquiry
from gateway.spool.store import SqlSpool
from gateway.spool.values import Erasure, Filter
from providers.contract.address import parse_address
from providers.contract.envelope import Envelope, Recipient
from providers.contract.options import SendOptions
from providers.contract.outcome import accepted
from providers.contract.tracking import EventType, TrackingEvent
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


async def test_an_address_goes_where_it_is_written_otherwise(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """ORCPT in xtext, a template's params, a link that was clicked, an id that is asked about."""
    person = "bob+x@example.org"
    ordered = Recipient(0, parse_address("shop@example.org"), "rfc822;Bob+2Bx@example.org")
    options = SendOptions(template="7", params={"mail": person})
    letter = await admit(
        envelope=Envelope(
            parse_address("a@example.com"), (ordered,), envid="for-bob+2Bx@example.org"
        ),
        instructions=Instructions(options=options),
        leased=True,
    )
    await spool.start([a_start(letter.queue_id, clock.now())])
    outcome = accepted(f"7/{person}")
    await spool.record([a_change(letter.queue_id, clock.now(), outcome=outcome)])
    carriers = frozenset({"main"})
    link = "https://example.com/?to=Bob%2Bx%40example.org"
    clicked = TrackingEvent(EventType.CLICKED, f"7/{person}", clock.now(), click_url=link)
    stray = TrackingEvent(EventType.CLICKED, "8", clock.now(), click_url=link)
    told = [Told(event, Source.WEBHOOK) for event in (clicked, stray)]
    await spool.tracking.track("main", carriers, told, at=clock.now(), look_up_at=clock.now())
    later = clock.now() + timedelta(hours=1)
    asking = [Inquiry("main", f"7/{person}", since=clock.now(), due_at=later)]
    await spool.tracking.ask(asking)
    assert await spool.erase(person, clock.now()) == Erasure(1)
    kept = await spool.letter_of(letter.queue_id, 0)
    assert kept is not None
    assert kept.instructions.options.params == {"mail": ERASED}
    (event,) = await spool.tracking.after(0, 10)
    seen = repr((kept, event, await spool.story(letter.queue_id))).lower()
    assert "bob" not in seen
    assert await spool.erase(person, clock.now()) == Erasure()


async def test_a_reader_of_a_list_and_a_user_are_found_too(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Whom only an event names, and who logged in with the address; for others nothing changes."""
    to_list = await admit("readers@example.org", leased=True)
    await spool.start([a_start(to_list.queue_id, clock.now())])
    await spool.record([a_change(to_list.queue_id, clock.now(), outcome=accepted("7"))])
    opened = TrackingEvent(EventType.OPENED, "7", clock.now(), "Eve@example.org")
    await spool.tracking.track(
        "main",
        frozenset({"main"}),
        [Told(opened, Source.WEBHOOK)],
        at=clock.now(),
        look_up_at=None,
    )
    waiting = await admit("bob@example.org", user="eve@example.org")
    assert await spool.erase("eve@example.org", clock.now()) == Erasure(2, left=1)
    (event,) = await spool.tracking.after(0, 10)
    assert (event.event.recipient, event.forward_path) == (ERASED, "readers@example.org")
    await spool.remove(Filter(queue_id=waiting.queue_id), clock.now())
    assert await spool.erase("eve@example.org", clock.now()) == Erasure(1)
    kept = await spool.letter_of(waiting.queue_id, 0)
    assert kept is not None
    assert kept.user == ERASED


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
