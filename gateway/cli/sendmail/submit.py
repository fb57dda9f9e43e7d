"""
Handing a letter over: to the daemon by SMTP, or to the maildrop when the daemon does not take it.

A refusal is final and told to the caller. Everything else that keeps the daemon from taking the
letter (it is down, full, silent after the last dot) ends in the maildrop; what it has after all is
found by the duplicate guard. Blocks.
"""

from __future__ import annotations

import contextlib
import os
import smtplib
import socket
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.sendmail.compose import Letter
from gateway.ingress.dropped import drop
from providers.contract.envelope import BodyType, Notify

_CONNECT_S = 5.0
_ANSWER_S = 300.0  # a client in direct mode waits for a provider


@dataclass(frozen=True, slots=True)
class Target:
    """Where the daemon listens: host and port, or the path of a socket (`port` is 0 then)."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Submitted:
    """How it went: a sysexits code and a line for whoever asks for one."""

    code: int
    told: str


class Refused(Exception):
    """The daemon has refused the letter for good; the text is its reply."""

    def __init__(self, reply: str, code: int) -> None:
        super().__init__(reply)
        self.code = code


class _NotNow(Exception):
    """The daemon does not take it now."""


def parse_target(text: str) -> Target:
    """
    Read `host:port`, `host`, `[::1]:port` or the path of a socket.

    Raises:
        ValueError: The port is none.
    """
    text = text.removeprefix("unix:")
    if text.startswith("/"):
        return Target(text, 0)
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return Target(text.strip("[]"), 25)
    if not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} names no port")
    return Target(host.strip("[]") or "127.0.0.1", int(port))


def submit(letter: Letter, target: Target | None, maildrop: Path | None) -> Submitted:
    """Hand it over, one way or the other; never raises."""
    why = "no listener takes it without TLS and login"
    if target is not None:
        try:
            return Submitted(os.EX_OK, _by_smtp(letter, target))
        except Refused as refusal:
            return Submitted(refusal.code, str(refusal))
        except _NotNow as error:
            why = str(error)
    if maildrop is None:
        return Submitted(os.EX_TEMPFAIL, f"not sent: {why}; and there is no maildrop")
    try:
        left = drop(maildrop, letter.envelope, letter.content)
    except OSError as error:
        return Submitted(os.EX_TEMPFAIL, f"not sent: {why}; maildrop: {error}")
    return Submitted(os.EX_OK, f"left in the maildrop as {left.name}: {why}")


def connect(target: Target) -> socket.socket:
    """
    A connection to the daemon.

    Raises:
        OSError: Nobody listens there.
    """
    if target.port:
        return socket.create_connection((target.host, target.port), _CONNECT_S)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_CONNECT_S)
        connection.connect(target.host)
    except BaseException:
        connection.close()
        raise
    return connection


class _Smtp(smtplib.SMTP):
    """The library's client, over whatever `connect` opens."""

    def __init__(self, target: Target) -> None:
        self._target = target
        # A name of its own, or the library asks the network for one.
        super().__init__(target.host, target.port or 25, "localhost", timeout=_ANSWER_S)

    def _get_socket(self, *_: object) -> socket.socket:
        connection = connect(self._target)
        connection.settimeout(_ANSWER_S)
        return connection


def _by_smtp(letter: Letter, target: Target) -> str:
    """
    The daemon's reply to the letter.

    Raises:
        Refused: It does not want it.
        _NotNow: It does not take it now, or it is not known whether it did.
    """
    try:
        smtp = _Smtp(target)
    except (OSError, smtplib.SMTPException) as error:
        raise _NotNow(f"the daemon does not answer: {error}") from error
    try:
        smtp.ehlo_or_helo_if_needed()
        _envelope(smtp, letter)
        reply = _positive(*smtp.data(letter.content), os.EX_UNAVAILABLE)
        with contextlib.suppress(OSError, smtplib.SMTPException):
            smtp.docmd("QUIT")
    except smtplib.SMTPResponseException as error:
        said = error.smtp_error
        _positive(
            error.smtp_code, said if isinstance(said, bytes) else said.encode(), os.EX_DATAERR
        )
        raise _NotNow(f"{error.smtp_code}") from error
    except (OSError, smtplib.SMTPException) as error:
        raise _NotNow(f"the connection broke: {error}") from error
    finally:
        smtp.close()
    return reply


def _envelope(smtp: smtplib.SMTP, letter: Letter) -> None:
    envelope = letter.envelope
    options = [f"SIZE={len(letter.content)}"] if smtp.has_extn("size") else []
    if envelope.body is BodyType.EIGHT_BIT_MIME and smtp.has_extn("8bitmime"):
        options.append("BODY=8BITMIME")
    if envelope.smtputf8:
        options.append("SMTPUTF8")
    dsn = smtp.has_extn("dsn")
    if dsn and envelope.ret is not None:
        options.append(f"RET={envelope.ret}")
    if dsn and envelope.envid is not None:
        options.append(f"ENVID={_xtext(envelope.envid)}")
    sender = envelope.reverse_path.addr_spec if envelope.reverse_path else ""
    _positive(*smtp.mail(sender, options), os.EX_UNAVAILABLE)
    for recipient in envelope.recipients:
        given = dsn and recipient.notify is not None
        notify = [f"NOTIFY={_words(recipient.notify)}"] if given and recipient.notify else []
        _positive(*smtp.rcpt(recipient.forward_path.addr_spec, notify), os.EX_NOUSER)


def _positive(code: int, said: bytes, refused: int) -> str:
    reply = f"{code} {said.decode('utf-8', 'replace')}".replace("\n", " ")
    if 200 <= code < 300:
        return reply
    if code >= 500:
        raise Refused(reply, refused)
    raise _NotNow(reply)


def _words(notify: frozenset[Notify]) -> str:
    return ",".join(sorted(map(str, notify)))


def _xtext(text: str) -> str:
    """RFC 3461 4: `+`, `=` and what is not printable as two hexadecimal digits."""
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in text)
