"""
The circuit of one provider: whether letters are given to it, and when to ask whether it is back.

Pure: the caller brings monotonic seconds, what attempts came to, and what probes said. Knows no
provider and no letter. Sits beside `disposition`; `delivery` keeps one for each provider.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from providers.contract.outcome import Cause, DeliveryOutcome, Kind, Scope


class CircuitState(StrEnum):
    """What a circuit lets through; its value is the label of the metric."""

    CLOSED = "closed"  # everything: the provider is well
    HALF_OPEN = "half_open"  # a few letters, more with each that is accepted
    OPEN = "open"  # nothing until a probe, which sends nothing, has succeeded


@dataclass(frozen=True, slots=True)
class CircuitRules:
    """
    When a circuit opens, and how carefully it closes.

    Attributes:
        failures: As many of the latest attempts, at least, ...
        share: ... and this share of them must have failed before it opens.
        memory: How many of the latest attempts count, and ...
        memory_s: ... how old they may be, in seconds.
        first_wait_s: From opening to the first probe.
        longest_wait_s: Waits double with every probe in vain up to this.
        steady_s: Opened again within so many seconds of closing, it waits longer than the last
            time: a provider that comes and goes is not believed at once.
        slow_after_s: An attempt that took longer has failed as far as the circuit goes.
    """

    failures: int = 5
    share: float = 0.5
    memory: int = 20
    memory_s: float = 60.0
    first_wait_s: float = 5.0
    longest_wait_s: float = 300.0
    steady_s: float = 60.0
    slow_after_s: float = float("inf")

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or not 1 <= self.failures <= self.memory:
            raise ValueError("a circuit opens on some of the attempts that it remembers")
        if not 0 < self.first_wait_s <= self.longest_wait_s:
            raise ValueError("the longest wait is not shorter than the first")


class Circuit:
    """
    The state of one provider, from what is seen of it.

    `begin` asks before every attempt and counts it; `ended` must follow once for each that began.
    """

    def __init__(self, rules: CircuitRules) -> None:
        self._rules = rules
        self._seen: deque[tuple[float, bool]] = deque(maxlen=self._rules.memory)
        self._under_way = 0
        self._allowed = 0
        self._wait_s = 0.0
        self._probe_at = float("inf")
        self._closed_at = float("-inf")
        self.state = CircuitState.CLOSED
        self.reason = ""

    def begin(self) -> bool:
        """Whether an attempt may start now; on yes it counts as under way."""
        if self.state is CircuitState.OPEN or (
            self.state is CircuitState.HALF_OPEN and self._under_way >= self._allowed
        ):
            return False
        self._under_way += 1
        return True

    def ended(self, outcome: DeliveryOutcome | None, now: float, took_s: float = 0.0) -> None:
        """
        An attempt is over.

        Args:
            outcome: The worst of its outcomes; `None` when it came to none (it was not made).
            now: Monotonic seconds.
            took_s: How many of them the provider took.
        """
        self._under_way -= 1
        if outcome is None:
            return
        verdict = _verdict(outcome)
        if verdict is _Verdict.ACCOUNT:
            self._open(outcome.diagnostic, now)
        elif verdict is _Verdict.WELL and took_s > self._rules.slow_after_s:
            self._failed(f"slow: it took {took_s:.1f} s", now)
        elif verdict is _Verdict.WELL:
            self._well(now)
        elif verdict is _Verdict.FAILED:
            self._failed(outcome.diagnostic, now)

    def probe_in(self, now: float) -> float | None:
        """Seconds until a probe is called for, 0.0 for now; `None`: none is."""
        return None if self.state is not CircuitState.OPEN else max(0.0, self._probe_at - now)

    def probed(self, now: float, *, well: bool, detail: str = "") -> None:
        """A probe, which sent nothing, found the provider well or not."""
        if self.state is not CircuitState.OPEN:
            return
        if well:
            self.state = CircuitState.HALF_OPEN
            self._seen.clear()
            self._allowed = 1
            return
        self.reason = detail or self.reason
        self._wait_s = min(self._wait_s * 2, self._rules.longest_wait_s)
        self._probe_at = now + self._wait_s

    def _well(self, now: float) -> None:
        if self.state is CircuitState.OPEN:
            return  # begun before it opened; the probe decides
        self._seen.append((now, True))
        if self.state is CircuitState.HALF_OPEN:
            self._allowed *= 2
            if self._allowed > self._rules.memory:
                self.state = CircuitState.CLOSED
                self.reason = ""
                self._closed_at = now

    def _failed(self, reason: str, now: float) -> None:
        if self.state is CircuitState.OPEN:
            return
        if self.state is CircuitState.HALF_OPEN:
            self._open(reason, now)
            return
        self._seen.append((now, False))
        oldest = now - self._rules.memory_s
        recent = [well for at, well in self._seen if at >= oldest]
        failures = recent.count(False)
        if failures >= self._rules.failures and failures >= self._rules.share * len(recent):
            self._open(reason, now)

    def _open(self, reason: str, now: float) -> None:
        if self.state is CircuitState.OPEN:
            self.reason = reason
            return
        shaky = self.state is CircuitState.HALF_OPEN or now - self._closed_at < self._rules.steady_s
        grown = min(self._wait_s * 2, self._rules.longest_wait_s)
        self._wait_s = grown if shaky and self._wait_s else self._rules.first_wait_s
        self._probe_at = now + self._wait_s
        self._seen.clear()
        self.state = CircuitState.OPEN
        self.reason = reason


def most_telling(outcomes: Iterable[DeliveryOutcome]) -> DeliveryOutcome:
    """
    Of the outcomes of one attempt, the one that says most about the provider.

    Raises:
        ValueError: There are none.
    """
    return max(outcomes, key=_telling)


def _telling(outcome: DeliveryOutcome) -> int:
    throttled = outcome.scope is Scope.PROVIDER and outcome.cause is Cause.THROTTLED
    return 1 if throttled else _TELLING[_verdict(outcome)]


class _Verdict(StrEnum):
    WELL = "well"
    FAILED = "failed"
    ACCOUNT = "account"
    NOTHING = "nothing"


_TELLING = {_Verdict.NOTHING: 0, _Verdict.WELL: 2, _Verdict.FAILED: 3, _Verdict.ACCOUNT: 4}


def _verdict(outcome: DeliveryOutcome) -> _Verdict:
    """What an outcome says of the provider as a whole."""
    if outcome.kind is Kind.UNCERTAIN:
        return _Verdict.FAILED  # it took the letter and gave no answer in time
    if outcome.kind is Kind.DEFERRED and outcome.scope is Scope.PROVIDER:
        if outcome.cause is Cause.ACCOUNT:
            return _Verdict.ACCOUNT
        # Who says "too fast" is alive: the pace is the answer to that.
        return _Verdict.NOTHING if outcome.cause is Cause.THROTTLED else _Verdict.FAILED
    if outcome.kind is Kind.UNSUPPORTED:
        return _Verdict.NOTHING
    # Refusing a letter or a recipient takes as much health as accepting one.
    return _Verdict.WELL
