"""Drills of trouble: each provider killed, throttled, hung, flapping or answering garbage."""

from __future__ import annotations

import asyncio
import statistics
import time
from functools import partial
from pathlib import Path

from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.letterbox import Letterbox
from tests.drills.ground import Finding, Ground, ground
from tests.e2e.gateway_process import GatewayProcess, form_v2, rest_v1, smarthost

PROVIDERS = {"smarthost": smarthost, "rest_v1": rest_v1, "form_v2": form_v2}
TROUBLES = ("down", "throttled", "hung", "flapping", "garbage", "refused account")
_RATE = "200/s"


async def trouble(folder: Path, kind: str, what: str, *, letters: int) -> Finding:
    """
    Load on one provider, trouble in its middle, and the time from its end to the last letter.

    Args:
        folder: For the drill.
        kind: Of the provider.
        what: One of `TROUBLES`.
        letters: Before, during and after, each a third.
    """
    async with ground(folder) as on:
        more = {} if kind == "smarthost" else {"rate": _RATE}
        provider = PROVIDERS[kind](on.sandbox, timeout="2s", **more)
        gateway = await on.gateway({"it": provider})
        third = letters // 3
        await on.send(gateway, third, every_s=0.02)
        await _begin(on, kind, what)
        await on.send(gateway, third, every_s=0.02)
        await _end(on, what)
        ended_at = time.monotonic()
        await on.send(gateway, letters - 2 * third)
        await on.all_arrived(timeout_s=120)
        took = time.monotonic() - ended_at
        uncertain = await gateway.metric("mailquay_uncertain_total", provider="it")
        copies = on.copies()
    return Finding(
        f"{kind}: {what}",
        "nothing lost, copies only of uncertain letters",
        f"{len(on.lost())} lost, {copies} copies, {uncertain:.0f} uncertain, "
        f"all delivered {took:.1f} s after its end",
        kept=not on.lost() and copies <= uncertain,
    )


async def _begin(on: Ground, kind: str, what: str) -> None:
    faults = {
        "throttled": FaultKind.THROTTLE,
        "hung": FaultKind.HANG,
        "garbage": FaultKind.GARBAGE,
        "refused account": FaultKind.UNAUTHORISED,
    }
    if what == "down":
        await on.sandbox.stop()
    elif what == "flapping":
        on.stack.enter_context(_Flapping(on, kind))
    else:
        on.sandbox.faults.add(Fault(faults[what], kind, times=None))


async def _end(on: Ground, what: str) -> None:
    if what == "down":
        await on.sandbox.start()
    on.sandbox.faults.clear()


class _Flapping:
    """A provider that refuses every other moment, until the drill's faults are cleared."""

    def __init__(self, on: Ground, kind: str) -> None:
        self._task = asyncio.create_task(self._flap(on, kind))

    def __enter__(self) -> None:
        """It has begun."""

    def __exit__(self, *_: object) -> None:
        self._task.cancel()

    async def _flap(self, on: Ground, kind: str) -> None:
        for _ in range(6):
            on.sandbox.faults.add(Fault(FaultKind.DEFER, kind, times=None))
            await asyncio.sleep(0.15)  # the trouble's own rhythm
            on.sandbox.faults.clear()
            await asyncio.sleep(0.15)


async def hung_leaves_others_alone(folder: Path, *, letters: int) -> Finding:
    """T10 and T23: intake and the other provider, with and without one that never answers."""
    async with ground(folder) as on:
        routes = [
            {"name": "hung", "when": {"sender": "hung@example.com"}, "providers": ["rest"]},
            {"name": "well", "providers": ["main"]},
        ]
        gateway = await on.gateway(
            {
                "main": smarthost(on.sandbox),
                "rest": rest_v1(on.sandbox, timeout="30s", rate="50/s"),
            },
            routes=routes,
        )
        before = await _latency(on, gateway, letters)
        on.sandbox.faults.add(Fault(FaultKind.HANG, "rest_v1", times=None))
        hung = asyncio.create_task(on.send(gateway, letters, sender="hung@example.com"))
        during = await _latency(on, gateway, letters)
        await hung
        on.sandbox.faults.clear()
    return Finding(
        "one provider hangs, the other and the intake",
        "no slower than before (three times is noise)",
        f"median from end of data to the other provider {before * 1000:.0f} ms before, "
        f"{during * 1000:.0f} ms during",
        kept=during < max(3 * before, 0.2),
    )


def _has(addresses: list[str], box: Letterbox) -> bool:
    return set(addresses) <= {letter.recipient for letter in box.letters}


async def _latency(on: Ground, gateway: GatewayProcess, letters: int) -> float:
    """Seconds from a letter's 250 to its arrival at the other provider, the median."""
    took: list[float] = []
    for _ in range(letters):
        begin = time.monotonic()
        mine = await on.send(gateway, 1)
        await on.sandbox.letterbox.wait_until(partial(_has, mine), timeout_s=30)
        took.append(time.monotonic() - begin)
    return statistics.median(took)
