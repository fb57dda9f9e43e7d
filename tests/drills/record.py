"""
What `make drill` found, kept in a file: from it the page and the pictures are made, when wanted.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.drills.ground import Finding
from tests.drills.series import Series


@dataclass(frozen=True, slots=True)
class Record:
    """
    All findings of one run.

    Attributes:
        begun: When it began, in ISO 8601.
        minutes: How long it took.
        machine: What it was taken on, as far as it matters to the figures.
        load: The machine's load average over five minutes, before and after.
        findings: In the order of the drills.
    """

    begun: str
    minutes: float
    machine: str
    load: tuple[float, float]
    findings: Sequence[Finding]


def machine(postgresql: str) -> str:
    """The machine and what it runs, in a sentence."""
    kernel = ".".join(platform.release().split(".")[:2])
    parts = [
        f"{len(os.sched_getaffinity(0))} cores",
        f"{platform.system()} {kernel}",
        f"Python {platform.python_version()}",
        f"SQLite {sqlite3.sqlite_version}",
    ]
    return ", ".join([*parts, *filter(None, [postgresql])])


def begun() -> tuple[str, float]:
    """Moment and load of the machine, now."""
    return datetime.now(UTC).isoformat(timespec="seconds"), os.getloadavg()[1]


def write_record(record: Record, path: Path) -> None:
    """Keep a record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(record)), encoding="utf-8")


def read_record(path: Path) -> Record:
    """A record that was kept."""
    given = json.loads(path.read_text(encoding="utf-8"))
    findings = [
        Finding(**{**finding, "series": Series(**finding["series"])})
        for finding in given.pop("findings")
    ]
    return Record(**{**given, "load": tuple(given["load"]), "findings": findings})
