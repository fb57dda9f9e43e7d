"""
Ports of the loopback for servers that must know theirs before they start.

For the bench and the tests, of which several processes may look for a port at the same moment.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections import deque

# Below those that the kernel gives out by itself: nobody who asks for any port gets one of ours in
# the moment between our look and the server's start, or while the server is down on purpose.
_FIRST, _LAST = 20_000, 32_000

_MOST_TAKEN = 200

_taken: deque[int] = deque()
"""
UDP sockets of the ports given out. Nothing here speaks UDP: whoever looks for a port has to have
its UDP side first, so that no two processes are given the same, though the servers on TCP may be
late.
"""


def free_port() -> int:
    """A port that nobody listens on, and that no other call is given while this process runs."""
    while True:
        port = _FIRST + secrets.randbelow(_LAST - _FIRST)
        with socket.socket(type=socket.SOCK_DGRAM) as mark, socket.socket() as listening:
            try:
                mark.bind(("127.0.0.1", port))
                listening.bind(("127.0.0.1", port))
            except OSError:
                continue
            if len(_taken) == _MOST_TAKEN:
                os.close(_taken.popleft())
            _taken.append(mark.detach())
            return port
