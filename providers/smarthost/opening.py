"""
From nothing to a connection on which a transaction may begin: connect, EHLO, STARTTLS, AUTH.

aiosmtplib does the talking, step by step, so that the phase is known whatever happens; then the
connection goes over to a `Dialogue`. All exceptions of aiosmtplib, of sockets and of TLS end here
and become outcomes, by table; the server's words leave here without our credentials in them.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import aiosmtplib

from providers.contract.errors import ProviderConfigError
from providers.contract.outcome import Cause, DeliveryOutcome, Kind, Scope
from providers.smarthost.dialogue import Dialogue
from providers.smarthost.replies import (
    Phase,
    Reply,
    one_line,
    outcome_from_garbage,
    outcome_from_reply,
    outcome_from_silence,
)
from providers.smarthost.settings import SmarthostSettings, Tls

# One mechanism, not all in turn: a wrong password tried three times locks some accounts. Where the
# line is encrypted, the one that every server has right; where it is not, the one that hides the
# password.
_MECHANISMS = {True: ("plain", "login", "cram-md5"), False: ("cram-md5", "plain", "login")}

# What stood in the way when no reply did; the first type that fits decides, so the special come
# before the general.
_TROUBLES: tuple[tuple[type[Exception], str, str], ...] = (
    (ssl.SSLCertVerificationError, "4.7.5", "the certificate is not trusted: "),
    (ssl.SSLError, "4.7.5", "TLS failed: "),
    (TimeoutError, "4.4.2", "no answer in time"),
    (socket.gaierror, "4.4.3", "the host name is not known: "),
    (OSError, "4.4.1", ""),
    (UnicodeError, "4.4.3", "the host name is malformed: "),
    (aiosmtplib.SMTPException, "4.5.0", ""),
)


@dataclass(frozen=True, slots=True)
class Connection:
    """An open connection, the extensions offered by their lower-case keywords, and who is there."""

    dialogue: Dialogue
    offered: Mapping[str, str]
    peer: str


class _Obstacle(Exception):
    """We will not go on; nothing went wrong."""

    def __init__(self, status: str, text: str, cause: Cause) -> None:
        super().__init__(text)
        self.outcome = DeliveryOutcome(Kind.DEFERRED, Scope.PROVIDER, status, text, cause=cause)


def build_tls_context(settings: SmarthostSettings) -> ssl.SSLContext | None:
    """
    The context of all connections of an account, TLS 1.2 at least; `None` where there is no TLS.

    Reads the system's certificates, which takes tens of milliseconds: build it once.

    Raises:
        ProviderConfigError: `ca_file` cannot be read or holds no certificate.
    """
    if settings.tls is Tls.OFF:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or "it holds no certificate"
        raise ProviderConfigError(f"ca_file: cannot use {settings.ca_file}: {reason}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not settings.verifies_certificate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def open_connection(
    settings: SmarthostSettings, tls_context: ssl.SSLContext | None, when: float
) -> Connection | DeliveryOutcome:
    """
    Connect, encrypt and authenticate as the settings say.

    Args:
        settings: The account.
        tls_context: From `build_tls_context`.
        when: Until when, in the loop's time.

    Returns:
        The connection, or why there is none: always `deferred` for the provider.

    On cancellation the connection is broken.
    """
    opening = _Opening(settings, tls_context)
    try:
        async with asyncio.timeout_at(when):
            return await opening.run()
    except _Obstacle as obstacle:
        opening.abort()
        return obstacle.outcome
    except tuple(kind for kind, _, _ in _TROUBLES) as error:
        opening.abort()
        return opening.outcome_from_exception(error)
    except BaseException:
        opening.abort()
        raise


class _Smtp(aiosmtplib.SMTP):
    """aiosmtplib's client, whose every failure ends in `close`."""

    def close(self) -> None:
        # A polite end of TLS waits half a minute for a peer that may have died.
        if self.transport is not None:
            cast("asyncio.Transport", self.transport).abort()
        super().close()


