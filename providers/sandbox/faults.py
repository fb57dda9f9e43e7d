"""
Faults on demand: what goes wrong next, at which provider, for whom, how often.

One plan serves a whole sandbox. It must not know protocols: each imitated provider decides how a
fault looks on its wire.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum


class FaultKind(StrEnum):
    """What goes wrong."""

    REFUSE = "refuse"  # for good: 550 to RCPT, 422
    DEFER = "defer"  # put off: 450 to RCPT; 503
    UNAUTHORISED = "unauthorised"  # the account: 535, 401
    THROTTLE = "throttle"  # too fast: 421 or 451 4.7.1, 429
    HANG = "hang"  # the letter is read and never answered
    DROP_BEFORE = "drop_before"  # the connection breaks before acceptance
    DROP_AFTER = "drop_after"  # accepted, and the connection breaks before the answer
    GARBAGE = "garbage"  # accepted, and the answer cannot be read
    ERROR = "error"  # an error that proves nothing: 500; at the smarthost 451 to the final dot


@dataclass(slots=True)
class Fault:
    """
    One fault in the plan.

    Attributes:
        kind: What goes wrong.
        provider: At which imitated provider (`smarthost`, `rest_v1`, `form_v2`); `*` at all.
        times: How often it strikes before it is over; `None`: until it is taken back.
        recipient: Only for an address that contains this text; empty: for all.
        retry_after_s: The wait that a `throttle` asks for, in seconds.
        style: How the provider words it where it has several ways; empty is its default.
        method: Only at calls of this method of an API, as it names it; empty: at all.
    """

    kind: FaultKind
    provider: str = "*"
    times: int | None = 1
    recipient: str = ""
    retry_after_s: float = 1.0
    style: str = ""
    method: str = ""

    def fits(self, provider: str, recipient: str, method: str = "") -> bool:
        """
        Whether it strikes at this provider for this recipient, in a call of this method.

        Both may be empty: a recipient that is not yet known, a protocol without methods.
        """
        return (
            self.provider in ("*", provider)
            and self.recipient.lower() in recipient.lower()
            and self.method in ("", method)
        )


_PROVIDERS = ("smarthost", "rest_v1", "form_v2", "*")


def parse_fault(text: str) -> Fault:
    """
    Read `[provider:]kind[/style][@method][:times]`, as the command line takes it.

    Times may be `always`; `form_v2:refuse/200@sendBulkEmail:3` is an example with everything.

    Raises:
        ValueError: No such kind or provider, or the count is not a positive number.
    """
    words = text.split(":")
    provider = words.pop(0) if words[0] in _PROVIDERS else "*"
    what, _, method = (words[0] if words else "").partition("@")
    kind, _, style = what.partition("/")
    if len(words) > 2 or kind not in list(FaultKind):
        raise ValueError(
            f"a fault is [provider:]kind[/style][@method][:times] with a kind of "
            f"{', '.join(FaultKind)} and a provider of {', '.join(_PROVIDERS)}, not {text!r}"
        )
    times = _times(words[1]) if len(words) == 2 else 1
    return Fault(FaultKind(kind), provider, times, style=style, method=method)


def _times(word: str) -> int | None:
    if word == "always":
        return None
    if word.isascii() and word.isdigit() and int(word) > 0:
        return int(word)
    raise ValueError(f"how often a fault strikes is a number or `always`, not {word!r}")


@dataclass(slots=True)
class FaultPlan:
    """The faults to come, in the order they were asked for."""

    faults: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        """Plan one more."""
        self.faults.append(fault)

    def clear(self) -> None:
        """All is well again."""
        self.faults.clear()

    def strike(
        self,
        provider: str,
        recipient: str,
        *kinds: FaultKind,
        styles: Collection[str] | None = None,
        method: str = "",
    ) -> Fault | None:
        """
        The fault that strikes now, if any, counted as struck.

        Args:
            provider: Who asks.
            recipient: For which recipient; empty where none is known yet. A fault for certain
                recipients does not strike then.
            kinds: Which kinds can strike at this moment of the protocol.
            styles: Only faults of these styles, where the style decides the moment; `None`: of any.
            method: Which method of an API is called.
        """
        for fault in self.faults:
            if (
                fault.kind in kinds
                and fault.fits(provider, recipient, method)
                and (styles is None or fault.style in styles)
            ):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self.faults.remove(fault)
                return fault
        return None
