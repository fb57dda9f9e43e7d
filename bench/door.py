"""
`python -m bench.door`: the front door alone, beside stock aiosmtpd, and with the spool behind it.

    stock    aiosmtpd as its authors ship it, a handler that throws letters away
    door     our sessions and readers, an intake that throws letters away
    intake   all of ours up to the 250: repairs, plan, spool, log, metrics; nothing is delivered

Each is a child process of its own on uvloop; they take turns. Counted are letters and octets by the
time of the client, and the processor time of the child alone, which holds on a busy machine, too.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from pathlib import Path

import uvloop

from bench import measure
from bench.child import Child
from bench.load import Load, own_clients
from bench.ports import free_port
from bench.workloads import KIB, MIB

KINDS = ("stock", "door", "intake")
_LOADS = (
    ("4 KiB, 20 sessions", Load(1500, 4 * KIB, 20)),
    ("1 MiB, 4 sessions", Load(40, MIB, 4)),
    ("10 MiB, 2 sessions", Load(6, 10 * MIB, 2)),
)


def main() -> int:
    """Run the rounds and print what each took."""
    parser = argparse.ArgumentParser(prog="python -m bench.door", description=__doc__)
    parser.add_argument("--reps", type=int, default=3, help="rounds of each (default: 3)")
    parser.add_argument("--only", action="append", choices=KINDS, help="only this one")
    options = parser.parse_args()
    uvloop.run(_compare(options.only or KINDS, options.reps))
    return 0


async def _compare(kinds: tuple[str, ...], reps: int) -> None:
    print(f"{'':24}{'letters/s':>12}{'MiB/s':>10}{'CPU ms/letter':>16}{'CPU ms/MiB':>12}")
    for title, load in _LOADS:
        rounds: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for _ in range(reps):
            for kind in kinds:
                rounds[kind].append(await _round(kind, load))
        print(title)
        for kind in kinds:
            seconds = statistics.median(took for took, _ in rounds[kind])
            cpu = statistics.median(cpu for _, cpu in rounds[kind])
            octets = load.letters * load.octets / MIB
            print(
                f"  {kind:22}{load.letters / seconds:12.0f}{octets / seconds:10.0f}"
                f"{1000 * cpu / load.letters:16.3f}{1000 * cpu / octets:12.2f}"
            )


async def _round(kind: str, load: Load) -> tuple[float, float]:
    """Seconds of the client and processor seconds of the server; a fresh server, warmed first."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        port = free_port()
        command = (sys.executable, "-m", "bench.door_server", kind, str(port))
        child = await Child.start(command, output=Path(folder) / "log", folder=Path(folder))
        try:
            await child.greets(port)
            await own_clients(port, Load(20, KIB, 2), 1)
            loop = asyncio.get_running_loop()
            await measure.settled(child.pid, 3.0)
            before, began = measure.cpu_seconds(child.pid), loop.time()
            await own_clients(port, load, 100)
            took = loop.time() - began
            await measure.settled(child.pid, 3.0)
            return took, measure.cpu_seconds(child.pid) - before
        finally:
            await child.stop()


if __name__ == "__main__":
    sys.exit(main())
