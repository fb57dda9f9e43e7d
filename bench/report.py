"""
Tells what came of it: a table for each workload with ratios to Postfix and bars, or JSON.

Only arranges and rounds; every figure is made in `rounds`, every bar is written in `workloads`.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from operator import itemgetter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import postfix
from bench.rounds import Account
from bench.workloads import MIB, Workload

Results = Sequence[tuple[Workload, Sequence[Account]]]

_NOT_COMPARED = {"late"}


def machine(folder: Path, without_postfix: str) -> dict[str, object]:
    """
    What the figures are taken on.

    Args:
        folder: Where relays keep their letters.
        without_postfix: Why Postfix takes no part, or empty.
    """
    return {
        "cores": len(os.sched_getaffinity(0)),
        "load average": round(os.getloadavg()[0], 2),
        "files on": _file_system(folder),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postfix": without_postfix or postfix.version(),
    }


def print_tables(results: Results, facts: dict[str, object]) -> None:
    """Tables on standard output; a cell is `median [least-most] ratio to Postfix`."""
    # Wide in a pipe or file, so that no cell is cut.
    console = Console(width=None if os.isatty(1) else 200, highlight=False, markup=False)
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()))
    for workload, accounts in results:
        console.print(f"\n{workload.name}: {workload.title}; {workload.load.letters} letters")
        console.print(_table(accounts))
        for line in _remarks(workload, accounts):
            console.print(line)
    console.print("\nstart")
    console.print(_starts(results))


def document(results: Results, facts: dict[str, object]) -> dict[str, object]:
    """The same for machines, with every round."""
    return {
        "machine": facts,
        "workloads": [
            {
                "name": workload.name,
                "title": workload.title,
                "letters": workload.load.letters,
                "relays": [
                    asdict(account)
                    | {
                        "medians": {name: account.median(name) for name in account.figures},
                        "ratios": _ratios(account, _yardstick(accounts)),
                    }
                    for account in accounts
                ],
            }
            for workload, accounts in results
        ],
    }


def _yardstick(accounts: Sequence[Account]) -> Account | None:
    """The first Postfix, which the others are compared with."""
    return next((a for a in accounts if a.relay.startswith("postfix") and a.rounds), None)


def _ratios(account: Account, yardstick: Account | None) -> dict[str, float]:
    if yardstick is None or not account.rounds:
        return {}
    return {
        name: ratio
        for name in account.figures
        if name not in _NOT_COMPARED and (ratio := account.ratio(yardstick, name)) is not None
    } | {"peak PSS": account.peak_octets / yardstick.peak_octets}


def _file_system(folder: Path) -> str:
    """Its kind, as `ext4`; `tmpfs` means that syncing cost nothing."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    within = [(len(point), kind) for point, kind in mounts if folder.is_relative_to(point)]
    return max(within, key=itemgetter(0))[1]


def _table(accounts: Sequence[Account]) -> Table:
    names = next((account.figures for account in accounts if account.rounds), ())
    yardstick = _yardstick(accounts)
    table = Table("relay", *names, "peak PSS MiB", "lost", "dup", box=None, pad_edge=False)
    for account in accounts:
        ratios = {} if account is yardstick else _ratios(account, yardstick)
        table.add_row(
            account.relay,
            *(_cell(account, name, ratios) for name in names),
            f"{account.peak_octets / MIB:.1f}{_times(ratios.get('peak PSS'))}",
            *("?" if count is None else str(count) for count in (account.lost, account.duplicated)),
        )
    return table


def _cell(account: Account, name: str, ratios: Mapping[str, float]) -> str:
    if not account.rounds:
        return "-"
    median, least, most = map(_number, (account.median(name), *account.spread(name)))
    return f"{median} [{least}-{most}]{_times(ratios.get(name))}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f" x{ratio:.2f}"


def _remarks(workload: Workload, accounts: Sequence[Account]) -> Iterator[str]:
    """Who failed and why, and which bars were met."""
    for account in accounts:
        if account.failure:
            yield f"{account.relay} is out after {len(account.rounds)} rounds: {account.failure}"
        if account.profile:
            yield f"{account.relay}: {account.profile[0]}"
            yield from account.profile[1:]
    for account in accounts:
        ratios = _ratios(account, _yardstick(accounts))
        if account.relay.startswith("mailquay") and ratios:
            yield f"{account.relay}: " + "; ".join(
                f"{bar.figure} x{ratios[bar.figure]:.2f}, "
                f"{'meets' if bar.met(ratios[bar.figure]) else 'MISSES'} x{bar.ratio:g}"
                for bar in workload.bars
                if bar.figure in ratios
            )


def _starts(results: Results) -> Table:
    table = Table("relay", "first 220 s", "idle PSS MiB", box=None, pad_edge=False)
    for relay in dict.fromkeys(account.relay for _, accounts in results for account in accounts):
        up = [a for _, accounts in results for a in accounts if a.relay == relay and a.started_s]
        if up:
            started = statistics.median(account.started_s for account in up)
            idle = statistics.median(account.idle_octets for account in up)
            table.add_row(relay, f"{started:.2f}", f"{idle / MIB:.1f}")
    return table
