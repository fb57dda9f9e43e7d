"""Lists, searches, stories and counts: what people and metrics see of the spool."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.domain.lifecycle import SETTLED, State
from gateway.errors import UnknownQueueId
from gateway.spool.bodies import LARGE_OCTETS
from gateway.spool.store import SqlSpool
from gateway.spool.values import AGE_STEPS_S, Filter, Listed
from providers.contract.outcome import accepted
from tests.contract.spool.conftest import Admit, OpenSpool
from tests.contract.spool.engines import SpoolEngine
from tests.support.builders import an_envelope
from tests.support.letters import CONTENT, a_change, a_letter, a_start
from tests.support.manual_clock import ManualClock


async def test_letters_are_found_by_pages(spool: SqlSpool, admit: Admit) -> None:
    """Each once, the newest first; past the last of a kind there is nothing of another."""
    letters = [await admit("bob@example.org") for _ in range(5)]
    named = await admit("eve@example.org", message_id="<bob@example.org>")
    assert await spool.find("bob@example.org", 3) == (named.queue_id,)
    assert await spool.find("bob@example.org", 3, before=named.queue_id) == ()
    newest_first = [letter.queue_id for letter in reversed(letters)]
    found: list[str] = []
    while page := await spool.find("BOB@EXAMPLE.org", 2, before=found[-1] if found else ""):
        found += page
    assert found == newest_first


async def test_a_listed_recipient_shows_everything(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """`queue list` needs no second look."""
    letter = await admit("a@example.org", "b@example.org", leased=True)
    rows = await spool.list(Filter(), 10)
    assert rows == tuple(
        Listed(
            queue_id=letter.queue_id,
            key=key,
            arrival=letter.arrival,
            size=len(CONTENT),
            reverse_path="news@example.com",
            forward_path=forward_path,
            state=State.WAITING,
            provider="main",
            attempts=0,
            due_at=letter.arrival,  # not the end of its lease, which is nobody's business
            status="",
            diagnostic="",
            provider_message_id="",
            message_id="<order-77@example.com>",
        )
        for key, forward_path in enumerate(["a@example.org", "b@example.org"])
    )


async def test_lists_are_bounded_and_begin_with_the_oldest(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """A long queue does not come out whole when the first few are asked for."""
    letters = [await admit("a@example.org", "b@example.org") for _ in range(3)]
    rows = await spool.list(Filter(), 3)
    assert [(row.queue_id, row.key) for row in rows] == [
        (letters[0].queue_id, 0),
        (letters[0].queue_id, 1),
        (letters[1].queue_id, 0),
    ]


async def test_settled_recipients_are_listed_when_asked_for(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """The list is of what needs attention, unless a settled state is named."""
    settled, waiting = await admit(leased=True), await admit()
    await spool.start([a_start(settled.queue_id, clock.now())])
    await spool.record([a_change(settled.queue_id, clock.now())])
    cases = {
        frozenset(): [waiting],
        frozenset({State.WAITING}): [waiting],
        frozenset({State.HANDED_OVER}): [settled],
        frozenset({State.HANDED_OVER, State.WAITING}): [settled, waiting],
    }
    for states, letters in cases.items():
        rows = await spool.list(Filter(states=states), 10)
        assert [row.queue_id for row in rows] == [letter.queue_id for letter in letters]


async def test_a_letter_is_found_by_anything_that_names_it(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Queue id, Message-ID, provider's id or an address, in any case: one search for all."""
    envelope = an_envelope("J\u00f6rg@B\u00fccher.example", "bob@example.org", smtputf8=True)
    letter = await admit(envelope=envelope, leased=True, message_id="<Unique-1@example.com>")
    await spool.start([a_start(letter.queue_id, clock.now())])
    outcome = accepted("bob@example.org:12345")
    await spool.record([a_change(letter.queue_id, clock.now(), outcome=outcome)])
    await admit("eve@example.net", envelope=an_envelope("eve@example.net", reverse_path=None))
    names = [
        letter.queue_id,
        letter.queue_id.lower(),
        f" {letter.queue_id} ",
        "<Unique-1@example.com>",
        "Unique-1@example.com",
        "bob@example.org:12345",
        "<bob@example.org:12345>",
        "bob@example.org",
        "BOB@Example.ORG",
        "J\u00f6rg@B\u00fccher.example",
        "j\u00f6rg@b\u00fccher.example",
        "J\u00f6rg@xn--bcher-kva.example",
        "news@example.com",
    ]
    for name in names:
        assert await spool.find(name, 10) == (letter.queue_id,), name
    for name in ("", "<>", "@", "nobody@example.org", "V" * 13, "%", "12345", "Unique-1"):
        assert await spool.find(name, 10) == (), name


