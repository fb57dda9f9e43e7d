"""A dialogue with the front door over a real socket, in the words of a client."""

from __future__ import annotations

import re
import socket
import struct

from tests.support.smtp_dialogue import SmtpDialogue


class Dialogue(SmtpDialogue):
    """One connection; every wait is bounded."""

    async def expect(self, *patterns: str) -> None:
        """Read as many replies; the last line of each matches its pattern from the start."""
        for pattern in patterns:
            lines = await self.reply()
            assert lines, f"the connection was closed instead of {pattern}"
            assert re.match(pattern, lines[-1]), f"{lines[-1]} instead of {pattern}"

    async def hello(self) -> None:
        """Read the greeting and say EHLO."""
        await self.expect("220 ")
        assert (await self.say("EHLO client.example.com"))[-1] == "250 HELP"

    async def to_data(self, *recipients: str) -> None:
        """Go on to 354, with one recipient if none is named."""
        to = "".join(f"RCPT TO:<{address}>\r\n" for address in recipients or ("b@example.org",))
        await self.send(b"MAIL FROM:<a@example.com>\r\n" + to.encode() + b"DATA\r\n")
        await self.expect("250 2.1.0", *["250 2.1.5"] * (len(recipients) or 1), "354 ")

    async def letter(self, content: bytes, *recipients: str) -> str:
        """Send a letter, its dots as they stand; the reply to the final dot."""
        await self.to_data(*recipients)
        await self.send(content + b"\r\n.\r\n")
        return (await self.reply())[-1]

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        return await self._reader.read()

    async def half_close(self) -> None:
        """Send no more, and still read."""
        self._writer.write_eof()

    async def reset(self) -> None:
        """Be gone without a goodbye: the server gets a RST."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
