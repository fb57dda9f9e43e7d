"""The imitated v1 account: strict about what is asked, with a memory, and alive on command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from providers.sandbox.faults import Fault, FaultKind, FaultPlan
from providers.sandbox.letterbox import Letterbox
from providers.sandbox.rest_v1 import SandboxRestV1
from providers.sandbox.rest_v1.dialect import Dialect, parse_habits
from providers.sandbox.rest_v1.webhooks import WebhookSender, is_loopback
from tests.support.http_sandbox import serving

KEY = "dummy-key-1234"
JSON = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
BEARER = {"Authorization": f"Bearer {KEY}"}
LETTER = {"from_email": "news@example.com", "to": "bob@example.org", "subject": "s", "text": "x"}
CAMPAIGN = {"from_email": "news@example.com", "subject": "s", "html": "<p>x</p>"}


@dataclass
class Api:
    """The emulator, and ways to call it."""

    client: httpx.AsyncClient
    sandbox: SandboxRestV1

    async def call(self, method: str, path: str, body: object = None) -> httpx.Response:
        more = {} if body is None else {"json": body}
        return await self.client.request(method, f"/v1/email{path}", headers=JSON, **more)

    async def made(self, path: str, body: object) -> dict[str, Any]:
        response = await self.call("POST", path, body)
        assert response.status_code == 201, response.text
        found: dict[str, Any] = response.json()
        return found

    async def refused(self, method: str, path: str, body: object = None) -> str:
        """The text of a 422."""
        response = await self.call(method, path, body)
        assert response.status_code == 422, response.text
        return str(response.json()["errors"][0]["detail"])

    async def control(self, method: str, path: str, body: object = None) -> httpx.Response:
        more = {} if body is None else {"json": body}
        return await self.client.request(method, f"/_sandbox/v1{path}", **more)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    sandbox = SandboxRestV1(Letterbox(), FaultPlan(), KEY)
    app = Starlette(
        routes=[
            Mount("/v1", routes=sandbox.routes()),
            Mount("/_sandbox/v1", routes=sandbox.control()),
        ]
    )
    async with serving(app) as client:
        yield Api(client, sandbox)
        await sandbox.stop()


@dataclass
class Listener:
    """Hears what webhooks tell."""

    url: str = ""
    heard: list[dict[str, Any]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def hear(self, request: Request) -> Response:
        self.heard.append(await request.json())
        self.changed.set()
        return Response(status_code=200)

    async def wait_for(self, count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(60):
            while len(self.heard) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.heard


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    listener = Listener()
    app = Starlette(routes=[Route("/hook/{secret}", listener.hear, methods=["POST"])])
    async with serving(app) as client:
        listener.url = f"{client.base_url}/hook/s3cret".replace("//hook", "/hook")
        yield listener


class TestStrictness:
    @pytest.mark.parametrize(
        ("path", "body", "words"),
        [
            ("/lists", {}, "title can't be blank"),
            ("/lists", {"title": " "}, "title can't be blank"),
            ("/lists", {"title": 7}, "title is invalid"),
            ("/lists", {"title": "a" * 256}, "title is too long"),
            ("/lists/1/parameters", {"title": "x", "kind": "colour"}, "kind is not included"),
            ("/lists/1/recipients", {}, "email can't be blank"),
            ("/lists/1/recipients", {"email": "Bob <bob@example.com>"}, "email is invalid"),
            ("/lists/1/recipients", {"email": "a@b.c", "values": {}}, "values is invalid"),
            ("/lists/1/recipients", {"email": "a@b.c", "values": [{"value": "x"}]}, "parameter_id"),
            (
                "/lists/1/recipients",
                {"email": "a@b.c", "values": [{"parameter_id": 99, "value": "x"}]},
                "parameter_id is invalid",
            ),
            (
                "/lists/1/recipients",
                {"email": "a@b.c", "values": [{"parameter_id": "1"}]},
                "value can't be blank",
            ),
            ("/lists/1/recipients", {"email": "a@b.c", "tags": "x"}, "tags is invalid"),
            ("/lists/1/recipients/imports", {}, "recipients can't be blank"),
            ("/lists/1/recipients/imports", {"recipients": ["x"]}, "recipients is invalid"),
            ("/lists/1/recipients/imports", {"recipients": [{}]}, "email can't be blank"),
            (
                "/lists/1/recipients/imports",
                {"recipients": [{"email": "a@b.c"}] * 10_001},
                "maximum is 10000",
            ),
            ("/organizations", {"name": "x"}, "address can't be blank"),
            ("/campaigns", CAMPAIGN, "lists can't be blank"),
            ("/campaigns", {**CAMPAIGN, "lists": [{"id": 99}]}, "lists is invalid"),
            ("/campaigns", {**CAMPAIGN, "lists": [1]}, "lists is invalid"),
            ("/campaigns", {**CAMPAIGN, "html": "", "lists": [{"id": 1}]}, "html can't be blank"),
            ("/webhook", {}, "url can't be blank"),
            ("/webhook", {"url": "gw.example.com"}, "url is invalid"),
            ("/templates/101/messages", {"to": "a@b.c", "params": []}, "params is invalid"),
            ("/templates/101/messages", {"to": "a@b.c", "params": {"x": {}}}, "params is invalid"),
            ("/templates/101/messages", {"to": "a@b.c", "payment": "x"}, "payment"),
        ],
    )
    async def test_refusals(self, api: Api, path: str, body: object, words: str):
        """A wrong client fails here as it would there, and nothing is made."""
        await api.made("/lists", {"title": "Clients"})
        await api.made("/lists/1/parameters", {"title": "City"})
        assert words in await api.refused("POST", path, body)
        assert api.sandbox.letterbox.letters == []
        assert len(api.sandbox.lists.found) == 1
        assert {**api.sandbox.campaigns.found, **api.sandbox.imports.found} == {}

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/lists/9"),
            ("PATCH", "/lists/9"),
            ("DELETE", "/lists/9"),
            ("GET", "/lists/9/recipients"),
            ("POST", "/lists/9/recipients/imports"),
            ("DELETE", "/lists/1/parameters/9"),
            ("PATCH", "/lists/1/recipients/9"),
            ("GET", "/organizations/current"),
            ("PATCH", "/organizations/9/current"),
            ("PATCH", "/campaigns/9/deliver"),
            ("GET", "/webhook"),
            ("POST", "/templates/9/messages"),
            ("GET", "/templates"),
            ("GET", "/messages_webhooks"),
            ("GET", "/campaigns"),
            ("GET", "/segments"),
            ("GET", "/lists/1/recipients/imports/9"),
            ("PUT", "/lists/1"),
        ],
    )
    async def test_what_is_not_there(self, api: Api, method: str, path: str):
        """404, for ids of others and for methods of newer installations."""
        await api.made("/lists", {"title": "Clients"})
        response = await api.call(method, path, {"title": "x", "to": "a@b.c"})
        assert response.status_code == 404

    async def test_ids_as_strings_are_taken(self, api: Api):
        """B.1: public clients write ids as strings; answers have numbers."""
        await api.made("/lists", {"title": "Clients"})
        city = await api.made("/lists/1/parameters", {"title": "City"})
        values = [{"parameter_id": str(city["id"]), "value": "Minsk"}]
        bob = await api.made("/lists/1/recipients", {"email": "a@b.c", "values": values})
        assert bob["values"] == [{"parameter_id": city["id"], "kind": "string", "value": "Minsk"}]

    @pytest.mark.parametrize(("value", "confirmed"), [("t", False), (1, False), (False, True)])
    async def test_flags(self, api: Api, value: object, confirmed: bool):
        """B.1: any value but false turns a flag on."""
        await api.made("/lists", {"title": "Clients"})
        body = {"email": "a@b.c", "unconfirmed": value}
        assert (await api.made("/lists/1/recipients", body))["confirmed"] is confirmed

    async def test_value_and_destroy(self, api: Api):
        """B.7: they exclude each other; alone, each does its work."""
        await api.made("/lists", {"title": "Clients"})
        city = (await api.made("/lists/1/parameters", {"title": "City"}))["id"]
        bob = await api.made("/lists/1/recipients", {"email": "a@b.c"})
        path = f"/lists/1/recipients/{bob['id']}"
        both = {"parameter_id": city, "value": "x", "destroy": "t"}
        assert "exclude" in await api.refused("PATCH", path, {"values": [both]})
        for item, count in (({"value": "x"}, 1), ({"destroy": 1}, 0)):
            body = {"values": [{"parameter_id": city, **item}]}
            assert len((await api.call("PATCH", path, body)).json()["values"]) == count

    async def test_an_address_that_was_left_is_free(self, api: Api):
        """B.7: after a change and after a removal it can be added again, and only then."""
        await api.made("/lists", {"title": "Clients"})
        bob = await api.made("/lists/1/recipients", {"email": "a@b.c"})
        path = f"/lists/1/recipients/{bob['id']}"
        assert (await api.call("PATCH", path, {"email": "A@b.c"})).is_success
        assert "taken" in await api.refused("POST", "/lists/1/recipients", {"email": "a@B.c"})
        assert (await api.call("PATCH", path, {"email": "d@b.c"})).is_success
        eve = await api.made("/lists/1/recipients", {"email": "a@b.c"})
        assert "taken" in await api.refused("PATCH", path, {"email": "a@b.c"})
        assert (await api.call("DELETE", f"/lists/1/recipients/{eve['id']}")).status_code == 204
        assert (await api.call("PATCH", path, {"email": "a@b.c"})).is_success

    async def test_a_faulty_change_is_made_or_not(self, api: Api):
        """What breaks before is not done, what breaks after is."""
        for style, count in (("errors", 0), ("no_id", 1)):
            api.sandbox.faults.add(Fault(FaultKind.GARBAGE, style=style))
            response = await api.call("POST", "/lists", {"title": style})
            assert response.is_success
            assert len(api.sandbox.lists.found) == count
        api.sandbox.faults.add(Fault(FaultKind.ERROR, style="504 after"))
        assert (await api.call("POST", "/lists", {"title": "late"})).status_code == 504
        assert len(api.sandbox.lists.found) == 2

    async def test_a_fault_for_one_method(self, api: Api):
        """Named as the documents name the method, ids as stars."""
        api.sandbox.faults.add(Fault(FaultKind.REFUSE, method="PATCH /email/lists/*"))
        await api.made("/lists", {"title": "Clients"})
        assert await api.refused("PATCH", "/lists/1", {"title": "x"}) == "Recipient refused"


class TestLives:
    async def test_a_letter(self, api: Api):
        """B.3: queued, sent, delivered, step by step."""
        letter = await api.made("/messages", LETTER)
        path, seen = f"/messages/{letter['id']}", []
        for _ in range(4):
            seen.append((await api.call("GET", path)).json()["status"])
            api.sandbox.advance()
        assert seen == ["queued", "sent", "delivered", "delivered"]

    async def test_a_soft_bounce_may_be_delivered(self, api: Api):
        """D 12: it is not the end."""
        letter = await api.made("/messages", LETTER)
        api.sandbox.messages.happen(letter["id"], "soft_bounced")
        api.sandbox.advance()
        found = (await api.call("GET", f"/messages/{letter['id']}")).json()
        assert found["status"] == "delivered"

    @pytest.mark.parametrize("event", ["unsubscribed", "complined"])
    async def test_the_unwilling_get_no_more(self, api: Api, event: str):
        """B.3: a 201 does not mean that the letter will leave."""
        first = await api.made("/messages", LETTER)
        api.sandbox.messages.happen(first["id"], event)
        second = await api.made("/messages", {**LETTER, "to": "BOB@example.org"})
        api.sandbox.advance()
        found = (await api.call("GET", f"/messages/{second['id']}")).json()
        assert found["status"] == "skipped"

    async def test_time_passes_by_itself(self):
        """With a length of step, letters advance without a command, and stop with the sandbox."""
        sandbox = SandboxRestV1(Letterbox(), FaultPlan(), KEY, step_s=0.001)
        app = Starlette(routes=[Mount("/v1", routes=sandbox.routes())])
        async with listening() as listener, serving(app) as client:
            api = Api(client, sandbox)
            await api.made("/webhook", {"url": listener.url})
            await sandbox.start()
            await api.made("/messages", LETTER)
            (heard,) = await listener.wait_for(1)
            assert heard["event"]["name"] == "delivered"
            await sandbox.stop()
            await sandbox.stop()

    async def test_an_import(self, api: Api):
        """B.8: queued, in work, done; a second time it fills in and adds nobody."""
        await api.made("/lists", {"title": "Clients"})
        rows = [{"email": f"{n}@example.com"} for n in range(1500)] + [{"email": "nobody"}]
        async with listening() as listener:
            made = await api.made(
                "/lists/1/recipients/imports", {"recipients": rows, "callback_url": listener.url}
            )
            assert made == {"id": 31, "status": "queued", "callback_url": listener.url}
            counts = []
            while api.sandbox.advance():
                counts.append(len(api.sandbox.lists.found[1].subscribers))
            assert counts == [0, 1000, 1500]
            assert await listener.wait_for(1) == [{**made, "status": "completed"}]
        await api.made("/lists/1/recipients/imports", {"recipients": rows[:2]})
        while api.sandbox.advance():
            pass
        assert len(api.sandbox.lists.found[1].subscribers) == 1500

    async def test_an_import_that_outlives_its_parameter(self, api: Api):
        """The value goes, the recipient comes, and the list can be read."""
        await api.made("/lists", {"title": "Clients"})
        city = (await api.made("/lists/1/parameters", {"title": "City"}))["id"]
        row = {"email": "a@b.c", "values": [{"parameter_id": city, "value": "Minsk"}]}
        await api.made("/lists/1/recipients/imports", {"recipients": [row]})
        await api.call("DELETE", f"/lists/1/parameters/{city}")
        while api.sandbox.advance():
            pass
        (found,) = (await api.call("GET", "/lists/1/recipients")).json()["collection"]
        assert (found["email"], found["values"]) == ("a@b.c", [])

    async def test_moderation(self, api: Api):
        """B.11: `pending` first, where the installation moderates."""
        api.sandbox.dialect.delivered_campaign = "pending"
        await api.made("/lists", {"title": "Clients"})
        draft = await api.made("/campaigns", {**CAMPAIGN, "lists": [{"id": "1"}]})
        path, seen = f"/campaigns/{draft['id']}", []
        await api.call("PATCH", f"{path}/deliver", {})
        for _ in range(3):
            seen.append((await api.call("GET", path)).json()["state"])
            api.sandbox.advance()
        assert seen == ["pending", "sending", "completed"]

    async def test_a_campaign_as_a_form(self, api: Api):
        """Lists as `lists[][id]`, files as `attachments[]`; other parts are lost in silence."""
        await api.made("/lists", {"title": "a"})
        await api.made("/lists", {"title": "b"})
        response = await api.client.post(
            "/v1/email/campaigns",
            headers=BEARER,
            data={**CAMPAIGN, "lists[][id]": ["1", "2"]},
            files=[("attachments[]", ("a.pdf", b"%PDF")), ("file", ("b.pdf", b"%PDF"))],
        )
        assert response.status_code == 201
        campaign = api.sandbox.campaigns.found[response.json()["id"]]
        assert campaign.list_ids == (1, 2)
        assert [file.filename for file in campaign.files] == ["a.pdf"]


class TestDialects:
    async def test_ids_as_strings(self, api: Api):
        """D 10: everywhere in an answer, and in webhooks."""
        api.sandbox.dialect.ids = "string"
        assert (await api.made("/lists", {"title": "Clients"}))["id"] == "1"
        (one,) = (await api.call("GET", "/lists")).json()["collection"]
        assert one["id"] == "1"

    @pytest.mark.parametrize(
        ("shape", "expected"), [("object", {}), ("list", []), ("null", None), ("missing", ...)]
    )
    async def test_redirect(self, api: Api, shape: str, expected: object):
        """D 21: each shape, and clicks are counted in any."""
        api.sandbox.dialect.redirect = shape
        letter = await api.made("/messages", LETTER)
        assert letter["events"].get("redirect", ...) == expected
        api.sandbox.messages.happen(letter["id"], "clicked", "http://a.example.com")
        found = (await api.call("GET", f"/messages/{letter['id']}")).json()
        assert found["events"]["redirect"] == {"http://a.example.com": 1}

    async def test_created_and_files(self, api: Api):
        """D 9 and D 17: 200 instead of 201, and no word of files."""
        api.sandbox.dialect.created = 200
        api.sandbox.dialect.files = "untold"
        response = await api.call("POST", "/messages", LETTER)
        assert response.status_code == 200
        assert "attachments" not in response.json()

    @pytest.mark.parametrize(
        ("totals", "past_end", "page", "expected"),
        [
            ("true", "empty", 2, (3, 2, [3])),
            ("true", "empty", 3, (3, 2, [])),
            ("true", "last", 3, (3, 2, [3])),
            ("low", "empty", 1, (0, 0, [1, 2])),
            ("high", "empty", 2, (9, 5, [3])),
            ("missing", "empty", 2, (None, None, [3])),
        ],
    )
    async def test_pages(
        self, api: Api, *, totals: str, past_end: str, page: int, expected: tuple[object, ...]
    ):
        """D 16: what a page may say of the whole, true or not."""
        for title in ("a", "b", "c"):
            await api.made("/lists", {"title": title})
        api.sandbox.dialect.totals = totals
        api.sandbox.dialect.past_end = past_end
        found = (await api.call("GET", f"/lists?page_number={page}&page_size=2")).json()
        ids = [item["id"] for item in found["collection"]]
        assert (found.get("total_count"), found.get("total_pages"), ids) == expected

    async def test_webhooks_that_add(self, api: Api):
        """D 20: several may stand; the body of DELETE says which goes."""
        api.sandbox.dialect.webhooks = "add"
        urls = [f"http://127.0.0.1:1/{name}" for name in "ab"]
        for url in (*urls, urls[0]):
            await api.made("/webhook", {"url": url})
        assert api.sandbox.hooks.urls == urls
        assert (await api.call("DELETE", "/webhook", {"url": urls[1]})).status_code == 204
        assert (await api.call("DELETE", "/webhook", {"url": urls[1]})).status_code == 404
        assert (await api.call("GET", "/webhook")).json() == {"url": urls[0]}
        assert (await api.call("DELETE", "/webhook")).status_code == 204
        api.sandbox.dialect.unset_webhook = "null"
        assert (await api.call("GET", "/webhook")).json() == {"url": None}


class TestWebhooks:
    @pytest.mark.parametrize("style", ["nested", "flat"])
    async def test_both_styles(self, api: Api, style: str):
        """B.12: the documents' own shape, and the one that a client expects."""
        api.sandbox.dialect.webhook_style = style
        async with listening() as listener:
            await api.made("/webhook", {"url": listener.url})
            letter = await api.made("/messages", LETTER)
            api.sandbox.messages.happen(letter["id"], "clicked", "http://a.example.com")
            api.sandbox.messages.happen(letter["id"], "complined")
            clicked, complained = await listener.wait_for(2)
        if style == "nested":
            assert clicked["message"] == {"id": letter["id"]}
            assert clicked["event"]["data"] == {"url": "http://a.example.com"}
            assert isinstance(clicked["event"]["timestamp"], int)
            assert complained["event"]["name"] == "complined"
            assert "data" not in complained["event"]
        else:
            assert (clicked["message_id"], clicked["event"]) == (letter["id"], "clicked")
            assert clicked["url"] == "http://a.example.com"

    async def test_copies_losses_and_another_order(self, api: Api):
        """D 12 and D 19: nothing is promised, so all of it can be had."""
        async with listening() as listener:
            await api.made("/webhook", {"url": listener.url})
            letter = await api.made("/messages", LETTER)
            body = {"copies": 2, "lost": 1, "held": True}
            assert (await api.control("PATCH", "/webhooks", body)).status_code == 204
            for name in ("delivered", "opened", "unsubscribed"):
                event = {"id": letter["id"], "event": name}
                assert (await api.control("POST", "/events", event)).status_code == 204
            assert listener.heard == []
            response = await api.control("POST", "/webhooks/release", {"order": "reversed"})
            assert response.json() == {"sent": 4}
            heard = await listener.wait_for(4)
            names = [call["event"]["name"] for call in heard]
        assert names == ["unsubscribed", "unsubscribed", "opened", "opened"]
        await api.sandbox.sender.idle()
        sent = (await api.control("GET", "/webhooks")).json()
        assert [call["status"] for call in sent] == [200] * 4

    async def test_one_event_for_those_who_want_it(self, api: Api):
        """B.13: several webhooks, each with its events."""
        api.sandbox.dialect.extras = True
        async with listening() as listener:
            body = {"title": "mine", "url": listener.url, "events": ["opened"]}
            await api.made("/messages_webhooks", body)
            letter = await api.made("/messages", LETTER)
            for name in ("delivered", "opened"):
                api.sandbox.messages.happen(letter["id"], name)
            (heard,) = await listener.wait_for(1)
            await api.sandbox.sender.idle()
        assert heard["event"]["name"] == "opened"
        assert len(listener.heard) == 1

    @pytest.mark.parametrize(
        ("url", "loopback"),
        [
            ("http://127.0.0.1:8025/x", True),
            ("http://[::1]/x", True),
            ("http://localhost/x", True),
            ("http://192.0.2.1/x", False),
            ("http://example.com/x", False),
            ("http://127.0.0.1.example.com/x", False),
            ("http://localhost.example.com/x", False),
            ("http://127.0.0.1@192.0.2.1/x", False),
            ("https://127.0.0.1/x", False),
            ("http://127.0.0.1:x/", False),
            ("http://[::1/x", False),
        ],
    )
    def test_no_stranger_is_called(self, url: str, loopback: bool):
        """Loopback by address, or localhost, and nothing else."""
        assert is_loopback(url) is loopback

    async def test_calls_that_fail_are_kept(self):
        """To a stranger, and to nobody: the record says why."""
        sender = WebhookSender()
        sender.put("http://example.com/x", {"id": 1})
        sender.put("http://127.0.0.1:1/x", {"id": 2})
        await sender.idle()
        assert [call.status for call in sender.sent] == [0, 0]
        assert "beyond this machine" in sender.sent[0].reason
        assert sender.sent[1].reason
        await sender.aclose()


