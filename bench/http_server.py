"""
`python -m bench.http_server`: an HTTP server that says yes to every request, at once.

What a provider answers at its best, in one write; JSON that both APIs take for a success. Prints
its port and runs until it is ended. So little, because its processor time is not what is measured.
"""

from __future__ import annotations

import asyncio
import re
from typing import cast

import uvloop

_BODY = b'{"id":1,"status":"OK","result":{"email_id":1}}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_BODY),
    _BODY,
)
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")


class _Session(asyncio.Protocol):
    """One connection: requests one after the other, each with its length."""

    def __init__(self) -> None:
        self._head = b""
        self._missing = 0  # octets of the body

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        while data:
            if self._missing:
                taken = min(self._missing, len(data))
                self._missing -= taken
                data = data[taken:]
            else:
                self._head += data
                head, end, data = self._head.partition(b"\r\n\r\n")
                if not end:
                    return
                self._head = b""
                length = _LENGTH.search(head)
                self._missing = int(length[1]) if length else 0
                if self._missing:
                    continue
            if not self._missing:
                self._transport.write(_ANSWER)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Session, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
