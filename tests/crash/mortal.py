"""
A gateway that is killed and lives again, over and over, on the same spool.

Steers `child`; what can be seen of a life (log, ports, metrics) comes as with any other gateway
process.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.gateway_process import GatewayProcess, LogLine, environment

Labels = tuple[tuple[str, str], ...]

_PROJECT = Path(__file__).resolve().parents[2]
_LONGEST_LINE = 1 << 20


class MortalGateway(GatewayProcess):
    """
    `mailquay serve` in forks of one process, one life at a time in the whole test run.

    Its hostname is its own, so that clients who meet somebody else on a former port of it notice.
    """

    def __init__(self, folder: Path, providers: dict[str, dict[str, Any]], **config: Any) -> None:
        self.hostname = f"gateway-{secrets.token_hex(4)}.example.com"
        super().__init__(folder, providers, **{"hostname": self.hostname, **config})
        self.spool_path = Path(self.config["spool"]["url"].removeprefix("sqlite:///"))
        self._alive = False
        self._pid = 0
        self._begun_at = 0
        self._pipe: asyncio.ReadTransport | None = None

    @property
    def pid(self) -> int:
        """Of the life under way or of the last one."""
        return self._pid

    async def start(
        self, *, die_at: str = "", nth: int = 1, weaknesses: Iterable[str] = ()
    ) -> None:
        """Begin a life and wait until it greets; see `begin`."""
        await self.begin(die_at=die_at, nth=nth, weaknesses=weaknesses)
        assert await self.greets(), self.log[self._begun_at :]

    async def begin(
        self, *, die_at: str = "", nth: int = 1, weaknesses: Iterable[str] = ()
    ) -> None:
        """
        Begin a life and do not wait for what becomes of it.

        Args:
            die_at: One of `points.POINTS`; empty: it lives until it is killed or stopped.
            nth: How often the point is passed, the deadly time counted.
            weaknesses: Of `points.WEAKNESSES`.
        """
        assert not self._alive
        if self._pipe is None:
            await self._connect()
        self.config_path.write_text(yaml.safe_dump(self.config), encoding="utf-8")
        self._begun_at = len(self.log)
        life = {
            "config": str(self.config_path),
            "die_at": die_at,
            "nth": nth,
            "weaknesses": list(weaknesses),
        }
        _Stock.command(life)
        self._alive = True
        self._pid = (await self.seen("begun"))["pid"]

    async def greets(self) -> bool:
        """Wait until clients are greeted; `False` when it dies before."""
        both = {"started", "process_ended"}
        line = await self.wait_for(lambda line: line["event"] in both, since=self._begun_at)
        if line["event"] == "process_ended":
            return False
        self.smtp_port = line["smtp"]["app"]
        self.http_port = line["http"]
        return True

    async def seen(self, event: str, **fields: object) -> LogLine:
        """The first line of this life's log that tells this event, with these fields."""

        def fits(line: LogLine) -> bool:
            told = {name: line.get(name) for name in fields}
            return line["event"] == event and told == fields

        return await self.wait_for(fits, since=self._begun_at)

    def lines(self, event: str) -> list[LogLine]:
        """All lines of all lives that tell this event."""
        return [line for line in self.log if line["event"] == event]

    async def log_grows(self) -> None:
        """Wait for the next line."""
        self._changed.clear()
        await self._changed.wait()

    async def metrics(self) -> dict[tuple[str, Labels], float]:
        """All series, by name and labels."""
        text = (await self.get("/metrics")).text
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def ended(self, timeout_s: float = 120.0) -> int:
        """Wait for the end of this life; its exit code, or minus the signal it died of."""
        async with asyncio.timeout(timeout_s):
            while True:
                for line in self.log[self._begun_at :]:
                    if line["event"] == "process_ended":
                        self._alive = False
                        return int(line["code"])
                await self.log_grows()

    async def stop(self) -> int:
        """SIGTERM, wait, exit code."""
        _Stock.command(signal.SIGTERM.value)
        return await self.ended()

    async def kill(self) -> None:
        """SIGKILL, and wait until nothing is left of it."""
        _Stock.command(signal.SIGKILL.value)
        await self.ended()

    async def freeze(self) -> None:
        """
        SIGSTOP, and wait until no thread will run again.

        A thread inside a system call that cannot be interrupted, a sync above all, stays there, and
        stops where the call would return.
        """
        _Stock.command(signal.SIGSTOP.value)
        async with asyncio.timeout(60):
            # Another process's threads, which send no event.
            while not all(state in "TDZX" for state in self._thread_states()):  # noqa: ASYNC110
                await asyncio.sleep(0)

    async def close(self) -> None:
        """End the life under way, if any."""
        if self._pipe is None or self._reader is None:
            return
        try:
            if self._alive:
                await self.kill()
        except TimeoutError:
            _Stock.discard()
            raise
        finally:
            self._pipe.close()
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    def _thread_states(self) -> list[str]:
        """One letter for each thread, as proc(5) has them."""
        states = []
        for task in Path(f"/proc/{self._pid}/task").iterdir():
            with contextlib.suppress(OSError):  # a thread that has just ended
                states.append((task / "stat").read_text().rpartition(")")[2].split()[0])
        return states

    async def _connect(self) -> None:
        reader = asyncio.StreamReader(limit=_LONGEST_LINE)
        self._pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), _Stock.log()
        )
        self._reader = asyncio.create_task(self._read_from(reader))


class _Stock:
    """
    The process that gateways are forked from, made when first wanted.

    It outlives event loops, and so a test run pays for its imports once.
    """

    _process: subprocess.Popen[bytes] | None = None

    @classmethod
    def command(cls, command: dict[str, Any] | int) -> None:
        """Tell it a line."""
        process = cls._running()
        assert process.stdin is not None
        process.stdin.write(json.dumps(command).encode() + b"\n")
        process.stdin.flush()

    @classmethod
    def log(cls) -> Any:
        """A new file on its log; the caller closes it."""
        process = cls._running()
        assert process.stderr is not None
        return os.fdopen(os.dup(process.stderr.fileno()), "rb", buffering=0)

    @classmethod
    def discard(cls) -> None:
        """End it and what it is at; the next one who wants one gets another."""
        process, cls._process = cls._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()  # it kills the life under way, and ends
        with process:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()

    @classmethod
    def _running(cls) -> subprocess.Popen[bytes]:
        if cls._process is None:
            atexit.register(cls.discard)
            cls._process = subprocess.Popen(
                (sys.executable, "-m", "tests.crash.child"),
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(),
                cwd=_PROJECT,
            )
        return cls._process
