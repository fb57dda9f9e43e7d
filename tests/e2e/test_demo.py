"""`make run`: the gateway before the sandbox, and every line that it prints, followed literally."""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bench.ports import free_port
from tests.e2e.gateway_process import environment

pytestmark = pytest.mark.e2e


class Demonstration:
    """The process, and what it printed on either output so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.printed: list[str] = []
        self._changed = asyncio.Event()

    async def start(self, smtp_port: int) -> None:
        words = f"demo --folder {self.folder} --smtp-port {smtp_port} --http-port {free_port()}"
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", *words.split()),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(),
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.readers = [
            asyncio.create_task(self._read(stream))
            for stream in (self.process.stdout, self.process.stderr)
        ]

    async def _read(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            self.printed.append(line.decode())
            self._changed.set()

    async def line(self, fits: Callable[[str], bool]) -> str:
        """The first line that fits, when it is there."""
        async with asyncio.timeout(60):
            while not (found := [line for line in self.printed if fits(line)]):
                self._changed.clear()
                await self._changed.wait()
        return found[0]

    async def told(self, what: str) -> str:
        """What it says behind the name of something in its greeting."""
        await self.line(lambda line: "Ctrl-C" in line)
        line = await self.line(lambda line: line.startswith(f"  {what}  "))
        return line.removeprefix(f"  {what}").strip()

    async def interrupt(self) -> int:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
        code = await self.process.wait()
        await asyncio.gather(*self.readers)
        return code


@pytest.fixture
async def demonstration(tmp_path: Path) -> AsyncIterator[Demonstration]:
    demonstration = Demonstration(tmp_path / "demo")
    yield demonstration
    await demonstration.interrupt()


async def run(line: str) -> str:
    """What a line of the greeting prints, when a user types it."""
    program, *words = shlex.split(line)
    if program.endswith("/mailquay"):
        program, words = sys.executable, ["-m", "gateway", *words]
    process = await asyncio.create_subprocess_exec(
        program, *words, stdout=asyncio.subprocess.PIPE, env=environment()
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def test_the_greeting_tells_nothing_that_is_not_so(demonstration: Demonstration) -> None:
    """A letter by each provider, its story up to the delivery, the queue, the sandbox, health."""
    await demonstration.start(free_port())
    send = await demonstration.told("Send a letter")
    recipients = ("bob@example.com", "bob@v1.example.com", "bob@v2.example.com")
    for recipient in recipients:
        said = await run(send.replace("bob@example.com", recipient))
        assert re.fullmatch(r"250 2\.0\.0 Ok: queued as \w+\n", said)
    by_v1 = '"to": "bob@v1.example.com"'
    await demonstration.line(lambda line: '"tracked": "delivered"' in line and by_v1 in line)
    for recipient in recipients:
        to = f'"to": "{recipient}"'
        await demonstration.line(lambda line, to=to: "handed_over" in line and to in line)
    trace = await demonstration.told("What became of it")
    assert "main accepted" in await run(trace)
    story = await run(trace.replace("bob@example.com", "bob@v1.example.com"))
    assert "delivered, says rest" in story
    assert "this client needed" not in story
    assert "accepted 3 = settled 3" in await run(await demonstration.told("The queue"))
    seen = await run(await demonstration.told("What the sandbox got"))
    assert all(f"bob@{domain}example.com" in seen for domain in ("", "v1.", "v2."))
    health = await run(await demonstration.told("Metrics and health"))
    assert "mailquay_build_info" in health
    assert await demonstration.interrupt() == 0


async def test_a_port_that_is_taken(demonstration: Demonstration) -> None:
    """What runs there already is the commonest trouble of a first start."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await demonstration.start(port)
        code = await demonstration.process.wait()
    await asyncio.gather(*demonstration.readers)
    assert code != 0
    text = "".join(demonstration.printed)
    assert f"mailquay: cannot listen on 127.0.0.1:{port}: Address already in use" in text
    assert "Traceback" not in text
