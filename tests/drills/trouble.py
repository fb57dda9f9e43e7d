"""Drills of trouble: each provider killed, throttled, hung, flapping or answering garbage."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from providers.sandbox.faults import Fault, FaultKind
from tests.drills.ground import Finding, Ground, ground
from tests.e2e.gateway_process import GatewayProcess, form_v2, rest_v1, smarthost

PROVIDERS = {"smarthost": smarthost, "rest_v1": rest_v1, "form_v2": form_v2}
TROUBLES = ("killed", "throttled", "hung", "flapping", "garbage", "refused account")
BEGIN, END, CAUGHT_UP = "trouble begins", "trouble ends", "all that waited has left"
_FAULTS = {
    "throttled": FaultKind.THROTTLE,
    "hung": FaultKind.HANG,
    "garbage": FaultKind.GARBAGE,
    "refused account": FaultKind.UNAUTHORISED,
}
DOUBTFUL = ("hung", "garbage")
"""After these nobody can tell whether the provider has a letter."""

_RATE = "200/s"
_EVERY_S = 0.02
_FLAP_S = 0.3


async def trouble(folder: Path, kind: str, what: str, *, letters: int) -> Finding:
    """
    Load on one provider, trouble in its middle, and how long its end is felt.

    Args:
        folder: For the drill.
        kind: Of the provider.
        what: One of `TROUBLES`.
        letters: Before, during and after, each a third, at 50 a second.
    """
    async with ground(folder) as on:
        more = {} if kind == "smarthost" else {"rate": _RATE}
        gateway = await on.gateway({"it": PROVIDERS[kind](on.sandbox, timeout="2s", **more)})
        third = letters // 3
        await on.send(gateway, third, every_s=_EVERY_S)
        on.recorder.mark(BEGIN)
        async with _trouble(on, kind, what):
            await on.send(gateway, third, every_s=_EVERY_S)
            await _felt(gateway)
        late, ended = list(on.answered_at), on.recorder.mark(END)
        after = asyncio.create_task(on.send(gateway, third, every_s=_EVERY_S))
        await on.arrive(late)
        caught_up = on.recorder.mark(CAUGHT_UP) - ended
        await after
        await on.all_arrived()
        uncertain = await gateway.metric("mailquay_uncertain_total", provider="it")
        in_vain = await _in_vain(gateway)
        lost, copies, series = on.lost(), on.copies(), on.series()
        first = min(at for at in on.recorder.arrived_at.values() if at >= ended) - ended
    return Finding(
        f"{kind}: {what}",
        "nothing lost, second copies only of uncertain letters",
        f"{in_vain:.0f} attempts in vain, {lost} lost, {copies} copies, {uncertain:.0f} uncertain; "
        f"after its end the first letter leaves within {first:.1f} s, "
        f"all that waited within {caught_up:.1f} s",
        kept=not lost and copies <= uncertain,
        figures={
            "in_vain": in_vain,
            "lost": lost,
            "copies": copies,
            "uncertain": uncertain,
            "caught_up_s": caught_up,
        },
        series=series,
    )


async def doubt_is_held(folder: Path, kind: str, what: str, *, letters: int) -> Finding:
    """
    The same on a route that leaves doubtful letters to a person: not one of them comes twice.

    Args:
        folder: For the drill.
        kind: Of the provider.
        what: One of `DOUBTFUL`.
        letters: Before, during and after, each a third, at 50 a second.
    """
    async with ground(folder) as on:
        more = {} if kind == "smarthost" else {"rate": _RATE}
        gateway = await on.gateway(
            {"it": PROVIDERS[kind](on.sandbox, timeout="2s", **more)},
            routes=[{"name": "default", "providers": ["it"], "on_uncertain": "hold"}],
        )
        third = letters // 3
        await on.send(gateway, third, every_s=_EVERY_S)
        on.recorder.mark(BEGIN)
        async with _trouble(on, kind, what):
            await on.send(gateway, third, every_s=_EVERY_S)
            await _felt(gateway)
        on.recorder.mark(END)
        await on.send(gateway, third, every_s=_EVERY_S)
        await _decided(gateway, len(on.answered_at))
        words = ("queue", "list", "--state", "uncertain", "--limit", str(letters), "--json")
        _, out, _ = await gateway.command(*words)
        held = {row["forward_path"] for row in json.loads(out)}
        copies, series = on.copies(), on.series()
        lost = len(on.answered_at.keys() - on.recorder.arrived_at.keys() - held)
    return Finding(
        f"{kind}: {what}, doubt held",
        "nothing lost, no second copy",
        f"{lost} lost, {copies} copies, {len(held)} left to a person",
        kept=not lost and not copies and bool(held),
        figures={"lost": lost, "copies": copies, "held": len(held)},
        series=series,
    )


async def _felt(gateway: GatewayProcess) -> None:
    """Wait until an attempt was in vain: trouble that nobody noticed would prove nothing."""
    async with asyncio.timeout(60):
        while not await _in_vain(gateway):  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.1)


async def _in_vain(gateway: GatewayProcess) -> float:
    """Attempts, one for each recipient, that are not known to have handed anything over."""
    outcomes = ("deferred", "rejected", "uncertain")
    name = "mailquay_attempts_total"
    return sum([await gateway.metric(name, provider="it", outcome=one) for one in outcomes])


async def _decided(gateway: GatewayProcess, letters: int) -> None:
    """Wait until each letter is handed over or left to a person, which sends no event."""
    states = ("handed_over", "uncertain")
    async with asyncio.timeout(120):
        while True:
            found = [await gateway.metric("mailquay_recipients", state=state) for state in states]
            if sum(found) == letters:
                return
            await asyncio.sleep(0.1)  # another process's state


@asynccontextmanager
async def _trouble(on: Ground, kind: str, what: str) -> AsyncIterator[None]:
    """It is there until the end of the block."""
    if what == "killed":
        await on.sandbox.stop()
        yield
        await on.sandbox.start()
    elif what == "flapping":
        flapping = asyncio.create_task(_flap(on, kind))
        yield
        flapping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await flapping
    else:
        for style in _styles(kind, what):
            on.sandbox.faults.add(Fault(_FAULTS[what], kind, times=None, style=style))
        yield
    on.sandbox.faults.clear()


def _styles(kind: str, what: str) -> Sequence[str]:
    """A smarthost refuses an account at AUTH, and at MAIL on connections that are open already."""
    return ("", "mail") if (kind, what) == ("smarthost", "refused account") else ("",)


async def _flap(on: Ground, kind: str) -> None:
    """A provider that refuses every other moment."""
    while True:
        on.sandbox.faults.add(Fault(FaultKind.DEFER, kind, times=None))
        await asyncio.sleep(_FLAP_S)  # the trouble's own rhythm
        on.sandbox.faults.clear()
        await asyncio.sleep(_FLAP_S)


async def hung_leaves_others_alone(
    folder: Path, *, letters: int, answer_within: str = "10s"
) -> Finding:
    """
    T10 and T23: intake and the other provider, without and with one that never answers.

    Args:
        folder: For the drill.
        letters: Before and during, at 50 a second; during, as many more for the hung provider.
        answer_within: How long a call to the hung one may take.
    """
    async with ground(folder) as on:
        routes = [
            {"name": "hung", "when": {"sender": "hung@example.com"}, "providers": ["rest"]},
            {"name": "well", "providers": ["main"]},
        ]
        providers = {
            "main": smarthost(on.sandbox),
            "rest": rest_v1(on.sandbox, timeout=answer_within, rate="50/s"),
        }
        gateway = await on.gateway(providers, routes=routes)
        before = await on.send(gateway, letters, every_s=_EVERY_S)
        await on.arrive(before)
        on.sandbox.faults.add(Fault(FaultKind.HANG, "rest_v1", times=None))
        on.recorder.mark(BEGIN)
        sender = "hung@example.com"
        hung = asyncio.create_task(on.send(gateway, letters, sender=sender, every_s=_EVERY_S))
        during = await on.send(gateway, letters, every_s=_EVERY_S)
        await on.arrive(during)
        hung_arrived = len(on.recorder.arrived_at.keys() & set(await hung))
        on.recorder.mark(END)
        on.sandbox.faults.clear()
        await on.all_arrived()
        lost, copies, series = on.lost(), on.copies(), on.series()
    calm, rough = _Pace(on, before), _Pace(on, during)
    return Finding(
        "one provider hangs; the other, and the intake",
        "no slower than before (three times, or 50 ms, are noise)",
        f"250 after {calm.intake_ms:.0f} ms before, {rough.intake_ms:.0f} ms during; at the other "
        f"provider after {calm.way_ms:.0f} and {rough.way_ms:.0f} ms (medians), "
        f"{calm.per_second:.0f} and {rough.per_second:.0f} letters a second; {lost} lost",
        kept=rough.intake_ms <= max(3 * calm.intake_ms, 50)
        and rough.way_ms <= max(3 * calm.way_ms, 50)
        and rough.per_second >= 0.9 * calm.per_second
        and not lost,
        figures={"hung_arrived": hung_arrived, "lost": lost, "copies": copies},
        series=series,
    )


class _Pace:
    """How fast some letters came in and on: medians in milliseconds, and letters a second."""

    def __init__(self, on: Ground, recipients: Sequence[str]) -> None:
        arrived = [on.recorder.arrived_at[name] for name in recipients]
        ways = [on.recorder.arrived_at[name] - on.answered_at[name] for name in recipients]
        self.intake_ms = statistics.median(on.intake_s[name] for name in recipients) * 1000
        self.way_ms = max(0.0, statistics.median(ways)) * 1000
        self.per_second = (len(arrived) - 1) / max(max(arrived) - min(arrived), 1e-9)
