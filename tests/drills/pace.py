"""Drills of pace: limits used and never passed, letters sent together, urgent mail, throttling."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from providers.contract.capabilities import Rate
from providers.sandbox.faults import Fault, FaultKind
from tests.drills.ground import Finding, Ground, ground
from tests.e2e.gateway_process import form_v2, rest_v1
from tests.support.postgresql import PostgresqlServer

LIMIT = Rate(5)
SHARE = 0.98
PER_REQUEST = 50


async def limit_is_used(folder: Path, *, seconds: int, server: PostgresqlServer | None) -> Finding:
    """
    A hidden limit of 5 a second, while mail waits, with one gateway or with three on one spool.

    Args:
        folder: For the drill.
        seconds: How long mail waits.
        server: Where three gateways have their spool; `None`: one gateway, on SQLite.
    """
    count = 3 if server is not None else 1
    async with ground(folder, rate=LIMIT) as on:
        with _spool(server) as config:
            gateways = [
                await on.gateway({"rest": rest_v1(on.sandbox)}, **config) for _ in range(count)
            ]
            letters = int(LIMIT.per_second * seconds)
            begun = on.recorder.mark("first letter comes in")
            for place, gateway in enumerate(gateways):
                await on.send(gateway, letters // count + (place < letters % count))
            share = await _share(on, letters)
            refused, copies = on.letterbox.throttled.get("rest_v1", 0), on.copies()
            for gateway in gateways:
                await gateway.stop()
        early = _earlier_than(LIMIT, begun, on.recorder.arrived_at.values())
        series = on.series()
    return Finding(
        f"limit of 5/s, {count} gateway{'s' if count > 1 else ''}",
        f"at least {SHARE:.0%} of it used while mail waits, never told 429",
        f"{share:.1%} used, {refused} answers of 429",
        kept=share >= SHARE and refused == copies == 0,
        figures={"share": share, "refused": refused, "copies": copies, "early": early},
        series=series,
    )


async def _share(on: Ground, letters: int) -> float:
    """How much of the limit is used, from the moment on when all mail waits to its end."""
    begin = time.monotonic()
    await on.all_arrived(timeout_s=60 + letters)
    arrivals = sorted(at for at in on.recorder.arrived_at.values() if at >= begin)
    if len(arrivals) < 2:
        return 0.0  # they came in so slowly that no mail waited
    return (len(arrivals) - 1) / ((arrivals[-1] - arrivals[0]) * LIMIT.per_second)


def _earlier_than(rate: Rate, begun: float, arrivals: Iterable[float]) -> int:
    """How many letters came before their place in time: no machine is so slow that one does."""
    return sum(at < begun + number / rate.per_second for number, at in enumerate(sorted(arrivals)))


async def letters_leave_together(folder: Path, *, letters: int) -> Finding:
    """Personal letters to a provider that takes many in a request, at one request a second."""
    async with ground(folder) as on:
        gateway = await on.gateway({"bulk": form_v2(on.sandbox, rate="1/s")})
        await on.send(gateway, letters)
        on.recorder.mark("last letter comes in")
        await on.all_arrived()
        await gateway.stop()
        requests = on.letterbox.calls["form_v2"]
        lost, copies, series = on.lost(), on.copies(), on.series()
    return Finding(
        f"{letters:,} personal letters to form_v2",
        f"in at most a {PER_REQUEST}th as many requests, those for results included",
        f"{requests} requests, {letters / requests:.0f} letters each, {lost} lost, {copies} copies",
        kept=requests * PER_REQUEST <= letters and not lost and not copies,
        figures={"requests": requests, "lost": lost, "copies": copies},
        series=series,
    )


async def urgent_passes(
    folder: Path, *, newsletters: int, rate: str = "5/s", further: int = 0
) -> Finding:
    """
    A password reset behind newsletters.

    Args:
        folder: For the drill.
        newsletters: How many wait.
        rate: The provider's.
        further: How many newsletters are watched after it, for the picture.
    """
    async with ground(folder) as on:
        gateway = await on.gateway({"rest": rest_v1(on.sandbox, rate=rate)})
        async with asyncio.TaskGroup() as sessions:
            for _ in range(10):
                news = on.send(gateway, newsletters // 10, "List-Id: <news.example.com>")
                sessions.create_task(news)
        begin = on.recorder.mark("password reset comes in")
        before = len(on.letterbox.letters)
        high = "X-Mailquay-Priority: high"
        (reset,) = await on.send(gateway, 1, high, sender="reset@example.com")
        await on.arrive([reset])
        took = on.recorder.mark("password reset is at the provider") - begin
        passed_by = len(on.letterbox.letters) - before - 1
        waiting = on.lost()
        seen = len(on.letterbox.letters)
        await on.letterbox.wait_until(lambda b: len(b.letters) >= seen + further, timeout_s=300)
        series = on.series()
    return Finding(
        f"a password reset behind {newsletters:,} newsletters",
        "at the provider within 2 s",
        f"{took:.2f} s, {waiting:,} newsletters still waiting",
        kept=took <= 2.0 and waiting > 0,
        figures={"took_s": took, "waiting": waiting, "passed_by": passed_by},
        series=series,
    )


async def throttled_leaves(folder: Path, *, letters: int) -> Finding:
    """T19: a provider that refuses for a while with 429 and a wait."""
    async with ground(folder) as on:
        on.sandbox.faults.add(Fault(FaultKind.THROTTLE, "rest_v1", times=3, retry_after_s=1))
        gateway = await on.gateway({"rest": rest_v1(on.sandbox, rate="50/s")})
        begin = on.recorder.mark("first letter comes in")
        await on.send(gateway, letters)
        await on.all_arrived()
        took = on.recorder.mark("last letter is at the provider") - begin
        refused = on.letterbox.throttled.get("rest_v1", 0)
        lost, copies, series = on.lost(), on.copies(), on.series()
    return Finding(
        "throttled with a wait of 1 s, three times",
        "all leave by themselves, none twice",
        f"{letters} letters in {took:.1f} s, {lost} lost, {copies} copies",
        kept=not lost and not copies,
        figures={"refused": refused, "lost": lost, "copies": copies},
        series=series,
    )


@contextlib.contextmanager
def _spool(server: PostgresqlServer | None) -> Iterator[dict[str, dict[str, str]]]:
    """The configuration of the spool, and its database while it is needed."""
    if server is None:
        yield {}
        return
    with server.database() as url:
        yield {"spool": {"url": url}}
