"""The `smarthost` adapter beside the imitated smarthost."""

from __future__ import annotations

import socket
from collections.abc import Collection
from typing import Any

from providers.contract.clock import Clock
from providers.sandbox.faults import FaultPlan
from providers.sandbox.letterbox import Letterbox
from providers.sandbox.smarthost import DEFAULT_EXTENSIONS, SandboxSmarthost
from providers.smarthost.provider import Smarthost
from providers.smarthost.settings import SmarthostSettings

USERNAME = "account@example.com"


class Harness:
    """`ProviderHarness` for SMTP; the server offers what smtp.msndr.net is thought to offer."""

    kind = "smarthost"
    secret = "dummy-key-5f0c2a"
    extensions: Collection[str] = DEFAULT_EXTENSIONS

    def __init__(self, **options: Any) -> None:
        self.faults = FaultPlan()
        self.letterbox = Letterbox()
        options = {"extensions": self.extensions} | options
        self.server = SandboxSmarthost(
            self.letterbox, self.faults, username=USERNAME, password=self.secret, **options
        )

    async def start(self) -> None:
        """Start the emulator on a free loopback port."""
        await self.server.start()

    async def stop(self) -> None:
        """Stop it, and hold against the adapter whatever it did wrong."""
        await self.server.stop()
        assert self.server.violations == []

    def build(self, clock: Clock, **settings: Any) -> Smarthost:
        """The adapter with credentials the emulator accepts."""
        values = {
            "preset": "msndr",
            "host": "127.0.0.1",
            "port": self.server.port,
            "tls": "off",
            "allow_plain_auth": True,
            "username": USERNAME,
            "password": self.secret,
            "hostname": "gateway.example.com",
        }
        return Smarthost("main", SmarthostSettings(**(values | settings)), clock)

    def build_unauthorised(self, clock: Clock) -> Smarthost:
        """The same with a wrong credential."""
        return self.build(clock, password="dummy-key-wrong")

    def build_unreachable(self, clock: Clock) -> Smarthost:
        """The same, pointed at a loopback port where nobody listens."""
        with socket.socket() as taken:  # bound and never listening: connecting is refused
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        return self.build(clock, port=port)
