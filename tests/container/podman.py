"""
buildah and podman without a daemon, in a storage of their own: images of tests are nobody else's.

The base image cannot be pulled everywhere. Where it cannot, a bare Debian with the same Python
stands in under its name; it is kept for the next run on this machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAMS = ("buildah", "podman", "debootstrap", "runc")
BASE = "docker.io/library/python:3.11-slim"
_STORAGE = Path("/var/tmp/mailquay-test-images")  # noqa: S108 - root's own, and kept on purpose
_WITH_PYTHON = "ca-certificates,python3-minimal,python3-venv,libsqlite3-0"
_CERTIFICATES = Path("/etc/ssl/certs")


def skip_without_tools() -> None:
    """Skip where images cannot be built; the reason says what is missing."""
    if os.geteuid() != 0:
        pytest.skip("building an image without a daemon needs root here")
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")


@dataclass(frozen=True, slots=True)
class Done:
    """What a program said."""

    code: int
    out: str


class Podman:
    """
    The tools, and a folder for their settings.

    Args:
        folder: Empty, for configuration.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        limits = folder / "containers.conf"
        # The hard limits of this machine may be below what podman asks for by default.
        limits.write_text(
            '[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\n'
            '[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\nevents_logger = "file"\n'
        )
        self._environment = {**os.environ, "CONTAINERS_CONF": str(limits)}
        self._storage = (
            *("--root", str(_STORAGE / "images"), "--runroot", str(_STORAGE / "run")),
            *("--storage-driver", "overlay"),
        )

    def __call__(self, *words: str, timeout_s: float = 120.0) -> Done:
        """Run podman; its standard output, or with an exit code its standard error."""
        return self._run("podman", *self._storage, *words, timeout_s=timeout_s)

    def build(self, context: Path, tag: str) -> None:
        """Build the image of a folder's Dockerfile, as it is."""
        self._make_base()
        words = ["bud", "--isolation", "chroot", "--network", "host", "--pull-never"]
        words += ["--format", "docker", "-t", tag, *self._trust(), str(context)]
        done = self._run("buildah", *self._storage, *words, timeout_s=600)
        assert done.code == 0, done.out
        self("image", "prune", "-f")  # what had the tag before

    def _make_base(self) -> None:
        if self("image", "exists", BASE).code == 0 or self("pull", "-q", BASE).code == 0:
            return
        root = _STORAGE / "debian"
        shutil.rmtree(root, ignore_errors=True)
        words = ("--variant=minbase", f"--include={_WITH_PYTHON}", "bookworm", str(root))
        done = self._run("debootstrap", *words, *_mirror(), timeout_s=600)
        assert done.code == 0, done.out
        for name in ("python", "python3"):
            (root / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
        archive = _STORAGE / "debian.tar"
        done = self._run("tar", "-C", str(root), "-cf", str(archive), ".", timeout_s=300)
        assert done.code == 0, done.out
        done = self("import", "-q", str(archive), BASE, timeout_s=300)
        assert done.code == 0, done.out
        archive.unlink()
        shutil.rmtree(root)

    def _trust(self) -> list[str]:
        """Have the build trust the authorities that this machine trusts; none of it stays."""
        bundle = os.environ.get("PIP_CERT")
        if not bundle or not Path(bundle).is_relative_to(_CERTIFICATES):
            return []
        settings = self._folder / "pip.conf"
        settings.write_text(f"[global]\ncert = {bundle}\n")
        mounts = (f"{_CERTIFICATES}:{_CERTIFICATES}:ro", f"{settings}:/etc/pip.conf:ro")
        return [word for mount in mounts for word in ("-v", mount)]

    def _run(self, program: str, *words: str, timeout_s: float) -> Done:
        done = subprocess.run(
            [program, *words],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Done(done.returncode, done.stdout if done.returncode == 0 else done.stderr)


def _mirror() -> list[str]:
    """Where this machine has its Debian packages from; empty: debootstrap's own default."""
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    if not sources.exists():
        return []
    lines = sources.read_text().splitlines()
    return [line.split()[1] for line in lines if line.startswith("URIs:")][:1]
