"""
Large contents in a file each, beside a SQLite spool.

A database writes every page twice, to its log and home; from some 128 KiB on a file is cheaper,
though it takes two syncs of its own (four times as many letters of 1 MiB, measured). The row is
what counts: the file is synced, with its folder, before the row is written, and removed after the
row is gone, so a crash between leaves a file that nobody names and that the next start sweeps away.
Knows no tables; the store asks it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path

from gateway.domain.queue_id import number_from_queue_id, queue_id_from_number
from gateway.errors import SpoolFull, SpoolUnavailable
from gateway.spool.engine import Trouble

LARGE_OCTETS = 128 << 10

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Bodies:
    """
    The folder of large contents; every file is named by its letter's queue id.

    Methods block and may be called by any thread.

    Args:
        folder: Made (0700) when the first large letter comes.
        executor: Where files are removed.
    """

    def __init__(self, folder: Path, executor: Executor) -> None:
        self._folder = folder
        self._executor = executor
        self._doubtful: list[int] = []

    def write(self, number: int, content: bytes) -> None:
        """
        Make a content durable.

        Raises:
            OSError: It could not; nothing is left of it. See `trouble_from_os_error`.
        """
        path = self._path(number)
        try:
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            self._make_folder()
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            try:
                _write_whole(opened, content)
                os.fdatasync(opened)
            finally:
                os.close(opened)
            sync_folder(self._folder)
        except BaseException:
            self.remove(number)
            raise

    def read(self, number: int) -> bytes | None:
        """A content; `None` when there is no such file."""
        try:
            return self._path(number).read_bytes()
        except FileNotFoundError:
            return None

    def octets(self, number: int) -> int | None:
        """The size of a content; `None` when there is no such file."""
        try:
            return self._path(number).stat().st_size
        except FileNotFoundError:
            return None

    def all_octets(self) -> int:
        """What all files take together."""
        try:
            with os.scandir(self._folder) as found:
                return sum(_octets(entry) for entry in found)
        except FileNotFoundError:
            return 0

    def remove(self, number: int) -> None:
        """Remove a file, if there is one; a failure leaves it to the next sweep."""
        with contextlib.suppress(OSError):
            self._path(number).unlink(missing_ok=True)

    def remove_soon(self, numbers: Sequence[int]) -> None:
        """Remove files without making the caller wait."""
        with contextlib.suppress(RuntimeError):  # closing: left to the next sweep
            for number in numbers:
                self._executor.submit(self.remove, number)

    def doubt(self, number: int) -> None:
        """
        Keep a file although the commit of its row failed; only the event loop may call this.

        A sync that fails says nothing about what the disk has: the next start may find the commit
        whole in the log, and then the letter is there.
        """
        self._doubtful.append(number)

    def end_doubts(self) -> None:
        """Remove what was doubtful: a later commit has taken its place in the log."""
        doubtful, self._doubtful = self._doubtful, []
        self.remove_soon(doubtful)

    def sweep(self, wanted: Callable[[Sequence[int]], Iterable[int]]) -> None:
        """
        Remove files that no letter names; nobody else may be writing any.

        Args:
            wanted: Of these letters, those that have a content.
        """
        try:
            names = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return
        numbers = [n for name in names if (n := number_from_queue_id(name)) is not None]
        for start in range(0, len(numbers), _SWEEP_AT_ONCE):
            some = numbers[start : start + _SWEEP_AT_ONCE]
            for number in set(some).difference(wanted(some)):
                self.remove(number)

    def _path(self, number: int) -> Path:
        return self._folder / queue_id_from_number(number)

    def _make_folder(self) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(self._folder.parent)


_SWEEP_AT_ONCE = 500


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def trouble_from_os_error(error: OSError) -> Trouble:
    """What a failure to write a file means for the spool."""
    if error.errno in _NO_ROOM:
        return Trouble(SpoolFull("no room left for letters"), ill=True)
    return Trouble(SpoolUnavailable("the disk of the spool fails"), ill=True)


def _octets(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # removed since it was listed
        return 0


def _write_whole(opened: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(opened, view) :]
