"""Letters that come again: told by the first one's id, for whom, for how long; none is lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from gateway.domain.duplicates import Mark, Repeat, mark_of_letter
from gateway.domain.lifecycle import State
from gateway.spool.bodies import LARGE_OCTETS
from gateway.spool.store import SqlSpool
from gateway.spool.values import Filter, NewLetter
from tests.contract.spool.conftest import OpenSpool
from tests.contract.spool.engines import ON_POSTGRESQL, SpoolEngine
from tests.support.letters import CONTENT, a_change, a_letter, starts_of
from tests.support.manual_clock import ManualClock

HOUR = timedelta(hours=1)


def a_mark(clock: ManualClock, name: str = "<1@a>") -> Mark:
    return mark_of_letter("192.0.2.7", name, CONTENT, clock.now() - HOUR)


async def admit(
    spool: SqlSpool, clock: ManualClock, *to: str, name: str = "<1@a>", content: bytes = CONTENT
) -> tuple[NewLetter, Repeat | None]:
    """Bring a letter with a mark; a second later each."""
    letter = a_letter(spool, clock.now(), *to, mark=a_mark(clock, name), content=content)
    repeat = await spool.admit(letter)
    clock.advance(1)
    return letter, repeat


async def letters_of(spool: SqlSpool) -> list[tuple[str, str]]:
    return [(row.queue_id, row.forward_path) for row in await spool.list(Filter(), 1000)]


@pytest.mark.parametrize("content", [CONTENT, b"x" * LARGE_OCTETS], ids=["small", "large"])
async def test_the_same_letter_is_kept_once(
    spool: SqlSpool, clock: ManualClock, content: bytes
) -> None:
    """Its client, which never saw the reply, gets the first one's id; no file is left over."""
    first, none = await admit(spool, clock, content=content)
    again, repeat = await admit(spool, clock, content=content)
    assert none is None
    assert repeat == Repeat(first.queue_id, frozenset({0}))
    assert await letters_of(spool) == [(first.queue_id, "bob@example.org")]
    assert await spool.find(again.queue_id, 1) == ()
    story = await spool.story(first.queue_id)
    assert [line.text for line in story.lines if line.what == "note"] == [
        "came again from 192.0.2.7; not sent again"
    ]
    assert (await spool.stats(clock.now())).accepted == 1


async def test_another_letter_is_another_letter(spool: SqlSpool, clock: ManualClock) -> None:
    """Whatever differs in a mark makes another; letters without one are always their own."""
    await admit(spool, clock, name="<1@a>")
    _, second = await admit(spool, clock, name="<2@a>")
    assert second is None
    for _ in range(2):
        assert await spool.admit(a_letter(spool, clock.now())) is None
    assert len(await letters_of(spool)) == 4


async def test_it_is_known_after_a_restart(open_spool: OpenSpool, clock: ManualClock) -> None:
    """The mark is as durable as the letter: they are one commit."""
    spool = await open_spool()
    first, _ = await admit(spool, clock)
    await spool.aclose()
    _, repeat = await admit(await open_spool(), clock)
    assert repeat is not None
    assert repeat.queue_id == first.queue_id


async def test_the_latest_of_many_is_known_after_a_restart(
    open_spool: OpenSpool, clock: ManualClock
) -> None:
    """A place that was given to a later letter is that letter's, whoever had it before."""
    spool = await open_spool()
    first, _ = await admit(spool, clock)
    clock.advance(HOUR.total_seconds())
    second, _ = await admit(spool, clock)
    await spool.aclose()
    _, repeat = await admit(await open_spool(duplicates_window=3 * HOUR), clock)
    assert repeat == Repeat(second.queue_id, frozenset({0}))
    assert first.queue_id != second.queue_id


async def test_new_recipients_get_it(spool: SqlSpool, clock: ManualClock) -> None:
    """Per recipient: who has it is left out, others are sent it, under an id of its own."""
    first, _ = await admit(spool, clock, "a@x.example", "b@x.example")
    second, repeat = await admit(spool, clock, "c@x.example", "B@X.EXAMPLE", "b@X.example")
    assert repeat == Repeat(first.queue_id, frozenset({2}))
    assert [to for queue_id, to in await letters_of(spool) if queue_id == second.queue_id] == [
        "c@x.example",
        "B@X.EXAMPLE",
    ]
    story = await spool.story(second.queue_id)
    assert any(first.queue_id in line.text for line in story.lines)
    # What the second brought is known from then on, by its own id.
    _, third = await admit(spool, clock, "c@x.example")
    assert third == Repeat(second.queue_id, frozenset({0}))
    _, all_of_them = await admit(spool, clock, "a@x.example", "b@x.example", "c@x.example")
    assert all_of_them == Repeat(first.queue_id, frozenset({0, 1, 2}))


