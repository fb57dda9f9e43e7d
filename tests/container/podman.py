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

from tests.container.debian import make_debian

PROGRAMS = ("buildah", "podman", "debootstrap", "runc")
BASE = "docker.io/library/python:3.11-slim"
_STORAGE = Path("/var/tmp/mailquay-test-images")  # noqa: S108 - root's own, and kept on purpose
_WITH_PYTHON = ("ca-certificates", "python3-minimal", "python3-venv", "libsqlite3-0")
_CERTIFICATES = Path("/etc/ssl/certs")


def why_not() -> str:
    """Why images cannot be built here; empty where they can."""
    if os.geteuid() != 0:
        return "building an image without a daemon needs root here"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def skip_without_tools() -> None:
    """Skip where images cannot be built; the reason says what is missing."""
    if reason := why_not():
        pytest.skip(reason)


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

    def as_docker(self, folder: Path) -> None:
        """Put a program called `docker` there: podman, as we call it."""
        folder.mkdir()
        program = folder / "docker"
        program.write_text(
            f"""#!/bin/sh
            CONTAINERS_CONF={self._environment["CONTAINERS_CONF"]}
            export CONTAINERS_CONF
            # Without systemd, podman has nobody who would ask for a container's health.
            [ "$1" != run ] || {{ shift; set -- run --health-interval disable "$@"; }}
            exec podman {" ".join(self._storage)} "$@"
            """
        )
        program.chmod(0o755)

    def _make_base(self) -> None:
        if self("image", "exists", BASE).code == 0 or self("pull", "-q", BASE).code == 0:
            return
        root = _STORAGE / "debian"
        shutil.rmtree(root, ignore_errors=True)
        make_debian(root, include=_WITH_PYTHON)
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
