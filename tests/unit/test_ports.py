"""Ports for servers of tests and bench: nobody else's."""

from __future__ import annotations

import subprocess
import sys

from bench.ports import free_port


def test_a_port_is_given_out_once() -> None:
    """Servers that start late find their port free, whoever looked for one meanwhile."""
    ports = [free_port() for _ in range(150)]
    assert len(set(ports)) == len(ports)


def test_other_processes_are_given_others() -> None:
    """The mark on a port is seen by test processes that run side by side."""
    port = free_port()
    program = (
        "import itertools, secrets, bench.ports as ports\n"
        f"draws = itertools.chain([{port}, {port}], itertools.count({port} + 1))\n"
        "secrets.randbelow = lambda most: next(draws) - ports._FIRST\n"
        "print(ports.free_port())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > port
