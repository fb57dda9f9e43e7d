"""The disks that tests break: what a power cut leaves, whoever else looks at them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.crash.disk import Disk


@contextmanager
def a_mount_namespace() -> Iterator[None]:
    """Another program's copy of all mounts, as each step of a container build has one."""
    words = ("unshare", "--mount", "sh", "-c", "echo there; read -r _")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"there\n"
        yield
        program.communicate(b"\n")


def test_power_comes_back_while_others_have_the_mount(disk: Disk) -> None:
    """The disk is a working one again after each power cut, with what was synced and no more."""
    with ExitStack() as others:
        for number in range(2):
            others.enter_context(a_mount_namespace())
            (disk.folder / f"synced-{number}").write_bytes(b"kept")
            subprocess.run(["sync", "--file-system", str(disk.folder)], check=True)
            (disk.folder / f"unsynced-{number}").write_bytes(b"lost")
            disk.lose_power()
    found = {path.name: path.read_bytes() for path in disk.folder.glob("*synced-*")}
    assert found == {"synced-0": b"kept", "synced-1": b"kept"}
