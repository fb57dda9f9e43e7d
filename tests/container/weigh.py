"""
`make weigh`: how large the image is, how fast it starts, and what memory it takes.

Builds the image, runs it as small as the test of the image does, with the sandbox as its smarthost
on the same machine, and writes the figures into docs/container.md between the two marks.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.measure import Peak, cpu_seconds, pss_octets, settled, watched
from providers.sandbox.server import Sandbox
from tests.container.podman import BASE, Podman, why_not
from tests.container.running import HARDENED, start
from tests.support.load import Load, a_load_letter

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "container.md"
MARKS = ("<!-- figures -->", "<!-- /figures -->")
_TAG = "localhost/mailquay:weighed"
_NAME = f"mailquay-weigh-{os.getpid()}"
_OURS = "opt/mailquay"
_STARTS = 7
_LOADS = ((3000, 4 << 10), (200, 1 << 20))
_SESSIONS = 20
_MIB = 1 << 20


def main() -> int:
    """Weigh and write; 69 where images cannot be built."""
    if reason := why_not():
        sys.stderr.write(f"{reason}\n")
        return os.EX_UNAVAILABLE
    with tempfile.TemporaryDirectory(prefix="mailquay-weigh-") as folder:
        podman = Podman(Path(folder))
        podman.build(ROOT, _TAG)
        busy = os.getloadavg()[0]
        rows = [*_sizes(podman), *asyncio.run(_lives(podman, Path(folder)))]
        python = podman("run", "--rm", "--entrypoint", "python3", _TAG, "--version").out.strip()
    table = "\n".join(["| | |", "|---|--:|", *(f"| {what} | {figure} |" for what, figure in rows)])
    kernel = ".".join(platform.release().split(".")[:2])
    cores = f"{len(os.sched_getaffinity(0))} cores, load {busy:.1f} before"
    where = f"{cores}, Linux {kernel}, {python}, podman with runc"
    taken = f"Taken on {datetime.now(UTC).date()} by `make weigh`. {where}."
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    PAGE.write_text(f"{before}{MARKS[0]}\n{taken}\n\n{table}\n{MARKS[1]}{after}", encoding="utf-8")
    sys.stdout.write(f"{table}\n")
    return 0


def _sizes(podman: Podman) -> Iterable[tuple[str, str]]:
    """Of the layers that are ours: the base is whatever stands below them."""
    whole, base = (
        int(json.loads(podman("image", "inspect", name).out)[0]["Size"]) for name in (_TAG, BASE)
    )
    yield "image beside its base", _mib(whole - base)
    mounted = Path(podman("image", "mount", _TAG).out.strip())
    try:
        words = ("tar", "-C", str(mounted), "-cz", _OURS)
        packed = subprocess.run(words, capture_output=True, check=True).stdout
        yield "the same, compressed, as it is pulled", _mib(len(packed))
    finally:
        podman("image", "umount", _TAG)


async def _lives(podman: Podman, folder: Path) -> list[tuple[str, str]]:
    """Start it several times, and load the last one."""
    sandbox = Sandbox(rate=None)
    await sandbox.start()
    greeted, from_process, worked = [], [], []
    try:
        podman("volume", "create", _NAME)
        for number in range(_STARTS):
            begun = time.clock_gettime(time.CLOCK_BOOTTIME)
            port, _ = await asyncio.to_thread(
                start, podman, folder, _NAME, sandbox, tag=_TAG, name=_NAME
            )
            now = await _greeting(port)
            pid = _pid(podman)
            greeted.append(now - begun)
            from_process.append(now - _started_at(pid))
            worked.append(cpu_seconds(pid))
            if number < _STARTS - 1:
                await asyncio.to_thread(podman, "rm", "-f", "-t", "30", _NAME)
        nothing = [_seconds_to_nothing(podman) for _ in range(_STARTS)]
        return [
            ("from `podman run` to the 220", f"{statistics.median(greeted):.2f} s"),
            ("from the process to the 220", f"{statistics.median(from_process):.2f} s"),
            ("processor time of that", f"{statistics.median(worked):.2f} s"),
            ("`podman run` of a program that does nothing", f"{statistics.median(nothing):.2f} s"),
            *(await _memory(pid, port, sandbox)),
        ]
    finally:
        podman("rm", "-f", _NAME)
        podman("volume", "rm", _NAME)
        await sandbox.stop()


async def _memory(pid: int, port: int, sandbox: Sandbox) -> list[tuple[str, str]]:
    """Proportional set size of all processes: idle, at its peak under each load, idle again."""
    await settled(pid, within_s=10)
    rows = [
        ("memory, idle", _mib(pss_octets(pid))),
        ("of these not parts of files", _mib(_anonymous_octets(pid))),
    ]
    for count, octets in _LOADS:
        sandbox.letterbox.letters.clear()
        peak = Peak()
        letters = (a_load_letter(number, octets=octets) for number in range(count))
        load = Load(lambda: port, letters)
        async with watched(pid, peak):
            load.start(_SESSIONS)
            await load.complete()
            await sandbox.letterbox.wait_until(
                lambda box, count=count: len(box.letters) == count, timeout_s=120
            )
        what = f"memory, peak: {count:,} letters of {octets >> 10:,} KiB, {_SESSIONS} sessions"
        rows.append((what, _mib(peak.octets)))
    await settled(pid, within_s=10)
    return [*rows, ("memory, idle again", _mib(pss_octets(pid)))]


def _anonymous_octets(pid: int) -> int:
    """What a process has in memory that the kernel could not read again from a file."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (found,) = (line.split()[1] for line in lines if line.startswith("Pss_Anon:"))
    return int(found) << 10


async def _greeting(port: int) -> float:
    """Connect until somebody greets; the moment, since the machine's start."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.002)  # another process's start has no event to wait for
            continue
        assert (await reader.readline()).startswith(b"220 ")
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        writer.close()
        return now


def _started_at(pid: int) -> float:
    """When a process began, since the machine's start; in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _pid(podman: Podman) -> int:
    state: dict[str, Any] = json.loads(podman("inspect", _NAME).out)[0]["State"]
    return int(state["Pid"])


def _seconds_to_nothing(podman: Podman) -> float:
    """What podman and the kernel take for themselves."""
    begun = time.monotonic()
    done = podman("run", "--rm", *HARDENED, "--entrypoint", "true", _TAG)
    assert done.code == 0, done.out
    return time.monotonic() - begun


def _mib(octets: int) -> str:
    return f"{octets / _MIB:.0f} MiB"


if __name__ == "__main__":
    sys.exit(main())
