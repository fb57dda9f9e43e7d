"""
Every client by every way it knows, all at once through one gateway, and what arrived of each.

The gateway and its sandbox live for the time of one `asyncio.run`; each test looks at one outcome.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from providers.sandbox.letterbox import ReceivedLetter
from providers.sandbox.server import Sandbox
from tests.e2e.clients.daemons import DAEMONS, Daemon
from tests.e2e.clients.programs import PROGRAMS, Program
from tests.e2e.clients.way import REVERSE_PATH, SUBJECT, TEXT, Way
from tests.e2e.gateway_process import GatewayProcess, smarthost
from tests.support.certificates import make_certificate

USERNAME, PASSWORD = "shop", "s3cr3t-p4ssw0rd"
# RFC 3848, 6531; a client that says HELO is "SMTP", whatever lies beneath.
WITH = {
    "plain": ("SMTP", "ESMTP", "UTF8SMTP"),
    "starttls": ("SMTP", "ESMTPS", "UTF8SMTPS"),
    "implicit": ("SMTP", "ESMTPS", "UTF8SMTPS"),
    "auth": ("ESMTPSA", "UTF8SMTPSA"),
}
AT_ONCE = 4

CELLS = [
    pytest.param(program.name, way, id=f"{program.name}-{way}")
    for program in (*PROGRAMS, *DAEMONS)
    for way in program.ways
]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one letter: why it was not sent, or what arrived of it."""

    skipped: str = ""
    error: str = ""
    letters: tuple[ReceivedLetter, ...] = ()


Outcomes = Mapping[tuple[str, str], Outcome]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcomes, list[object]]:
    """All letters sent and delivered; and the gateway's log."""
    return asyncio.run(_send_all(tmp_path_factory.mktemp("clients")))


@pytest.mark.parametrize(("client", "way"), CELLS)
def test_letter_arrives(outcomes: tuple[Outcomes, list[object]], client: str, way: str) -> None:
    """Unmodified, by the way it was told, the letter arrives once and reads as it was written."""
    outcome = outcomes[0][client, way]
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert not outcome.error
    (received,) = outcome.letters
    assert received.reverse_path == REVERSE_PATH
    parsed = message_from_bytes(received.content, policy=default)
    trace = str(parsed.get_all("Received")[0])
    assert any(f" with {word} id " in trace for word in WITH[way])
    assert parsed["Subject"] == SUBJECT
    body = parsed.get_body(("plain",))
    assert body is not None
    text = body.get_content().replace("\r\n", "\n")
    assert text.rstrip("\n") == TEXT.rstrip("\n")


def test_no_secret_is_told(outcomes: tuple[Outcomes, list[object]]) -> None:
    """T25: after all these logins the password is in no line of the log, nor is its base64."""
    log = repr(outcomes[1])
    for secret in (PASSWORD, f"\0{USERNAME}\0{PASSWORD}"):
        assert secret not in log
        assert base64.b64encode(secret.encode()).decode() not in log


async def _send_all(folder: Path) -> tuple[Outcomes, list[object]]:
    sandbox = Sandbox(rate=None)
    await sandbox.start()
    gateway = GatewayProcess(folder, {"main": smarthost(sandbox)})
    certificate = make_certificate(folder)
    users = folder / "users"
    made = CliRunner().invoke(app, ["passwd", USERNAME, "-f", str(users)], input=f"{PASSWORD}\n")
    assert made.exit_code == 0, made.output
    listeners = [
        {"name": "app", "port": 0},
        {"name": "starttls", "port": 0, "tls": "required"},
        {"name": "implicit", "port": 0, "tls": "implicit"},
        {"name": "auth", "port": 0, "tls": "required", "auth": "required"},
    ]
    gateway.config["smtp"] = {
        "listeners": listeners,
        "certificate": str(certificate.certificate),
        "private_key": str(certificate.key),
        "users_file": str(users),
    }
    try:
        await gateway.start()
        ports = gateway.smtp_ports
        plain = Way("plain", ports["app"], "off", "", "", certificate.certificate, folder)
        ways = {
            "plain": plain,
            "starttls": replace(plain, name="starttls", port=ports["starttls"], tls="starttls"),
            "implicit": replace(plain, name="implicit", port=ports["implicit"], tls="implicit"),
            "auth": replace(
                plain,
                name="auth",
                port=ports["auth"],
                tls="starttls",
                username=USERNAME,
                password=PASSWORD,
            ),
        }
        return await _outcomes(sandbox, ways), list(gateway.log)
    finally:
        if gateway.started:
            await gateway.kill()
        await sandbox.stop()


async def _outcomes(sandbox: Sandbox, ways: Mapping[str, Way]) -> Outcomes:
    turns = asyncio.Semaphore(AT_ONCE)
    found: dict[tuple[str, str], Outcome] = {}

    async def by_program(program: Program, name: str) -> None:
        to = _address(program, name)
        async with turns:
            try:
                await program.send(ways[name], to)
            except Exception as error:  # noqa: BLE001 - told by the test of this cell
                found[program.name, name] = Outcome(error=f"{type(error).__name__}: {error}")
                return
        found[program.name, name] = await _arrived(sandbox, to)

    async def by_daemon(daemon: Daemon) -> None:
        to = {name: _address(daemon, name) for name in daemon.ways}
        try:
            async with daemon.running(ways, to):
                arrived = await asyncio.gather(*(_arrived(sandbox, x) for x in to.values()))
                found.update(zip(((daemon.name, name) for name in to), arrived, strict=True))
        except Exception as error:  # noqa: BLE001 - told by the tests of its cells
            for name in to:
                found.setdefault(
                    (daemon.name, name), Outcome(error=f"{type(error).__name__}: {error}")
                )

    async with asyncio.TaskGroup() as group:
        for client in (*DAEMONS, *PROGRAMS):
            if reason := client.missing():
                found |= {(client.name, name): Outcome(skipped=reason) for name in client.ways}
            elif isinstance(client, Daemon):
                group.create_task(by_daemon(client))
            else:
                for name in client.ways:
                    group.create_task(by_program(client, name))
    return found


def _address(client: Program | Daemon, way: str) -> str:
    return f"{client.name.lower().replace(':', '')}-{way}@example.org"


async def _arrived(sandbox: Sandbox, to: str) -> Outcome:
    try:
        await sandbox.letterbox.wait_until(
            lambda box: any(letter.recipient == to for letter in box.letters), timeout_s=60
        )
    except TimeoutError:
        return Outcome(error="nothing arrived")
    return Outcome(letters=tuple(x for x in sandbox.letterbox.letters if x.recipient == to))
