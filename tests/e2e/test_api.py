"""The HTTP API of the real daemon: letters sent and read, the queue moved, the list kept."""

from __future__ import annotations

import base64
import email
import email.policy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.server import Sandbox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, rest_v1, smarthost

TOKEN = "dummy-token-for-tests-only"


@asynccontextmanager
async def client(gateway: GatewayProcess, token: str = TOKEN) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"http://127.0.0.1:{gateway.http_port}"
    async with httpx.AsyncClient(
        base_url=url, headers=headers, trust_env=False, timeout=60
    ) as http:
        yield http


def a_gateway(sandbox: Sandbox, make_gateway: MakeGateway, **more: Any) -> GatewayProcess:
    http = {"host": "127.0.0.1", "port": 0, "token": TOKEN}
    return make_gateway({"main": smarthost(sandbox)}, http=http, **more)


def a_letter(**more: Any) -> dict[str, Any]:
    return {
        "from": {"address": "a@example.com", "name": "Anna Ü"},
        "to": ["bob@example.org"],
        "subject": "Bestellung № 77",
        "text": "Grüße\n",
        **more,
    }


async def test_a_json_letter_arrives_whole(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """Both bodies, an attachment, Bcc that nobody sees; 202 is as good as a 250."""
    gateway = a_gateway(sandbox, make_gateway)
    await gateway.start()
    file = {
        "name": "тест.bin",
        "content": base64.b64encode(bytes(range(256))).decode(),
        "content_type": "application/x-test",
    }
    letter = a_letter(
        html="<p>Grüße</p>",
        bcc=["eve@example.org"],
        attachments=[file],
        headers={"X-Order": "77", "X-Mailquay-Tag": "orders"},
    )
    async with client(gateway) as http:
        answer = await http.post("/api/letters", json=letter)
        assert answer.status_code == 202, answer.text
        queue_id = answer.json()["queue_id"]
        box = sandbox.letterbox
        await box.wait_until(lambda box: len(box.letters) >= 2, timeout_s=60)
        assert {x.recipient for x in box.letters} == {"bob@example.org", "eve@example.org"}
        parsed = email.message_from_bytes(box.letters[0].content, policy=email.policy.default)
        assert parsed["Subject"] == letter["subject"]
        assert parsed["From"].addresses[0].display_name == "Anna Ü"
        assert parsed["X-Order"] == "77"
        assert parsed["X-Mailquay-Tag"] is None
        assert parsed["Bcc"] is None
        assert b"eve@" not in box.letters[0].content
        body = parsed.get_body(("plain",))
        assert body is not None
        assert body.get_content().strip() == "Grüße"
        (attachment,) = parsed.iter_attachments()
        assert attachment.get_filename() == "тест.bin"
        assert attachment.get_content() == bytes(range(256))
        await gateway.wait_for_metric(2, "mailquay_recipients", state="handed_over")
        shown = (await http.get(f"/api/letters/{queue_id.lower()}")).json()
        assert (shown["listener"], shown["trace_id"]) == ("api", None)
        assert {one["state"] for one in shown["recipients"]} == {"handed_over"}
        story = (await http.get(f"/api/letters/{queue_id}/story")).json()
        assert story["lines"][0]["what"] == "received"
        found = await http.get("/api/letters", params={"search": "bob@example.org"})
        assert found.json()["queue_ids"] == [queue_id]


async def test_a_raw_letter_takes_its_envelope_from_the_query(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """RFC 5322 as it is, bare LF made CRLF; the same key again is the same letter."""
    gateway = a_gateway(sandbox, make_gateway)
    await gateway.start()
    async with client(gateway) as http:
        query = [("from", "a@example.com"), ("to", "bob@example.org"), ("to", "eve@example.org")]
        headers = {"Content-Type": "message/rfc822", "Idempotency-Key": "order-77"}
        content = b"From: x@example.com\nSubject: raw\n\nbody\n"
        ids = set()
        for _ in range(2):
            answer = await http.post("/api/letters", params=query, content=content, headers=headers)
            assert answer.status_code == 202, answer.text
            ids.add(answer.json()["queue_id"])
        assert len(ids) == 1
    await gateway.wait_for_metric(2, "mailquay_recipients", state="handed_over")
    assert len(sandbox.letterbox.letters) == 2
    assert sandbox.letterbox.letters[0].content.endswith(b"\r\n\r\nbody\r\n")


async def test_what_cannot_be_taken_is_a_problem(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """RFC 9457 with what an SMTP client would hear; nothing of it reaches the spool."""
    gateway = a_gateway(
        sandbox,
        make_gateway,
        smtp={
            "listeners": [{"name": "app", "host": "127.0.0.1", "port": 0}],
            "max_message_size": "8KiB",
            "max_recipients": 2,
        },
    )
    await gateway.start()
    raw = {"Content-Type": "message/rfc822"}
    is_json = {"Content-Type": "application/json"}
    query = {"from": "a@example.com", "to": "bob@example.org"}
    many = [f"u{n}@example.org" for n in range(3)]
    async with client(gateway) as http:
        for status, answer in (
            (422, await http.post("/api/letters", json=a_letter(to=[]))),
            (422, await http.post("/api/letters", json=a_letter(to=["nobody"]))),
            (422, await http.post("/api/letters", json=a_letter(to=many))),
            (422, await http.post("/api/letters", json=a_letter(subject="a\r\nBcc: x@y.z"))),
            (422, await http.post("/api/letters", json=a_letter(headers={"Bcc": "x@y.z"}))),
            (422, await http.post("/api/letters", json=a_letter(headers={"X: y\r\nZ": "1"}))),
            (422, await http.post("/api/letters", json=a_letter(unknown=1))),
            (
                422,
                await http.post(
                    "/api/letters", json=a_letter(headers={"X-Mailquay-Route": "nowhere"})
                ),
            ),
            (413, await http.post("/api/letters", json=a_letter(text="x" * 9000))),
            (413, await http.post("/api/letters", json=a_letter(text="x" * 90_000))),
            (413, await http.post("/api/letters", params=query, content=b"x" * 9000, headers=raw)),
            (400, await http.post("/api/letters", content=b"{", headers=is_json)),
            (415, await http.post("/api/letters", content=b"hello")),
            (422, await http.post("/api/letters", content=b"x", headers=raw)),
            (404, await http.get("/api/letters/nothing")),
            (404, await http.post("/api/letters/nothing/hold")),
            (422, await http.get("/api/recipients", params={"cursor": "x"})),
            (422, await http.get("/api/recipients", params={"limit": "0"})),
        ):  # fmt: skip
            assert answer.status_code == status, (status, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == status
    assert await gateway.metric("mailquay_recipients_accepted") == 0


async def test_nobody_gets_in_without_the_token(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """401 whatever is asked; who keeps guessing gets 429, and then the right one does too."""
    gateway = a_gateway(sandbox, make_gateway)
    await gateway.start()
    async with client(gateway, token="") as http:
        assert (await http.get("/api/openapi.json")).status_code == 200
        assert (await http.get("/api/recipients")).status_code == 401
        for _ in range(9):
            answer = await http.get("/api/recipients", headers={"Authorization": "Bearer wrong"})
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert (await http.post("/api/letters", json=a_letter())).status_code == 429
    async with client(gateway) as http:
        assert (await http.get("/api/recipients")).status_code == 429
    assert TOKEN not in str(gateway.log)


async def test_without_a_token_there_is_no_api(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """The rest of the HTTP side is as it was."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    assert (await gateway.get("/api/openapi.json")).status_code == 404
    assert (await gateway.get("/livez")).status_code == 200


async def test_the_queue_is_read_by_pages_and_moved(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """Cursors meet each recipient once; hold, release, retry and remove do what commands do."""
    sandbox.faults.add(Fault(FaultKind.DEFER, "smarthost", times=None))
    gateway = a_gateway(sandbox, make_gateway, retry={"first": "1h", "longest": "1h"})
    await gateway.start()
    async with client(gateway) as http:
        ids = []
        for n in range(5):
            to = [f"u{n}@example.org", f"v{n}@example.org"]
            answer = await http.post("/api/letters", json=a_letter(to=to))
            ids.append(answer.json()["queue_id"])
        await gateway.wait_for_count(10, lambda line: line["event"] == "deferred")
        seen, cursor, pages = [], "", 0
        while cursor is not None and pages < 20:
            answer = await http.get("/api/recipients", params={"limit": 3, "cursor": cursor})
            assert answer.status_code == 200, answer.text
            page = answer.json()
            seen += [one["forward_path"] for one in page["recipients"]]
            cursor, pages = page["next"], pages + 1
        assert seen == [f"{word}{n}@example.org" for n in range(5) for word in "uv"]
        assert pages == 4
        letter = f"/api/letters/{ids[0]}"
        for action, changed in (("hold", 2), ("hold", 0), ("release", 2), ("remove", 2)):
            answer = await http.post(f"{letter}/{action}")
            assert (action, answer.json()) == (action, {"changed": changed})
            if action == "release":  # due at once; who is being sent to cannot be removed
                await gateway.wait_for_count(12, lambda line: line["event"] == "deferred")
        found, cursor = [], ""
        while cursor is not None and len(found) < 20:
            query = {"search": "a@example.com", "limit": 2, "cursor": cursor}
            page = (await http.get("/api/letters", params=query)).json()
            found, cursor = found + page["queue_ids"], page["next"]
        assert found == ids[::-1]
        removed = (await http.get("/api/recipients", params={"state": "removed"})).json()
        assert [one["queue_id"] for one in removed["recipients"]] == [ids[0]] * 2


async def test_events_are_read_by_pages_and_waited_for(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """Each once, the oldest first; the last cursor goes on with what comes later."""
    secret = "not-to-be-guessed-0123456789"
    gateway = make_gateway(
        {"main": smarthost(sandbox), "rest": rest_v1(sandbox, webhook_secret=secret)},
        routes=[{"name": "default", "providers": ["main"]}],
        http={"host": "127.0.0.1", "port": 0, "token": TOKEN},
    )
    await gateway.start()
    async with client(gateway) as http:
        answer = await http.post("/api/letters", json=a_letter())
        await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1, timeout_s=60)
        await gateway.wait_for_metric(1, "mailquay_recipients", state="handed_over")
        told = {"message_id": sandbox.letterbox.letters[0].provider_message_id}
        words = ["soft_bounced", "delivered", "opened"]

        async def tell(word: str, timestamp: int) -> None:
            call = {**told, "event": word, "timestamp": timestamp}
            assert (await http.post(f"/webhooks/rest/{secret}", json=call)).status_code == 200

        for n, word in enumerate(words[:2]):
            await tell(word, 1_700_000_000 + n)
        seen: list[dict[str, Any]] = []
        cursor = "0"
        for count in (1, 2, 2):
            page = (await http.get("/api/events", params={"limit": 1, "cursor": cursor})).json()
            seen += page["events"]
            cursor = page["next"]
            assert len(seen) == count
        await tell(words[2], 1_700_000_002)
        seen += (await http.get("/api/events", params={"cursor": cursor})).json()["events"]
        assert [one["event"] for one in seen] == ["deferred", "delivered", "opened"]
        assert {one["queue_id"] for one in seen} == {answer.json()["queue_id"]}
        assert {one["recipient"] for one in seen} == {"bob@example.org"}
        letter = (await http.get(f"/api/letters/{answer.json()['queue_id']}")).json()
        assert [one["tracked"] for one in letter["recipients"]] == ["opened"]


async def test_the_suppression_list_is_kept(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """Put on, listed by pages, taken off; the daemon's own look agrees."""
    gateway = a_gateway(sandbox, make_gateway)
    await gateway.start()
    async with client(gateway) as http:
        for address in ("Bob@example.org", "eve@example.org"):
            entry = {"address": address, "reason": "complained", "comment": "by phone"}
            assert (await http.post("/api/suppressions", json=entry)).json() == {"changed": 1}
            assert (await http.post("/api/suppressions", json=entry)).json() == {"changed": 0}
        first = (await http.get("/api/suppressions", params={"limit": 1})).json()
        assert [one["address"] for one in first["suppressions"]] == ["bob@example.org"]
        query = {"limit": 1, "cursor": first["next"]}
        second = (await http.get("/api/suppressions", params=query)).json()
        assert [one["address"] for one in second["suppressions"]] == ["eve@example.org"]
        gone = await http.delete("/api/suppressions/BOB@example.org")
        assert gone.json() == {"changed": 1}
        _, out, _ = await gateway.command("suppress", "list")
        assert "eve@example.org" in out
        assert "bob@example.org" not in out
        events = (await http.get("/api/events")).json()
        assert events == {"events": [], "next": "0"}