class TestHabits:
    def test_as_the_command_line_names_them(self):
        """Words, numbers and switches; what is not named stays as it was."""
        texts = ["ids=string", "created=200", "unset_webhook=404", "extras=true"]
        dialect = parse_habits([*texts, "largest_recipients_page=100"])
        assert dialect == Dialect(
            ids="string",
            created=200,
            unset_webhook="404",
            extras=True,
            largest_recipients_page=100,
        )
        assert parse_habits([]) == Dialect()

    @pytest.mark.parametrize("text", ["ids", "ids=roman", "created=404", "colour=red", "=", ""])
    def test_what_is_none(self, text: str):
        """Told with what there is."""
        with pytest.raises(ValueError, match="habit"):
            parse_habits([text])


class TestControl:
    async def test_the_dialect(self, api: Api):
        """Shown and changed from another process."""
        assert (await api.control("GET", "/dialect")).json()["ids"] == "number"
        response = await api.control("PATCH", "/dialect", {"ids": "string", "extras": True})
        assert (response.status_code, response.json()["ids"]) == (200, "string")
        assert api.sandbox.dialect.extras

    async def test_steps(self, api: Api):
        """One without a body, several with one."""
        await api.made("/messages", LETTER)
        assert (await api.control("POST", "/advance")).json() == {"moved": [1]}
        assert (await api.control("POST", "/advance", {"steps": 2})).json() == {"moved": [1, 0]}

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("PATCH", "/dialect", {"ids": "roman"}),
            ("PATCH", "/dialect", {"colour": "red"}),
            ("PATCH", "/dialect", []),
            ("POST", "/advance", {"steps": "x"}),
            ("POST", "/advance", {"leaps": 1}),
            ("POST", "/events", {"id": 1, "event": "opened"}),
            ("POST", "/events", {"id": 5_000_000_001}),
            ("PATCH", "/webhooks", {"copies": "many"}),
            ("POST", "/webhooks/release", {"order": "odd"}),
        ],
    )
    async def test_what_cannot_be_understood(self, api: Api, method: str, path: str, body: object):
        """400 with a reason, and nothing changed."""
        await api.made("/messages", LETTER)
        response = await api.control(method, path, body)
        assert response.status_code == 400
        assert response.json()["error"]
        assert api.sandbox.dialect.ids == "number"


def test_the_key_is_in_no_repr() -> None:
    """T25: not of the sandbox either."""
    sandbox = SandboxRestV1(Letterbox(), FaultPlan(), KEY)
    assert KEY not in repr(sandbox.entrance) + repr(sandbox.messages)
