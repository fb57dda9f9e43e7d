"""What stood in the way of a connection: every foreign exception has its outcome."""

from __future__ import annotations

import socket
import ssl

import aiosmtplib
import pytest

from providers.contract.outcome import Cause, Kind, Scope
from providers.smarthost.opening import _Opening
from providers.smarthost.replies import Phase
from providers.smarthost.settings import SmarthostSettings


def opening(phase: Phase) -> _Opening:
    """An attempt that has come to this phase, without a socket."""
    made = _Opening(SmarthostSettings(host="mx.example.com", tls="off"), None)
    made.phase = phase
    return made


def connect_error(cause: Exception) -> aiosmtplib.SMTPConnectError:
    error = aiosmtplib.SMTPConnectError(f"Error connecting: {cause}")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (connect_error(ConnectionRefusedError(111, "Connection refused")), "4.4.1", "refused"),
        (connect_error(OSError(113, "No route to host")), "4.4.1", "No route"),
        (connect_error(socket.gaierror(-2, "Name or service not known")), "4.4.3", "not known"),
        (connect_error(ssl.SSLError(1, "wrong version number")), "4.7.5", "TLS failed"),
        (
            connect_error(ssl.SSLCertVerificationError(1, "expired")),
            "4.7.5",
            "not trusted: expired",
        ),
        (aiosmtplib.SMTPConnectError("Connection lost"), "4.4.1", "Connection lost"),
        (aiosmtplib.SMTPServerDisconnected("Connection lost"), "4.4.1", "Connection lost"),
        (aiosmtplib.SMTPConnectTimeoutError("Timed out"), "4.4.2", "no answer in time"),
        (TimeoutError(), "4.4.2", "no answer in time"),
        (ssl.SSLCertVerificationError(1, "self-signed"), "4.7.5", "not trusted: self-signed"),
        (ConnectionResetError(104, "Connection reset by peer"), "4.4.1", "reset"),
        (UnicodeError("label too long"), "4.4.3", "label too long"),
        (aiosmtplib.SMTPException("anything else"), "4.5.0", "anything else"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
@pytest.mark.parametrize("phase", [Phase.CONNECT, Phase.EHLO, Phase.STARTTLS, Phase.AUTH])
def test_no_reply(phase: Phase, error: Exception, status: str, words: str):
    """Never got through: put off for the provider, with the place and the reason in one line."""
    outcome = opening(phase).outcome_from_exception(error)
    assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
    assert (outcome.cause, outcome.status) == (Cause.UNREACHABLE, status)
    assert outcome.diagnostic.startswith(f"{phase} mx.example.com:25: ")
    assert words in outcome.diagnostic


@pytest.mark.parametrize(
    ("phase", "error", "cause", "status"),
    [
        (
            Phase.CONNECT,
            aiosmtplib.SMTPConnectResponseError(554, "5.3.2 go away"),
            Cause.UNREACHABLE,
            "4.3.2",
        ),
        (Phase.CONNECT, aiosmtplib.SMTPConnectResponseError(421, "busy"), Cause.THROTTLED, "4.7.0"),
        (Phase.EHLO, aiosmtplib.SMTPHeloError(550, "who?"), Cause.UNREACHABLE, "4.4.1"),
        (Phase.AUTH, aiosmtplib.SMTPAuthenticationError(535, "no"), Cause.ACCOUNT, "4.7.8"),
        (Phase.AUTH, aiosmtplib.SMTPResponseException(-1, "<html>"), Cause.UNREACHABLE, "4.5.0"),
    ],
)
def test_a_reply(phase: Phase, error: Exception, cause: Cause, status: str):
    """A reply inside an exception is judged by the table of replies."""
    outcome = opening(phase).outcome_from_exception(error)
    assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
    assert (outcome.cause, outcome.status) == (cause, status)
