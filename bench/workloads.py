"""
What is measured: the loads by name, and the bars that Mailquay is held to in them.

A bar is a ratio to Postfix in the same run; absolute figures say more about the machine of the day
than about a relay.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.load import Load

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Bar:
    """A ratio to Postfix: of `figure` (see `bench.rounds`), at least so large or at most."""

    figure: str
    ratio: float
    at_least: bool = True

    def met(self, ratio: float) -> bool:
        """Whether a measured ratio is good enough."""
        return ratio >= self.ratio if self.at_least else ratio <= self.ratio


@dataclass(frozen=True, slots=True)
class Workload:
    """
    One load with its name.

    Attributes:
        rate: Letters per second of an open loop; 0 is a closed one.
    """

    name: str
    load: Load
    bars: tuple[Bar, ...]
    rate: float = 0.0

    @property
    def title(self) -> str:
        """As a person says it."""
        load = self.load
        size = f"{load.octets // MIB} MiB" if load.octets >= MIB else f"{load.octets // KIB} KiB"
        sessions = f"{load.sessions} session{'s' if load.sessions > 1 else ''}"
        manner = "" if load.kept else ", a connection per letter"
        pace = f", open loop at {self.rate:g} letters/s" if self.rate else ""
        return f"{size}, {sessions}{manner}{pace}"


def _throughput(accepted: float, delivered: float) -> tuple[Bar, ...]:
    return (
        Bar("accepted/s", accepted),
        Bar("delivered/s", delivered),
        Bar("CPU s/1000", 0.15, at_least=False),
    )


_LATENCY = (
    Bar("accept p99 ms", 0.5, at_least=False),
    Bar("end to end p99 ms", 0.2, at_least=False),
)
_LARGE = (Bar("accepted/s", 1.5), Bar("delivered/s", 1.3))

WORKLOADS = (
    Workload("s20", Load(2000, 4 * KIB, 20), _throughput(5, 5)),
    Workload("s1", Load(800, 4 * KIB, 1), _throughput(2, 2)),
    Workload("s20c", Load(1000, 4 * KIB, 20, kept=False), _throughput(2, 2)),
    Workload("m4", Load(80, MIB, 4), _LARGE),
    Workload("m20", Load(80, MIB, 20), _LARGE),
    Workload("lat", Load(800, 4 * KIB, 20), _LATENCY, rate=400),
)
