"""
`make bare`: the first steps that pages show, typed in a Debian that has nothing yet.

A fresh clone is put into a root that debootstrap made; what is shown is typed there, by root where
it says `#`, else by a user. First the README's beginning: `make run` goes on as in a terminal of
its own, and the end is the letter in the sandbox's hands. Then docs/install.md, as far as it goes
without systemd. Where packages come from is this machine's business: its Debian mirror, and what
its pip is told, are lent to the root by environment and mounts.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from threading import Timer
from typing import Self
from urllib.request import urlopen

from tests.container.debian import make_debian
from tests.documents.ground import as_pattern
from tests.documents.pages import ROOT, Command, blocks_of, commands_of

SECTION = "## Five minutes to a sent letter"
INSTALL = ROOT / "docs" / "install.md"
_PROGRAMS = ("debootstrap", "unshare", "nsenter", "git")
_PORTS = (2525, 8025)
_USER = "reader"
_HOME = f"/home/{_USER}"
_LENT = "/lent"
_PATIENCE_S = 600.0
_SANDBOX = "What the sandbox got"
_LAST_LINE = "Ctrl-C stops it."


def main() -> int:
    """Follow both pages; 0 when all went well, 69 where it cannot be tried."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends us, nothing is left
    if missing := _missing():
        sys.stderr.write(f"{missing}\n")
        return os.EX_UNAVAILABLE
    with tempfile.TemporaryDirectory(prefix="mailquay-bare-", dir="/var/tmp") as folder:
        root = Path(folder) / "root"
        with _timed("a bare Debian, by debootstrap"):
            make_debian(root)
        _move_in(root)
        with Terminal(root) as terminal:
            _follow_start(terminal)
            _follow_install(terminal, root)
    return 0


def start_commands() -> tuple[Command, ...]:
    """What the README's first section shows, in its order."""
    page = ROOT / "README.md"
    lines = page.read_text(encoding="utf-8").splitlines()
    first = lines.index(SECTION)
    last = next(n for n, line in enumerate(lines) if n > first and line.startswith("## "))
    return tuple(c for c in _commands_of(page) if first < c.line <= last)


def install_commands() -> tuple[Command, ...]:
    """What docs/install.md shows, up to the first that needs systemd at work."""
    return tuple(takewhile(lambda c: not c.text.startswith("systemctl "), _commands_of(INSTALL)))


def _commands_of(page: Path) -> Iterator[Command]:
    for block in blocks_of(page):
        if block.language == "console":
            yield from commands_of(block)


class Terminal:
    """
    Types commands into a root, which has /proc and what this machine lends as long as it is open.

    Args:
        root: A Debian, our clone in its user's home.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._pip, self._lent = _pip_settings()

    def __enter__(self) -> Self:
        # Mounts of a name space of their own: however this ends, none of them stays.
        mounts = [f"mount --rbind /proc {self._root}/proc"]
        for path in self._lent:
            target = Path(f"{self._root}{_LENT}{path}")
            if path.is_dir():
                target.mkdir(parents=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch()
            mounts += [f"mount --bind {path} {target}", f"mount -o remount,bind,ro {target}"]
        script = " && ".join([*mounts, "echo mounted", "exec sleep infinity"])
        words = ("unshare", "--mount", "sh", "-ec", script)
        self._holder = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "mounted\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.kill()
        self._holder.communicate()

    def type(self, command: Command) -> subprocess.Popen[str]:
        """Start a command in the clone; it leads a process group of its own."""
        user = [] if command.by_root else [f"--userspec={_USER}:{_USER}"]
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root" if command.by_root else _HOME,
            "LANG": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            **self._pip,
        }
        words = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "chroot", *user]
        words += [str(self._root), "env", "-C", f"{_HOME}/mailquay", "bash", "-c", command.text]
        return subprocess.Popen(
            words,
            env=environment,  # and not words of `env`: addresses of packages may hold a password
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def _follow_start(terminal: Terminal) -> None:
    """Type the README's first section, and see the letter arrive."""
    running: subprocess.Popen[str] | None = None
    control = ""
    try:
        for command in start_commands():
            if command.text != "make run":
                _typed(terminal, command)
                continue
            with _timed(command.text):
                running = terminal.type(command)
                control = _started(running)
        assert running is not None
        with _timed("until the sandbox shows the letter"):
            _arrived(control)
        with _timed("Ctrl-C"):
            os.killpg(running.pid, signal.SIGINT)
            running.communicate(timeout=60)
    finally:
        if running is not None and running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate()


