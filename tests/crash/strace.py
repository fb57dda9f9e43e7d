"""
strace on a gateway that runs: tells its system calls, lets chosen ones fail or be the last.

Attached to a life and let go again, so that opening the spool is not meant and recovery can be
seen. strace counts calls for each thread by itself ("when" in its manual): a job whose letters come
one after the other has all commits in one thread, and files of large letters in others.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_CALL = re.compile(r'\d+ +(?P<name>\w+)\(\d+<(?P<path>[^>]*)>(?:, "(?P<octets>[^"\\]*))?')


@dataclass(frozen=True, slots=True)
class Call:
    """A system call on a descriptor: its name, the descriptor's path, the octets' beginning."""

    name: str
    path: Path
    octets: str


@cache
def reason_without() -> str:
    """Why strace cannot be used here; empty when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed, and needs root to be"
    probe = ("strace", "-qq", "-o", os.devnull, "true")
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return f"strace does not work here: {done.stderr.strip()}" if done.returncode else ""


@asynccontextmanager
async def attached(pid: int, *options: str) -> AsyncIterator[None]:
    """
    All threads of a process, those to come too, under strace with these options.

    At the end strace lets go; where it has let its victim die, it is gone already.
    """
    command = ("strace", "-f", "-p", str(pid), *options)
    # asyncio's own loses the exit status of a process that ends while it is being terminated.
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:  # noqa: ASYNC220
        assert process.stderr is not None
        try:
            async with asyncio.timeout(60):
                told = await asyncio.to_thread(process.stderr.readline)
            assert b" attached" in told, told
            yield
        finally:
            process.terminate()


@asynccontextmanager
async def injected(pid: int, fault: str) -> AsyncIterator[None]:
    """Let calls of a process fail; `fault` is what strace takes after `-e inject=`."""
    calls = fault.partition(":")[0]
    options = ("-o", os.devnull, "-e", f"trace={calls}", "-e", f"inject={fault}")
    async with attached(pid, *options):
        yield


def read_calls(path: Path) -> list[Call]:
    """The calls that strace wrote with `-y -o PATH`, in the order they began."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    matches = filter(None, map(_CALL.match, lines))
    return [Call(m["name"], Path(m["path"]), m["octets"] or "") for m in matches]
