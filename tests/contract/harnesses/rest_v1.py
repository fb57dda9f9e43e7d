"""The `rest_v1` adapter beside the imitated v1 API."""

from __future__ import annotations

import socket
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount

from providers.contract.clock import Clock
from providers.rest_v1.provider import RestV1
from providers.rest_v1.settings import RestV1Settings
from providers.sandbox.app import V1_PATH
from providers.sandbox.faults import FaultPlan
from providers.sandbox.letterbox import Letterbox
from providers.sandbox.listener import HttpListener
from providers.sandbox.rest_v1 import SandboxRestV1


class Harness:
    """`ProviderHarness` for the v1 JSON REST API."""

    kind = "rest_v1"
    secret = "0123456789abcdef0123456789abcdef"

    def __init__(self) -> None:
        self.faults = FaultPlan()
        self.letterbox = Letterbox()
        self.sandbox = SandboxRestV1(self.letterbox, self.faults, self.secret)
        app = Starlette(routes=[Mount(V1_PATH, routes=self.sandbox.routes())])
        self.listener = HttpListener(app)

    async def start(self) -> None:
        """Start the emulator on a free loopback port."""
        await self.listener.start()

    async def stop(self) -> None:
        """Stop it; safe when it never started or is down already."""
        await self.listener.stop()

    def build(self, clock: Clock, **settings: Any) -> RestV1:
        """The adapter with credentials the emulator accepts."""
        values = {
            "base_url": f"http://127.0.0.1:{self.listener.port}{V1_PATH}",
            "api_key": self.secret,
        }
        return RestV1("rest", RestV1Settings(**(values | settings)), clock)

    def build_unauthorised(self, clock: Clock) -> RestV1:
        """The same with a wrong credential."""
        return self.build(clock, api_key="a-wrong-key")

    def build_unreachable(self, clock: Clock) -> RestV1:
        """The same, pointed at a loopback port where nobody listens."""
        return self.build(clock, base_url=f"http://127.0.0.1:{closed_port()}{V1_PATH}")


def closed_port() -> int:
    """A loopback port where connections are refused."""
    with socket.socket() as bound:  # and never listening
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])