async def test_what_is_found_begins_with_the_newest(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """An address with a long history shows its latest letters, each once."""
    letters = [await admit("a@example.org", "A@EXAMPLE.org") for _ in range(5)]
    newest = [letter.queue_id for letter in reversed(letters)]
    assert await spool.find("a@example.org", 3) == tuple(newest[:3])
    assert await spool.find("<order-77@example.com>", 10) == tuple(newest)


async def test_a_story_tells_how_long_each_stage_took(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """In the queue since it came or since the attempt before, and with the provider."""
    letter = await admit(leased=True)  # a second goes by
    begun = clock.now()
    await spool.start([a_start(letter.queue_id, begun)])
    clock.advance(3)
    change = a_change(letter.queue_id, clock.now(), State.WAITING, due_at=clock.now())
    assert change.ended is not None
    await spool.record([replace(change, ended=replace(change.ended, started_at=begun))])
    clock.advance(5)
    await spool.claim("main", clock.now(), 1)
    await spool.start([a_start(letter.queue_id, clock.now(), attempt=2)])
    attempts = [x for x in (await spool.story(letter.queue_id)).lines if x.what == "attempt"]
    assert [(x.queued_s, x.took_s) for x in attempts] == [(1.0, 3.0), (5.0, None)]


async def test_there_is_no_story_of_what_never_was(spool: SqlSpool) -> None:
    """An unknown id is told as that."""
    for queue_id in ("", "nonsense", "0000000000000"):
        with pytest.raises(UnknownQueueId):
            await spool.story(queue_id)


async def test_counts_of_an_empty_spool(spool: SqlSpool, clock: ManualClock) -> None:
    """Every settled state is there at zero from the start."""
    stats = await spool.stats(clock.now())
    assert (stats.accepted, stats.active, stats.oldest_due, stats.ages) == (0, {}, {}, {})
    assert stats.settled == dict.fromkeys(SETTLED, 0)
    assert stats.octets > 0


async def test_counts_by_provider_state_and_age(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """The qshape of the queue, and since when something due is untouched (T22)."""
    now = clock.now()
    for seconds in sorted((*AGE_STEPS_S, 0), reverse=True):
        for extra in (1, 0):
            past = now - timedelta(seconds=seconds + extra)
            await spool.admit(a_letter(spool, past, providers="main"))
    held = a_letter(spool, now, providers="backup")
    await spool.admit(held)
    await spool.hold(Filter(queue_id=held.queue_id), now)
    stats = await spool.stats(now)
    assert stats.active == {("main", State.WAITING): 20, ("backup", State.HELD): 1}
    assert stats.ages == {
        ("main", State.WAITING): (3, *(2,) * 8, 1),
        ("backup", State.HELD): (1, *(0,) * 9),
    }
    assert stats.oldest_due == {"main": now - timedelta(seconds=76801)}
    claimed = await spool.claim("main", now, 1)
    assert len(claimed.letters) == 1
    assert (await spool.stats(now)).oldest_due == {"main": now - timedelta(seconds=76800)}
    assert (await spool.stats(now - timedelta(days=9))).oldest_due == {}


async def test_size_follows_what_is_kept(
    store: SpoolEngine, open_spool: OpenSpool, spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """What the spool takes grows with contents, large ones too, and shrinks when they go."""
    empty = (await spool.stats(clock.now())).octets
    for octets in (LARGE_OCTETS - 1, LARGE_OCTETS * 2):
        await admit(content=bytes(octets))
    full = (await spool.stats(clock.now())).octets
    assert full >= empty + 3 * LARGE_OCTETS - 1
    await spool.remove(Filter(), clock.now())
    await spool.aclose()
    store.reclaim()
    again = await open_spool()
    assert (await again.stats(clock.now())).octets <= empty + LARGE_OCTETS // 2
