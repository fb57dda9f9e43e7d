"""
A bare Debian in a folder: what stands in for a base image, and where the README is tried out.

Made by debootstrap from where this machine has its own packages; knows nothing of containers.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")


def make_debian(root: Path, *, release: str = "bookworm", include: Iterable[str] = ()) -> None:
    """
    Fill a folder with the least that Debian is, and these packages; half a minute.

    Raises:
        CalledProcessError: debootstrap could not; its words are in `stderr`.
    """
    packages = [f"--include={','.join(include)}"] if include else []
    subprocess.run(
        ["debootstrap", "--variant=minbase", *packages, release, str(root), *_mirror()],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )


def _mirror() -> list[str]:
    """Where this machine has its Debian packages from; empty: debootstrap's own default."""
    if not _SOURCES.exists():
        return []
    lines = _SOURCES.read_text(encoding="utf-8").splitlines()
    return [line.split()[1] for line in lines if line.startswith("URIs:")][:1]
