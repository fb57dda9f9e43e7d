"""
One HTTP call under way: what left of it, what came back, and in which phase it stands.

I/O on a connection that `client` lends. It must not know accounts, reserves or outcomes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpcore

from providers.http.exchange import HttpAnswer, HttpRequest, NoAnswer, Phase

_WRITE_STALL_S = 30.0  # how long the network may take no octet of ours
_CHUNK_OCTETS = 64 << 10

# What httpcore raises. Its TLS layer lets some of the socket's own errors through.
CALL_ERRORS = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    OSError,
)


@dataclass(frozen=True, slots=True)
class Host:
    """One place where the API answers, of a base URL as `parse_base_url` gives it."""

    origin: httpcore.Origin
    netloc: bytes
    root: bytes

    @classmethod
    def from_base_url(cls, base_url: str) -> Host:
        """Read it once; calls only append to it."""
        parts = urlsplit(base_url)
        return cls(httpcore.URL(base_url).origin, parts.netloc.encode(), parts.path.encode())

    def url(self, request: HttpRequest) -> httpcore.URL:
        """Where a request goes."""
        target = self.root + request.path.encode("ascii")
        if request.query:
            target += b"?" + request.query.encode("ascii")
        origin = self.origin
        return httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=target)


class Call:
    """
    One call.

    It is the request's body stream, and that is how it knows its phase: httpcore asks for the body
    after the header went out, and for each piece after the one before. Until it takes the last
    piece, nobody can have read a whole request (RFC 9112 6.3: its length was announced). A request
    without a body is whole with its header; there httpcore's trace tells.
    """

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._response: httpcore.Response | None = None
        self._body: list[bytes] = []
        self.phase = Phase.WAIT

    async def make(
        self,
        connection: httpcore.AsyncHTTPConnection,
        host: Host,
        headers: Sequence[tuple[bytes, bytes]],
        connect_s: float,
    ) -> None:
        """
        Send, and read the answer as far as it is wanted.

        Args:
            connection: To that host; connected here if it is not yet.
            host: Where to send it.
            headers: Beyond those of the request.
            connect_s: How long connecting may take, in seconds.

        Raises:
            CALL_ERRORS: It failed; `phase` and `result` tell how far it got.
        """
        self.phase = Phase.CONNECT
        request = self._as_httpcore(host, headers, connect_s)
        if not self._request.body:
            request.extensions["trace"] = self._trace
        self._response = response = await connection.handle_async_request(request)
        octets = 0
        try:
            async for piece in response.aiter_stream():
                self._body.append(piece)
                octets += len(piece)
                if octets > self._request.answer_octets:
                    break
        finally:
            await response.aclose()

    def result(self, reason: str) -> HttpAnswer | NoAnswer:
        """The answer as far as it came, for a status proves its point alone; else why none came."""
        response = self._response
        if response is None:
            return NoAnswer(self.phase, reason)
        headers: dict[str, str] = {}
        for name, value in response.headers:
            key, text = name.decode("ascii").lower(), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        body = b"".join(self._body)[: self._request.answer_octets]
        return HttpAnswer(response.status, headers, body)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body = self._request.body
        if body:
            self.phase = Phase.SEND
            last = (len(body) - 1) // _CHUNK_OCTETS * _CHUNK_OCTETS
            for start in range(0, last, _CHUNK_OCTETS):
                yield body[start : start + _CHUNK_OCTETS]
            self.phase = Phase.ANSWER
            yield body[last:] if last else body

    def _as_httpcore(
        self, host: Host, headers: Sequence[tuple[bytes, bytes]], connect_s: float
    ) -> httpcore.Request:
        request = self._request
        fields = [(b"Host", host.netloc), *headers]
        fields += [(name.encode("ascii"), value.encode("ascii")) for name, value in request.headers]
        if request.body or request.method != "GET":
            fields.append((b"Content-Length", b"%d" % len(request.body)))
        return httpcore.Request(
            request.method,
            host.url(request),
            headers=fields,
            content=self,
            extensions={"timeout": {"connect": connect_s, "write": _WRITE_STALL_S}},
        )

    async def _trace(self, event: str, _: object) -> None:
        if event == "http11.send_request_headers.started":
            self.phase = Phase.ANSWER
