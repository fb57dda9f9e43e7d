"""Turns in the active window: urgent first, nobody starved, floods and slow domains kept apart."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.window import FairQueue, Priority

Job = tuple[str, str, int]


def put(queue: FairQueue[Job], sender: str, domain: str, count: int, priority: Priority) -> None:
    """So many jobs of one flow, numbered in their order."""
    for number in range(count):
        queue.put((sender, domain, number), priority=priority, sender=sender, domain=domain)


def test_a_password_reset_passes_the_newsletters() -> None:
    """Ten thousand wait, and the urgent one is next."""
    queue: FairQueue[Job] = FairQueue()
    put(queue, "news", "example.com", 10_000, Priority.BULK)
    queue.pop()
    put(queue, "shop", "example.com", 1, Priority.HIGH)
    assert queue.pop()[0] == "shop"


def test_the_least_urgent_has_a_turn_now_and_then() -> None:
    """A stream of urgent mail slows newsletters down and does not stop them."""
    queue: FairQueue[Job] = FairQueue()
    put(queue, "news", "a.example", 100, Priority.BULK)
    put(queue, "shop", "a.example", 100, Priority.HIGH)
    first = Counter(queue.pop()[0] for _ in range(80))
    assert first == {"shop": 70, "news": 10}


def test_senders_take_turns() -> None:
    """A flood of one sender leaves half of the turns to the other."""
    queue: FairQueue[Job] = FairQueue()
    put(queue, "flood", "example.com", 5000, Priority.NORMAL)
    put(queue, "small", "example.com", 10, Priority.NORMAL)
    first = [queue.pop()[0] for _ in range(20)]
    assert first.count("small") == 10


def test_a_domain_that_answers_slowly_gets_what_others_leave() -> None:
    """What hangs under way counts against its own domain, not against the others."""
    queue: FairQueue[Job] = FairQueue()
    put(queue, "shop", "dead.example", 50, Priority.NORMAL)
    put(queue, "shop", "well.example", 50, Priority.NORMAL)
    hanging = 0
    for _ in range(40):
        _, domain, _ = queue.pop()
        if domain == "dead.example":
            hanging += 1
        else:
            queue.done(domain)
    assert hanging == 1


def test_one_flow_keeps_its_order() -> None:
    """What one sender sends to one domain leaves in the order it came."""
    queue: FairQueue[Job] = FairQueue()
    put(queue, "shop", "example.com", 50, Priority.NORMAL)
    assert [queue.pop()[2] for _ in range(50)] == list(range(50))


def test_taking_back_leaves_what_is_under_way() -> None:
    """At a stop, what waits is given back; what has begun ends by itself."""
    queue: FairQueue[Job] = FairQueue()
    put(queue, "shop", "example.com", 3, Priority.NORMAL)
    _, domain, _ = queue.pop()
    assert sorted(number for _, _, number in queue.take_all()) == [1, 2]
    assert len(queue) == 0
    queue.done(domain)
    with pytest.raises(LookupError):
        queue.pop()
    with pytest.raises(KeyError):
        queue.done(domain)


def test_priorities_by_name() -> None:
    """As a client writes them; what is none is told with those there are."""
    assert Priority.from_word(" High ") is Priority.HIGH
    with pytest.raises(ValueError, match="high, normal, bulk"):
        Priority.from_word("asap")


jobs = st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.sampled_from(Priority))


@given(steps=st.lists(st.none() | jobs, max_size=200))
def test_everything_put_in_comes_out_once(steps: list[tuple[str, str, Priority] | None]) -> None:
    """Whatever the order of putting and taking, nothing is lost, doubled or kept."""
    queue: FairQueue[int] = FairQueue()
    waiting: set[int] = set()
    for number, step in enumerate(steps):
        if step is not None:
            sender, domain, priority = step
            queue.put(number, priority=priority, sender=sender, domain=domain)
            waiting.add(number)
        elif waiting:
            waiting.remove(queue.pop())
        assert set(queue) == waiting
        assert len(queue) == len(waiting)
    while waiting:
        waiting.remove(queue.pop())
