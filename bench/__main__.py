"""
`python -m bench`: which relays, which workloads, how often; then the report.

Ends only processes it started, and leaves no file behind, also when it is interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import uvloop

from bench import metrics_cost, postfix, report, rounds, sampling, sync
from bench.child import ChildFailed
from bench.relays import CHECKOUT, Relay, parse_relay
from bench.workloads import WORKLOADS, Workload

_INTERRUPTED = 128 + signal.SIGINT

Makers = dict[str, Callable[[], Relay]]


def main() -> int:
    """Run it; 1 when a relay failed, lost a letter or sent one twice."""
    options = _options()
    if options.sync:
        with _workspace(options.folder) as folder:
            costs = sync.measure(folder)
        print(json.dumps(costs, indent=2) if options.json else "\n".join(sync.lines(costs)))
        return 0
    if options.metrics_cost:
        return _metrics_cost(options)
    without = "left out" if options.no_postfix else postfix.reason_without(options.folder)
    if without:
        _say(f"without Postfix ({without}): load and sink are the bench's own, and no ratios")
    makers = _makers(options.relay or ["mailquay", "postfix"], with_postfix=not without)
    with _workspace(options.folder) as folder:
        facts = report.machine(folder, without)
        costs = sync.measure(folder)
        facts |= dict(
            zip(costs, (line.partition(": ")[2] for line in sync.lines(costs)), strict=True)
        )
        try:
            results = uvloop.run(_run(options, makers, folder, own_tools=bool(without)))
        except asyncio.CancelledError:
            return _INTERRUPTED
        except ChildFailed as error:  # a sink; relays that fail are in the report
            _say(str(error))
            return 1
    if options.json:
        print(json.dumps(report.document(results, facts), indent=2))
    else:
        report.print_tables(results, facts)
    accounts = [account for _, accounts in results for account in accounts]
    return int(any(a.failure or a.lost or a.duplicated for a in accounts))


def _metrics_cost(options: argparse.Namespace) -> int:
    with _workspace(options.folder) as folder:
        measured = metrics_cost.measure(
            folder, reps=options.reps, letters=options.letters, say=_say
        )
        try:
            figures = uvloop.run(measured)
        except ChildFailed as error:
            _say(str(error))
            return 1
    print(json.dumps(figures, indent=2) if options.json else "\n".join(metrics_cost.lines(figures)))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Letters per second, beside Postfix."
    )
    add = parser.add_argument
    names = [workload.name for workload in WORKLOADS]
    add("--workload", action="append", choices=names, help="only this one; may be repeated")
    add(
        "--relay",
        action="append",
        help="mailquay, postfix, or mailquay=CHECKOUT for another state of the sources; may be "
        "repeated, also for the same one (default: mailquay and postfix)",
    )
    add("--reps", type=_at_least(1), default=5, help="timed rounds of each relay (default: 5)")
    add("--letters", type=_at_least(2), help="letters in a round (default: the workload's own)")
    add("--no-postfix", action="store_true", help="neither install nor use anything of Postfix")
    add(
        "--folder",
        type=Path,
        default=CHECKOUT / "var",
        help="relays keep their files below it, so it must be on a disk (default: var)",
    )
    add("--profile", action="store_true", help="also where the time goes, by py-spy on the path")
    add("--sync", action="store_true", help="only what a sync costs on the disk of the folder")
    add(
        "--metrics-cost",
        action="store_true",
        help="only what metrics take of a letter's processor time",
    )
    add("--json", action="store_true", help="JSON, with every round")
    options = parser.parse_args()
    try:
        _makers(options.relay or [], with_postfix=True)
    except ValueError as error:
        parser.error(str(error))
    if options.profile and (reason := sampling.reason_without()):
        parser.error(f"--profile: {reason}")
    return options


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"at least {least}")
        return int(text)

    return number


def _makers(words: Sequence[str], *, with_postfix: bool) -> Makers:
    """Relays by the names they have in the report; the second of a kind is `mailquay-2`."""
    makers: Makers = {}
    for word in words:
        kind, make = parse_relay(word)
        if kind == "postfix" and not with_postfix:
            continue
        again = sum(name.startswith(kind) for name in makers)
        makers[f"{kind}-{again + 1}" if again else kind] = make
    return makers


@contextlib.contextmanager
def _workspace(parent: Path) -> Iterator[Path]:
    """A folder below `parent` for the time of the block."""
    made = not parent.exists()
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=parent)).resolve()
    try:
        folder.chmod(0o755)  # Postfix works as several users
        yield folder
    finally:
        shutil.rmtree(folder)
        if made:
            with contextlib.suppress(OSError):  # somebody else has begun to use it
                parent.rmdir()


async def _run(
    options: argparse.Namespace, makers: Makers, folder: Path, *, own_tools: bool
) -> report.Results:
    task = asyncio.current_task()
    assert task is not None

    def interrupt() -> None:
        if not task.cancelling():  # once: a second signal must not break off the cleaning up
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    results = []
    for workload in _chosen(options):
        place = folder / workload.name
        place.mkdir()
        accounts = await rounds.run(
            workload,
            {name: make() for name, make in makers.items()},
            rounds=options.reps,
            folder=place,
            own_tools=own_tools,
            profile=options.profile,
            say=_say,
        )
        results.append((workload, accounts))
        shutil.rmtree(place)
    return results


def _chosen(options: argparse.Namespace) -> Iterator[Workload]:
    for workload in WORKLOADS:
        if workload.name in (options.workload or [workload.name]):
            letters = options.letters or workload.load.letters
            yield replace(workload, load=replace(workload.load, letters=letters))


def _say(text: str) -> None:
    """How it goes, beside the report."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
