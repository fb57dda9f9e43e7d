"""What became of letters: told by webhooks and on request, by every way there is, and once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
import pytest

from bench.ports import free_port
from gateway.app.spool import open_spool
from gateway.config import load
from gateway.domain.tracking import standing
from gateway.spool.values import Story
from providers.contract.tracking import EventType
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.server import Sandbox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, LogLine, form_v2, rest_v1, smarthost
from tests.support.load import Load, LoadLetter, a_load_letter

SECRET = "not-to-be-guessed-0123456789"
LETTERS = 40
SOON = {"poll": "200ms"}
OFTEN = {"poll_longest": "1s", "look_up_after": "100ms"}
WORDS = {
    "queued": EventType.QUEUED,
    "sent": EventType.SENT,
    "delivered": EventType.DELIVERED,
    "skipped": EventType.REJECTED,
    "soft_bounced": EventType.DEFERRED,
    "hard_bounced": EventType.BOUNCED,
}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        yield client


def with_webhooks(
    make_gateway: MakeGateway, sandbox: Sandbox, *, public: bool = True, **more: Any
) -> GatewayProcess:
    """A gateway that the sandbox can call, at a port that is known before."""
    port = free_port()
    public_url = {"public_url": f"http://127.0.0.1:{port}"} if public else {}
    provider = rest_v1(sandbox, rate="1000/s", webhook_secret=SECRET, **{**SOON, **more})
    return make_gateway(
        {"rest": provider},
        http={"host": "127.0.0.1", "port": port, **public_url},
        tracking=OFTEN,
    )


async def send(gateway: GatewayProcess, *letters: LoadLetter) -> None:
    load_ = Load(lambda: gateway.smtp_port, iter(letters))
    load_.start(min(10, len(letters)))
    await load_.complete()
    count = sum(len(letter.recipients) for letter in letters)
    await gateway.wait_for_count(count, lambda line: line.get("event") == "handed_over")


def tracked(gateway: GatewayProcess) -> list[LogLine]:
    return [line for line in gateway.log if line.get("event") == "tracked"]


async def wait_for_tracked(gateway: GatewayProcess, wanted: Iterable[tuple[str, str]]) -> None:
    """Wait until these were told: of whom, and the word."""
    for to, word in wanted:
        await gateway.wait_for(
            lambda line, to=to, word=word: (  # type: ignore[misc]  # bound now
                line.get("event") == "tracked" and (line["to"], line["tracked"]) == (to, word)
            ),
            timeout_s=120,
        )


async def stories(gateway: GatewayProcess) -> dict[str, Story]:
    """The story of each letter, by its first recipient."""
    spool = await open_spool(load(gateway.config_path), exclusive=False)
    try:
        ids = {line["queue_id"] for line in gateway.log if line.get("event") == "received"}
        found = [await spool.story(queue_id) for queue_id in sorted(ids)]
        return {story.recipients[0].forward_path: story for story in found}
    finally:
        await spool.aclose()


def truth(record: dict[str, Any]) -> tuple[str, ...]:
    """How a letter stands by the platform's own record."""
    counts = record["events"]
    happened = [WORDS[record["status"]]]
    happened += [EventType.OPENED] * bool(counts["open"])
    happened += [EventType.CLICKED] * bool(counts["redirect"])
    happened += [EventType.UNSUBSCRIBED] * bool(counts["unsubscribe"])
    happened += [EventType.COMPLAINED] * bool(counts["spam"])
    return tuple(str(standing(happened)).split(", "))


def live(sandbox: Sandbox, chance: random.Random) -> None:
    """Give every letter a life, a fifth of whose webhooks is never sent."""
    account = sandbox.rest_v1
    for message_id in account.messages.found:
        words = chance.choice(
            [
                ("delivered",),
                ("soft_bounced", "delivered", "opened"),
                ("delivered", "opened", "opened", "clicked"),
                ("soft_bounced", "hard_bounced"),
                ("delivered", "complined"),
                ("delivered", "opened", "unsubscribed"),
                ("skipped",),
                ("hard_bounced",),
            ]
        )
        for word in words:
            account.sender.lost = int(chance.random() < 0.2)
            url = "https://shop.example.com/a" if word == "clicked" else ""
            account.messages.happen(message_id, word, url)


