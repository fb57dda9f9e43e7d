"""The real daemon as a child process, its log read line by line, and real programs beside it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

from providers.sandbox import credentials
from providers.sandbox.server import Sandbox

LogLine = dict[str, Any]


def smarthost(sandbox: Sandbox, **more: Any) -> dict[str, Any]:
    """Settings of a smarthost provider at the sandbox."""
    return {
        "kind": "smarthost",
        "host": "127.0.0.1",
        "port": sandbox.smtp_port,
        "tls": "off",
        "allow_plain_auth": True,
        "username": credentials.SMTP_USERNAME,
        "password": credentials.SMTP_PASSWORD,
        **more,
    }


def rest_v1(sandbox: Sandbox, **more: Any) -> dict[str, Any]:
    """Settings of a v1 provider at the sandbox."""
    return {
        "kind": "rest_v1",
        "base_url": sandbox.v1_url,
        "api_key": credentials.V1_API_KEY,
        **more,
    }


def form_v2(sandbox: Sandbox, **more: Any) -> dict[str, Any]:
    """Settings of a v2 provider at the sandbox, faster than the assumed rate."""
    return {
        "kind": "form_v2",
        "base_url": sandbox.v2_url,
        "token": credentials.V2_TOKEN,
        "rate": "20/s",
        **more,
    }


class GatewayProcess:
    """
    `mailquay serve` with a configuration of its own below a folder.

    The log is JSON on standard error; `log` holds what came so far. `config` may be changed
    between a stop and the next start.
    """

    def __init__(self, folder: Path, providers: dict[str, dict[str, Any]], **config: Any) -> None:
        self.folder = folder
        self.config: dict[str, Any] = {
            "hostname": "gateway.example.com",
            "smtp": {"listeners": [{"name": "app", "host": "127.0.0.1", "port": 0}]},
            "http": {"host": "127.0.0.1", "port": 0},
            "spool": {"url": f"sqlite:///{folder}/spool.db"},
            "log": {"format": "json"},
            "retry": {"first": "200ms", "longest": "400ms", "uncertain_after": "200ms"},
            "providers": providers,
            **config,
            "delivery": {"probe_first": "200ms", "probe_longest": "1s"}
            | config.get("delivery", {}),
        }
        self.log: list[LogLine] = []
        self.smtp_port = 0
        self.smtp_ports: dict[str, int] = {}
        self.http_port = 0
        self._changed = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def config_path(self) -> Path:
        return self.folder / "gateway.yaml"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def started(self) -> bool:
        return self._process is not None

    async def start(self) -> None:
        """Start it and wait until it greets."""
        self.config_path.write_text(yaml.safe_dump(self.config), encoding="utf-8")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve", "-c", str(self.config_path)),
            stderr=asyncio.subprocess.PIPE,
            env=environment(),
            limit=1 << 20,
        )
        begun = len(self.log)
        assert self._process.stderr is not None
        self._reader = asyncio.create_task(self._read_from(self._process.stderr))
        line = await self.wait_for(lambda line: line.get("event") == "started", since=begun)
        self.smtp_ports = line["smtp"]
        self.smtp_port = self.smtp_ports.get("app", 0)
        self.http_port = line["http"]

    async def _read_from(self, log: asyncio.StreamReader) -> None:
        async for raw in log:
            try:
                self.log.append(json.loads(raw))
            except ValueError:
                self.log.append({"event": "not_json", "text": raw.decode(errors="replace")})
            self._changed.set()
        self.log.append({"event": "process_ended"})
        self._changed.set()

    async def wait_for(
        self, fits: Callable[[LogLine], bool], *, since: int = 0, timeout_s: float = 60.0
    ) -> LogLine:
        """The first log line that fits; fails when the process ends without one."""
        async with asyncio.timeout(timeout_s):
            while True:
                for line in self.log[since:]:
                    if fits(line):
                        return line
                if any(line["event"] == "process_ended" for line in self.log[since:]):
                    raise AssertionError(f"the gateway ended: {self.log[since:]}")
                self._changed.clear()
                await self._changed.wait()

    async def wait_for_count(
        self, count: int, fits: Callable[[LogLine], bool], timeout_s: float = 60.0
    ) -> None:
        """Wait until so many log lines fit."""
        async with asyncio.timeout(timeout_s):
            while sum(1 for line in self.log if fits(line)) < count:
                self._changed.clear()
                await self._changed.wait()

    async def stop(self) -> int:
        """SIGTERM, wait, exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        return await self._ended()

    async def kill(self) -> None:
        """SIGKILL, as if the power went for this process."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._ended()

    async def _ended(self) -> int:
        assert self._process is not None
        assert self._reader is not None
        async with asyncio.timeout(120):
            code = await self._process.wait()
            await self._reader
        return code

    async def command(self, *words: str) -> tuple[int, str, str]:
        """Run a mailquay command on the same configuration."""
        return await run(
            *(sys.executable, "-m", "gateway", *words, "-c", str(self.config_path)),
        )

    async def get(self, path: str) -> httpx.Response:
        """Ask the HTTP side."""
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            return await client.get(f"http://127.0.0.1:{self.http_port}{path}")

    async def metric(self, name: str, /, **labels: str) -> float:
        """The value of one series."""
        text = (await self.get("/metrics")).text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        raise AssertionError(f"no series {name} {labels}")

    async def series(self, name: str, label: str) -> dict[str, float]:
        """All series of a metric by their one label, out of one answer."""
        text = (await self.get("/metrics")).text
        return {
            sample.labels[label]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }

    async def wait_for_metric(
        self, value: float, name: str, /, *, timeout_s: float = 60.0, **labels: str
    ) -> None:
        """Ask until a series has this value: the daemon looks at its spool once a second."""
        async with asyncio.timeout(timeout_s):
            while await self.metric(name, **labels) != value:  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.1)


def environment() -> dict[str, str]:
    """Ours without a gateway's settings; compiled modules are kept, so children start fast."""
    left_out = {"PYTHONDONTWRITEBYTECODE"}
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MAILQUAY_") and name not in left_out
    }


async def run(*words: str, stdin: bytes = b"", timeout_s: float = 120.0) -> tuple[int, str, str]:
    """Run a program to its end: exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate(stdin)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")
