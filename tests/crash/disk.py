"""
Disks that tests may break: file systems on loop devices whose power can be cut, and tiny ones.

Power is cut by the ioctl that ext4 and xfs have for it (EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN):
nothing that was not synced reaches the disk any more, the journal's unwritten part neither, and
every call fails until the file system is unmounted. Mounting it again replays the journal, as after
a real power cut. Needs root and loop devices; where they are missing the tests are skipped.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

_SHUTDOWN = (2 << 30) | (4 << 16) | (ord("X") << 8) | 125  # _IOR('X', 125, __u32)
_AND_DROP_THE_JOURNAL = struct.pack("I", 2)
# Sparse files; xfs takes no less than 300 MiB.
_OCTETS = {"ext4": 64 << 20, "xfs": 300 << 20}


class NoDisk(Exception):
    """This machine cannot have such a disk; the text says why."""


class Disk:
    """
    A file system in an image below a folder, mounted; `with` unmounts it at the end.

    Attributes:
        folder: Where it is mounted.
    """

    def __init__(self, below: Path, kind: str) -> None:
        """
        Make and mount it.

        Raises:
            NoDisk: Not here.
        """
        if os.geteuid() != 0:
            raise NoDisk("a disk of one's own needs root")
        if shutil.which(f"mkfs.{kind}") is None:
            raise NoDisk(f"mkfs.{kind} is not installed")
        self.folder = below / f"disk-{kind}"
        self._image = below / f"{kind}.img"
        # A copy of a file system has the same UUID, which xfs takes no second time.
        self._options = "loop,nouuid" if kind == "xfs" else "loop"
        self.folder.mkdir(parents=True)
        with self._image.open("wb") as image:
            image.truncate(_OCTETS[kind])
        quiet_force = ("-q", "-F") if kind == "ext4" else ("-q", "-f")
        _output(f"mkfs.{kind}", *quiet_force, str(self._image))
        self.mount()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Unmount, whatever state it is in; nothing of it stays."""
        # Not asked first: nobody can look at the folder of a disk without power. Lazily: a failed
        # test may have left somebody there.
        with suppress(NoDisk):
            _output("umount", "--lazy", str(self.folder))
        self._image.unlink(missing_ok=True)

    def mount(self) -> None:
        """
        Mount it; the journal is replayed. The loop device goes with the mount.

        It stays where another program was given a mount namespace of its own meanwhile, as each
        step of a container build is: the file system that was shut down lives on there, and would
        be mounted again as it is. A copy of what is on the disk takes its place then.
        """
        if _output("losetup", "--associated", str(self._image)):
            copy = self._image.with_suffix(f".{secrets.token_hex(4)}.img")
            _output("cp", "--sparse=always", str(self._image), str(copy))
            self._image.unlink()
            self._image = copy
        _output("mount", "-o", self._options, str(self._image), str(self.folder))

    def unmount(self) -> None:
        """Unmount it; nobody may have a file open there."""
        _output("umount", str(self.folder))

    def cut_power(self) -> None:
        """From now on nothing reaches the disk, and every call on it fails."""
        opened = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(opened, _SHUTDOWN, _AND_DROP_THE_JOURNAL)
        finally:
            os.close(opened)

    def lose_power(self) -> None:
        """Cut the power, and switch it on again; everybody who had a file open must be dead."""
        self.cut_power()
        self.unmount()
        self.mount()

    def turn_read_only(self) -> None:
        """What ext4 does by itself after an error (errors=remount-ro), files open or not."""
        _output("mount", "-o", "remount,abort", str(self.folder))


@contextmanager
def small_disk(below: Path, octets: int) -> Iterator[Path]:
    """
    A file system in memory that has only so many octets.

    Raises:
        NoDisk: Not here.
    """
    if os.geteuid() != 0:
        raise NoDisk("a small disk needs root")
    folder = below / "small"
    folder.mkdir()
    _output("mount", "-t", "tmpfs", "-o", f"size={octets},mode=700", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _output("umount", "--lazy", str(folder))


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Leave no room on a small disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue  # full for pieces of this size
    try:
        yield
    finally:
        ballast.unlink()


def _output(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoDisk(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
