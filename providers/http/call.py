"""
One HTTP call under way: what left of it, what came back, and in which phase it stands.

I/O on a transport that `client` lends. It must not know accounts, hosts in reserve or outcomes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import lru_cache
from typing import Any

import httpx

from providers.http.exchange import HttpAnswer, HttpRequest, NoAnswer, Phase

MAX_ANSWER_OCTETS = 1 << 20

_WRITE_STALL_S = 30.0  # how long the network may take no octet of ours
_CHUNK_OCTETS = 64 << 10


class Call(httpx.AsyncByteStream):
    """
    One call under way: what left of it and what came back.

    It is the request's body stream, and that is how it knows: httpcore asks for the body after the
    header went out, and for each piece after the one before. Until it takes the last piece,
    nobody can have read a whole request (RFC 9112 6.3: its length was announced). A request
    without a body is whole with its header, so there httpcore's trace tells.
    """

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._answered: httpx.Response | None = None
        self._body: list[bytes] = []
        self.phase = Phase.WAIT

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body = self._request.body
        if body:
            self.phase = Phase.SEND
            last = (len(body) - 1) // _CHUNK_OCTETS * _CHUNK_OCTETS
            for start in range(0, last, _CHUNK_OCTETS):
                yield body[start : start + _CHUNK_OCTETS]
            self.phase = Phase.ANSWER
            yield body[last:] if last else body

    async def make(
        self,
        transport: httpx.AsyncHTTPTransport,
        host: httpx.URL,
        headers: Sequence[tuple[bytes, bytes]],
        connect_s: float,
    ) -> None:
        """
        Send, and read the answer as far as it is wanted.

        Raises:
            httpx.TransportError: It failed; `phase` and `result` tell how far it got.
            OSError: The same, for what httpx does not translate (TLS records that make no sense).
        """
        self.phase = Phase.CONNECT
        response = await transport.handle_async_request(self._as_httpx(host, headers, connect_s))
        self._answered = response
        octets = 0
        try:
            async for piece in response.aiter_raw():
                self._body.append(piece)
                octets += len(piece)
                if octets > MAX_ANSWER_OCTETS:
                    break
        finally:
            await response.aclose()

    def result(self, reason: str) -> HttpAnswer | NoAnswer:
        """The answer as far as it came, for a status proves its point alone; else why none came."""
        response = self._answered
        if response is None:
            return NoAnswer(self.phase, reason)
        body = b"".join(self._body)[:MAX_ANSWER_OCTETS]
        return HttpAnswer(response.status_code, dict(response.headers), body)

    def _as_httpx(
        self, host: httpx.URL, headers: Sequence[tuple[bytes, bytes]], connect_s: float
    ) -> httpx.Request:
        request = self._request
        fields = [(b"Host", host.netloc), *headers]
        fields += [(name.encode("ascii"), value.encode("ascii")) for name, value in request.headers]
        timeouts = {"connect": connect_s, "write": _WRITE_STALL_S, "read": None, "pool": None}
        extensions: dict[str, Any] = {"timeout": timeouts}
        if request.body or request.method != "GET":
            fields.append((b"Content-Length", b"%d" % len(request.body)))
        if not request.body:
            extensions["trace"] = self._trace
        url = _url(host, request.path, request.query)
        return httpx.Request(
            request.method, url, headers=fields, stream=self, extensions=extensions
        )

    async def _trace(self, event: str, _: object) -> None:
        if event == "http11.send_request_headers.started":
            self.phase = Phase.ANSWER


@lru_cache(maxsize=64)
def _url(host: httpx.URL, path: str, query: str) -> httpx.URL:
    return httpx.URL(f"{host}{path}?{query}" if query else f"{host}{path}")
