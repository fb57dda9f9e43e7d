"""
Connections that begin with something other than SMTP: a PROXY header, TLS, or one after the other.

Between the listening socket and the `session`. A client has its seat from the first octet on, so
that limits hold for who never gets to the greeting too.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

import structlog

from gateway.ingress import policy
from gateway.ingress.connection import (
    HANDSHAKE_TIMEOUT_S,
    TLS_SHUTDOWN_TIMEOUT_S,
    handshake_trouble,
)
from gateway.ingress.policy import FrontDoorRules, Network, Tls
from gateway.ingress.proxy import BadProxyHeader, read_proxy_header
from gateway.ingress.reception import Reception
from gateway.ingress.session import Session

log = structlog.get_logger("gateway.ingress")

_HEADER_TIMEOUT_S = 5.0
_MOST_HEADERS = 256  # connections that wait for their header at once; a proxy sends it at once
_PAUSE_S = 1.0  # when the system has no file descriptors left


class OpeningServer:
    """
    Accepts connections of one listening socket and brings them to their greeting.

    `start` may be called once, `close` at any time: who has arrived is the reception's then.
    """

    def __init__(
        self,
        listening: socket.socket,
        factory: Callable[[], Session],
        reception: Reception,
        *,
        name: str,
        rules: FrontDoorRules,
        proxy_networks: tuple[Network, ...],
    ) -> None:
        self._listening = listening
        self._factory = factory
        self._reception = reception
        self._name = name
        self._rules = rules
        self._proxy_networks = proxy_networks
        self._headers = 0
        self._accepting: asyncio.Task[None] | None = None
        self._openings: set[asyncio.Task[None]] = set()

    def start(self, backlog: int) -> None:
        """Listen."""
        self._listening.listen(backlog)
        self._accepting = asyncio.create_task(self._accept(), name=f"accept {self._name}")

    def close(self) -> None:
        """Accept no more."""
        if self._accepting is not None:
            self._accepting.cancel()
        self._listening.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, peer = await loop.sock_accept(self._listening)
            except OSError as error:
                log.warning("not_accepted", listener=self._name, reason=error.strerror)
                await asyncio.sleep(_PAUSE_S)
                continue
            opening = asyncio.create_task(self._open(connection, peer))
            self._openings.add(opening)
            opening.add_done_callback(self._openings.discard)

    async def _open(self, connection: socket.socket, peer: object) -> None:
        """From the first octet to the greeting; what fails on the way ends the connection."""
        connection.settimeout(0)
        try:
            address = await self._address(connection, policy.client_address(peer))
        except (BadProxyHeader, TimeoutError, OSError) as error:
            log.warning(
                "bad_proxy_header",
                listener=self._name,
                proxy=policy.client_address(peer),
                reason=str(error) or "no header came in time",
            )
            connection.close()
            return
        except BaseException:
            connection.close()
            raise
        await self._make(connection, address)

    async def _address(self, connection: socket.socket, peer: str) -> str:
        """Who the client is: whom the proxy names, or else who is connected."""
        if not policy.is_in(peer, self._proxy_networks):
            return peer
        if self._headers >= _MOST_HEADERS:
            raise BadProxyHeader("too many connections without one")
        self._headers += 1
        try:
            async with asyncio.timeout(_HEADER_TIMEOUT_S):
                return await read_proxy_header(connection) or peer
        finally:
            self._headers -= 1

    async def _make(self, connection: socket.socket, address: str) -> None:
        session = self._factory()
        refusal = session.arrive(address)
        context = None
        if self._rules.tls is Tls.IMPLICIT:
            tls = self._reception.tls
            assert tls is not None  # noqa: S101 - without a certificate there is no such listener
            context = tls.contexts[self._rules.tls_profile]
            if refusal is not None:
                # To say so would take a handshake, which is what too many clients are too dear for.
                self._reception.observer.replied(self._name, refusal)
                connection.close()
                session.give_up()
                return
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: session,
                connection,
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S if context else None,
                ssl_shutdown_timeout=TLS_SHUTDOWN_TIMEOUT_S if context else None,
            )
        except (OSError, ssl.SSLError) as error:
            if context is not None:
                self._reception.observer.handshake_failed(self._name)
                log.info(
                    "tls_failed",
                    listener=self._name,
                    client=address,
                    reason=handshake_trouble(error),
                )
            session.give_up()
        except BaseException:
            session.give_up()
            raise