class _Opening:
    """One attempt; `phase` is the step that is being taken."""

    def __init__(self, settings: SmarthostSettings, tls_context: ssl.SSLContext | None) -> None:
        self._settings = settings
        self.phase = Phase.CONNECT
        # Without a time-out of its own at each step: the whole has one.
        self._smtp = _Smtp(
            hostname=settings.host,
            port=settings.port,
            local_hostname=settings.hostname,
            timeout=None,
            use_tls=settings.tls is Tls.IMPLICIT,
            start_tls=False,
            tls_context=tls_context,
        )

    async def run(self) -> Connection:
        await self._smtp.connect()
        await self._greet()
        if self._settings.tls in (Tls.STARTTLS, Tls.REQUIRED):
            await self._encrypt()
        if self._settings.username is not None:
            await self._authenticate()
        return self._hand_over()

    def abort(self) -> None:
        self._smtp.close()

    async def _greet(self) -> None:
        self.phase = Phase.EHLO
        try:
            await self._smtp.ehlo()
        except aiosmtplib.SMTPHeloError as error:
            # A server from before ESMTP; 421 and other 4yz are no such thing.
            if error.code < 500 or not self._smtp.is_connected:
                raise
            await self._smtp.helo()

    async def _encrypt(self) -> None:
        if not self._smtp.supports_extension("starttls"):
            if self._settings.tls is Tls.REQUIRED:
                raise _Obstacle("4.7.10", "the server does not offer STARTTLS", Cause.UNREACHABLE)
            return
        self.phase = Phase.STARTTLS
        await self._smtp.starttls()
        await self._greet()  # RFC 3207 4.2: what was offered before TLS does not count

    @property
    def _encrypted(self) -> bool:
        return self._smtp.get_transport_info("sslcontext") is not None

    async def _authenticate(self) -> None:
        self.phase = Phase.AUTH
        if not self._encrypted and not self._settings.allow_plain_auth:
            raise _Obstacle(
                "4.7.10",
                "the server does not offer STARTTLS, and the password must not go in clear text",
                Cause.UNREACHABLE,
            )
        offered = self._smtp.server_auth_methods
        mechanisms = [name for name in _MECHANISMS[self._encrypted] if name in offered]
        if not mechanisms:
            raise _Obstacle(
                "4.7.4", f"no way to authenticate: AUTH {' '.join(offered)}".strip(), Cause.ACCOUNT
            )
        for name in mechanisms:
            try:
                await self._authenticate_by(name)
            except aiosmtplib.SMTPAuthenticationError as error:
                # 504: offered and not known after all (RFC 4954 4); only then the next one.
                if error.code != 504 or name == mechanisms[-1]:
                    raise
            else:
                return

    async def _authenticate_by(self, mechanism: str) -> None:
        username, password = self._credentials
        match mechanism:
            case "plain":
                await self._smtp.auth_plain(username, password)
            case "cram-md5":
                await self._smtp.auth_crammd5(username, password)
            case _:
                await self._login(username, password)

    async def _login(self, username: str, password: str) -> None:
        """
        AUTH LOGIN, each word asked for.

        aiosmtplib sends the name along with the command, and servers that do not expect it there
        take the password for the name.
        """
        reply = await self._smtp.execute_command(b"AUTH", b"LOGIN")
        for word in (username, password):
            if reply.code != 334:
                break
            reply = await self._smtp.execute_command(base64.b64encode(word.encode()))
        if reply.code != 235:
            raise aiosmtplib.SMTPAuthenticationError(reply.code, reply.message)

    def _hand_over(self) -> Connection:
        smtp = self._smtp
        if smtp.transport is None or not smtp.is_connected:
            raise ConnectionError("the server closed the connection")
        tls = smtp.get_transport_info("ssl_object")
        words = [tls.version() if tls is not None else "no TLS"]
        if smtp.esmtp_extensions:
            words.append(" ".join(sorted(smtp.esmtp_extensions)).upper())
        peer = one_line(f"{self._settings.host}:{self._settings.port}, {', '.join(words)}")
        offered = dict(smtp.esmtp_extensions)
        return Connection(Dialogue(cast("asyncio.Transport", smtp.transport)), offered, peer)

    # What stood in the way.

    @property
    def _credentials(self) -> tuple[str, str]:
        password = self._settings.password
        return self._settings.username or "", password.get_secret_value() if password else ""

    def outcome_from_exception(self, error: Exception) -> DeliveryOutcome:
        if isinstance(error, aiosmtplib.SMTPResponseException):
            if self.phase is Phase.CONNECT:
                self.phase = Phase.GREETING  # aiosmtplib takes both steps in one
            text = self._without_secrets(error.message)
            if error.code < 200:  # aiosmtplib's own code for what it cannot read
                return outcome_from_garbage(self.phase, text)
            return outcome_from_reply(self.phase, Reply(error.code, tuple(text.split("\n"))))
        reason = error.__cause__ if isinstance(error, aiosmtplib.SMTPConnectError) else None
        if not isinstance(reason, Exception):
            reason = error
        status, text = next(
            (status, text) for kind, status, text in _TROUBLES if isinstance(reason, kind)
        )
        if not isinstance(reason, TimeoutError):
            text += getattr(reason, "verify_message", "") or str(reason)
        where = f"{self.phase} {self._settings.host}:{self._settings.port}"
        return outcome_from_silence(self.phase, status, f"{where}: {self._without_secrets(text)}")

    def _without_secrets(self, text: str) -> str:
        """The text without our credentials, should the server have echoed them (trap T25)."""
        username, password = self._credentials
        if not password:
            return text
        for secret in (f"\0{username}\0{password}", password):
            text = text.replace(base64.b64encode(secret.encode()).decode(), "…")
        return text.replace(password, "…")
