"""`make drill`: all drills at full size, as a table; their course is kept for `make plots`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from tests.drills.ground import Finding
from tests.drills.pace import (
    letters_leave_together,
    limit_is_used,
    throttled_leaves,
    urgent_passes,
)
from tests.drills.record import Record, begun, machine, write_record
from tests.drills.trouble import (
    DOUBTFUL,
    PROVIDERS,
    TROUBLES,
    doubt_is_held,
    hung_leaves_others_alone,
    trouble,
)
from tests.support.postgresql import NoPostgresql, PostgresqlServer

Drill = Callable[[Path], Coroutine[Any, Any, Finding]]


def _drills(server: PostgresqlServer | None) -> list[Drill]:
    found: list[Drill] = [partial(limit_is_used, seconds=60, server=None)]
    if server is not None:
        found.append(partial(limit_is_used, seconds=60, server=server))
    found.append(partial(letters_leave_together, letters=2000))
    found.append(partial(urgent_passes, newsletters=10_000, further=40))
    found.append(partial(throttled_leaves, letters=200))
    found.append(partial(hung_leaves_others_alone, letters=400))
    found += [
        partial(trouble, kind=kind, what=what, letters=600)
        for kind in PROVIDERS
        for what in TROUBLES
    ]
    found += [
        partial(doubt_is_held, kind=kind, what=what, letters=600)
        for kind in PROVIDERS
        for what in DOUBTFUL
    ]
    return found


async def _run(drills: Sequence[Drill], console: Console) -> list[Finding]:
    findings = []
    for drill in drills:
        with tempfile.TemporaryDirectory(prefix="mailquay-drill-") as folder:
            finding = await drill(Path(folder))
        findings.append(finding)
        word = "kept" if finding.kept else "NOT KEPT"
        console.print(f"{finding.drill}: {finding.measured} ({word})", highlight=False)
    return findings


def _table(findings: Sequence[Finding]) -> Table:
    table = Table("drill", "promise", "measured", "kept")
    for finding in findings:
        kept = "yes" if finding.kept else "NO"
        table.add_row(finding.drill, finding.promise, finding.measured, kept)
    return table


def _version(server: PostgresqlServer) -> str:
    with server.database() as url, psycopg.connect(url) as connection:
        return f"PostgreSQL {connection.info.server_version // 10_000}"


def main() -> None:
    """Run all; exits with 1 when a promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.drills", description=__doc__)
    parser.add_argument("--record", type=Path, help="keep what was found in this file")
    given = parser.parse_args()
    console = Console(soft_wrap=True)
    try:
        server = PostgresqlServer()
        server.start()
    except NoPostgresql as error:
        print(f"without PostgreSQL: {error}", file=sys.stderr)  # noqa: T201 - a command
        server = None
    postgresql = "" if server is None else _version(server)
    (moment, load), begin = begun(), time.monotonic()
    try:
        findings = asyncio.run(_run(_drills(server), console))
    finally:
        if server is not None:
            server.remove()
    console.print(_table(findings))
    if given.record is not None:
        minutes = (time.monotonic() - begin) / 60
        loads = (load, begun()[1])
        write_record(Record(moment, minutes, machine(postgresql), loads, findings), given.record)
    raise SystemExit(0 if all(finding.kept for finding in findings) else 1)


if __name__ == "__main__":
    main()
