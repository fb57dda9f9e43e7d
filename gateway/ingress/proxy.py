"""
The PROXY protocol's header, versions 1 and 2: who the client behind a proxy is.

aiosmtpd reads the header; here is what it reads from, a socket from which not an octet more may be
taken than the header has, since TLS may follow. Who may send one is `opening`'s to decide.
"""

from __future__ import annotations

import asyncio
import socket

from aiosmtpd.proxy_protocol import AF, V2_CMD, get_proxy

from gateway.ingress.policy import client_address

_MOST_V1 = 107 - len(b"PROXY ")  # octets of a line of version 1, its end included
_MOST_V2 = 4096  # addresses are 216 at most; the rest is for what proxies tell beside them


class BadProxyHeader(ValueError):
    """What came is no PROXY header, or a broken one."""


async def read_proxy_header(connection: socket.socket) -> str:
    """
    Read the header that a connection begins with.

    Returns:
        The client's IP address as text; empty when the proxy speaks for itself (a health check) or
        does not know the address.

    Raises:
        BadProxyHeader: There is none, or it is broken.
        OSError: The connection is.
    """
    try:
        data = await get_proxy(_SocketReader(connection))
    except BadProxyHeader:
        raise
    except (ValueError, IndexError, EOFError, AttributeError) as error:
        raise BadProxyHeader("malformed") from error
    if not data.valid:
        raise BadProxyHeader(data.error or "not understood")
    if data.command == V2_CMD.LOCAL or data.family not in {AF.INET, AF.INET6}:
        return ""
    return client_address((str(data.src_addr),))


class _SocketReader:
    """Just as much of a stream reader as the header's parser asks for."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()

    async def read(self, n: int = -1) -> bytes:
        """As many octets, where the parser may ask for fewer only at the end."""
        return await self.readexactly(n)

    async def readexactly(self, n: int) -> bytes:
        """As many octets and not one more."""
        if not 0 <= n <= _MOST_V2:
            raise BadProxyHeader("too long")
        octets = b""
        while len(octets) < n:
            more = await self._loop.sock_recv(self._connection, n - len(octets))
            if not more:
                raise BadProxyHeader("cut off")
            octets += more
        return octets

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        """A line of version 1, octet by octet: what follows it is not ours to take."""
        octets = b""
        while not octets.endswith(separator):
            if len(octets) >= _MOST_V1:
                raise BadProxyHeader("too long")
            octets += await self.readexactly(1)
        return octets
