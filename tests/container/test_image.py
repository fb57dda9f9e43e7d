"""The image as an operator gets it: small rights, read-only, letters kept in its volume."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import smtplib
import tomllib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from bench.ports import free_port
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.server import Sandbox
from tests.container.podman import Podman, skip_without_tools
from tests.container.running import HARDENED, config_of, start
from tests.documents.pages import blocks_of, commands_of
from tests.e2e.gateway_process import run as run_program

ROOT = Path(__file__).parents[2]
TAG = "localhost/mailquay:test"
NAME = f"mailquay-test-{os.getpid()}"


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Podman:
    """The tools, with the image built."""
    skip_without_tools()
    tools = Podman(tmp_path_factory.mktemp("podman"))
    tools.build(ROOT, TAG)
    return tools


@pytest.fixture
def volume(podman: Podman) -> Iterator[str]:
    """A volume for the spool; gone after the test."""
    assert podman("volume", "create", NAME).code == 0
    yield NAME
    podman("rm", "-f", NAME)
    podman("volume", "rm", NAME)


def run(podman: Podman, folder: Path, volume: str, sandbox: Sandbox) -> tuple[int, int]:
    """Start the gateway under test; its SMTP and HTTP ports."""
    return start(podman, folder, volume, sandbox, tag=TAG, name=NAME)


async def ready(podman: Podman, http_port: int) -> None:
    """Wait until the gateway says so; its log is the message when it does not."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        for _ in range(1200):
            try:
                if (await client.get(f"http://127.0.0.1:{http_port}/readyz")).is_success:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)  # another process's start has no event to wait for
    raise AssertionError(podman("logs", NAME).out)


def send(port: int, subject: str) -> None:
    """Hand a letter in."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        letter = (
            f"From: app@example.com\r\nTo: bob@example.com\r\nSubject: {subject}\r\n\r\nHello\r\n"
        )
        client.sendmail("app@example.com", ["bob@example.com"], letter)


async def arrived(sandbox: Sandbox) -> None:
    """Wait until the provider has a letter."""
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1, timeout_s=60)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """The imitated providers, on this machine's loopback as the container sees it too."""
    imitation = Sandbox(rate=None)
    await imitation.start()
    yield imitation
    await imitation.stop()


def state(podman: Podman) -> dict[str, Any]:
    """What podman knows of the container."""
    return dict(json.loads(podman("inspect", NAME).out)[0]["State"])


async def test_a_letter_goes_through_the_hardened_container(
    podman: Podman, volume: str, tmp_path: Path, sandbox: Sandbox
) -> None:
    """Read-only root, no capability, no privilege, one volume: that is all it needs."""
    smtp_port, http_port = await asyncio.to_thread(run, podman, tmp_path, volume, sandbox)
    await ready(podman, http_port)
    await asyncio.to_thread(send, smtp_port, "from a container")
    await arrived(sandbox)
    assert (await asyncio.to_thread(podman, "healthcheck", "run", NAME)).code == 0
    top = (await asyncio.to_thread(podman, "top", NAME, "huser", "pid", "args")).out
    assert top.splitlines()[1].split()[:2] == ["10001", "1"], "process 1, and not root"
    stopped = await asyncio.to_thread(podman, "stop", "-t", "20", NAME)
    assert stopped.code == 0
    assert state(podman)["ExitCode"] == 0, "SIGTERM drained it, nobody had to kill it"


async def test_letters_outlive_their_container(
    podman: Podman, volume: str, tmp_path: Path, sandbox: Sandbox
) -> None:
    """Killed and replaced, as an upgrade does: what waited in the volume is sent by the next."""
    sandbox.faults.add(Fault(FaultKind.DEFER, "smarthost", times=None))
    smtp_port, http_port = await asyncio.to_thread(run, podman, tmp_path, volume, sandbox)
    await ready(podman, http_port)
    await asyncio.to_thread(send, smtp_port, "for the next container")
    killed = await asyncio.to_thread(podman, "kill", "-s", signal.SIGKILL.name, NAME)
    assert killed.code == 0
    assert (await asyncio.to_thread(podman, "rm", "-f", NAME)).code == 0
    sandbox.faults.clear()
    await asyncio.to_thread(run, podman, tmp_path, volume, sandbox)
    await arrived(sandbox)


async def test_commands_of_the_page(
    podman: Podman, volume: str, tmp_path: Path, sandbox: Sandbox
) -> None:
    """Those of docs/container.md, typed as they stand; `docker` is podman, the names are ours."""
    config = config_of(sandbox, free_port(), free_port())
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump(config))
    assert podman("tag", TAG, "localhost/mailquay:latest").code == 0
    podman.as_docker(tmp_path / "bin")
    shell = ("env", "-C", str(tmp_path), f"PATH={tmp_path}/bin:{os.environ['PATH']}", "bash", "-c")
    typed = [
        command.text
        for block in blocks_of(ROOT / "docs" / "container.md")
        if block.language == "console"
        for command in commands_of(block)
        if "docker" in command.text
    ]
    assert len(typed) > 5
    for text in typed:
        named = re.sub(r"(--name |-v |exec |logs |stop -t \d+ )mailquay\b", rf"\1{volume}", text)
        code, out, err = await run_program(*shell, named, timeout_s=180)
        assert code == 0, f"{text}\n{out}{err}"
        if " send " in text:
            await arrived(sandbox)


def test_what_the_image_says_of_itself(podman: Podman) -> None:
    """User, volume, ports, check and labels are there for who reads before running."""
    about = json.loads(podman("image", "inspect", TAG).out)[0]
    config = about["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["mailquay"]
    assert config["Cmd"] == ["serve"]
    assert set(config["Volumes"]) == {"/var/lib/mailquay"}
    assert set(config["ExposedPorts"]) == {"2525/tcp", "8025/tcp"}
    assert about["Healthcheck"]["Test"] == ["CMD", "mailquay", "ready"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert config["Labels"]["org.opencontainers.image.version"] == project["version"]


def test_neither_pip_nor_build_tools_nor_secrets_are_left(podman: Podman) -> None:
    """What runs is all there is: no installer, no tests, nothing of the machine that built it."""
    find = ("run", "--rm", *HARDENED, "--entrypoint", "find", TAG)
    names = podman(*find, "/opt").out + podman(*find, "/", "/etc", "-maxdepth", "1").out
    assert "/gateway/cli/__init__.py" in names
    for left in ("/bin/pip", "/bin/strip", "/hatchling/", "/tests/", ".pyx", "pip.conf", "/src\n"):
        assert left not in names


def test_a_container_without_configuration_says_what_it_needs(podman: Podman) -> None:
    """One line and exit 78, instead of a daemon that cannot send."""
    done = podman("run", "--rm", *HARDENED, TAG)
    assert done.code == os.EX_CONFIG
    assert "providers" in done.out
    assert "Traceback" not in done.out
