"""
A process that lives as a gateway again and again: imports once, then forks for each life.

A start takes a second, nearly all of it imports; a fork takes some hundredths, and so a soak has
thousands of lives. What is forked calls the function behind `mailquay serve` on a configuration
file, after it was told where to die (`points`).

Run as `python -m tests.crash.child` by `mortal`. Standard input brings JSON, a line each: a life
(`config`, `die_at`, `nth`, `weaknesses`), and while it lasts numbers of signals for it; at the end
of the input it is killed. Standard error carries the gateway's log and between its lines our own:
`begun` with the pid, `process_ended` with the code.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import gateway.app  # noqa: F401 (imported here, so that the forked need not)
from gateway.cli.daemon import serve
from tests.crash.points import POINTS, WEAKNESSES, Death

_INPUT = 0
_LOG = 2


def main() -> None:
    """Live as often as told."""
    commands = _Commands()
    while (command := commands.next()) is not None:
        if isinstance(command, dict):  # a signal comes too late when the life is over
            _live(command, commands)


class _Commands:
    """The lines of standard input, each when it is wanted."""

    def __init__(self) -> None:
        self._octets = b""

    def next(self) -> dict[str, Any] | int | None:
        """Wait for a command; `None` at the end of the input."""
        while b"\n" not in self._octets:
            more = os.read(_INPUT, 1 << 16)
            if not more:
                return None
            self._octets += more
        line, _, self._octets = self._octets.partition(b"\n")
        command: dict[str, Any] | int = json.loads(line)
        return command


def _live(life: dict[str, Any], commands: _Commands) -> None:
    pid = os.fork()
    if pid == 0:
        _be(life)
    handle = os.pidfd_open(pid)
    _tell("begun", pid=pid)
    while handle not in select.select([_INPUT, handle], [], [])[0]:
        command = commands.next()
        number = command if isinstance(command, int) else signal.SIGKILL
        signal.pidfd_send_signal(handle, number)
    _, status = os.waitpid(pid, 0)
    os.close(handle)
    _tell("process_ended", code=os.waitstatus_to_exitcode(status))


def _be(life: dict[str, Any]) -> None:
    """Be the gateway; does not return."""
    code = 1
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, _INPUT)
        for name in life["weaknesses"]:
            WEAKNESSES[name]()
        if life["die_at"]:
            POINTS[life["die_at"]](Death(life["nth"]))
        serve(Path(life["config"]))
        code = 0
    except BaseException:  # noqa: BLE001 (whatever it is, the log shows it and the fork ends)
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _tell(event: str, **fields: int) -> None:
    # The gateway may have died within a line of its log.
    os.write(_LOG, b"\n%s\n" % json.dumps({"event": event, **fields}).encode())


if __name__ == "__main__":
    main()
