"""
The client of one account: calls over a few connections, each made at most once, with a deadline.

What an answer means is `verdict`'s and the adapters'. Built on httpcore's connections, the engine
of httpx, without the pool and the client around them: those walk over all connections for every
call and cost as much as the rest of it; and httpx's client logs whole URLs, keeps cookies and reads
proxies and `.netrc` from the environment, none of which a relay wants. Where letters go is said by
the configuration alone. No redirect is ever followed.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from urllib.parse import quote

import httpcore
import httpx

from providers.contract.clock import Clock
from providers.contract.errors import ProviderConfigError
from providers.http.call import CALL_ERRORS, Call, Host
from providers.http.exchange import HttpAnswer, HttpRequest, NoAnswer, Phase
from providers.http.network import AsyncioBackend
from providers.http.verdict import one_line

_CONNECT_S = 10.0  # a host that takes longer is as good as down, and the reserve wants its turn
# Below the shortest idle time after which common servers hang up (2 s), so that a request hardly
# ever meets a connection that is just being closed: nobody could tell what became of it.
_IDLE_S = 1.5
_MAIN_RESTS_S = 30.0  # after a failed connect the reserve host is asked first for so long
_SHORTEST_SECRET = 8  # characters; blotting out something shorter would eat the answers
_HEADER_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?\Z")

# Words for what httpcore raises. They are for people: what became of the letter is read off the
# call's phase, since the same error can come before and after the request left.
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (httpcore.ConnectTimeout, "no connection in time"),
    (httpcore.ConnectError, "cannot connect"),
    (httpcore.WriteTimeout, "the provider stopped reading"),
    (httpcore.WriteError, "the connection broke while sending"),
    (httpcore.ReadError, "the connection broke before the answer"),
    (httpcore.RemoteProtocolError, "the provider hung up or did not speak HTTP"),
)


class HttpClient:
    """
    Calls one API for one account.
    """

    def __init__(
        self,
        base_urls: Sequence[str],
        *,
        connections: int,
        clock: Clock,
        headers: Sequence[tuple[str, str]] = (),
        secret: str = "",
    ) -> None:
        """
        Nothing is connected yet.

        Args:
            base_urls: The API's base URL as `parse_base_url` gives it, then reserves for when no
                connection to those before can be made.
            connections: How many calls may be under way at once.
            clock: For deadlines.
            headers: Sent with every call, the account's credential among them.
            secret: The credential; it is blotted out of every answer, so that a provider that
                repeats it does not bring it into a log.

        Raises:
            ProviderConfigError: A header value cannot stand in a request, or the certificate
                authorities cannot be read.
        """
        self._hosts = tuple(map(Host.from_base_url, base_urls))
        self._headers = _encoded(headers)
        self._tls = _tls_context(self._hosts)
        self._clock = clock
        self._blots = _spellings(secret)
        self._places = asyncio.Semaphore(connections)
        # With the moment of its last use. The last one used is the next one taken: its connection
        # is the likeliest to stand yet.
        self._idle: deque[tuple[httpcore.AsyncHTTPConnection, float]] = deque()
        self._reaper: asyncio.Task[None] | None = None
        self._closed = False
        self._main_rests_until = float("-inf")

    async def call(self, request: HttpRequest, *, deadline: float) -> HttpAnswer | NoAnswer:
        """
        Make one call; it is not repeated once any of it may have been read.

        Args:
            request: What to ask.
            deadline: Monotonic seconds of the clock; waiting for a place counts.

        Returns:
            The answer as far as it came, or how far the call got without one.

        On cancellation the connection is closed and its place free again.
        """
        remaining = deadline - self._clock.monotonic()
        if self._closed or remaining <= 0:
            late = "the provider was closed" if self._closed else "the deadline had passed"
            return NoAnswer(Phase.WAIT, late)
        call = Call(request)
        try:
            async with asyncio.timeout(remaining), self._places:
                result = await self._with_any_host(call, remaining)
        except TimeoutError:
            waited = call.phase is Phase.WAIT
            result = call.result(
                "all connections were busy" if waited else "no answer by the deadline"
            )
        return self._blotted(result) if isinstance(result, HttpAnswer) else result

    async def aclose(self) -> None:
        """Close all idle connections now, and those in use when their call is over."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
            await asyncio.wait((self._reaper,))
        while self._idle:
            connection, _ = self._idle.pop()
            await connection.aclose()

    async def _with_any_host(self, call: Call, remaining: float) -> HttpAnswer | NoAnswer:
        """The main host, and only when no connection to it can be made the next (D 8)."""
        main, *reserves = self._hosts
        if not reserves:
            return await self._with_host(main, call, min(_CONNECT_S, remaining))
        now = self._clock.monotonic()
        hosts = (main, *reserves) if now >= self._main_rests_until else (*reserves, main)
        for host in hosts[:-1]:
            result = await self._with_host(host, call, min(_CONNECT_S, remaining / len(hosts)))
            if isinstance(result, HttpAnswer) or result.phase is not Phase.CONNECT:
                return result
            if host is main:
                self._main_rests_until = self._clock.monotonic() + _MAIN_RESTS_S
        return await self._with_host(hosts[-1], call, min(_CONNECT_S, remaining))

    async def _with_host(self, host: Host, call: Call, connect_s: float) -> HttpAnswer | NoAnswer:
        connection = await self._connection(host)
        sound = False
        try:
            await call.make(connection, host, self._headers, connect_s)
            sound = True
        except CALL_ERRORS as error:
            return call.result(_words(error))
        finally:
            # A connection on which anything broke, or was cancelled, is never used again.
            if sound and not self._closed:
                self._keep(connection)
            else:
                await connection.aclose()
        return call.result("no answer")

    async def _connection(self, host: Host) -> httpcore.AsyncHTTPConnection:
        """One that idles, if it still stands; else a new one, connected when it is used."""
        while self._idle:
            connection, _ = self._idle.pop()
            if connection.can_handle_request(host.origin) and not connection.has_expired():
                return connection
            await connection.aclose()
        return httpcore.AsyncHTTPConnection(
            host.origin,
            ssl_context=self._tls,
            keepalive_expiry=_IDLE_S,
            network_backend=AsyncioBackend(),
        )

    def _keep(self, connection: httpcore.AsyncHTTPConnection) -> None:
        if not connection.is_available():  # the provider asked to close it, or the answer was cut
            return
        self._idle.append((connection, self._clock.monotonic()))
        if self._reaper is None or self._reaper.done():
            self._reaper = asyncio.create_task(self._reap(), name="idle HTTP connections")

    async def _reap(self) -> None:
        """Close what nobody used for a while; ends when nothing idles."""
        while self._idle:
            remaining = self._idle[0][1] + _IDLE_S - self._clock.monotonic()
            if remaining > 0:
                await self._clock.sleep(remaining)
            else:
                connection, _ = self._idle.popleft()
                await connection.aclose()

    def _blotted(self, answer: HttpAnswer) -> HttpAnswer:
        body = answer.body
        for spelling in self._blots:
            body = body.replace(spelling, b"***")
        return answer if body == answer.body else replace(answer, body=body)