@pytest.mark.parametrize("style", ["nested", "flat"])
async def test_the_final_state_is_the_platform_s(
    sandbox: Sandbox, make_gateway: MakeGateway, style: Any
) -> None:
    """Webhooks of both styles tripled and shuffled, a fifth missing: asking fills the gaps."""
    sandbox.rest_v1.dialect.webhook_style = style
    gateway = with_webhooks(make_gateway, sandbox)
    await gateway.start()
    await gateway.wait_for(lambda line: line.get("event") == "webhook_registered")
    sender = sandbox.rest_v1.sender
    sender.copies, sender.held = 3, True
    await send(gateway, *map(a_load_letter, range(LETTERS)))
    live(sandbox, random.Random(7))
    sender.release("shuffled", seed=7)
    records = sandbox.rest_v1.messages.found.values()
    expected = {record["to"]: truth(record) for record in records}
    await wait_for_tracked(
        gateway, [(to, word) for to, words in expected.items() for word in words]
    )
    await sender.idle()
    assert {call.status for call in sender.sent} == {200}
    told = await stories(gateway)
    assert {
        to: tuple(story.recipients[0].tracked.split(", ")) for to, story in told.items()
    } == expected
    for story in told.values():
        lines = [(line.kind, line.at, line.text) for line in story.lines if line.what == "event"]
        assert len(set(lines)) == len(lines)
    clicked = [to for to, words in expected.items() if "clicked" in words]
    assert await gateway.metric("mailquay_events_total", provider="rest", event="clicked") == len(
        clicked
    )
    delivered = sum(1 for line in tracked(gateway) if line["tracked"] == "delivered")
    assert delivered == await gateway.metric("mailquay_delivery_seconds_count", provider="rest")
    code, out, _ = await gateway.command("trace", clicked[0])
    assert code == 0
    assert "clicked, says rest: https://shop.example.com/a" in out


