"""Ports of the loopback for servers of tests that must know theirs before they start."""

from __future__ import annotations

import secrets
import socket

# Below those that the kernel gives out by itself: nobody who asks for any port gets one of ours in
# the moment between our look and the server's start, or while the server is down on purpose.
_FIRST, _LAST = 20_000, 32_000


def free_port() -> int:
    """A port that nobody listens on."""
    while True:
        port = _FIRST + secrets.randbelow(_LAST - _FIRST)
        with socket.socket() as listening:
            try:
                listening.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
