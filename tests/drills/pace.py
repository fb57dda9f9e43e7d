"""Drills of pace: a limit is used and never passed, urgent mail passes, throttled mail leaves."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from providers.contract.capabilities import Rate
from providers.sandbox.faults import Fault, FaultKind
from tests.drills.ground import Finding, Ground, ground
from tests.e2e.gateway_process import rest_v1
from tests.support.postgresql import PostgresqlServer

LIMIT = Rate(5)
SHARE = 0.98


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
            for place, gateway in enumerate(gateways):
                await on.send(gateway, letters // count + (place < letters % count))
            share = await _share(on, letters)
            refused = on.sandbox.letterbox.calls.get("rest_v1", 0) - len(
                on.sandbox.letterbox.letters
            )
            for gateway in gateways:
                await gateway.stop()
    return Finding(
        f"limit of 5/s, {count} gateway{'s' if count > 1 else ''}",
        f"at least {SHARE:.0%} of it used while mail waits, no call refused",
        f"{share:.1%} used, {refused} refused",
        kept=share >= SHARE and refused == 0,
    )


async def _share(on: Ground, letters: int) -> float:
    """How much of the limit is used from the moment on when mail waits to its end."""
    box = on.sandbox.letterbox
    begun = len(box.letters)
    begin = time.monotonic()
    await box.wait_until(lambda b: len(b.letters) >= letters, timeout_s=letters)
    return (letters - begun) / ((time.monotonic() - begin) * LIMIT.per_second)


async def urgent_passes(folder: Path, *, newsletters: int) -> Finding:
    """A password reset behind newsletters at 5 a second."""
    async with ground(folder) as on:
        gateway = await on.gateway({"rest": rest_v1(on.sandbox, rate="5/s")})
        sessions = [
            on.send(gateway, newsletters // 10, "List-Id: <news.example.com>") for _ in range(10)
        ]
        await asyncio.gather(*sessions)
        begin = time.monotonic()
        (reset,) = await on.send(
            gateway, 1, "X-Mailquay-Priority: high", sender="reset@example.com"
        )
        await on.sandbox.letterbox.wait_until(lambda _: reset in on.arrived(), timeout_s=60)
        took = time.monotonic() - begin
        waiting = newsletters + 1 - len(on.arrived())
    return Finding(
        f"a password reset behind {newsletters} newsletters",
        "at the provider within 2 s",
        f"{took:.2f} s, {waiting} newsletters still waiting",
        kept=took <= 2.0 and waiting > 0,
    )


async def throttled_leaves(folder: Path, *, letters: int) -> Finding:
    """T19: a provider that refuses for a while with 429 and a wait."""
    async with ground(folder) as on:
        on.sandbox.faults.add(Fault(FaultKind.THROTTLE, "rest_v1", times=3, retry_after_s=1))
        gateway = await on.gateway({"rest": rest_v1(on.sandbox, rate="50/s")})
        await on.send(gateway, letters)
        begin = time.monotonic()
        await on.all_arrived(timeout_s=120)
        took = time.monotonic() - begin
    return Finding(
        "throttled with a wait of 1 s",
        "all leave by themselves, none twice",
        f"{letters} letters in {took:.1f} s, {on.copies()} copies",
        kept=not on.lost() and on.copies() == 0,
    )


class _spool:  # noqa: N801 - reads as the function it stands for
    """The configuration of the spool, and its database while it is needed."""

    def __init__(self, server: PostgresqlServer | None) -> None:
        self._database = None if server is None else server.database()

    def __enter__(self) -> dict[str, dict[str, str]]:
        if self._database is None:
            return {}
        return {"spool": {"url": self._database.__enter__()}}

    def __exit__(self, *error: object) -> None:
        if self._database is not None:
            self._database.__exit__(*error)  # type: ignore[arg-type]
