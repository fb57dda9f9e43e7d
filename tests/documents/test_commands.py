"""Every command that a page shows is run as it stands, or is in the table of those that are not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from providers.sandbox.server import Sandbox
from tests.container import bare
from tests.documents.ground import QUICK, Ground, as_pattern
from tests.documents.pages import PAGES, ROOT, Command, blocks_of, commands_of, name_of

LANGUAGES = {"console", "yaml", "text"}

TYPED = "`make bare` types it"
NOT_RUN: dict[str, str] = {
    r"make (soak|bench|image|weigh|test|run)\b.*": "takes minutes; that it is there is tested",
    r"apt-get update && .*": "changes the machine; `make bare` has a Debian of its own for it",
    r"python3 -m venv /opt/mailquay": TYPED,
    r"/opt/mailquay/bin/python -m pip .*": TYPED,
    r"ln -s /opt/mailquay/bin/mailquay /usr/local/bin/.*": TYPED,
    r"(cat|chmod 600) .*/etc/mailquay/secrets/.*": TYPED,
    r"MAILQUAY_PROVIDERS__MAIN__PASSWORD_FILE=.*": TYPED,
    r"cp config/systemd/.*": TYPED,
    r"systemctl daemon-reload .*|journalctl .*": "no systemd runs here; the unit has tests",
    r"\.venv/bin/python -m (pytest|bench)\b.*": "takes minutes; these tests run by themselves",
    r"(until )?docker .*": "tests/container runs them, by podman",
    r"mailquay serve": "the daemon that all other commands find is started by it",
    r"chown mailquay:.*": "there is no such user here",
    r'kill -HUP "\$\(pidof -x mailquay\)".*': "would find daemons of other tests",
}
"""What would change the machine, or take minutes: a pattern of whole commands, and the reason."""


def console_commands(page: Path) -> list[Command]:
    return [
        command
        for block in blocks_of(page)
        if block.language == "console"
        for command in commands_of(block)
    ]


def why_not(command: Command) -> str | None:
    """The reason for which a command is not run, if it is not."""
    for pattern, reason in NOT_RUN.items():
        if re.fullmatch(pattern, command.text, re.DOTALL):
            return reason
    return None


RUN = {
    name_of(page): commands
    for page in PAGES
    if (commands := [command for command in console_commands(page) if why_not(command) is None])
}


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The server that runs commands without their start."""
    path = tmp_path_factory.mktemp("quick") / "quick.socket"
    words = [sys.executable, str(QUICK), str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        yield path
        server.terminate()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory, quick: Path) -> AsyncIterator[Ground]:
    sandbox = Sandbox(rate=None, step_s=0.2)
    await sandbox.start()
    ground = Ground(tmp_path_factory.mktemp("ground"), sandbox, quick)
    try:
        await ground.start()
        yield ground
    finally:
        await ground.end()
        await sandbox.stop()


@pytest.mark.e2e
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("page", RUN)
async def test_commands_of_a_page(page: str, ground: Ground) -> None:
    """In the page's order; each ends well and says what the page shows of it."""
    await ground.open()
    try:
        for command in RUN[page]:
            code, out, err = await ground.do(command)
            assert code == 0, f"{command}\nexit {code}\n{out}{err}"
            for shown in command.shown:
                assert any(as_pattern(shown).match(line) for line in out.splitlines()), (
                    f"{command}\ndoes not say: {shown}\nbut:\n{out}"
                )
    except BaseException:
        await ground.end()
        raise


def test_every_block_says_what_it_is() -> None:
    """An unmarked block could hold commands that nobody runs."""
    for page in PAGES:
        for block in blocks_of(page):
            assert block.language in LANGUAGES, f"{block.page}:{block.line}: {block.language!r}"
            if block.language == "text":
                typed = re.compile(r"\s*([$#] |make |mailquay |\.venv/|curl |docker |kubectl )")
                assert not any(map(typed.match, block.lines)), f"{block.page}:{block.line}"


def test_reasons_are_needed() -> None:
    """A reason whose command is gone would excuse the next one that looks like it."""
    texts = [command.text for page in PAGES for command in console_commands(page)]
    for pattern in NOT_RUN:
        assert any(re.fullmatch(pattern, text, re.DOTALL) for text in texts), pattern


def test_what_is_typed_in_a_bare_debian() -> None:
    """`make bare` finds what it looks for: packages by root, the start, the letter, the program."""
    start, install = bare.start_commands(), bare.install_commands()
    assert start[0].by_root
    typed = [command.text for command in start]
    assert "make run" in typed
    assert any(".venv/bin/mailquay send" in text for text in typed[typed.index("make run") :])
    typed = [command.text for command in install]
    assert any(" pip install " in text for text in typed)
    assert any(text.endswith("mailquay check") for text in typed)
    said = [c for page in PAGES for c in console_commands(page) if why_not(c) == TYPED]
    assert set(said) <= {*start, *install}


def test_targets_of_make_are_there() -> None:
    """Also where a page names one in passing."""
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"`make ([a-z-]+)", page.read_text()):
            assert target in made, f"{name_of(page)}: make {target}"
        for command in console_commands(page):
            if target := re.match(r"make ([a-z-]+)", command.text):
                assert target[1] in made, str(command)
