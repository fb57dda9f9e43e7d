"""What a provider tells later, in the real daemon: reported, and sent nothing again."""

from __future__ import annotations

import asyncio
import smtplib

import httpx

from providers.sandbox.server import Sandbox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import rest_v1, smarthost
from tests.support.reports import read_feedback, read_report

SECRET = "not-to-be-guessed-0123456789"
SENDER = "a@example.com"


async def test_a_webhook_of_a_bounce_suppresses_and_reports(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """Told twice, reported once, with the letter's sender reading it; the next letter stops."""
    gateway = make_gateway(
        {"main": smarthost(sandbox), "rest": rest_v1(sandbox, webhook_secret=SECRET)},
        routes=[{"name": "default", "providers": ["main"]}],
    )
    await gateway.start()

    def talk() -> None:
        with smtplib.SMTP("127.0.0.1", gateway.smtp_port, timeout=60) as smtp:
            smtp.sendmail(SENDER, "Bob@example.org", b"Subject: x\r\n\r\nx\r\n")

    await asyncio.to_thread(talk)
    await gateway.wait_for(lambda line: line.get("event") == "handed_over")
    (letter,) = sandbox.letterbox.letters
    url = f"http://127.0.0.1:{gateway.http_port}/webhooks/rest/{SECRET}"
    event = {
        "message_id": letter.provider_message_id,
        "event": "hard_bounced",
        "timestamp": 1700000000,
    }
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        for _ in range(2):
            assert (await http.post(url, json=event)).status_code == 200
    await gateway.wait_for(lambda line: line.get("event") == "reported", timeout_s=60)
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) >= 2, timeout_s=60)
    report = read_report(sandbox.letterbox.letters[1].content)
    (recipient,) = report.recipients
    assert sandbox.letterbox.letters[1].recipient == SENDER
    assert (recipient["Action"], recipient["Final-Recipient"]) == (
        "failed",
        "rfc822; Bob@example.org",
    )
    _, out, _ = await gateway.command("suppress", "list", "--reason", "bounced")
    assert "bob@example.org" in out
    assert sum(line.get("event") == "reported" for line in gateway.log) == 1
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        complained = {**event, "event": "complained"}
        assert (await http.post(url, json=complained)).status_code == 200
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) >= 3, timeout_s=60)
    feedback = read_feedback(sandbox.letterbox.letters[2].content)
    assert (feedback.status["Feedback-Type"], feedback.status["Original-Rcpt-To"]) == (
        "abuse",
        "<Bob@example.org>",
    )
    counted = {"action": "complained", "result": "queued"}
    assert await gateway.metric("mailquay_bounces_total", **counted) == 1
    async with asyncio.timeout(60):
        while not any(line.get("event") == "suppressed" for line in gateway.log):
            await asyncio.to_thread(talk)  # until the daemon has looked at the list again
            await gateway.wait_for_metric(0, "mailquay_recipients", state="waiting")
