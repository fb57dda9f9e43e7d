"""
The course of a drill, moment by moment: what arrived where and when, what waited, who said no.

Watches a letterbox from inside its process; knows no gateway. A drill measures by it, and its
picture is drawn from it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from providers.sandbox.letterbox import Letterbox

STEP_S = 0.1
_FOR_EVER_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Series:
    """
    What was counted, from the first letter on.

    Attributes:
        step_s: Seconds from one element of a list to the next.
        handed_over: By provider, the letters that it has taken so far.
        throttled: By provider, its answers so far that demand a slower pace.
        waiting: Letters that were answered with 250 and are at no provider.
        circuits: By the gateway's name of a provider, second and new state of its circuit.
        marks: Second and words of what the drill did.
    """

    step_s: float = STEP_S
    handed_over: Mapping[str, list[int]] = field(default_factory=dict)
    throttled: Mapping[str, list[int]] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)
    circuits: Mapping[str, list[tuple[float, str]]] = field(default_factory=dict)
    marks: list[tuple[float, str]] = field(default_factory=list)


def rates(counts: Sequence[int], step_s: float, window_s: float) -> list[float]:
    """What was counted, a second, around each element: over a window that is cut at both ends."""
    half = max(1, round(window_s / step_s / 2))
    last = len(counts) - 1
    found = []
    for place in range(len(counts)):
        begin, end = max(0, place - half), min(last, place + half)
        seconds = (end - begin) * step_s
        found.append((counts[end] - counts[begin]) / seconds if seconds else 0.0)
    return found


class Recorder:
    """
    Watches a letterbox.

    Args:
        letterbox: Of the sandbox.
        answered: How many letters were answered with 250 so far.

    Attributes:
        arrived_at: By recipient, when its letter arrived first, on the monotonic clock.
        copies: Letters that arrived at somebody who had one.
    """

    def __init__(self, letterbox: Letterbox, answered: Callable[[], int]) -> None:
        self.arrived_at: dict[str, float] = {}
        self.copies = 0
        self._letterbox = letterbox
        self._answered = answered
        self._begun = 0.0
        self._begun_at = datetime.min.replace(tzinfo=UTC)
        self._sampling: asyncio.Task[None] | None = None
        self._seen = 0
        self._handed_over: Counter[str] = Counter()
        self._samples: list[tuple[dict[str, int], dict[str, int], int]] = []
        self._marks: list[tuple[float, str]] = []

    async def run(self) -> None:
        """Write down each letter as it arrives, until cancelled."""
        box = self._letterbox
        try:
            while True:
                await box.wait_until(lambda b: len(b.letters) > self._seen, timeout_s=_FOR_EVER_S)
                self.catch_up()
        finally:
            if self._sampling is not None:
                self._sampling.cancel()

    def begin(self) -> None:
        """The first letter is sent now; later calls change nothing."""
        if self._sampling is None:
            self._begun, self._begun_at = time.monotonic(), datetime.now(UTC)
            self._sampling = asyncio.create_task(self._sample())

    async def _sample(self) -> None:
        while True:
            self._count()
            await asyncio.sleep(STEP_S)  # the rhythm of the series

    def _count(self) -> None:
        """One element more; where the loop was late, what it missed is what it sees now."""
        self.catch_up()
        due = int((time.monotonic() - self._begun) / STEP_S) + 1
        waiting = max(0, self._answered() - len(self.arrived_at))
        counts = (dict(self._handed_over), dict(self._letterbox.throttled), waiting)
        self._samples += [counts] * max(1, due - len(self._samples))

    def catch_up(self) -> None:
        """Write down what has arrived by now."""
        now = time.monotonic()
        for letter in self._letterbox.letters[self._seen :]:
            self._handed_over[letter.provider] += 1
            self.copies += letter.recipient in self.arrived_at
            self.arrived_at.setdefault(letter.recipient, now)
        self._seen = len(self._letterbox.letters)

    def mark(self, words: str) -> float:
        """Note what the drill does now; the moment on the monotonic clock."""
        self.begin()
        now = time.monotonic()
        self._marks.append((now - self._begun, words))
        return now

    def series(self, circuits: Mapping[str, list[tuple[datetime, str]]]) -> Series:
        """
        The course so far.

        Args:
            circuits: By provider, when its circuit changed to which state.
        """
        self._count()
        last_handed_over, last_throttled, _ = self._samples[-1]
        return Series(
            STEP_S,
            {
                name: [handed_over.get(name, 0) for handed_over, _, _ in self._samples]
                for name in last_handed_over
            },
            {
                name: [throttled.get(name, 0) for _, throttled, _ in self._samples]
                for name in last_throttled
            },
            [waiting for _, _, waiting in self._samples],
            {
                name: [((at - self._begun_at).total_seconds(), state) for at, state in changes]
                for name, changes in circuits.items()
            },
            self._marks,
        )
