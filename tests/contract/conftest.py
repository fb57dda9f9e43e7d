"""
What the contract suites share: a harness of each adapter, a clock, and both event loops.

Everything that talks over a socket runs on asyncio's own loop and on uvloop, the one that the
gateway uses: their transports differ where it matters, in closing and in flow control.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from importlib import import_module
from typing import Any

import pytest
import uvloop

from gateway.clock import SystemClock
from providers.contract.clock import Clock
from providers.sandbox.faults import FaultPlan
from providers.sandbox.letterbox import Letterbox
from providers.sandbox.smarthost import SandboxSmarthost
from providers.smarthost.provider import Smarthost
from providers.smarthost.settings import SmarthostSettings
from tests.contract.provider_harness import ProviderHarness

PASSWORD = "dummy-key-5f0c2a"
KINDS = ("smarthost", "smarthost_pipelining", "rest_v1", "form_v2")

_ON_BOTH_LOOPS = ("test_provider", "test_smarthost")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Adapter tests run on both loops, the others on asyncio's."""
    loops = {"asyncio": asyncio.new_event_loop}
    if item.path.name.startswith(_ON_BOTH_LOOPS):
        loops["uvloop"] = uvloop.new_event_loop
    return loops


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()


@pytest.fixture(params=KINDS)
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[ProviderHarness]:
    """Each adapter's emulator, started; what the adapter did wrong fails the test at its end."""
    module = import_module(f"tests.contract.harnesses.{request.param}")
    harness: ProviderHarness = module.Harness()
    await harness.start()
    yield harness
    await harness.stop()


@pytest.fixture
async def smarthost(clock: SystemClock) -> AsyncIterator[Callable[..., Smarthost]]:
    """Build adapters for a port on loopback, by default without TLS and AUTH; closed at the end."""
    built = []

    def build(port: int, clock: Clock = clock, **settings: Any) -> Smarthost:
        given = {"host": "127.0.0.1", "port": port, "tls": "off", "hostname": "gw.example.com"}
        built.append(Smarthost("main", SmarthostSettings(**(given | settings)), clock))
        return built[-1]

    yield build
    for provider in built:
        await provider.aclose()


@pytest.fixture
async def sandbox() -> AsyncIterator[Callable[..., Awaitable[SandboxSmarthost]]]:
    """Start imitated smarthosts, by default without AUTH; clients must not break its rules."""
    started = []

    async def start(**options: Any) -> SandboxSmarthost:
        given = {"username": "account@example.com", "password": PASSWORD, "require_auth": False}
        server = SandboxSmarthost(Letterbox(), FaultPlan(), **(given | options))
        await server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        await server.stop()
        assert server.violations == []
