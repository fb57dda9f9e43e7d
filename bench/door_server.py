"""
`python -m bench.door_server KIND PORT`: one of the servers that `bench.door` sets side by side.

Runs until it is ended; its spool is in the folder it was started in.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

import uvloop
from aiosmtpd.smtp import SMTP

from gateway.app.parts import build_providers
from gateway.app.sessions import SessionCounts
from gateway.app.spool import open_spool
from gateway.clock import SystemClock
from gateway.config import Settings
from gateway.domain.events import Event
from gateway.ingress import replies
from gateway.ingress.intake import SpoolingIntake
from gateway.ingress.policy import FrontDoorRules
from gateway.ingress.server import FrontDoor, ListenerSpec
from gateway.ingress.submission import Intake, Reply, Submission
from gateway.observe.log import EventLog, set_up
from gateway.observe.metrics import Metrics
from gateway.planner import Planner

_LIMIT = 64 << 20


async def _serve(kind: str, port: int) -> None:
    metrics = Metrics(providers={}, listeners=["app"], reply_reasons=replies.REASONS)
    if kind == "stock":
        loop = asyncio.get_running_loop()
        await loop.create_server(
            lambda: SMTP(_Discard(), data_size_limit=_LIMIT, loop=loop), "127.0.0.1", port
        )
    else:
        intake = _Nowhere() if kind == "door" else await _intake(metrics)
        rules = FrontDoorRules("bench.example.com", max_message_size=_LIMIT)
        listeners = (ListenerSpec("app", "127.0.0.1", port),)
        await FrontDoor(rules, intake, listeners, SessionCounts(metrics)).start()
    await asyncio.Event().wait()


class _Discard:
    """A handler of aiosmtpd that keeps nothing."""

    async def handle_DATA(self, *_: object) -> str:  # noqa: N802 - aiosmtpd's name
        return "250 2.0.0 Ok"


class _Nowhere:
    """An intake that keeps nothing."""

    def refusal(self) -> Reply | None:
        return None

    async def take(self, _: Submission) -> Reply:
        return replies.queued_as("0")


class _Nobody:
    """A hand-off that takes letters and delivers none."""

    def reserve(self, *_: object) -> bool:
        return True

    def release(self, *_: object) -> None:
        """Nothing was reserved."""

    def hand(self, *_: object) -> None:
        """It stays where it is."""

    def verdict(self, *_: object) -> None:
        return None

    def expect(self, *_: object) -> None:
        """Nobody looks."""


async def _intake(metrics: Metrics) -> Intake:
    """All that a gateway does up to the 250, its log into the output of this process."""
    set_up("json", "info")
    settings = Settings.model_validate(
        {
            "hostname": "bench.example.com",
            "spool": {"url": "sqlite:///spool.db"},
            "providers": {"nobody": {"kind": "smarthost", "host": "127.0.0.1", "tls": "off"}},
        }
    )
    capabilities = {
        name: provider.capabilities for name, provider in build_providers(settings).items()
    }
    events = EventLog()

    def see(event: Event) -> None:
        metrics.see(event)
        events.see(event)

    return SpoolingIntake(
        spool=await open_spool(settings, exclusive=True, on_commit=metrics.committed),
        planner=Planner(settings.effective_routes(), capabilities),
        hand_off=_Nobody(),
        hostname=settings.hostname,
        clock=SystemClock(),
        emit=see,
        duplicates_window=timedelta(hours=1),
    )


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], int(sys.argv[2])))
