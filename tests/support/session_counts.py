"""A session observer that keeps what it was told."""

from __future__ import annotations

from gateway.ingress.submission import Reply


class SessionCounts:
    """
    What a `SessionObserver` hears.

    Attributes:
        connected_to: Listeners, in the order clients came.
        disconnected_from: The same for sessions that ended.
        replies: All replies, with the listener.
        failed_handshakes: Listeners, for each TLS that did not come about.
    """

    def __init__(self) -> None:
        self.connected_to: list[str] = []
        self.disconnected_from: list[str] = []
        self.replies: list[tuple[str, Reply]] = []
        self.failed_handshakes: list[str] = []

    def connected(self, listener: str) -> None:
        self.connected_to.append(listener)

    def disconnected(self, listener: str) -> None:
        self.disconnected_from.append(listener)

    def replied(self, listener: str, reply: Reply) -> None:
        self.replies.append((listener, reply))

    def handshake_failed(self, listener: str) -> None:
        self.failed_handshakes.append(listener)

    @property
    def reasons(self) -> list[str]:
        return [reply.reason for _, reply in self.replies]
