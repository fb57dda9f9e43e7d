"""
The relays under test: how each is started with the same job, and stopped.

The job: take letters on a port of loopback, keep them on disk, hand them to one smarthost without
TLS or AUTH, log as by default. A relay is a child of the bench, has all its files in the folder it
is given, and is known by the id of its first process.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from bench import measure, postfix
from bench.child import Child, ChildFailed
from bench.ports import free_port

CHECKOUT = Path(__file__).resolve().parent.parent


class Relay(Protocol):
    """One relay."""

    port: int
    pid: int

    async def start(self, folder: Path, sink_port: int) -> None:
        """
        Start it; returns with its first 220.

        Raises:
            ChildFailed: It cannot be started.
        """

    async def stop(self) -> None:
        """Let it drain, then end it with all its processes."""


class Mailquay:
    """`mailquay serve`, from this checkout or another, by the interpreter that runs the bench."""

    def __init__(self, checkout: Path = CHECKOUT) -> None:
        self.port = self.http_port = self.pid = 0
        self._checkout = checkout
        self._child: Child | None = None

    async def start(self, folder: Path, sink_port: int) -> None:
        """Start it; see `Relay`."""
        self.port, self.http_port = free_port(), free_port()
        config = self._write_config(folder, sink_port)
        # A checkout's own packages come first on the path of what is started in it.
        self._child = await Child.start(
            (sys.executable, "-m", "gateway", "serve", "--config", str(config)),
            folder=self._checkout,
            output=folder / "log",
        )
        self.pid = self._child.pid
        await self._child.greets(self.port)

    async def stop(self) -> None:
        """Stop it; see `Relay`."""
        if self._child is not None:
            await self._child.stop()

    def _write_config(self, folder: Path, sink_port: int) -> Path:
        folder.mkdir()
        settings = {
            "hostname": "mailquay.example.com",
            "smtp": {"listeners": [{"name": "app", "host": "127.0.0.1", "port": self.port}]},
            "http": {"host": "127.0.0.1", "port": self.http_port},
            "spool": {"url": f"sqlite:///{folder}/spool.db"},
            "providers": {
                "sink": {
                    "kind": "smarthost",
                    "host": "127.0.0.1",
                    "port": sink_port,
                    "tls": "off",
                }
            },
        }
        path = folder / "gateway.yaml"
        path.write_text(json.dumps(settings))  # which is YAML
        return path


class Postfix:
    """A private Postfix with its queue settings as shipped."""

    def __init__(self) -> None:
        self.port = self.pid = 0
        self._child: Child | None = None

    async def start(self, folder: Path, sink_port: int) -> None:
        """Start it; see `Relay`."""
        self.port = free_port()
        try:
            config = postfix.write_instance(folder, port=self.port, sink_port=sink_port)
        except (OSError, LookupError, subprocess.SubprocessError) as error:
            told = getattr(error, "stderr", None) or str(error)
            raise ChildFailed(f"no instance of postfix: {told.strip()}") from error
        # Not by `postfix start`, which would leave its master to init.
        self._child = await Child.start(
            (postfix.master_program(), "-c", str(config)), output=folder / "maillog"
        )
        self.pid = self._child.pid
        await self._child.greets(self.port)

    async def stop(self) -> None:
        """Stop it; see `Relay`."""
        if self._child is None:
            return
        below = measure.family(self.pid).keys() - {self.pid}
        await self._child.stop()
        # Its master tells them to end, but does not wait for them.
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(pid) == self.pid:
                    os.kill(pid, signal.SIGKILL)


def parse_relay(text: str) -> tuple[str, Callable[[], Relay]]:
    """
    The kind of a relay and what makes one, from `postfix`, `mailquay` or `mailquay=CHECKOUT`.

    Raises:
        ValueError: It is none of them.
    """
    kind, _, checkout = text.partition("=")
    if text == "postfix":
        return kind, Postfix
    if kind == "mailquay" and (Path(checkout) / "gateway" / "__main__.py").is_file():
        return kind, partial(Mailquay, Path(checkout).resolve())
    if text == "mailquay":
        return kind, Mailquay
    raise ValueError(f"no relay is called {text}: postfix, mailquay, or mailquay=CHECKOUT")