async def test_a_webhook_is_registered_where_another_was(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """D 20: deleted, set, looked at; and no log line shows the secret."""
    sandbox.rest_v1.dialect.webhooks = "add"
    sandbox.rest_v1.hooks.urls.append("http://127.0.0.1:9/old")
    gateway = with_webhooks(make_gateway, sandbox)
    await gateway.start()
    await gateway.wait_for(lambda line: line.get("event") == "webhook_registered")
    assert sandbox.rest_v1.hooks.urls == [
        f"http://127.0.0.1:{gateway.http_port}/webhooks/rest/{SECRET}"
    ]
    await gateway.wait_for_metric(1, "mailquay_webhook_registered", provider="rest")
    assert SECRET not in json.dumps(gateway.log)


async def test_letters_of_the_smarthost(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """By the ids of its reply: asked for at the account that is said to be the same one."""
    gateway = make_gateway(
        {"main": smarthost(sandbox, tracked_by="rest"), "rest": rest_v1(sandbox, **SOON)},
        routes=[{"name": "default", "providers": ["main"]}],
        tracking=OFTEN,
    )
    await gateway.start()
    await send(gateway, a_load_letter(1, "a@example.org", "b@example.org"))
    letters = sorted(sandbox.letterbox.letters, key=lambda letter: letter.recipient)
    for letter, word in zip(letters, ("delivered", "hard_bounced"), strict=True):
        message_id = int(letter.provider_message_id)
        record = {"id": message_id, "to": letter.recipient, "status": word, "events": {}}
        sandbox.rest_v1.messages.found[message_id] = record
    await wait_for_tracked(gateway, [("a@example.org", "delivered"), ("b@example.org", "bounced")])
    assert {line["provider"] for line in tracked(gateway)} == {"main"}


async def test_letters_of_the_smarthost_by_webhook(
    sandbox: Sandbox, make_gateway: MakeGateway, client: httpx.AsyncClient
) -> None:
    """Part A: mail by SMTP causes webhooks too; a word that nobody knows is kept as it is told."""
    gateway = make_gateway(
        {"main": smarthost(sandbox), "rest": rest_v1(sandbox, webhook_secret="short", poll="0s")},
        routes=[{"name": "default", "providers": ["main"]}],
    )
    await gateway.start()
    await gateway.wait_for(lambda line: line.get("event") == "webhook_secret_short")
    await send(gateway, a_load_letter(1))
    (letter,) = sandbox.letterbox.letters
    url = f"http://127.0.0.1:{gateway.http_port}/webhooks/rest/short"
    for word in ("vanished", "delivered"):
        event = {"message_id": letter.provider_message_id, "event": word, "timestamp": 1700000000}
        assert (await client.post(url, json=event)).status_code == 200
    await wait_for_tracked(
        gateway, [("r1@example.org", "unknown"), ("r1@example.org", "delivered")]
    )
    assert {line["provider"] for line in tracked(gateway)} == {"main"}
    story = (await stories(gateway))["r1@example.org"]
    assert story.recipients[0].tracked == "delivered, unknown"


async def test_letters_of_the_v2_service(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """C.6: a batch is asked about until everybody's fate is known."""
    gateway = make_gateway(
        {"bulk": form_v2(sandbox, batch_window="2s", results_within="0s", **SOON)},
        tracking=OFTEN,
    )
    await gateway.start()
    everybody = [f"r{number}@example.org" for number in range(5)]
    await send(gateway, a_load_letter(1, *everybody))
    assert sandbox.form_v2.methods["sendBulkEmail"] == 1
    for to in everybody[1:]:
        sandbox.form_v2.account.set_status(to, "OPEN")
    await wait_for_tracked(gateway, [(to, "opened") for to in everybody[1:]])
    sandbox.form_v2.account.set_status(everybody[0], "UNDELIVERED", "no such user")
    await wait_for_tracked(gateway, [(everybody[0], "bounced")])
    (line,) = (line for line in tracked(gateway) if line["tracked"] == "bounced")
    assert line["mta_response"] == "no such user"
    story = (await stories(gateway))[everybody[0]]
    assert [one.tracked for one in story.recipients] == ["bounced", *["opened"] * 4]
    assert sandbox.form_v2.methods["statusBulkEmail"] > 1


async def test_a_letter_to_a_list_of_the_v2_service(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """C.4: who is on the list is told by name, and is not the letter's recipient."""
    gateway = make_gateway({"bulk": form_v2(sandbox, **SOON)}, tracking=OFTEN)
    await gateway.start()
    await send(gateway, _ListLetter(1, ("list@example.com",), b"hello\r\n"))
    for to in ("bob@example.com", "eve@example.com"):
        sandbox.form_v2.account.set_status(to, "DELIVERED")
    await wait_for_tracked(
        gateway, [("bob@example.com", "delivered"), ("eve@example.com", "delivered")]
    )
    assert sandbox.form_v2.methods["getEmailDeliveryList"] >= 1
    assert (await stories(gateway))["list@example.com"].recipients[0].tracked == ""


class _ListLetter(LoadLetter):
    """A letter to the stored list 1."""

    @property
    def content(self) -> bytes:
        head = b"From: a@example.com\r\nSubject: list\r\nX-Mailquay-List: 1\r\n"
        return b"%sContent-Type: text/html\r\n\r\n%s" % (head, self.body)


async def test_a_webhook_settles_the_letter_whose_answer_was_lost(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """D 7, 19: an id nobody knows is looked up; the letter is proven, and not sent again."""
    sandbox.faults.add(Fault(FaultKind.DROP_AFTER, "rest_v1", method="POST /email/messages"))
    gateway = with_webhooks(make_gateway, sandbox)
    gateway.config["retry"]["uncertain_after"] = "10m"
    await gateway.start()
    await gateway.wait_for(lambda line: line.get("event") == "webhook_registered")
    load_ = Load(lambda: gateway.smtp_port, iter([a_load_letter(1)]))
    load_.start(1)
    await load_.complete()
    await gateway.wait_for(lambda line: line.get("event") == "uncertain")
    (message_id,) = sandbox.rest_v1.messages.found
    sandbox.rest_v1.messages.happen(message_id, "opened")
    settled = await gateway.wait_for(lambda line: line.get("event") == "settled", timeout_s=60)
    assert settled["provider_message_id"] == str(message_id)
    await wait_for_tracked(gateway, [("r1@example.org", "opened")])
    assert len(sandbox.rest_v1.messages.found) == 1
    await gateway.wait_for_metric(1, "mailquay_recipients", state="handed_over")


async def test_what_is_told_while_the_gateway_is_down(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """What was to be asked outlives a kill."""
    gateway = with_webhooks(make_gateway, sandbox, public=False)
    await gateway.start()
    await send(gateway, *map(a_load_letter, range(5)))
    await gateway.kill()
    for message_id in list(sandbox.rest_v1.messages.found):
        sandbox.rest_v1.messages.happen(message_id, "delivered")
    gateway.log.clear()
    await gateway.start()
    await wait_for_tracked(gateway, [(f"r{n}@example.org", "delivered") for n in range(5)])


async def test_calls_that_are_refused(
    sandbox: Sandbox, make_gateway: MakeGateway, client: httpx.AsyncClient
) -> None:
    """Forged, oversized and malformed: answered so that none is taken for stored, and counted."""
    gateway = with_webhooks(make_gateway, sandbox, public=False)
    await gateway.start()
    base = f"http://127.0.0.1:{gateway.http_port}/webhooks"
    ours = f"{base}/rest/{SECRET}"
    event = {"message": {"id": 1}, "event": {"name": "delivered", "timestamp": 1700000000}}
    for url in (f"{base}/rest/{SECRET}x", f"{base}/rest/{SECRET[:-1]}", f"{base}/rest/%00"):
        assert (await client.post(url, json=event)).status_code == 404
    assert (await client.post(f"{base}/nobody/{SECRET}", json=event)).status_code == 404
    assert (await client.get(ours)).status_code == 405

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    for too_much in (b"x" * ((1 << 20) + 1), endless()):
        # It may close the connection before it is given all of what it refuses.
        with contextlib.suppress(httpx.NetworkError):
            assert (await client.post(ours, content=too_much)).status_code == 413
    for body in (b"", b"{", b"[]", b'{"event": "delivered"}', b"\xff", b"[" * 100_000):
        assert (await client.post(ours, content=body)).status_code == 400
    assert (await client.post(ours, json=event)).status_code == 200

    async def calls(result: str, provider: str = "rest") -> float:
        return await gateway.metric(
            "mailquay_webhook_calls_total", provider=provider, result=result
        )

    assert await calls("forged") == 3
    assert await calls("forged", "") == 1
    assert await calls("too_large") == 2
    assert await calls("malformed") == 6
    assert await calls("accepted") == 1
    assert SECRET not in json.dumps(gateway.log)
    assert tracked(gateway) == []


async def test_slow_callers_keep_nobody_waiting(
    sandbox: Sandbox, make_gateway: MakeGateway, client: httpx.AsyncClient
) -> None:
    """Bodies that do not come are given up, and others are served meanwhile."""
    gateway = with_webhooks(make_gateway, sandbox, public=False)
    await gateway.start()
    slow = []
    for _ in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.http_port)
        head = f"POST /webhooks/rest/{SECRET} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{"
        writer.write(head.encode())
        slow.append((reader, writer))
    event = {"message": {"id": 1}, "event": {"name": "delivered", "timestamp": 1700000000}}
    ours = f"http://127.0.0.1:{gateway.http_port}/webhooks/rest/{SECRET}"
    assert (await client.post(ours, json=event)).status_code == 200
    for reader, writer in slow:
        async with asyncio.timeout(60):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408")
            await reader.read()
        writer.close()
    assert (await client.post(ours, json=event)).status_code == 200


async def test_heads_that_do_not_come_are_given_up(
    sandbox: Sandbox, make_gateway: MakeGateway, client: httpx.AsyncClient
) -> None:
    """As many silent callers as there are places hold them for seconds, not for ever."""
    gateway = with_webhooks(make_gateway, sandbox, public=False)
    await gateway.start()
    silent = [await asyncio.open_connection("127.0.0.1", gateway.http_port) for _ in range(120)]
    for _, writer in silent[::2]:
        writer.write(b"POST /webhooks/rest/x HTTP/1.1\r\nHost: x\r\n")
    async with asyncio.timeout(60):
        for reader, writer in silent:
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
    event = {"message": {"id": 1}, "event": {"name": "delivered", "timestamp": 1700000000}}
    ours = f"http://127.0.0.1:{gateway.http_port}/webhooks/rest/{SECRET}"
    assert (await client.post(ours, json=event)).status_code == 200
    with pytest.raises(httpx.TransportError):
        await client.post(ours, json=event, headers={f"x-{n}": "x" * 4096 for n in range(40)})
    assert (await client.post(ours, json=event)).status_code == 200
