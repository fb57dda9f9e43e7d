"""
Where log lines go: a stream, in one write for each turn of the event loop.

A write for each line costs more than making it, and gives the interpreter away to a thread that
then holds it while sessions wait. Lines of other threads, and of a process without a loop, are
written at once. Knows nothing of what a line says; `log` writes here, and nothing else does.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from contextlib import suppress
from typing import TextIO

_MOST = 1 << 16  # characters kept back; a flood of lines is written as it comes


class Lines:
    """
    A text stream that gathers what a turn of the event loop writes.

    Nothing is kept beyond the turn. What a process that dies by SIGKILL has not written then is
    lost, as its last line always could be; every other end of it writes all.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._kept: list[str] = []
        self._octets = 0
        self._lock = threading.Lock()
        atexit.register(self.flush_kept)

    def write(self, text: str) -> int:
        """Write text, soon or at once; its length."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        with self._lock:
            first = not self._kept
            self._kept.append(text)
            self._octets += len(text)
            full = self._octets > _MOST
        if loop is None or full:
            self.flush_kept()
        elif first:
            loop.call_soon(self.flush_kept)
        return len(text)

    def flush(self) -> None:
        """What a logger asks for after each line; it is done for all of them at once."""

    def flush_kept(self) -> None:
        """Write what is kept."""
        with self._lock:
            kept, self._kept, self._octets = self._kept, [], 0
            if not kept:
                return
            # Mail does not stop because nobody takes its log any more.
            with suppress(OSError, ValueError):
                self._stream.write("".join(kept))
                self._stream.flush()