@pytest.mark.parametrize(
    ("state", "again"),
    [
        (State.HANDED_OVER, False),
        (State.WAITING, False),
        (State.UNCERTAIN, False),
        (State.FAILED, True),
    ],
)
async def test_who_failed_may_be_sent_it_again(
    spool: SqlSpool, clock: ManualClock, state: State, again: bool
) -> None:
    """A client that heard of the failure tries again; one whose letter is under way does not."""
    await admit(spool, clock)
    (claimed,) = (await spool.claim("main", clock.now(), 10)).letters
    await spool.start(starts_of(claimed, clock.now()))
    due = clock.now() + HOUR if state is State.UNCERTAIN else None
    await spool.record([a_change(claimed.queue_id, clock.now(), state, due_at=due)])
    _, repeat = await admit(spool, clock)
    assert (repeat is None) is again


async def test_removed_by_hand_may_come_again(spool: SqlSpool, clock: ManualClock) -> None:
    """What a person took out is no reason to refuse what a client sends."""
    await admit(spool, clock)
    await spool.remove(Filter(), clock.now())
    assert (await admit(spool, clock))[1] is None


async def test_after_the_window_it_is_a_new_letter(spool: SqlSpool, clock: ManualClock) -> None:
    """And what is known is then the new one."""
    await admit(spool, clock)
    clock.advance(HOUR.total_seconds())
    second, repeat = await admit(spool, clock)
    assert repeat is None
    _, third = await admit(spool, clock)
    assert third is not None
    assert third.queue_id == second.queue_id


async def test_marks_are_forgotten(spool: SqlSpool, clock: ManualClock) -> None:
    """The table holds a window, however long the gateway runs."""
    for n in range(3):
        await admit(spool, clock, name=f"<old{n}@a>")
    middle = clock.now()
    await admit(spool, clock, name="<new@a>")
    assert await spool.forget_marks(middle, 10) == 3
    assert await spool.forget_marks(middle, 10) == 0
    assert (await admit(spool, clock, name="<new@a>"))[1] is not None
    assert (await admit(spool, clock, name="<old1@a>"))[1] is None


async def test_no_more_marks_are_kept_than_said(spool: SqlSpool, clock: ManualClock) -> None:
    """However many letters come within the window: the latest are known."""
    for n in range(5):
        await admit(spool, clock, name=f"<{n}@a>")
    assert await spool.forget_marks(clock.now() - HOUR, 2) == 3
    assert (await admit(spool, clock, name="<3@a>"))[1] is not None
    assert (await admit(spool, clock, name="<2@a>"))[1] is None


async def test_more_letters_than_places(spool: SqlSpool, clock: ManualClock) -> None:
    """A letter that comes again and again with one recipient each: the oldest is forgotten."""
    for n in range(20):
        assert (await admit(spool, clock, f"r{n}@x.example"))[1] is None
    assert (await admit(spool, clock, "r19@x.example"))[1] is not None
    assert (await admit(spool, clock, "r0@x.example"))[1] is None


async def test_repeats_within_one_commit(
    store: SpoolEngine, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """A client that sends on two connections at once; others in the commit are not concerned."""
    spool = await open_spool()
    with store.locked():
        brought = [
            asyncio.ensure_future(
                spool.admit(a_letter(spool, clock.now(), mark=a_mark(clock, name)))
            )
            for name in ("<1@a>", "<2@a>", "<1@a>", "<3@a>", "<1@a>")
        ]
        brought.append(asyncio.ensure_future(spool.admit(a_letter(spool, clock.now()))))
        await asyncio.sleep(0)
    results = await asyncio.gather(*brought)
    assert [result is None for result in results] == [True, True, False, True, False, True]
    assert len(await letters_of(spool)) == 4


@ON_POSTGRESQL
async def test_gateways_know_each_others_letters(open_spool: OpenSpool, clock: ManualClock) -> None:
    """Two on one queue, the same letter brought to both at once, many times: kept once each."""
    one, two = await open_spool(), await open_spool()
    names = [f"<{n}@a>" for n in range(40)]
    results = await asyncio.gather(
        *(
            spool.admit(a_letter(spool, clock.now(), mark=a_mark(clock, name)))
            for order, spool in ((names, one), (names[::-1], two))
            for name in order
        )
    )
    assert sum(result is None for result in results) == len(names)
    assert len(await letters_of(one)) == len(names)
