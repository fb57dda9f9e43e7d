"""What became of a letter is the same however its events come: shuffled, repeated, asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.tracking import Merge, Source, Told, place, standing
from providers.contract.tracking import EventType, TrackingEvent

THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

happenings = st.builds(
    lambda event, second, url: TrackingEvent(
        event,
        "7",
        THEN + timedelta(seconds=second),
        raw="odd" if event is EventType.UNKNOWN else "",
        click_url=url if event is EventType.CLICKED else "",
    ),
    st.sampled_from(EventType),
    st.integers(0, 5),
    st.sampled_from(["http://example.org/a", "http://example.org/b"]),
)


def merged(told: Sequence[Told]) -> list[Told]:
    """What is stored after all were told in this order."""
    known: list[Told] = []
    for one in told:
        found = place(known, one)
        if found.merge is Merge.NEW:
            known.append(one)
        elif found.merge is Merge.BETTER:
            known[found.of] = one
    return known


def asked(events: Sequence[TrackingEvent], second: int) -> list[Told]:
    """What a status tells of the same: each kind once, with the moment of asking."""
    at = THEN + timedelta(hours=1, seconds=second)
    kinds = {(event.event_type, event.click_url, event.raw) for event in events}
    return [
        Told(TrackingEvent(kind, "7", at, raw=raw, click_url=url), Source.STATUS)
        for kind, url, raw in sorted(kinds)
    ]


def key(told: Told) -> tuple[object, ...]:
    event = told.event
    return event.event_type, event.click_url, event.timestamp, told.source


@given(st.lists(happenings, max_size=8), st.randoms(use_true_random=False))
def test_any_order_any_number_of_times(events: list[TrackingEvent], random: object) -> None:
    """Webhooks shuffled and tripled, statuses among them: the same events stay."""
    told = [Told(event, Source.WEBHOOK) for event in events] * 3 + asked(events, 0)
    expected = sorted(merged(told), key=key)
    random.shuffle(told)  # type: ignore[attr-defined]  # hypothesis does not name its class
    assert sorted(merged(told), key=key) == expected
    assert all(one.is_exact for one in expected)


@given(
    st.lists(happenings, max_size=8),
    st.sets(st.integers(0, 7)),
    st.randoms(use_true_random=False),
)
def test_what_is_missing_is_told_when_asked(
    events: list[TrackingEvent], lost: set[int], random: object
) -> None:
    """Whichever webhooks are lost, a status asked for afterwards brings the same standing."""
    came = [Told(event, Source.WEBHOOK) for n, event in enumerate(events) if n not in lost] * 3
    random.shuffle(came)  # type: ignore[attr-defined]  # hypothesis does not name its class
    known = merged([*came, *asked(events, 0), *asked(events, 9)])
    truth = standing(event.event_type for event in events)
    assert standing(one.event.event_type for one in known) == truth
    kinds = [(one.event.event_type, one.event.click_url) for one in known if not one.is_exact]
    assert len(kinds) == len(set(kinds))


@given(st.lists(st.sampled_from(EventType)), st.sampled_from(EventType))
def test_a_letter_never_goes_back(before: list[EventType], then: EventType) -> None:
    """D 11: whatever comes later, a sealed fate stays sealed and no fact is taken back."""
    old, new = standing(before), standing([*before, then])
    assert new.is_sealed >= old.is_sealed
    assert set(old.facts) <= set(new.facts)
    assert old.progress is None or new.progress is not None
