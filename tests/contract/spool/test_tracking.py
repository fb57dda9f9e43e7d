"""What providers told of letters: stored once, in whatever order, and never lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from gateway.domain.events import LetterTracked
from gateway.domain.lifecycle import State
from gateway.domain.tracking import Source, Told
from gateway.spool.inquiries import Answer, Inquiry
from gateway.spool.store import SqlSpool
from gateway.spool.tracking import tidings
from gateway.spool.values import Filter, Story
from providers.contract.outcome import accepted
from providers.contract.tracking import EventType, RejectReason, TrackingEvent
from tests.contract.spool.conftest import Admit
from tests.support.letters import a_change, a_start
from tests.support.manual_clock import ManualClock

MAIN = frozenset({"main"})
HOUR = timedelta(hours=1)
THEN = datetime(2026, 1, 2, 4, 0, tzinfo=UTC)


async def hand_over(
    spool: SqlSpool, clock: ManualClock, admit: Admit, *to: str, ids: tuple[str, ...]
) -> str:
    """A letter that its provider took, under these ids."""
    letter = await admit(*to, leased=True)
    await spool.start([a_start(letter.queue_id, clock.now(), key=key) for key in range(len(to))])
    await spool.record(
        [
            a_change(
                letter.queue_id, clock.now(), State.HANDED_OVER, key=key, outcome=accepted(name)
            )
            for key, name in enumerate(ids)
        ]
    )
    return letter.queue_id


def told(
    name: str, event: EventType, at: datetime = THEN, *, asked: bool = False, to: str | None = None
) -> Told:
    source = Source.STATUS if asked else Source.WEBHOOK
    return Told(TrackingEvent(event, name, at, recipient=to), source)


async def tell(spool: SqlSpool, clock: ManualClock, *events: Told) -> tuple[LetterTracked, ...]:
    return await spool.tracking.track(
        "main", MAIN, events, at=clock.now(), look_up_at=clock.now() + HOUR
    )


def happenings(story: Story) -> list[tuple[int | None, str, datetime]]:
    return [(line.key, line.kind, line.at) for line in story.lines if line.what == "event"]


async def test_an_event_is_stored_once(spool: SqlSpool, clock: ManualClock, admit: Admit) -> None:
    """B.12: told three times, in one call and in several; shown once, emitted once."""
    queue_id = await hand_over(spool, clock, admit, "a@example.org", ids=("7",))
    event = told("7", EventType.DELIVERED)
    first, *none = await tell(spool, clock, event, event)
    assert none == []
    assert await tell(spool, clock, event) == ()
    assert (first.queue_id, first.forward_path, first.provider) == (
        queue_id,
        "a@example.org",
        "main",
    )
    assert first.accepted_at is not None
    story = await spool.story(queue_id)
    assert happenings(story) == [(0, "delivered", THEN)]
    assert story.recipients[0].tracked == "delivered"
    assert await spool.tracking.after(0, 10) == (first,)
    assert await spool.tracking.after(first.number, 10) == ()


async def test_calls_that_wait_together(spool: SqlSpool, clock: ManualClock, admit: Admit) -> None:
    """A flood shares commits: of the same event told by all, one call has the news."""
    await hand_over(spool, clock, admit, "a@example.org", ids=("7",))
    opened = [told("7", EventType.OPENED, THEN + timedelta(seconds=n % 5)) for n in range(50)]
    news = await asyncio.gather(*(tell(spool, clock, one) for one in opened))
    assert sum(map(len, news)) == 5


async def test_a_status_gives_way_to_the_moment(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """What was told without its moment gets it from the webhook, and is no second event."""
    queue_id = await hand_over(spool, clock, admit, "a@example.org", ids=("7",))
    late = THEN + HOUR
    for event in (EventType.DELIVERED, EventType.OPENED):
        assert await tell(spool, clock, told("7", event, late, asked=True))
        assert await tell(spool, clock, told("7", event)) == ()
        assert await tell(spool, clock, told("7", event, late + HOUR, asked=True)) == ()
    assert happenings(await spool.story(queue_id)) == [
        (0, "delivered", THEN),
        (0, "opened", THEN),
    ]


async def test_an_event_that_overtakes_its_letter(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """It waits, once however often it is told, and is the letter's when the record comes."""
    early = told("7", EventType.DELIVERED)
    for _ in range(2):
        assert await tell(spool, clock, early) == ()
    assert await spool.tracking.adopt({"main": MAIN}, clock.now()) == ()
    queue_id = await hand_over(spool, clock, admit, "a@example.org", ids=("7",))
    (adopted,) = await spool.tracking.adopt({"main": MAIN}, clock.now())
    assert (adopted.queue_id, adopted.event.event_type) == (queue_id, EventType.DELIVERED)
    assert await spool.tracking.adopt({"main": MAIN}, clock.now()) == ()
    clock.advance(2 * 3600)
    assert (await spool.tracking.take(MAIN, clock.now(), HOUR, 10)).inquiries == ()


