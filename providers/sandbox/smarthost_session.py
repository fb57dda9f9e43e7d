"""
One connection to the imitated smarthost: a strict SMTP server (RFC 5321) with faults on demand.

What a correct client never does is refused and noted in the server's `violations`. Octets come and
go through `smarthost_framing`, rules of syntax are in `smarthost_syntax`; what a server of this
configuration offers and keeps is `smarthost.SandboxSmarthost`'s.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.smarthost_auth import Exchange, begin_exchange
from providers.sandbox.smarthost_framing import Framing, Mode
from providers.sandbox.smarthost_syntax import (
    Objection,
    PathCommand,
    check_content,
    parse_mail,
    parse_rcpt,
    stuff,
    unstuff,
)

if TYPE_CHECKING:
    from providers.sandbox.smarthost import SandboxSmarthost

_BDAT = re.compile(r"(?P<octets>\d{1,12})(?P<last> LAST)?\Z", re.IGNORECASE)


class SandboxSession(Framing):
    """One client's connection, from greeting to close."""

    def __init__(self, server: SandboxSmarthost) -> None:
        super().__init__()
        self._server = server
        self._tls = server.implicit_tls
        self._exchange: Exchange | None = None
        self._mail_from: PathCommand | None = None
        self._rcpt_to: list[PathCommand] = []
        self._forget()
        self._commands: dict[str, Callable[[str], None]] = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "BDAT": self._bdat,
            "RSET": self._rset,
            "NOOP": lambda _: self.reply(250, "2.0.0", "Ok"),
            "VRFY": lambda _: self.reply(252, "2.1.5", "Send some mail, I will try my best"),
            "QUIT": self._quit,
        }

    def _forget(self) -> None:
        """Nothing the client told holds any more (RFC 3207 4.2)."""
        self._greeted = False
        self._authenticated = False
        self.offered = frozenset()
        self._end_transaction()

    def _end_transaction(self) -> None:
        self._mail_from = None
        self._rcpt_to = []
        self._chunks: list[bytes] = []
        self._last_chunk = False
        self._chunk_objection: Objection | None = None

    # What the framing and asyncio call.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, or start with a fault."""
        super().connection_made(transport)
        self._server.opened(self)
        if self._strikes(FaultKind.HANG, styles=("greeting",)):
            self.mode = Mode.DEAF
        elif self._strikes(FaultKind.THROTTLE, styles=("greeting",)):
            self._server.letterbox.count_throttled("smarthost")
            self.close_after("421 4.7.0 Too many connections, try again later")
        else:
            self.line(f"220 {self._server.hostname} ESMTP")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget the connection."""
        self.mode = Mode.DEAF
        self._server.closed(self)

    def violate(self, rule: str) -> None:
        """Note a rule that the client broke."""
        self._server.violations.append(rule)

    def obey(self, verb: str, argument: str) -> None:
        """Carry out a command; may raise an `Objection`."""
        shown = f"{argument.partition(' ')[0]} …" if verb == "AUTH" else argument
        self._server.transcript.append(f"{verb} {shown}".rstrip())
        command = self._commands.get(verb)
        if command is None:
            raise Objection(500, "5.5.1", "Command not known", "an unknown command")
        if argument and verb in ("DATA", "RSET", "QUIT", "STARTTLS"):
            raise Objection(501, "5.5.4", f"Syntax: {verb}", f"{verb} with an argument")
        command(argument)

    # Commands outside a transaction.

    def _ehlo(self, argument: str) -> None:
        self._greet(argument, self._server.offer(tls=self._tls, authenticated=self._authenticated))

    def _helo(self, argument: str) -> None:
        self._greet(argument, frozenset())

    def _greet(self, argument: str, offered: frozenset[str]) -> None:
        if not argument or " " in argument:
            raise Objection(501, "5.5.4", "Syntax: EHLO hostname", "EHLO or HELO without a name")
        self._end_transaction()
        self._greeted = True
        self.offered = offered
        lines = [self._server.hostname, *map(self._server.keyword, sorted(offered))]
        for line in lines[:-1]:
            self.line(f"250-{line}")
        self.line(f"250 {lines[-1]}")

    def _starttls(self, _: str) -> None:
        context = self._server.tls_context
        if context is None or "STARTTLS" not in self.offered:
            raise Objection(502, "5.5.1", "Not offered", "STARTTLS was not offered")
        self.mode = Mode.HANDSHAKE
        self.reply(220, "2.0.0", "Ready to start TLS")
        self._server.spawn(self._shake_hands(context))

    async def _shake_hands(self, context: ssl.SSLContext) -> None:
        if self.buffer:  # it came after our reply and before TLS: nobody vouches for it
            self.buffer.clear()
            self.violate("plain text sent behind STARTTLS")
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self.transport, self, context, server_side=True, ssl_handshake_timeout=10
            )
        except OSError:  # the client does not like our certificate, or left
            self.abort()
            return
        if transport is None:  # the connection was closed before hands were shaken
            return
        self.transport = transport
        self._tls = True
        self._forget()
        self.mode = Mode.COMMAND
        self.proceed()

    def _auth(self, argument: str) -> None:
        if self._authenticated or self._mail_from is not None:
            raise Objection(503, "5.5.1", "Not now", "AUTH twice or within a transaction")
        if not self._server.may_authenticate(tls=self._tls):
            raise Objection(538, "5.7.11", "Encryption required", "AUTH without TLS")
        mechanism, _, initial = argument.partition(" ")
        exchange = begin_exchange(
            mechanism.upper(), initial or None, self._server.username, self._server.password
        )
        offered = "AUTH" in self.offered and mechanism.upper() in self._server.auth_mechanisms
        if exchange is None or not offered:
            raise Objection(504, "5.5.4", "Not offered", f"AUTH {mechanism[:16]} was not offered")
        if self._strikes(FaultKind.UNAUTHORISED, styles=("",)):
            raise Objection(535, "5.7.8", "Authentication credentials invalid")
        self._exchange = exchange
        self.mode = Mode.AUTH
        self._advance(None)

    def respond(self, response: str) -> None:
        """Take a response of the AUTH exchange; may raise an `Objection`."""
        if response == "*":
            raise Objection(501, "5.7.0", "Authentication cancelled")
        self._advance(response)

    def _advance(self, response: str | None) -> None:
        assert self._exchange is not None  # noqa: S101 - the mode says so, the type cannot
        try:
            challenge = next(self._exchange) if response is None else self._exchange.send(response)
        except StopIteration as end:
            self.mode = Mode.COMMAND
            self._authenticated = bool(end.value)
            if self._authenticated:
                self.reply(235, "2.7.0", "Authentication successful")
            else:
                self.reply(535, "5.7.8", "Authentication credentials invalid")
        else:
            self.line(f"334 {challenge}")

    def _rset(self, _: str) -> None:
        self._end_transaction()
        self.reply(250, "2.0.0", "Ok")

    def _quit(self, _: str) -> None:
        self.reply(221, "2.0.0", "Bye")
        self.mode = Mode.DEAF
        self.transport.close()

    # The transaction.

    def _mail(self, argument: str) -> None:
        if not self._greeted:
            raise Objection(503, "5.5.1", "EHLO first", "MAIL before EHLO")
        if self._mail_from is not None:
            raise Objection(503, "5.5.1", "Nested MAIL", "MAIL within a transaction")
        self._server.letterbox.count_call("smarthost")
        if fault := self._strikes(FaultKind.THROTTLE, styles=("", "421", "451")):
            self._server.letterbox.count_throttled("smarthost")
            if fault.style == "451":
                raise Objection(451, "4.7.1", "Too many letters, try again later")
            self.close_after("421 4.7.0 Too many letters, try again later")
            return
        if self._strikes(FaultKind.UNAUTHORISED, styles=("mail",)):
            raise Objection(530, "5.7.0", "Authentication required")
        if self._strikes(FaultKind.REFUSE, styles=("mail",)):
            raise Objection(550, "5.7.1", "Sender not confirmed")
        if self._strikes(FaultKind.DEFER, styles=("mail",)):
            raise Objection(450, "4.3.0", "Try again later")
        if not self._authenticated and self._server.require_auth:
            raise Objection(530, "5.7.0", "Authentication required")
        command = parse_mail(argument, self.offered)
        if int(command.parameters.get("SIZE", 0)) > self._server.size:
            raise Objection(552, "5.3.4", "Message too large")
        self._mail_from = command
        self.reply(250, "2.1.0", "Ok")

    def _rcpt(self, argument: str) -> None:
        if self._mail_from is None:
            raise self._out_of_sequence(503, "MAIL first", "RCPT before MAIL")
        command = parse_rcpt(argument, self.offered, utf8="SMTPUTF8" in self._mail_from.parameters)
        if self._strikes(FaultKind.DROP_BEFORE, recipient=command.path, styles=("rcpt",)):
            self.abort()
            return
        if self._strikes(FaultKind.REFUSE, recipient=command.path, styles=("", "rcpt")):
            raise Objection(550, "5.1.1", "No such recipient here")
        if self._strikes(FaultKind.DEFER, recipient=command.path, styles=("", "rcpt")):
            raise Objection(450, "4.2.1", "Recipient put off, try again later")
        if len(self._rcpt_to) >= self._server.max_recipients:
            raise Objection(452, "4.5.3", "Too many recipients")
        self._rcpt_to.append(command)
        self.reply(250, "2.1.5", "Ok")

    def _data(self, _: str) -> None:
        if self._mail_from is None:
            raise self._out_of_sequence(503, "MAIL first", "DATA before MAIL")
        if self._chunks:
            raise Objection(503, "5.5.1", "Not within BDAT", "DATA after BDAT (RFC 3030 2)")
        if not self._rcpt_to:
            raise self._out_of_sequence(554, "No valid recipients", "DATA without a recipient")
        self.begin_content()
        self.line("354 End data with <CR><LF>.<CR><LF>")

    def _bdat(self, argument: str) -> None:
        match = _BDAT.match(argument)
        if "CHUNKING" not in self.offered:
            raise Objection(502, "5.5.1", "Not offered", "BDAT was not offered")
        if match is None:
            raise Objection(501, "5.5.4", "Syntax: BDAT octets [LAST]", "not BDAT octets [LAST]")
        self._last_chunk = match["last"] is not None
        # Refused or not, the chunk comes: it is read and then answered (RFC 3030 2).
        self._chunk_objection = None
        if self._mail_from is None:
            self._chunk_objection = self._out_of_sequence(503, "MAIL first", "BDAT before MAIL")
        elif not self._rcpt_to:
            self._chunk_objection = self._out_of_sequence(
                554, "No valid recipients", "BDAT without a recipient"
            )
        self.begin_chunk(int(match["octets"]))

    def take_chunk(self, octets: bytes) -> None:
        """Answer a chunk; may raise an `Objection`, and then there is no transaction."""
        if self._chunk_objection is None:
            self._chunks.append(octets)
            if sum(map(len, self._chunks)) > self._server.size:
                self._chunk_objection = Objection(552, "5.3.4", "Message too large")
        if (objection := self._chunk_objection) is not None:
            self._end_transaction()
            raise objection
        if self._last_chunk:
            self.judge(stuff(b"".join(self._chunks)))
        else:
            self.reply(250, "2.0.0", f"{len(octets)} octets received")

    def _out_of_sequence(self, code: int, text: str, rule: str) -> Objection:
        # A client that pipelines cannot know yet that an earlier command of the group was refused.
        return Objection(code, "5.5.1", text, "" if "PIPELINING" in self.offered else rule)

    def content_begins(self) -> bool:
        """Some content came; whether to read on."""
        if self._strikes_letter(FaultKind.DROP_BEFORE, styles=("", "data")):
            self.abort()
            return False
        return True

    def judge(self, wire: bytes) -> None:
        """Answer the final dot; may raise an `Objection`, and then nothing was accepted."""
        try:
            reply = self._accept(wire)
            if self._strikes_letter(FaultKind.HANG, styles=("", "after")):
                self.mode = Mode.DEAF
            elif self._strikes_letter(FaultKind.DROP_AFTER):
                self.abort()
            elif fault := self._strikes_letter(FaultKind.GARBAGE):
                if fault.style == "long":
                    self.babble()
                else:
                    self.mode = Mode.DEAF
                    self.transport.write(b"\x00\xff<html>no reply of SMTP</html>\r\n")
            else:
                for line in reply:
                    self.line(line)
        finally:
            self._end_transaction()

    def _accept(self, wire: bytes) -> list[str]:
        assert self._mail_from is not None  # noqa: S101 - the mode says so, the type cannot
        parameters = self._mail_from.parameters
        check_content(wire, eight_bit_declared=parameters.get("BODY") == "8BITMIME")
        content = unstuff(wire)
        if len(content) > self._server.size:
            raise Objection(552, "5.3.4", "Message too large")
        if self._strikes_letter(FaultKind.REFUSE, styles=("data",)):
            raise Objection(554, "5.7.1", "Content refused")
        if self._strikes_letter(FaultKind.DEFER, styles=("data",)):
            raise Objection(451, "4.3.0", "Try again later")
        if self._strikes_letter(FaultKind.ERROR):
            raise Objection(451, "4.3.0", "Local error in processing")
        return self._server.accept(self._mail_from, self._rcpt_to, content)

    # Faults.

    def _strikes(
        self, kind: FaultKind, *, recipient: str = "", styles: tuple[str, ...] | None = None
    ) -> Fault | None:
        return self._server.faults.strike("smarthost", recipient, kind, styles=styles)

    def _strikes_letter(
        self, kind: FaultKind, styles: tuple[str, ...] | None = None
    ) -> Fault | None:
        for recipient in self._rcpt_to:
            if fault := self._strikes(kind, recipient=recipient.path, styles=styles):
                return fault
        return None
