"""
Processes the bench starts, and ends: each by its own id, and only those.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from asyncio.subprocess import DEVNULL, STDOUT, Process, create_subprocess_exec
from collections.abc import Sequence
from pathlib import Path
from typing import Self

_GREETS_WITHIN_S = 20.0
_STOPS_WITHIN_S = 30.0  # a relay may drain first
_LOOK_EVERY_S = 0.005


class ChildFailed(Exception):
    """A process ended early, or did not do what it was started for."""


class Child:
    """One process with its output in a file."""

    def __init__(self, name: str, process: Process, output: Path) -> None:
        self.pid = process.pid
        self._name = name
        self._process = process
        self._output = output

    @classmethod
    async def start(
        cls, command: Sequence[str], *, output: Path, folder: Path | None = None
    ) -> Self:
        """
        Start `command` in `folder`; what it prints goes to `output`.

        Raises:
            ChildFailed: It could not be started.
        """
        with output.open("ab") as stream:
            try:
                process = await create_subprocess_exec(
                    *command, stdin=DEVNULL, stdout=stream, stderr=STDOUT, cwd=folder
                )
            except OSError as error:
                raise ChildFailed(f"{command[0]}: {error.strerror}") from error
        return cls(Path(command[0]).name, process, output)

    async def greets(self, port: int) -> None:
        """
        Wait for its 220 on a port of loopback.

        Raises:
            ChildFailed: It ended, or has not greeted in time; with the end of its output.
        """
        try:
            async with asyncio.timeout(_GREETS_WITHIN_S):
                while not await _greeting(port):
                    if self._process.returncode is not None:
                        raise ChildFailed(f"{self._name} ended: {self.last_words()}")
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            raise ChildFailed(f"{self._name} does not greet: {self.last_words()}") from None

    async def ends(self) -> None:
        """
        Wait for its end; when cancelled, it is ended.

        Raises:
            ChildFailed: Its exit code is not 0; with the end of its output.
        """
        try:
            await self._process.wait()
        finally:
            await self.stop()
        if self._process.returncode != 0:
            raise ChildFailed(f"{self._name} failed: {self.last_words()}")

    async def stop(self, ask: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end by a signal, and make it end when it does not."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(ask)
        try:
            async with asyncio.timeout(_STOPS_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def last_words(self) -> str:
        """The end of its output, in one line."""
        lines = self._output.read_text(errors="replace").splitlines()
        return " | ".join(lines[-3:])[-500:] or f"exit code {self._process.returncode}"


async def _greeting(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        greeted = (await reader.readline()).startswith(b"220 ")
        writer.write(b"QUIT\r\n")
        await reader.read()  # until it closes, so that no session is left behind
    except OSError:
        return False
    finally:
        writer.close()
    return greeted
