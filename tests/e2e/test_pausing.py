"""A provider or a route stopped by hand and let go again, the daemon running or not."""

from __future__ import annotations

import json
import os
from typing import Any

from providers.sandbox.server import Sandbox
from tests.e2e.clients import by_smtplib, queue_id_of
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, smarthost

LETTER = b"From: a@example.com\r\nSubject: Order 77\r\n\r\nbody\r\n"


async def send(gateway: GatewayProcess, to: str) -> str:
    reply = await by_smtplib(gateway.smtp_port, "a@example.com", [to], LETTER)
    return queue_id_of(reply)


async def obey(gateway: GatewayProcess, *words: str) -> str:
    code, out, err = await gateway.command("queue", *words)
    assert code == 0, err
    return out


async def document(gateway: GatewayProcess, *words: str) -> Any:
    return json.loads(await obey(gateway, *words, "--json"))


async def seen(gateway: GatewayProcess, providers: list[str], routes: list[str]) -> None:
    """Wait until the daemon goes by exactly these pauses."""
    wanted = {"event": "pauses_changed", "providers": providers, "routes": routes}
    await gateway.wait_for(lambda line: wanted.items() <= line.items())


def story_has(story: dict[str, Any], text: str) -> bool:
    return any(text in line["text"] for line in story["lines"])


async def test_paused_provider_gets_nothing_and_letters_wait_for_it(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """Letters are taken and wait, shown in stats, metric and story; resumed, they leave."""
    gateway = make_gateway({"main": smarthost(sandbox), "spare": smarthost(sandbox)})
    await gateway.start()
    told = await obey(gateway, "pause", "--provider", "main", "--reason", "account blocked")
    assert told == "provider main is paused\n"
    await seen(gateway, ["main"], [])
    queue_id = await send(gateway, "bob@example.org")
    await gateway.wait_for_metric(1, "mailquay_paused", kind="provider", name="main")
    await gateway.wait_for_metric(1, "mailquay_recipients", state="waiting")
    stats = await document(gateway, "stats")
    (pause,) = stats["pauses"]
    assert (pause["kind"], pause["name"], pause["reason"]) == (
        "provider",
        "main",
        "account blocked",
    )
    assert "provider main is paused since" in await obey(gateway, "stats")
    assert (await gateway.get("/readyz")).status_code == 200
    assert not sandbox.letterbox.letters
    assert await obey(gateway, "resume", "--provider", "main") == "provider main goes on\n"
    line = await gateway.wait_for(lambda line: line["event"] == "handed_over", timeout_s=60)
    assert (line["queue_id"], line["provider"]) == (queue_id, "main")
    await gateway.wait_for_metric(0, "mailquay_paused", kind="provider", name="main")
    _, out, _ = await gateway.command("trace", queue_id, "--json")
    assert story_has(json.loads(out)[0], "waits: provider main is paused")


async def test_failover_passes_a_paused_provider_over(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """On a route that says so of throttled providers, the next one gets the letters at once."""
    route = {"name": "all", "providers": ["main", "spare"], "on_throttled": "failover"}
    gateway = make_gateway(
        {"main": smarthost(sandbox), "spare": smarthost(sandbox)}, routes=[route]
    )
    await gateway.start()
    await obey(gateway, "pause", "--provider", "main")
    await seen(gateway, ["main"], [])
    await send(gateway, "bob@example.org")
    line = await gateway.wait_for(lambda line: line["event"] == "handed_over")
    assert (line["provider"], line["attempt"]) == ("spare", 1)


async def test_paused_route_waits_while_others_go_on(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """By the same provider; and a pause outlives the daemon."""
    news = {"name": "news", "when": {"recipient_domain": "news.example"}, "providers": ["main"]}
    gateway = make_gateway(
        {"main": smarthost(sandbox)}, routes=[news, {"name": "default", "providers": ["main"]}]
    )
    await gateway.start()
    await obey(gateway, "pause", "--route", "news")
    await seen(gateway, [], ["news"])
    kept = await send(gateway, "bob@news.example")
    await send(gateway, "bob@example.org")
    await gateway.wait_for(lambda line: line["event"] == "handed_over")
    await gateway.stop()
    begun = len(gateway.log)
    await gateway.start()
    await gateway.wait_for(lambda line: line["event"] == "pauses_changed", since=begun)
    await send(gateway, "eve@example.org")
    await gateway.wait_for(lambda line: line["event"] == "handed_over", since=begun)
    assert [letter.recipient for letter in sandbox.letterbox.letters] == [
        "bob@example.org",
        "eve@example.org",
    ]
    (row,) = await document(gateway, "list")
    assert (row["queue_id"], row["state"]) == (kept, "waiting")
    await obey(gateway, "resume", "--route", "news")
    line = await gateway.wait_for(
        lambda line: line["event"] == "handed_over" and line["queue_id"] == kept,
        since=begun,
        timeout_s=60,
    )
    assert line["to"] == "bob@news.example"


async def test_resumed_while_the_daemon_was_down(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """What slept is woken at the start, though nobody saw the pause end."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    await obey(gateway, "pause", "--provider", "main")
    await seen(gateway, ["main"], [])
    queue_id = await send(gateway, "bob@example.org")
    await gateway.wait_for_metric(0, "mailquay_oldest_due_seconds", provider="main")
    await gateway.stop()
    await obey(gateway, "resume", "--provider", "main")
    begun = len(gateway.log)
    await gateway.start()
    line = await gateway.wait_for(
        lambda line: line["event"] == "handed_over", since=begun, timeout_s=60
    )
    assert line["queue_id"] == queue_id


async def test_only_what_is_configured_can_be_paused(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """A misspelt name, both at once or neither is refused; so is the end of no pause."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    for words in (("--provider", "mian"), ("--provider", "main", "--route", "default"), ()):
        code, out, _ = await gateway.command("queue", "pause", *words)
        assert (code, out) == (os.EX_USAGE, "")
    code, out, err = await gateway.command("queue", "resume", "--provider", "main")
    assert (code, out, err) == (66, "", "mailquay: provider main is not paused\n")
