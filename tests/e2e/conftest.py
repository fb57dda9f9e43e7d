"""A sandbox in the test's own loop, and gateways as child processes pointed at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bench.ports import free_port
from providers.sandbox.server import Sandbox
from tests.e2e.gateway_process import GatewayProcess
from tests.support.application import Application, serve_application

MakeGateway = Callable[..., GatewayProcess]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is end to end."""
    for item in items:
        if "tests/e2e" in item.path.as_posix():
            item.add_marker(pytest.mark.e2e)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """
    The three imitated providers; v1 without its limit of 5 a second.

    On ports that nobody else is given while a test has them stopped.
    """
    imitation = Sandbox(rate=None, smtp_port=free_port(), http_port=free_port())
    await imitation.start()
    yield imitation
    await imitation.stop()


@pytest.fixture
async def make_gateway(tmp_path: Path) -> AsyncIterator[MakeGateway]:
    """Builds gateways; those still running at the end are stopped."""
    made: list[GatewayProcess] = []

    def make(providers: dict[str, dict[str, Any]], **config: Any) -> GatewayProcess:
        folder = tmp_path / f"gateway{len(made)}"
        folder.mkdir()
        gateway = GatewayProcess(folder, providers, **config)
        made.append(gateway)
        return gateway

    yield make
    for gateway in made:
        if gateway.started:
            await gateway.kill()


@pytest.fixture
async def application() -> AsyncIterator[Application]:
    """Somebody who is called."""
    async with serve_application() as app:
        yield app
