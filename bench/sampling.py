"""
Where the time of a letter goes: the stacks of a Python relay, sampled from outside by py-spy.

py-spy is no dependency; it is used where it is on the path. It looks at a running process some
hundred times a second and hardly slows it, where a tracing profiler charges every call for being
counted and so blames small functions. Only the thread that holds the interpreter is counted: what
waits, and what works in the kernel or in C without it (the disk, the network), is not.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from bench.child import Child

_RATE_PER_S = 400
_SHOWN = 20
_OURS = re.compile(r".* \((?:gateway|providers)/[\w/]+\.py")


def reason_without() -> str:
    """Why nothing can be sampled, empty when it can."""
    return "" if shutil.which("py-spy") else "py-spy is not on the path"


@contextlib.asynccontextmanager
async def sampled(pid: int, folder: Path, lines: list[str]) -> AsyncIterator[None]:
    """
    Sample the process while the block runs; the result is added to `lines`.

    Raises:
        ChildFailed: py-spy could not be started.
        OSError: It wrote nothing, because it may not look at the process.
    """
    stacks = folder / "stacks"
    child = await Child.start(
        (
            *("py-spy", "record", "--pid", str(pid), "--rate", str(_RATE_PER_S)),
            *("--gil", "--threads", "--format", "raw", "--output", str(stacks)),
        ),
        output=folder / "py-spy",
    )
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds = time.perf_counter() - began
        await child.stop(signal.SIGINT)  # it writes what it has
    lines += summary(stacks.read_text(), seconds)


def summary(stacks: str, seconds: float) -> Iterator[str]:
    """Shares in percent, from lines of frames joined by `;`, a blank and a count."""
    threads: Counter[str] = Counter()
    nearest: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, digits = line.rpartition(" ")
        count, (thread, *frames) = int(digits), stack.split(";")
        ours = [found[0] for frame in frames if (found := _OURS.match(frame))]
        threads[thread.partition(": ")[2] or thread] += count
        nearest[ours[-1] if ours else "elsewhere"] += count
        within.update(dict.fromkeys(ours, count))
    total = threads.total()
    yield f"interpreter held {100 * total / (seconds * _RATE_PER_S):.0f} % of {seconds:.1f} s"
    for title, counts in (
        ("by thread", threads),
        ("by our function, with the libraries it called", nearest),
        ("by our function, with all it called", within),
    ):
        yield f"  {title}"
        for name, count in counts.most_common(_SHOWN):
            yield f"    {100 * count / total:5.1f} %  {name}"
