"""An application as seen by the gateway: a webhook that answers as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route


@dataclass
class Application:
    """A webhook that answers by a script, and with 204 after it."""

    answers: list[int] = field(default_factory=list)
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def hook(self, request: Request) -> Response:
        self.calls.append((dict(request.headers), await request.body()))
        self.changed.set()
        code = self.answers.pop(0) if self.answers else 204
        return RedirectResponse("/elsewhere", 307) if code == 307 else Response(status_code=code)

    async def called(self, times: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(60):
            while len(self.calls) < times:
                self.changed.clear()
                await self.changed.wait()
        return [json.loads(body) for _, body in self.calls]


@asynccontextmanager
async def serve_application() -> AsyncIterator[Application]:
    """An application that listens, on a port of its own."""
    app = Application()
    routes = [Route("/{anything}", app.hook, methods=["POST"])]
    server = uvicorn.Server(
        uvicorn.Config(Starlette(routes=routes), port=0, lifespan="off", log_config=None)
    )
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(60):
        while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)
    app.port = server.servers[0].sockets[0].getsockname()[1]
    yield app
    server.should_exit = True
    await task