async def test_ids_of_another_platform(spool: SqlSpool, clock: ManualClock, admit: Admit) -> None:
    """Ids are numbers: that of one account says nothing of another's letters."""
    await hand_over(spool, clock, admit, "a@example.org", ids=("7",))
    event = told("7", EventType.BOUNCED)
    other = frozenset({"other"})
    track = spool.tracking.track
    assert await track("other", other, [event], at=clock.now(), look_up_at=None) == ()
    assert await spool.tracking.adopt({"other": other, "main": MAIN}, clock.now()) == ()
    both = frozenset({"other", "main"})
    (adopted,) = await spool.tracking.adopt({"other": both}, clock.now())
    assert (adopted.provider, adopted.told_by) == ("main", "other")


async def test_letters_that_share_an_id(spool: SqlSpool, clock: ManualClock, admit: Admit) -> None:
    """D 27: a batch has one id, and its report names addresses, however they are written."""
    queue_id = await hand_over(
        spool, clock, admit, "A@Example.org", "b@xn--mnchen-3ya.example", ids=("u", "u")
    )
    news = await tell(
        spool,
        clock,
        told("u", EventType.DELIVERED, to=" a@example.ORG"),
        told("u", EventType.BOUNCED, to="b@münchen.example"),
        told("u", EventType.BOUNCED, to="who@example.org"),
    )
    assert [(event.recipient_key, event.event.event_type) for event in news] == [
        (0, EventType.DELIVERED),
        (1, EventType.BOUNCED),
    ]
    assert [one.tracked for one in (await spool.story(queue_id)).recipients] == [
        "delivered",
        "bounced",
    ]


async def test_people_on_a_list(spool: SqlSpool, clock: ManualClock, admit: Admit) -> None:
    """A list letter's events are of those on it, each by name; they are not the letter's own."""
    queue_id = await hand_over(spool, clock, admit, "list@example.com", ids=("m",))
    news = await tell(
        spool,
        clock,
        *(told("m", EventType.DELIVERED, to=f"{name}@example.org", asked=True) for name in "abc"),
    )
    assert [event.event.recipient for event in news] == [f"{n}@example.org" for n in "abc"]
    again = told("m", EventType.DELIVERED, to="b@example.org", asked=True)
    assert await tell(spool, clock, again) == ()
    story = await spool.story(queue_id)
    assert len(happenings(story)) == 3
    assert story.recipients[0].tracked == ""


