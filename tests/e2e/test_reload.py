"""SIGHUP: other providers and routes under way, and the old ones kept when the new are wrong."""

from __future__ import annotations

import os
import signal

import yaml

from providers.sandbox.server import Sandbox
from tests.e2e.clients import by_smtplib
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, LogLine, rest_v1, smarthost

LETTER = b"From: a@example.com\r\nTo: a@example.org\r\nSubject: x\r\n\r\nbody\r\n"


def event(name: str) -> object:
    def fits(line: LogLine) -> bool:
        return line["event"] == name

    return fits


async def hang_up(gateway: GatewayProcess) -> None:
    """Write the configuration as it is now, and send SIGHUP."""
    gateway.config_path.write_text(yaml.safe_dump(gateway.config), encoding="utf-8")
    os.kill(gateway.pid, signal.SIGHUP)


async def test_letters_leave_by_the_new_provider(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """What waited for a provider that is gone moves to the one that is there; so do new letters."""
    gateway = make_gateway({"old": smarthost(sandbox, port=1)})
    await gateway.start()
    await by_smtplib(gateway.smtp_port, "a@example.com", ["first@example.org"], LETTER)
    await gateway.wait_for(event("deferred"))
    gateway.config["providers"] = {"new": rest_v1(sandbox)}
    gateway.config["routes"] = [{"name": "all", "providers": ["new"]}]
    await hang_up(gateway)
    line = await gateway.wait_for(event("reloaded"))
    assert line["providers"] == ["new"]
    await by_smtplib(gateway.smtp_port, "a@example.com", ["second@example.org"], LETTER)
    # The first one is found by the look for letters of vanished providers.
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 2, timeout_s=60)
    assert {letter.recipient for letter in sandbox.letterbox.letters} == {
        "first@example.org",
        "second@example.org",
    }
    assert {letter.provider for letter in sandbox.letterbox.letters} == {"rest_v1"}
    assert await gateway.metric("mailquay_attempts_total", provider="new", outcome="accepted") == 2


async def test_wrong_configuration_changes_nothing(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """The old set goes on, and the log says what is wrong with the new one."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    good = gateway.config["providers"]
    gateway.config["providers"] = {"main": {"kind": "pigeon"}}
    await hang_up(gateway)
    line = await gateway.wait_for(event("not_reloaded"))
    assert "providers.main.kind" in line["problems"][0]
    await by_smtplib(gateway.smtp_port, "a@example.com", ["a@example.org"], LETTER)
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1)
    gateway.config["providers"] = good
    gateway.config["smtp"]["max_recipients"] = 7
    await hang_up(gateway)
    line = await gateway.wait_for(event("reloaded"))
    assert line["kept"] == ["main"]
    line = await gateway.wait_for(event("needs_restart"))
    assert line["settings"] == ["smtp"]
