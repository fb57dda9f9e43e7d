"""
An HTTP server that does what a test tells it, right or wrong.

For what no honest server does on demand: half an answer, none at all, a reset in the middle.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class HeardRequest:
    """A request as it came: header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class ScriptedHttp:
    """What the script sees of one connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self.number = number  # of this connection, from 0
        self.reader = reader
        self.writer = writer

    async def header(self) -> HeardRequest:
        """Read a request up to its body."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
        method, target, version = line.split(" ")
        assert version == "HTTP/1.1"
        pairs = [field.split(": ", 1) for field in fields]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs), "a header field stands there twice"
        return HeardRequest(method, target, headers, b"")

    async def request(self) -> HeardRequest:
        """Read a whole request."""
        head = await self.header()
        body = await self.reader.readexactly(int(head.headers.get("content-length", "0")))
        return HeardRequest(head.method, head.target, head.headers, body)

    async def send(self, octets: bytes) -> None:
        """Write these octets."""
        self.writer.write(octets)
        await self.writer.drain()

    async def answer(self, status: int = 200, body: bytes = b"{}", *fields: str) -> None:
        """A well-formed answer."""
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *fields, "", ""]
        await self.send("\r\n".join(lines).encode("latin-1") + body)

    async def gone(self) -> bytes:
        """Whatever the client sends until it closes."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""

    def reset(self) -> None:
        """Break the connection."""
        self.writer.transport.abort()


Script = Callable[[ScriptedHttp], Awaitable[None]]


@asynccontextmanager
async def scripted_http(
    script: Script, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[int]:
    """
    Serve every connection by `script`, on any free port if none is given; gives the port.

    A connection is closed where its script ends. At the end every script must have come to its end,
    and what one raised is raised here.
    """
    tasks: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(connection: ScriptedHttp) -> None:
        await script(connection)
        connection.writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        tasks.append(asyncio.ensure_future(serve(ScriptedHttp(reader, writer, len(tasks)))))

    server = await asyncio.start_server(accept, "127.0.0.1", port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()
