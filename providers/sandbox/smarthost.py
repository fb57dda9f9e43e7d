"""
The SMTP smarthost imitated: what it offers, whom it lets in, what it keeps and answers.

Stands in for smtp.msndr.net (provider reference, part A), whose final reply names the letters as
`<email:id>`. It shares no code with the adapter `providers.smarthost`. The dialogue of a connection
is `smarthost_session`; letters go to the common letterbox, one for each recipient.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any

from providers.sandbox.faults import FaultPlan
from providers.sandbox.letterbox import Letterbox, ReceivedLetter
from providers.sandbox.smarthost_session import SandboxSession
from providers.sandbox.smarthost_syntax import PathCommand

EXTENSIONS = frozenset(
    {
        "8BITMIME",
        "AUTH",
        "CHUNKING",
        "DSN",
        "ENHANCEDSTATUSCODES",
        "PIPELINING",
        "SIZE",
        "SMTPUTF8",
        "STARTTLS",
    }
)
# The typical session of the provider reference, part A.2, shows these.
DEFAULT_EXTENSIONS = frozenset({"SIZE", "8BITMIME", "STARTTLS", "AUTH"})


class SandboxSmarthost:
    """
    A strict SMTP server on a loopback port.

    Args:
        letterbox: Where accepted letters go.
        faults: What goes wrong, and when.
        host: The address to listen on.
        port: The port; 0 takes a free one, told by `port` after `start`.
        username: The account's name.
        password: The account's password.
        tls_context: Certificate and key; without one there is no STARTTLS.
        implicit_tls: TLS from the first octet; needs `tls_context`.
        require_auth: MAIL is refused without AUTH before it.
        plain_auth: AUTH is taken without TLS; `None`: only where there is no TLS to be had.
        extensions: Keywords to offer in EHLO, of `EXTENSIONS`. STARTTLS and AUTH are offered only
            where they can be used.
        auth_mechanisms: Of PLAIN, LOGIN and CRAM-MD5.
        size: Octets a letter may have, told by SIZE where that is offered.
        max_recipients: RCPT commands beyond it are put off.
        reply_form: Which of the six final replies of the provider reference, part A.1.
        hostname: The name in greeting and EHLO.

    Attributes:
        violations: The rules that clients broke, in order: empty as long as they are correct.
        transcript: The latest command lines of all clients, secrets left out.
        connections: How many were opened so far.
    """

    def __init__(
        self,
        letterbox: Letterbox,
        faults: FaultPlan,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        username: str,
        password: str,
        tls_context: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        require_auth: bool = True,
        plain_auth: bool | None = None,
        extensions: Collection[str] = DEFAULT_EXTENSIONS,
        auth_mechanisms: Sequence[str] = ("PLAIN", "LOGIN"),
        size: int = 10 << 20,
        max_recipients: int = 1000,
        reply_form: int = 1,
        hostname: str = "smarthost.sandbox.example",
    ) -> None:
        if unknown := set(extensions) - EXTENSIONS:
            raise ValueError(f"no such extension: {', '.join(sorted(unknown))}")
        if implicit_tls and tls_context is None:
            raise ValueError("implicit TLS needs a certificate")
        if reply_form not in _FINAL_REPLIES:
            raise ValueError(f"there is no reply form {reply_form}")
        self.letterbox = letterbox
        self.faults = faults
        self.username = username
        self.password = password
        self.tls_context = tls_context
        self.implicit_tls = implicit_tls
        self.require_auth = require_auth
        self.auth_mechanisms = tuple(auth_mechanisms)
        self.size = size
        self.max_recipients = max_recipients
        self.reply_form = reply_form
        self.hostname = hostname
        self.violations: list[str] = []
        self.transcript: deque[str] = deque(maxlen=1000)
        self.connections = 0
        self._host = host
        self._port = port
        self._plain_auth = tls_context is None if plain_auth is None else plain_auth
        self._extensions = frozenset(extensions)
        self._ids = itertools.count(10001)
        self._server: asyncio.Server | None = None
        self._sessions: set[SandboxSession] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._session_closed = asyncio.Event()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    async def start(self) -> None:
        """
        Listen.

        Raises:
            OSError: The port is taken.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SandboxSession(self),
            self._host,
            self._port,
            ssl=self.tls_context if self.implicit_tls else None,
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and break all open connections; safe when it never started."""
        if self._server is None:
            return
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for session in tuple(self._sessions):
            session.abort()
        await self.clients_gone()
        await self._server.wait_closed()
        self._server = None

    async def clients_gone(self) -> None:
        """Wait until no client is connected."""
        while self._sessions:
            self._session_closed.clear()
            await self._session_closed.wait()

    # What a session asks and tells.

    def opened(self, session: SandboxSession) -> None:
        """A client connected."""
        self.connections += 1
        self._sessions.add(session)

    def closed(self, session: SandboxSession) -> None:
        """A client is gone."""
        self._sessions.discard(session)
        self._session_closed.set()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run beside the sessions, at most until `stop`."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def offer(self, *, tls: bool, authenticated: bool) -> frozenset[str]:
        """The extensions that EHLO names on this connection now."""
        useless = set()
        if tls or self.tls_context is None:
            useless.add("STARTTLS")
        if authenticated or not self.may_authenticate(tls=tls):
            useless.add("AUTH")
        return self._extensions - useless

    def may_authenticate(self, *, tls: bool) -> bool:
        """Whether AUTH is taken here."""
        return tls or self._plain_auth

    def keyword(self, extension: str) -> str:
        """The EHLO line of an extension."""
        match extension:
            case "SIZE":
                return f"SIZE {self.size}"
            case "AUTH":
                return f"AUTH {' '.join(self.auth_mechanisms)}"
        return extension

    def accept(
        self, mail_from: PathCommand, rcpt_to: Sequence[PathCommand], content: bytes
    ) -> list[str]:
        """Keep a letter for each recipient; the final reply, line by line."""
        pairs = []
        for recipient in rcpt_to:
            provider_message_id = str(next(self._ids))
            self.letterbox.put(
                ReceivedLetter(
                    "smarthost",
                    provider_message_id,
                    recipient.path,
                    reverse_path=mail_from.path,
                    content=content,
                    parameters=mail_from.parameters | recipient.parameters,
                )
            )
            pairs.append(f"{recipient.path}:{provider_message_id}")
        return _FINAL_REPLIES[self.reply_form](pairs)


def _bracketed(pairs: Sequence[str]) -> str:
    return ",".join(f"<{pair}>" for pair in pairs)


# The six forms of the provider reference, part A.1; no public source shows which one is real.
_FINAL_REPLIES: dict[int, Callable[[list[str]], list[str]]] = {
    1: lambda pairs: [f"250 Ok {_bracketed(pairs)}"],
    2: lambda pairs: [f"250 2.0.0 Ok {_bracketed(pairs).replace(',', ', ')}"],
    3: lambda pairs: [f"250 {','.join(pairs)}"],
    4: lambda pairs: ["250-Message accepted", f"250 {_bracketed(pairs)}"],
    5: lambda _: ["250 Ok"],
    6: lambda pairs: [f"250 Ok {_bracketed(pairs[: len(pairs) - 1 or 1])}"],
}
