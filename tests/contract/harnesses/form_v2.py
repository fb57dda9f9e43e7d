"""The `form_v2` adapter beside the imitated v2 API."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount

from providers.contract.clock import Clock
from providers.form_v2.provider import FormV2
from providers.form_v2.settings import FormV2Settings
from providers.sandbox.app import V2_PATH
from providers.sandbox.faults import FaultPlan
from providers.sandbox.form_v2 import SandboxFormV2
from providers.sandbox.letterbox import Letterbox
from providers.sandbox.listener import HttpListener
from tests.contract.harnesses.rest_v1 import closed_port


class Harness:
    """`ProviderHarness` for the v2 formData API; the token needs percent-encoding."""

    kind = "form_v2"
    secret = "eyJpdiI6dummy+token/with==signs"

    def __init__(self) -> None:
        self.faults = FaultPlan()
        self.letterbox = Letterbox()
        self.sandbox = SandboxFormV2(self.letterbox, self.faults, self.secret)
        app = Starlette(routes=[Mount(V2_PATH, routes=self.sandbox.routes())])
        self.listener = HttpListener(app)

    async def start(self) -> None:
        """Start the emulator on a free loopback port."""
        await self.listener.start()

    async def stop(self) -> None:
        """Stop it; safe when it never started or is down already."""
        await self.listener.stop()

    def build(self, clock: Clock, **settings: Any) -> FormV2:
        """The adapter with credentials the emulator accepts."""
        values = {
            "base_url": f"http://127.0.0.1:{self.listener.port}{V2_PATH}",
            "token": self.secret,
        }
        return FormV2("bulk", FormV2Settings(**(values | settings)), clock)

    def build_unauthorised(self, clock: Clock) -> FormV2:
        """The same with a wrong credential."""
        return self.build(clock, token="eyJpdiI6a-wrong-token")

    def build_unreachable(self, clock: Clock) -> FormV2:
        """The same, pointed at a loopback port where nobody listens."""
        return self.build(clock, base_url=f"http://127.0.0.1:{closed_port()}{V2_PATH}")
