"""
How long, and how large, the head of an HTTP request may be.

uvicorn waits for ever for a head that does not come, and keeps what came of it: a stranger could
hold all its connections with a few octets a minute. Here a head has its time and its size; bodies
are bounded by those who read them.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_WITHIN_S = 10.0
MAX_HEAD_OCTETS = 64 << 10


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's connection, which is closed when a request's head is too slow or too large."""

    _giving_up: asyncio.TimerHandle | None = None
    _head_octets = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what came; a part of a head counts against its bounds."""
        super().data_received(data)
        if self._is_in_request():
            self._stop_waiting()
            return
        self._head_octets += len(data)
        if self._head_octets > MAX_HEAD_OCTETS:
            self.transport.abort()
        elif self._giving_up is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _is_in_request(self) -> bool:
        # There is no cycle before the first head.
        return not getattr(self.cycle, "response_complete", True)

    def _wait(self) -> None:
        self._giving_up = self.loop.call_later(HEAD_WITHIN_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        self._head_octets = 0
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
