"""
`/metrics`, `/livez` and `/readyz`, and the server that answers them.

uvicorn runs inside the daemon's loop, without its signal handlers: stopping is `app`'s business.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.observe.metrics import Metrics
from gateway.observe.status import Status
from gateway.web.patience import PatientProtocol

_STOP_WITHIN_S = 3


def build_app(metrics: Metrics, status: Status, more: Sequence[BaseRoute] = ()) -> Starlette:
    """The HTTP side: what every gateway shows, and further routes."""

    async def show_metrics(request: Request) -> Response:
        await status.refresh()
        body, content_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(body, media_type=content_type)

    async def live(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> Response:
        reasons = await status.unready_reasons()
        return JSONResponse(
            {"ready": not reasons, "reasons": list(reasons)}, status_code=503 if reasons else 200
        )

    return Starlette(
        routes=[
            Route("/metrics", show_metrics),
            Route("/livez", live),
            Route("/readyz", ready),
            *more,
        ]
    )


class _Server(uvicorn.Server):
    """uvicorn's server, leaving the process's signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class WebServer:
    """
    The HTTP side as a service.

    Args:
        app: What to serve.
        host: Address to listen on.
        port: 0 takes a free one.
    """

    def __init__(self, app: Starlette, *, host: str, port: int) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return self._port

    async def start(self) -> None:
        """
        Listen.

        Raises:
            OSError: The address is taken or not ours.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((self._host, self._port))
        except BaseException:
            listening.close()
            raise
        self._port = listening.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            http=PatientProtocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=100,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=_STOP_WITHIN_S,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]), name="http")

    async def stop(self) -> None:
        """Stop listening and end what is open; safe when it never started."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        await self._task
        self._server = self._task = None