def _encoded(headers: Sequence[tuple[str, str]]) -> tuple[tuple[bytes, bytes], ...]:
    for name, value in headers:
        if not _HEADER_VALUE.match(value):
            raise ProviderConfigError(f"what belongs into header field {name} is not plain ASCII")
    # Without it a proxy may compress what it answers (RFC 9110 12.5.3).
    fields = (("Accept-Encoding", "identity"), *headers)
    return tuple((name.encode("ascii"), value.encode("ascii")) for name, value in fields)


def _tls_context(hosts: Sequence[Host]) -> ssl.SSLContext:
    if any(host.origin.scheme == b"https" for host in hosts):
        return _verifying_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used, and would trust nobody


@cache
def _verifying_context() -> ssl.SSLContext:
    """One for all clients, for it is large: certifi's authorities, or those of SSL_CERT_FILE."""
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise ProviderConfigError(f"cannot read the certificate authorities: {error}") from error


def _spellings(secret: str) -> tuple[bytes, ...]:
    """How an answer may repeat a secret: plain, in JSON with PHP's slashes, percent-encoded."""
    if len(secret) < _SHORTEST_SECRET:
        return ()
    in_json = json.dumps(secret)[1:-1]
    spellings = {secret, in_json, in_json.replace("/", "\\/"), quote(secret), quote(secret, "")}
    return tuple(spelling.encode() for spelling in spellings)


def _words(error: Exception) -> str:
    words = next((words for kind, words in _WORDS if isinstance(error, kind)), "the call failed")
    # Only what concerns the connection is told in the system's words: "Connection refused",
    # "certificate verify failed".
    return one_line(f"{words}: {error}") if isinstance(error, httpcore.ConnectError) else words
