"""`make drill`: all drills at full size, as a table."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.drills.ground import Finding
from tests.drills.pace import limit_is_used, throttled_leaves, urgent_passes
from tests.drills.trouble import PROVIDERS, TROUBLES, hung_leaves_others_alone, trouble
from tests.support.postgresql import NoPostgresql, PostgresqlServer

Drill = Callable[[Path], Coroutine[Any, Any, Finding]]


def _drills(server: PostgresqlServer | None) -> list[Drill]:
    found: list[Drill] = [lambda folder: limit_is_used(folder, seconds=60, server=None)]
    if server is not None:
        found.append(lambda folder: limit_is_used(folder, seconds=60, server=server))
    found.append(lambda folder: urgent_passes(folder, newsletters=10_000))
    found.append(lambda folder: throttled_leaves(folder, letters=200))
    found.append(lambda folder: hung_leaves_others_alone(folder, letters=100))
    found += [
        partial(trouble, kind=kind, what=what, letters=600)
        for kind in PROVIDERS
        for what in TROUBLES
    ]
    return found


async def _run(drills: list[Drill]) -> bool:
    table = Table("drill", "promise", "measured", "kept")
    console = Console()
    kept = True
    for drill in drills:
        with tempfile.TemporaryDirectory(prefix="mailquay-drill-") as folder:
            finding = await drill(Path(folder))
        kept = kept and finding.kept
        table.add_row(
            finding.drill, finding.promise, finding.measured, "yes" if finding.kept else "NO"
        )
        console.print(f"{finding.drill}: {finding.measured}")
    console.print(table)
    return kept


def main() -> None:
    """Run all; exits with 1 when a promise was not kept."""
    try:
        server = PostgresqlServer()
        server.start()
    except NoPostgresql as error:
        print(f"without PostgreSQL: {error}", file=sys.stderr)  # noqa: T201 - a command
        server = None
    try:
        kept = asyncio.run(_run(_drills(server)))
    finally:
        if server is not None:
            server.remove()
    raise SystemExit(0 if kept else 1)


if __name__ == "__main__":
    main()
