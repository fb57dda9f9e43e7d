"""Chance with a seed that is told, disks that are cleaned up, and a mark on everything here."""

from __future__ import annotations

import os
import random
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crash.disk import Disk, NoDisk, small_disk


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is a crash test; gateways are steered by descriptors that only Linux has."""
    linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: pidfd, proc")
    for item in items:
        if "tests/crash" in item.path.as_posix():
            item.add_marker(pytest.mark.crash)
            item.add_marker(linux)


@pytest.fixture
def chance() -> random.Random:
    """Chance; a failed test shows the seed, and CRASH_SEED brings it back."""
    seed = os.environ.get("CRASH_SEED") or secrets.token_hex(4)
    print(f"CRASH_SEED={seed}")  # noqa: T201 (pytest shows it where the test fails)
    return random.Random(seed)


@contextmanager
def _or_skip() -> Iterator[None]:
    try:
        yield
    except NoDisk as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """A disk whose power can be cut, of each kind of file system."""
    with _or_skip():
        disk = Disk(tmp_path, request.param)
    with disk:
        yield disk


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 4 MiB."""
    with _or_skip(), small_disk(tmp_path, 4 << 20) as folder:
        yield folder
