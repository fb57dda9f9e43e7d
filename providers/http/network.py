"""
TCP and TLS for httpcore, straight on asyncio's transports.

Takes the place of httpcore's own way through anyio, which costs a third of a whole call in scopes
and checkpoints that one reader and one writer do not need, and leaves a socket open when it is
cancelled within a TLS handshake. Knows octets only.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import ssl
from collections.abc import Iterable
from typing import Any, cast

import httpcore

_CLOSE_WITHIN_S = 1.0  # a socket is gone in the loop's next round; no letter waits for it longer
_MAX_BUFFERED = 256 << 10  # octets that may wait for a reader before the provider has to


class AsyncioBackend(httpcore.AsyncNetworkBackend):
    """Connects over TCP; sockets of other kinds are not for providers."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,  # noqa: ARG002 - httpcore's interface
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - httpcore's interface
    ) -> httpcore.AsyncNetworkStream:
        """
        Connect to the first address that answers; each has its share of the time.

        Raises:
            httpcore.ConnectError: The name or every address failed.
            httpcore.ConnectTimeout: None answered in time.
        """
        try:
            async with asyncio.timeout(timeout):
                *others, last = await _addresses(host, port)
                for address in others:
                    share = None if timeout is None else timeout / (len(others) + 1)
                    # A time-out is an OSError, too.
                    with contextlib.suppress(OSError):
                        async with asyncio.timeout(share):
                            return await _connect(address)
                return await _connect(last)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error


async def _addresses(host: str, port: int) -> list[tuple[str, int]]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [cast("tuple[str, int]", address[:2]) for *_, address in found]


async def _connect(address: tuple[str, int]) -> _Stream:
    loop = asyncio.get_running_loop()
    _, channel = await loop.create_connection(_Channel, *address)
    return _Stream(channel)


class _Stream(httpcore.AsyncNetworkStream):
    """One connection as httpcore uses it: a single reader, a single writer."""

    def __init__(self, channel: _Channel) -> None:
        self._channel = channel

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
    ) -> bytes:
        """
        What came, as soon as anything did; empty at the end.

        Raises:
            httpcore.ReadError: The connection broke.
            httpcore.ReadTimeout: Nothing came in time.
        """
        channel = self._channel
        if channel.must_wait_to_read:
            try:
                async with asyncio.timeout(timeout):
                    await channel.arrival()
            except TimeoutError as error:
                raise httpcore.ReadTimeout from error
        return channel.take(max_bytes)

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
    ) -> None:
        """
        Send, and wait while the network takes no more.

        Raises:
            httpcore.WriteError: The connection broke.
            httpcore.WriteTimeout: The network took nothing in time.
        """
        channel = self._channel
        channel.give(buffer)
        if channel.must_wait_to_write:
            try:
                async with asyncio.timeout(timeout):
                    await channel.room()
            except TimeoutError as error:
                raise httpcore.WriteTimeout from error

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
    ) -> httpcore.AsyncNetworkStream:
        """
        Encrypt from here on; this stream goes on as the encrypted one.

        Raises:
            httpcore.ConnectError: The handshake failed, the certificate among its reasons.
            httpcore.ConnectTimeout: It did not end in time.

        However it fails, by cancellation too, the connection is closed.
        """
        channel, loop = self._channel, asyncio.get_running_loop()
        plain = channel.transport
        try:
            async with asyncio.timeout(timeout):
                encrypted = await loop.start_tls(
                    plain, channel, ssl_context, server_hostname=server_hostname
                )
        except BaseException as error:
            plain.abort()
            await asyncio.sleep(0)  # asyncio closes the socket in its next round
            if isinstance(error, TimeoutError):
                raise httpcore.ConnectTimeout from error
            if isinstance(error, OSError):
                raise httpcore.ConnectError(str(error)) from error
            raise
        channel.transport = cast("asyncio.Transport", encrypted)
        return self

    async def aclose(self) -> None:
        """Close at once: what was not sent yet is not wanted any more."""
        await self._channel.close()

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's interface
        """Only `is_readable`: whether an idle connection has been closed by the other side."""
        return self._channel.is_readable() if info == "is_readable" else None


class _Channel(asyncio.Protocol):
    """What came and was not read yet, and whether more can be written."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._came = bytearray()
        self._ended = False
        self._error: Exception | None = None
        self._lost = asyncio.Event()
        self._arrival: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._paused = False  # reading, by us
        self._full = False  # the transport's buffer, so that writing waits

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it

    def data_received(self, data: bytes) -> None:
        self._came += data
        if len(self._came) > _MAX_BUFFERED and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        _wake(self._arrival)

    def eof_received(self) -> None:
        self._ended = True
        _wake(self._arrival)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended, self._error = True, exc
        self._lost.set()
        _wake(self._arrival)
        _wake(self._room)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        _wake(self._room)

    @property
    def must_wait_to_read(self) -> bool:
        return not self._came and not self._ended

    @property
    def must_wait_to_write(self) -> bool:
        return self._full

    async def arrival(self) -> None:
        self._arrival = asyncio.get_running_loop().create_future()
        await self._arrival

    async def room(self) -> None:
        self._room = asyncio.get_running_loop().create_future()
        await self._room
        if self._ended:
            raise httpcore.WriteError(str(self._error or "closed"))

    def take(self, most: int) -> bytes:
        if not self._came and self._error is not None:
            raise httpcore.ReadError(str(self._error))
        taken = bytes(self._came[:most])
        del self._came[:most]
        if self._paused and not self._came and not self._ended:
            self._paused = False
            self.transport.resume_reading()
        return taken

    def give(self, octets: bytes) -> None:
        if self._ended or self.transport.is_closing():
            raise httpcore.WriteError(str(self._error or "closed"))
        self.transport.write(octets)

    def is_readable(self) -> bool:
        if self._ended or self._came:
            return True
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    async def close(self) -> None:
        self.transport.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_WITHIN_S):
                await self._lost.wait()


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