def _follow_install(terminal: Terminal, root: Path) -> None:
    """Write the page's configuration, as its reader would, and type the rest."""
    (configuration,) = (block for block in blocks_of(INSTALL) if block.language == "yaml")
    path = root / "etc/mailquay/gateway.yaml"
    path.parent.mkdir()
    path.write_text(configuration.text, encoding="utf-8")
    for command in install_commands():
        _typed(terminal, command)


def _typed(terminal: Terminal, command: Command) -> None:
    """Type a command and wait for its end; who asks for a key is given one."""
    with _timed(command.text):
        out, _ = (done := terminal.type(command)).communicate("a dummy key\n", _PATIENCE_S)
        assert done.returncode == 0, out
        for shown in command.shown:
            assert any(map(as_pattern(shown).match, out.splitlines())), out


def _started(running: subprocess.Popen[str]) -> str:
    """Read until the gateway says that it runs; where the sandbox shows what it got."""
    assert running.stdout is not None
    said, control = [], ""
    patience = Timer(_PATIENCE_S, os.killpg, (running.pid, signal.SIGKILL))
    patience.start()
    try:
        for line in running.stdout:
            said.append(line)
            if _SANDBOX in line:
                control = line.split()[-1]
            if _LAST_LINE in line:
                assert control, said
                return control
    finally:
        patience.cancel()
    raise AssertionError("".join(said))


def _arrived(control: str) -> None:
    """Look until the sandbox shows the letter, half a minute at most."""
    deadline = time.monotonic() + 30
    while True:
        with urlopen(control, timeout=10) as answer:  # noqa: S310 - the sandbox's own address
            letters = json.load(answer)
        if letters:
            (letter,) = letters
            assert "bob@example.com" in json.dumps(letter), letter
            return
        assert time.monotonic() < deadline, "no letter arrived"
        time.sleep(0.1)  # another process's letter has no event to wait for


def _move_in(root: Path) -> None:
    """A user with a fresh clone of what is committed here."""
    home = root / _HOME[1:]
    subprocess.run(["chroot", str(root), "useradd", "--create-home", _USER], check=True)
    clone = ("git", "clone", "-q", "--no-hardlinks", str(ROOT), str(home / "mailquay"))
    subprocess.run(clone, check=True)
    subprocess.run(["chroot", str(root), "chown", "-R", f"{_USER}:", _HOME], check=True)
    for name in ("resolv.conf", "hosts"):
        shutil.copy(f"/etc/{name}", root / "etc" / name)


def _pip_settings() -> tuple[dict[str, str], tuple[Path, ...]]:
    """What pip is told on this machine, as environment, and the files and folders named there."""
    words = (sys.executable, "-m", "pip", "config", "list")
    listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    settings: dict[str, str] = {}
    lent: set[Path] = set()
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        told = []
        for word in str(ast.literal_eval(value)).split():
            scheme = "file://" if word.startswith("file://") else ""
            path = Path(word.removeprefix(scheme))
            if path.is_absolute() and path.exists():
                lent.add(path)
                told.append(f"{scheme}{_LENT}{path}")
            else:
                told.append(word)
        settings["PIP_" + key.rpartition(".")[2].upper().replace("-", "_")] = " ".join(told)
    # An index in a folder names its files beside it.
    return settings, tuple(
        sorted({path.parent if path.name == "simple" else path for path in lent})
    )


def _missing() -> str:
    """Why it cannot be tried here; empty where it can."""
    if os.geteuid() != 0:
        return "making a Debian needs root"
    if lacking := [name for name in _PROGRAMS if shutil.which(name) is None]:
        return f"not installed: {', '.join(lacking)}"
    for port in _PORTS:
        with socket.socket() as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listening.bind(("127.0.0.1", port))
            except OSError:
                return f"port {port}, which the README names, is taken"
    return ""


@contextmanager
def _timed(what: str) -> Iterator[None]:
    """Say how long the block took."""
    begun = time.monotonic()
    yield
    sys.stdout.write(f"{time.monotonic() - begun:6.1f} s  {what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