async def test_texts_that_no_database_takes(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """NUL and lone surrogates, which JSON can hold, must not fail the commit that others share."""
    await hand_over(spool, clock, admit, "a@example.org", ids=("7",))
    odd = TrackingEvent(
        EventType.CLICKED,
        "7",
        THEN,
        reject_reason=RejectReason.OTHER,
        mta_response="a\0b",
        raw="\ud800",
        click_url="http://example.org/\0\udfff",
    )
    stray = TrackingEvent(EventType.OPENED, "\ud800\0" * 500, THEN)
    (event,) = await tell(spool, clock, Told(odd, Source.WEBHOOK), Told(stray, Source.WEBHOOK))
    assert (event.event.mta_response, event.event.click_url) == ("ab", "http://example.org/?")
    assert (await spool.tracking.after(0, 1))[0].event == event.event


async def test_inquiries_are_taken_by_one(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Due ones only, the longest due first, and nobody else's until the lease is over."""
    asked = [
        Inquiry("main", str(n), since=clock.now(), due_at=clock.now() + n * HOUR) for n in range(3)
    ]
    await spool.tracking.ask(asked)
    await spool.tracking.ask(asked[:1])
    clock.advance(3600)
    taken = await spool.tracking.take(MAIN, clock.now(), HOUR / 2, 10)
    assert [one.provider_message_id for one in taken.inquiries] == ["0", "1"]
    assert taken.next_at == clock.now() + HOUR / 2
    assert (await spool.tracking.take(MAIN, clock.now(), HOUR, 10)).inquiries == ()
    assert (await spool.tracking.take(("other",), clock.now(), HOUR, 10)).inquiries == ()
    clock.advance(1800)
    assert len((await spool.tracking.take(MAIN, clock.now(), HOUR, 10)).inquiries) == 2


async def test_an_answer_says_when_to_ask_again(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Open: soon; sealed for all that share the id: later; final and nothing told: never."""
    await hand_over(
        spool, clock, admit, "a@example.org", "b@example.org", "c@example.org", ids=("u", "u", "v")
    )
    now = clock.now()
    await spool.tracking.ask([Inquiry("main", name, now, now) for name in "uvw"])
    (u, v, w) = (await spool.tracking.take(MAIN, now, HOUR, 10)).inquiries

    def an_answer(inquiry: Inquiry, *events: Told) -> Answer:
        given = tidings("main", MAIN, events, at=now, look_up_at=None)
        return Answer(inquiry, given, is_final=True, open_at=now + HOUR, sealed_at=now + 5 * HOUR)

    half = told("u", EventType.DELIVERED, to="a@example.org", asked=True)
    rest = told("u", EventType.BOUNCED, to="b@example.org", asked=True)
    news = await spool.tracking.answer(
        [an_answer(u, half), an_answer(v, told("v", EventType.SENT, asked=True)), an_answer(w)]
    )
    assert len(news) == 2
    clock.advance(3600)
    again = (await spool.tracking.take(MAIN, clock.now(), HOUR, 10)).inquiries
    assert [(one.provider_message_id, one.asked) for one in again] == [("u", 1), ("v", 1)]
    await spool.tracking.answer([an_answer(again[0], half, rest), an_answer(again[1])])
    taken = await spool.tracking.take(MAIN, clock.now(), HOUR, 10)
    assert (taken.inquiries, taken.next_at) == ((), now + 5 * HOUR)


async def test_a_start_catches_up(spool: SqlSpool, clock: ManualClock, admit: Admit) -> None:
    """Letters whose inquiry a crash took are asked about, each id once, old ones not."""
    since = clock.now()
    for name in ("1", "2", "3"):
        await hand_over(spool, clock, admit, "a@example.org", "b@example.org", ids=(name, "u"))
    await spool.tracking.ask([Inquiry("main", "2", clock.now(), clock.now())])
    assert await spool.tracking.catch_up(MAIN, since) == 3
    assert await spool.tracking.catch_up(MAIN, since) == 0
    clock.advance(10)
    due = (await spool.tracking.take(MAIN, clock.now(), HOUR, 10)).inquiries
    assert sorted(one.provider_message_id for one in due) == ["1", "2", "3", "u"]


async def test_nothing_is_kept_for_ever(spool: SqlSpool, clock: ManualClock, admit: Admit) -> None:
    """Strays and inquiries go by age, events with their letter."""
    queue_id = await hand_over(spool, clock, admit, "a@example.org", ids=("7",))
    await tell(spool, clock, told("7", EventType.DELIVERED), told("8", EventType.DELIVERED))
    clock.advance(10)
    assert await spool.tracking.forget(clock.now() - HOUR) == 0
    assert await spool.tracking.forget(clock.now()) == 2
    assert await spool.tracking.adopt({"main": MAIN}, clock.now()) == ()
    assert await spool.purge(clock.now()) == 1
    assert await spool.tracking.after(0, 10) == ()
    assert await spool.find(queue_id, 1) == ()


async def test_erasing_reaches_what_was_told(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """A person's address goes from events, and from events that wait for a letter."""
    await hand_over(spool, clock, admit, "a@example.org", ids=("7",))
    bounced = TrackingEvent(
        EventType.BOUNCED, "7", THEN, "A@example.org", None, "no <a@example.org> here", "{}"
    )
    other = TrackingEvent(EventType.BOUNCED, "8", THEN, "a@example.org", raw='{"to": "x"}')
    await tell(spool, clock, Told(bounced, Source.WEBHOOK), Told(other, Source.WEBHOOK))
    await spool.erase("a@example.org", clock.now())
    (event,) = await spool.tracking.after(0, 10)
    assert "a@example.org" not in repr(event)
    assert event.event.event_type is EventType.BOUNCED
    assert await spool.list(Filter(address="a@example.org", states=frozenset(State)), 10) == ()
    await hand_over(spool, clock, admit, "b@example.org", ids=("8",))
    assert await spool.tracking.adopt({"main": MAIN}, clock.now()) == ()
