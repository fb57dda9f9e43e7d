"""
An HTTP listener in the caller's loop: uvicorn's protocol without uvicorn's server.

The server would take over the process's signals and poll for its end; a sandbox inside a test or
beside a gateway must do neither. Each connection can be reset from within a request, which ASGI has
no word for (`answers.RESET`).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from providers.sandbox.answers import RESET

_LOG = logging.getLogger(__name__)
_LOG.setLevel(logging.ERROR)  # a client that speaks nonsense is no news; a bug of the sandbox is

# SO_LINGER with no time to linger: closing sends RST instead of FIN.
_NO_LINGER = struct.pack("ii", 1, 0)


class HttpListener:
    """Serves an ASGI application on a TCP port."""

    def __init__(self, app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> None:
        self._config = uvicorn.Config(
            app, lifespan="off", ws="none", access_log=False, log_config=None, date_header=False
        )
        self._address = (host, port)
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._left = asyncio.Event()

    @property
    def port(self) -> int:
        """The port it listens on; before `start` the one asked for."""
        return self._address[1]

    async def start(self) -> None:
        """
        Bind and listen; port 0 takes a free one, which `port` tells afterwards.

        Raises:
            OSError: The address cannot be bound.
        """
        if not self._config.loaded:
            self._config.load()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, *self._address)
        self._address = (self._address[0], self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the port and every connection, answered or not; may be called twice."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for connection in tuple(self._state.connections):
            connection.transport.abort()
        while self._state.connections:
            self._left.clear()
            await self._left.wait()
        if self._state.tasks:
            await asyncio.wait(tuple(self._state.tasks))
        await server.wait_closed()

    def _protocol(self) -> asyncio.Protocol:
        return _ResettableProtocol(self._config, self._state, self._left)


class _ResettableProtocol(HttpToolsProtocol):
    def __init__(
        self, config: uvicorn.Config, server_state: ServerState, left: asyncio.Event
    ) -> None:
        super().__init__(config, server_state, {})
        self.logger = _LOG
        self.access_log = False  # whatever loggers others set up: a query may hold a token
        self._left = left

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._left.set()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {RESET: self._reset}  # type: ignore[dict-item]  # our own

    def _reset(self) -> None:
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()
