"""
An SMTP server that says what a test tells it, right or wrong.

For what no honest server does on demand: odd codes, replies at the wrong moment, half a handshake.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager


class ScriptedClient:
    """What the script sees of one client: the lines it sends, and a way to answer."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self.number = number  # of this connection, from 0
        self.reader = reader
        self.writer = writer

    async def say(self, *lines: str) -> None:
        """Reply lines, in one write."""
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self.writer.drain()

    async def hear(self, *verbs: str) -> list[str]:
        """Read a line for each verb and check that it begins with it."""
        lines = []
        for verb in verbs:
            line = (await self.reader.readline()).decode().removesuffix("\r\n")
            assert line.startswith(verb), f"{line!r} instead of {verb}"
            lines.append(line)
        return lines

    async def content(self) -> bytes:
        """Read content, the line with the dot included."""
        return await self.reader.readuntil(b"\r\n.\r\n")

    async def greet(self, *extensions: str) -> None:
        """Greeting and EHLO."""
        await self.say("220 scripted.example ESMTP")
        await self.hear("EHLO ")
        lines = ["scripted.example", *extensions]
        await self.say(*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}")

    async def gone(self) -> bytes:
        """Whatever the client sends until it closes."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""

    def reset(self) -> None:
        """Break the connection."""
        self.writer.transport.abort()


Script = Callable[[ScriptedClient], Awaitable[None]]


@asynccontextmanager
async def scripted_smtp(script: Script) -> AsyncIterator[int]:
    """
    Serve every connection by `script`; gives the port.

    A connection is closed where its script ends. At the end of all every script must have come to
    its end, and what one raised is raised here.
    """
    tasks: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(client: ScriptedClient) -> None:
        await script(client)
        client.writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        tasks.append(asyncio.ensure_future(serve(ScriptedClient(reader, writer, len(tasks)))))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=64 << 20)
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
