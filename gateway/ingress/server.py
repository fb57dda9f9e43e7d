"""
The front door as a service: listeners that start, drain and stop together.

`app` makes it; every connection becomes a `session`, and what sessions share is in `reception`.
Where something comes before the session, as TLS or a PROXY header, `opening` opens connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from gateway.ingress.credentials import CredentialCheck
from gateway.ingress.limits import LimitRules, Limits
from gateway.ingress.opening import OpeningServer
from gateway.ingress.policy import FrontDoorRules, Network, Tls
from gateway.ingress.reception import Reception, SessionObserver
from gateway.ingress.session import Session
from gateway.ingress.submission import Intake
from gateway.ingress.tls import ServerTls
from gateway.ingress.users import User
from gateway.suppression import SuppressionList

_BACKLOG = 1024  # connections that wait to be accepted; clients with one per letter come in bursts


@dataclass(frozen=True, slots=True)
class ListenerSpec:
    """
    Where to listen, and by which rules.

    Attributes:
        name: In logs, metrics and routes.
        host: Address; with `path` it says nothing.
        port: 0 takes a free one.
        path: A socket file instead, with `mode` as its permissions.
        mode: Who may connect to it.
        rules: Its own; `None` for those of the front door.
        proxy_networks: Whose connections begin with a PROXY header.
    """

    name: str
    host: str = ""
    port: int = 0
    path: Path | None = None
    mode: int = 0o660
    rules: FrontDoorRules | None = None
    proxy_networks: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Security:
    """Who may authenticate, by name, and by what TLS; both may change while the door is open."""

    users: Mapping[str, User] | None = None
    tls: ServerTls | None = None


class _Server(Protocol):
    """What listens: asyncio's server, or an `OpeningServer`."""

    def close(self) -> None: ...


class FrontDoor:
    """
    SMTP servers that hand letters to one intake.

    `start` may be called once; `drain` and `stop` at any time after it, more than once too.
    """

    def __init__(
        self,
        rules: FrontDoorRules,
        intake: Intake,
        listeners: tuple[ListenerSpec, ...],
        observer: SessionObserver,
        *,
        limits: LimitRules | None = None,
        security: Security | None = None,
        suppressions: SuppressionList | None = None,
    ) -> None:
        security = security or Security()
        sizes = (spec.rules.max_message_size for spec in listeners if spec.rules)
        self._rules = replace(rules, max_message_size=max(rules.max_message_size, *sizes, 0))
        self._given_rules = rules
        self._listeners = listeners
        self._reception = Reception(
            self._rules,
            intake,
            observer,
            limits=Limits(limits or LimitRules(), time.monotonic),
            credentials=(
                CredentialCheck(security.users, time.monotonic)
                if security.users is not None
                else None
            ),
            tls=security.tls,
            suppressions=suppressions,
        )
        self._servers: list[_Server] = []
        self._ports: dict[str, int] = {}
        self._files: list[Path] = []

    async def start(self) -> None:
        """
        Listen.

        Raises:
            OSError: An address is taken or not ours; none is listened on then.
        """
        try:
            for spec in self._listeners:
                for listening in await _sockets(spec):
                    await self._serve(spec, listening)
                if spec.path is not None:
                    self._files.append(spec.path)
        except BaseException:
            self._close()
            raise

    async def _serve(self, spec: ListenerSpec, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        rules = spec.rules or self._given_rules
        factory = partial(Session, self._reception, spec.name, loop, rules)
        if spec.path is None:
            self._ports.setdefault(spec.name, listening.getsockname()[1])
        if rules.tls is Tls.IMPLICIT or spec.proxy_networks:
            server = OpeningServer(
                listening,
                factory,
                self._reception,
                name=spec.name,
                rules=rules,
                proxy_networks=spec.proxy_networks,
            )
            self._servers.append(server)
            server.start(_BACKLOG)
        elif spec.path is not None:
            self._servers.append(
                await loop.create_unix_server(factory, sock=listening, backlog=_BACKLOG)
            )
        else:
            self._servers.append(
                await loop.create_server(factory, sock=listening, backlog=_BACKLOG)
            )

    @property
    def ports(self) -> Mapping[str, int]:
        """The port of each listener that has one, by its name, while it listens."""
        return dict(self._ports)

    async def secure(self, security: Security) -> None:
        """
        Let these users in from now on, and shake hands with these certificates.

        Sessions go on as they are.
        """
        check = self._reception.credentials
        if check is not None and security.users is not None:
            await asyncio.to_thread(check.replace_users, security.users)
        if security.tls is not None:
            self._reception.tls = security.tls

    async def drain(self, timeout_s: float) -> bool:
        """
        Accept no more; let sessions finish the letter they are at, end the others with 421.

        Returns:
            Whether all have ended within `timeout_s` seconds; `stop` ends the rest.
        """
        self._close()
        return await self._reception.drain(timeout_s)

    async def stop(self) -> None:
        """Close everything now; a letter that is being taken is cut short, and the log tells."""
        self._close()
        await self._reception.clear()
        if self._reception.credentials is not None:
            self._reception.credentials.close()

    def _close(self) -> None:
        for server in self._servers:
            server.close()
        for path in self._files:
            path.unlink(missing_ok=True)
        self._servers.clear()
        self._ports.clear()
        self._files.clear()


async def _sockets(spec: ListenerSpec) -> list[socket.socket]:
    """Bound sockets for a listener: one for each address that its host has."""
    if spec.path is not None:
        return [_socket_file(spec.path, spec.mode)]
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(
        spec.host or None, spec.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    try:
        for family, kind, proto, _, address in dict.fromkeys(found):
            made = socket.socket(family, kind, proto)
            sockets.append(made)
            made.settimeout(0)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            _bind(made, address, f"{spec.host}:{spec.port}")
    except BaseException:
        for made in sockets:
            made.close()
        raise
    return sockets


def _bind(made: socket.socket, address: object, told_as: str) -> None:
    try:
        made.bind(address)  # type: ignore[arg-type] # getaddrinfo's, or a path
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {told_as}: {error.strerror}") from None


def _socket_file(path: Path, mode: int) -> socket.socket:
    """A socket file with these permissions from its first moment; one left behind is replaced."""
    if _is_served(path):
        raise OSError(errno.EADDRINUSE, f"cannot listen on {path}: address already in use")
    if path.is_socket():
        path.unlink()
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(0)
    mask = os.umask(0o777 & ~mode)
    try:
        _bind(made, str(path), str(path))
    except BaseException:
        made.close()
        raise
    finally:
        os.umask(mask)
    return made


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, contextlib.suppress(OSError):
        probe.connect(str(path))
        return True
    return False
