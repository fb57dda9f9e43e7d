"""`make alert-drill`: every alert raised, as a table; with `--page`, on docs/alert-drill.md too."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from providers.sandbox.server import Sandbox
from tests.alerts.faults import SCENES, Place, Scene
from tests.alerts.rules import read_rules, rules_of, shortened, stated_s
from tests.drills.page import between_marks
from tests.support.prometheus import Prometheus

FACTOR = 60
SLACK_S = 15.0
"""For a scrape, an evaluation, a look at the spool, and for bringing the trouble about."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An alert, what was done, and the seconds after which it fired; `None`: it did not in time."""

    alert: str
    words: str
    stated_s: float
    after_s: float | None


async def _play(
    scene: Scene, place: Place, prometheus: Prometheus, stated: dict[str, float]
) -> list[Raised]:
    """Bring a scene's trouble about, and wait for its alerts."""
    play = scene.play(place)
    await anext(play)
    instance = f'instance="127.0.0.1:{place.port}"'
    if place.started:
        # What it counts from now on is an increase only if Prometheus has seen where it began.
        await prometheus.wait_for(f"count_over_time(up{{{instance}}}[10s]) > 3 and up == 1")
    began = time.monotonic()
    trouble = asyncio.ensure_future(anext(play, None))
    found = [
        Raised(alert, scene.words, stated[alert], after)
        for alert, after in zip(
            scene.alerts,
            await asyncio.gather(
                *(
                    _fires(prometheus, alert, instance, began, stated[alert])
                    for alert in scene.alerts
                )
            ),
            strict=True,
        )
    ]
    trouble.cancel()
    with suppress(asyncio.CancelledError):
        await trouble
    return found


async def _fires(
    prometheus: Prometheus, alert: str, instance: str, began: float, stated: float
) -> float | None:
    """Seconds after which it fires; `None` when it does not within its time."""
    expression = f'ALERTS{{alertname="{alert}",alertstate="firing",{instance}}}'
    with suppress(TimeoutError):
        await prometheus.wait_for(expression, stated / FACTOR + SLACK_S)
        return time.monotonic() - began
    return None


async def _run(folder: Path) -> list[Raised]:
    groups = read_rules()
    stated = {rule["alert"]: stated_s(rule) for rule in rules_of(groups)}
    rules = folder / "alerts.yaml"
    rules.write_text(yaml.safe_dump(shortened(groups, FACTOR)), encoding="utf-8")
    async with AsyncExitStack() as stack:
        places = []
        for number in range(len(SCENES)):
            sandbox = Sandbox()
            await sandbox.start()
            stack.push_async_callback(sandbox.stop)
            below = folder / f"scene{number}"
            below.mkdir()
            places.append(Place(below, stack, sandbox))
        targets = [f"127.0.0.1:{place.port}" for place in places]
        prometheus = Prometheus(folder, targets, rules=(rules,))
        await prometheus.start()
        stack.push_async_callback(prometheus.stop)
        plays = [
            _play(scene, place, prometheus, stated)
            for scene, place in zip(SCENES, places, strict=True)
        ]
        # One by one: what one costs shall not make another late.
        return [raised for play in plays for raised in await play]


def _lines(found: Sequence[Raised]) -> list[str]:
    cores = len(os.sched_getaffinity(0))
    lines = [
        f"Taken on {datetime.now(UTC):%Y-%m-%d}, {cores} cores; all times divided by {FACTOR}.",
        "",
        f"| alert | what was done | stated within | at 1/{FACTOR} | fired after |",
        "|---|---|---|---|---|",
    ]
    for raised in found:
        after = "**not in time**" if raised.after_s is None else f"{raised.after_s:.1f} s"
        shorter = f"{raised.stated_s / FACTOR:.1f} s"
        row = (raised.alert, raised.words, f"{raised.stated_s / 60:g} min", shorter, after)
        lines.append(f"| {' | '.join(row)} |")
    return lines


def main() -> None:
    """Raise all; exits with 1 when one did not fire in time."""
    parser = argparse.ArgumentParser(prog="python -m tests.alerts", description=__doc__)
    parser.add_argument("--page", type=Path, help="write the table on this page, between its marks")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mailquay-alerts-") as folder:
        found = asyncio.run(_run(Path(folder)))
    table = Table("alert", "what was done", "stated, shortened", "fired after")
    for raised in found:
        after = "NOT IN TIME" if raised.after_s is None else f"{raised.after_s:.1f} s"
        table.add_row(raised.alert, raised.words, f"{raised.stated_s / FACTOR:.1f} s", after)
    Console(soft_wrap=True).print(table)
    if given.page is not None:
        page = given.page.read_text(encoding="utf-8")
        given.page.write_text(between_marks(page, _lines(found)), encoding="utf-8")
    raise SystemExit(1 if any(raised.after_s is None for raised in found) else 0)


if __name__ == "__main__":
    main()
