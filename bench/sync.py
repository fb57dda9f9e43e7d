"""
What a sync costs here: appends of a page, each synced, beside the letters a second of one session.

A letter is answered after its sync, so one session on one disk is never faster than one over the
cost of a sync; more sessions share one. Knows files only; the letters are measured by `rounds`.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

_PAGE = bytes(4096)
_TIMES = 200


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """
    Sync a growing file some hundred times in each way; blocks for a second or so.

    Args:
        folder: On the disk that is meant.

    Returns:
        By the call's name: `p50 ms`, `p99 ms`, and `syncs/s` as one after the other can make.
    """
    return {call.__name__: _measure(folder, call) for call in (os.fdatasync, os.fsync)}


def lines(costs: dict[str, dict[str, float]]) -> list[str]:
    """The same for people."""
    return [
        f"{name}: " + ", ".join(f"{figure} {value:.3g}" for figure, value in figures.items())
        for name, figures in costs.items()
    ]


def _measure(folder: Path, call: Callable[[int], None]) -> dict[str, float]:
    path = folder / "sync"
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        costs = []
        for _ in range(_TIMES):
            os.write(opened, _PAGE)
            began = time.perf_counter()
            call(opened)
            costs.append(time.perf_counter() - began)
    finally:
        os.close(opened)
        path.unlink()
    hundredths = statistics.quantiles(costs, n=100)
    return {
        "p50 ms": hundredths[49] * 1000,
        "p99 ms": hundredths[98] * 1000,
        "syncs/s": 1 / statistics.fmean(costs),
    }
