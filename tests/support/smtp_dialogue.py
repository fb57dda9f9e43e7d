"""A hand-written SMTP dialogue over a real socket: what a test says goes out as it stands."""

from __future__ import annotations

import asyncio
import ssl


class SmtpDialogue:
    """
    One connection, driven line by line.

    Every wait is bounded, so that a server which says nothing fails the test instead of hanging it.
    """

    timeout_s = 60.0

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, port: int, *, tls: ssl.SSLContext | None = None) -> SmtpDialogue:
        """Connect to 127.0.0.1; the greeting waits to be read."""
        name = "localhost" if tls else None
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name))

    async def send(self, octets: bytes) -> None:
        """Octets as they stand."""
        self._writer.write(octets)
        await self._writer.drain()

    async def reply(self) -> list[str]:
        """The lines of the next reply, code included; empty at the end of the stream."""
        lines: list[str] = []
        async with asyncio.timeout(self.timeout_s):
            while line := (await self._reader.readline()).decode("latin-1").rstrip("\r\n"):
                lines.append(line)
                if line[3:4] != "-":
                    break
        return lines

    async def say(self, command: str) -> list[str]:
        """A command line and its reply."""
        await self.send(command.encode() + b"\r\n")
        return await self.reply()

    async def is_closed(self) -> bool:
        """Wait until the server closed the connection; whether nothing came before."""
        async with asyncio.timeout(self.timeout_s):
            try:
                return await self._reader.read() == b""
            except ConnectionError:
                return True

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Shake hands; the 220 was read."""
        await self._writer.start_tls(context, server_hostname="localhost")

    async def close(self) -> None:
        """Leave without QUIT."""
        self._writer.close()
        try:
            async with asyncio.timeout(self.timeout_s):
                await self._writer.wait_closed()
        except (ConnectionError, TimeoutError):
            self._writer.transport.abort()
