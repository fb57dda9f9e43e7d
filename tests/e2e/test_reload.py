"""SIGHUP: other providers and routes under way, and the old ones kept when the new are wrong."""

from __future__ import annotations

import base64
import os
import signal

import httpx
import yaml

from providers.sandbox.server import Sandbox
from tests.e2e.clients import by_smtplib
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, LogLine, rest_v1, smarthost
from tests.support.application import Application

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
    await gateway.wait_for_metric(
        2, "mailquay_attempts_total", provider="new", outcome="accepted"
    )  # the provider has a letter before the gateway has its answer


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


WEBHOOK_KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()
PATH_SECRETS = ("not-to-be-guessed-0123456789", "another-secret-0123456789")
TOKENS = ("dummy-token-for-tests-only", "another-dummy-token")


async def test_those_who_are_told_and_may_ask_change_under_way(
    sandbox: Sandbox, make_gateway: MakeGateway, application: Application
) -> None:
    """Webhooks, their secret, suppression and the token: the new ones count, the old no more."""
    gateway = make_gateway(
        {"main": smarthost(sandbox), "rest": rest_v1(sandbox, webhook_secret=PATH_SECRETS[0])},
        routes=[{"name": "default", "providers": ["main"]}],
        http={"host": "127.0.0.1", "port": 0, "token": TOKENS[0]},
        suppression={"bounced": False},
    )
    await gateway.start()
    base = f"http://127.0.0.1:{gateway.http_port}"

    async def send(to: str) -> None:
        await by_smtplib(gateway.smtp_port, "a@example.com", [to], LETTER)

    async def codes(http: httpx.AsyncClient, number: int) -> list[int]:
        """What the first and the second secret and token are answered."""
        bounce = {
            "message_id": sandbox.letterbox.letters[number].provider_message_id,
            "event": "hard_bounced",
            "timestamp": 1700000000,
        }
        answers = [
            await http.post(f"{base}/webhooks/rest/{secret}", json=bounce)
            for secret in PATH_SECRETS
        ] + [
            await http.get(f"{base}/api/events", headers={"Authorization": f"Bearer {token}"})
            for token in TOKENS
        ]
        return [answer.status_code for answer in answers]

    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        await send("first@example.org")
        await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1, timeout_s=60)
        assert await codes(http, 0) == [200, 404, 200, 401]
        await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 2, timeout_s=60)  # told

        gateway.config["providers"]["rest"]["webhook_secret"] = PATH_SECRETS[1]
        gateway.config["http"] |= {"token": TOKENS[1], "port": gateway.http_port}
        gateway.config["suppression"] = {"bounced": True}
        hook = {"url": f"http://127.0.0.1:{application.port}/hook", "secret": WEBHOOK_KEY}
        gateway.config["webhooks"] = {"shop": hook | {"events": ["bounced"]}}
        await hang_up(gateway)
        await gateway.wait_for(event("reloaded"))
        assert (await gateway.wait_for(event("needs_restart")))["settings"] == ["http"]  # the port
        await send("second@example.org")
        await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 3, timeout_s=60)
        assert await codes(http, 2) == [404, 200, 401, 200]
        (told,) = await application.called(1)
        assert (told["type"], told["data"]["recipient"]) == (
            "letter.bounced",
            "second@example.org",
        )
        asked = {"Authorization": f"Bearer {TOKENS[1]}"}
        listed = await http.get(f"{base}/api/suppressions", headers=asked)
        assert [one["address"] for one in listed.json()["suppressions"]] == ["second@example.org"]

        del gateway.config["webhooks"], gateway.config["http"]["token"]
        begun = len(gateway.log)
        await hang_up(gateway)
        await gateway.wait_for(event("reloaded"), since=begun)
        assert (await codes(http, 2))[2:] == [401, 401]
    warned = [line for line in gateway.log[begun:] if line["event"] == "needs_restart"]
    assert warned == []
