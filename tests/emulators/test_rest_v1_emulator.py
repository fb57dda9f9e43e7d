"""The imitated v1 API: what a right client gets, and that a wrong one fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from providers.contract.capabilities import Rate
from providers.sandbox.faults import Fault, FaultKind, FaultPlan
from providers.sandbox.letterbox import Letterbox
from providers.sandbox.rest_v1 import MAX_ATTACHMENT_OCTETS, SandboxRestV1
from tests.support.http_sandbox import serving

KEY = "dummy-key-1234"
BEARER = {"Authorization": f"Bearer {KEY}"}
JSON = {**BEARER, "Content-Type": "application/json"}
LETTER = {
    "from_email": "news@example.com",
    "from_name": "Example Shop",
    "to": "bob@example.org",
    "subject": "Order 77",
    "text": "Thank you",
    "html": "<p>Thank you</p>",
}


@dataclass
class Api:
    """The emulator, and ways to call it."""

    client: httpx.AsyncClient
    sandbox: SandboxRestV1
    now: float = 1000.0

    @property
    def letters(self) -> list[Any]:
        return self.sandbox.letterbox.letters

    async def send(self, letter: object = None, **options: Any) -> httpx.Response:
        """POST a message: JSON, or a multipart form when `files` are given."""
        if "files" in options:
            return await self.client.post(
                "/v1/email/messages", headers=BEARER, data=letter, **options
            )
        return await self.client.post("/v1/email/messages", json=letter or LETTER, headers=BEARER)

    async def get(self, path: str, headers: dict[str, str] = JSON) -> httpx.Response:
        return await self.client.get(f"/v1{path}", headers=headers)

    def strike(self, kind: FaultKind, **options: Any) -> None:
        self.sandbox.faults.add(Fault(kind, **options))


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    sandbox = SandboxRestV1(Letterbox(), FaultPlan(), KEY)
    app = Starlette(routes=[Mount("/v1", routes=sandbox.routes())])
    async with serving(app) as client:
        api = Api(client, sandbox)
        sandbox.limit(None, lambda: api.now)
        yield api


def detail(response: httpx.Response) -> str:
    """The text of the one error in the answer, whose code repeats the status."""
    (error,) = response.json()["errors"]
    assert error["code"] == response.status_code
    return str(error["detail"])


class TestMessages:
    async def test_json_is_answered_with_the_whole_message(self, api: Api):
        """201 and every key of the reference, the id beyond 32 bits (B.1, B.3)."""
        response = await api.send()
        assert response.status_code == 201
        answer = response.json()
        assert answer.pop("id") > 1 << 32
        assert answer.pop("events") == {"open": 0, "redirect": {}, "spam": 0, "unsubscribe": 0}
        assert answer == {**LETTER, "attachments": [], "status": "queued"}

    async def test_json_is_recorded(self, api: Api):
        """What came is in the letterbox as it came."""
        headers = {"Reply-To": "help@example.com", "Client-Id": "77"}
        response = await api.send({**LETTER, "smtp_headers": headers, "payment": "credit"})
        (letter,) = api.letters
        assert letter.provider_message_id == str(response.json()["id"])
        assert (letter.recipient, letter.from_email) == ("bob@example.org", "news@example.com")
        assert (letter.from_name, letter.subject) == ("Example Shop", "Order 77")
        assert (letter.text, letter.html) == ("Thank you", "<p>Thank you</p>")
        assert letter.header_fields == headers
        assert letter.parameters == {"payment": "credit"}

    async def test_multipart_carries_files_and_header_fields(self, api: Api):
        """`attachments[]` and `smtp_headers[Name]`, file names as UTF-8 (B.3)."""
        files = [
            ("attachments[]", ('счёт "7".pdf', b"%PDF\x00\xff", "application/pdf")),
            ("attachments[]", ("b.txt", b"two", "text/plain")),
        ]
        response = await api.send({**LETTER, "smtp_headers[X-Shop]": "77"}, files=files)
        assert response.status_code == 201
        assert response.json()["attachments"] == ['счёт "7".pdf', "b.txt"]
        (letter,) = api.letters
        assert letter.header_fields == {"X-Shop": "77"}
        assert [(f.filename, f.content_type, f.content) for f in letter.attachments] == [
            ('счёт "7".pdf', "application/pdf", b"%PDF\x00\xff"),
            ("b.txt", "text/plain", b"two"),
        ]

    @pytest.mark.parametrize("name", ["attachments", "attachment", "invoice.pdf", "files[]"])
    async def test_a_file_under_another_name_is_lost_silently(self, api: Api, name: str):
        """Only the list in the answer tells that a file did not arrive (D 17)."""
        response = await api.send(LETTER, files=[(name, ("invoice.pdf", b"x"))])
        assert response.status_code == 201
        assert response.json()["attachments"] == []

    async def test_ids_differ(self, api: Api):
        """Each letter has its own id."""
        ids = {(await api.send()).json()["id"] for _ in range(3)}
        assert len(ids) == 3

    async def test_a_message_can_be_read_again(self, api: Api):
        """GET gives what POST gave; a foreign id is not found."""
        created = (await api.send()).json()
        response = await api.get(f"/email/messages/{created['id']}")
        assert (response.status_code, response.json()) == (200, created)
        response = await api.get("/email/messages/1")
        assert (response.status_code, detail(response)) == (404, "Not found")


class TestRefusals:
    @pytest.mark.parametrize("name", ["from_email", "to", "subject"])
    @pytest.mark.parametrize("value", [None, "", "  "])
    async def test_required_fields(self, api: Api, name: str, value: str | None):
        """What is demanded may be neither absent nor blank."""
        letter = {key: text for key, text in LETTER.items() if key != name}
        if value is not None:
            letter[name] = value
        response = await api.send(letter)
        assert (response.status_code, detail(response)) == (422, f"{name} can't be blank")
        assert api.letters == []

    async def test_one_body_at_least(self, api: Api):
        """Neither text nor HTML: refused; either alone is enough."""
        response = await api.send({**LETTER, "text": " \n", "html": ""})
        assert (response.status_code, detail(response)) == (422, "text can't be blank")
        for name in ("text", "html"):
            letter = {key: text for key, text in LETTER.items() if key != name}
            assert (await api.send(letter)).status_code == 201

    @pytest.mark.parametrize(
        "to",
        [
            "bob@example.org,eve@example.org",
            "bob@example.org, eve@example.org",
            "Bob <bob@example.org>",
            "bob",
            " bob@example.org",
            ["bob@example.org"],
            77,
        ],
    )
    async def test_one_address_in_to(self, api: Api, to: object):
        """Several addresses, a display-name or another type are refused (D 6)."""
        response = await api.send({**LETTER, "to": to})
        assert (response.status_code, detail(response)) == (422, "to is invalid")

    async def test_payment_is_an_enumeration(self, api: Api):
        """An unknown kind of payment is refused."""
        response = await api.send({**LETTER, "payment": "cash"})
        assert response.status_code == 422
        assert "payment" in detail(response)

    @pytest.mark.parametrize(
        "headers",
        [
            ["X-Shop"],
            {"X-Shop": 77},
            {"Client-Id": None},
            {"X Shop": "77"},
            {"X-Shop": "77\r\nBcc: eve@example.org"},
            {"From": "eve@example.org"},
            {"content-type": "text/html"},
            {"Message-ID": "<1@example.com>"},
        ],
    )
    async def test_smtp_headers_are_strings_and_not_the_platforms_own(
        self, api: Api, headers: object
    ):
        """Nothing but single-line strings, and none of the fields the platform writes."""
        response = await api.send({**LETTER, "smtp_headers": headers})
        assert response.status_code == 422
        assert "smtp_headers" in detail(response)
        assert api.letters == []

    async def test_attachments_have_a_limit(self, api: Api):
        """5 MB together and no octet more."""
        half = MAX_ATTACHMENT_OCTETS // 2
        files = [("attachments[]", (f"{n}.bin", b"\0" * half)) for n in range(2)]
        assert (await api.send(LETTER, files=files)).status_code == 201
        files.append(("attachments[]", ("3.bin", b"\0")))
        response = await api.send(LETTER, files=files)
        assert (response.status_code, detail(response)) == (422, "attachments are too big")

    @pytest.mark.parametrize(
        "authorization", [None, "Bearer wrong", KEY, f"Basic {KEY}", f"Token {KEY}"]
    )
    async def test_the_key_is_a_bearer_token(self, api: Api, authorization: str | None):
        """Any other credential is 401, on every method."""
        headers = {"Content-Type": "application/json"}
        if authorization is not None:
            headers["Authorization"] = authorization
        response = await api.client.post("/v1/email/messages", json=LETTER, headers=headers)
        assert (response.status_code, detail(response)) == (401, "Invalid token")
        assert (await api.get("/email/lists", headers)).status_code == 401

    @pytest.mark.parametrize(
        "content_type", [None, "text/plain", "application/x-www-form-urlencoded"]
    )
    async def test_media_types(self, api: Api, content_type: str | None):
        """JSON is demanded, on GET too; forms only for a message with files."""
        headers = BEARER | ({"Content-Type": content_type} if content_type else {})
        response = await api.client.post("/v1/email/messages", content=b"{}", headers=headers)
        assert (response.status_code, detail(response)) == (415, "Unsupported media type")
        assert (await api.get("/email/lists", headers)).status_code == 415

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b"null", b'{"to": "\xff"}', b'{"to": "a", "to": "b"}', b"[" * 100_000],
    )
    async def test_unreadable_json(self, api: Api, body: bytes):
        """What is no JSON object is a bad request."""
        response = await api.client.post("/v1/email/messages", content=body, headers=JSON)
        assert response.status_code == 400
        assert api.letters == []

    @pytest.mark.parametrize(
        "content_type", ["multipart/form-data", "multipart/form-data; boundary=x"]
    )
    async def test_unreadable_multipart(self, api: Api, content_type: str):
        """A form without a boundary, or with another one, is a bad request."""
        response = await api.client.post(
            "/v1/email/messages",
            content=b"--y\r\nno part\r\n",
            headers={**BEARER, "Content-Type": content_type},
        )
        assert response.status_code == 400

    async def test_unknown_methods(self, api: Api):
        """What the reference does not know is not found."""
        assert (await api.get("/email/nothing")).status_code == 404
        response = await api.client.delete("/v1/email/messages", headers=JSON)
        assert response.status_code == 404


class TestQuestions:
    async def test_lists_are_paged(self, api: Api):
        """An empty collection; a page too big or malformed is told as the reference says (B.2)."""
        page = {"total_count": 0, "total_pages": 0, "page_number": 1, "page_size": 1}
        response = await api.get("/email/lists?page_size=1")
        assert (response.status_code, response.json()) == (200, {**page, "collection": []})
        response = await api.get("/email/lists?page_size=101")
        assert response.status_code == 412
        assert detail(response) == "Page size is too big. Max value is 100"
        for query in ("page_size=0", "page_number=-1", "page_size=x"):
            assert (await api.get(f"/email/lists?{query}")).status_code == 400

    async def test_balance_only_where_the_installation_has_it(self, api: Api):
        """404 on the platform of the seed, a number on newer ones (B.13)."""
        assert (await api.get("/email/balance")).status_code == 404
        api.sandbox.balance = 100
        assert (await api.get("/email/balance")).json()["balance"] == 100


class TestRate:
    async def test_calls_beyond_the_limit_are_throttled(self, api: Api):
        """The limit holds for what is not GET, names the wait in words, and passes."""
        api.sandbox.limit(Rate(5, timedelta(seconds=1)), lambda: api.now)
        assert [(await api.send()).status_code for _ in range(5)] == [201] * 5
        response = await api.send()
        assert (response.status_code, detail(response)) == (
            429,
            "Limit exceeded, retry in 1 seconds",
        )
        assert "retry-after" not in response.headers
        assert api.sandbox.letterbox.throttled == {"rest_v1": 1}
        assert (await api.get("/email/lists")).status_code == 200
        api.now += 1
        assert (await api.send()).status_code == 201


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "status", "recorded"),
        [
            (Fault(FaultKind.REFUSE), 422, 0),
            (Fault(FaultKind.DEFER), 503, 0),
            (Fault(FaultKind.UNAUTHORISED), 401, 0),
            (Fault(FaultKind.THROTTLE), 429, 0),
            (Fault(FaultKind.ERROR), 500, 0),
            (Fault(FaultKind.ERROR, style="502"), 502, 0),
            (Fault(FaultKind.ERROR, style="504"), 504, 0),
            (Fault(FaultKind.GARBAGE), 201, 1),
        ],
        ids=lambda value: f"{value.kind}{value.style}" if isinstance(value, Fault) else "",
    )
    async def test_answers(self, api: Api, fault: Fault, status: int, recorded: int):
        """Each fault has its status; only what was accepted is recorded; then all is well."""
        api.sandbox.faults.add(replace(fault))
        assert (await api.send()).status_code == status
        assert len(api.letters) == recorded
        assert (await api.send()).status_code == 201

    async def test_garbage_is_no_json(self, api: Api):
        """The answer claims to be JSON and cannot be read."""
        api.strike(FaultKind.GARBAGE)
        with pytest.raises(ValueError, match="delimiter"):
            (await api.send()).json()

    @pytest.mark.parametrize(("style", "header"), [("", None), ("text", None), ("header", "7")])
    async def test_ways_to_throttle(self, api: Api, style: str, header: str | None):
        """By default the wait stands in the text alone (B.1)."""
        api.strike(FaultKind.THROTTLE, retry_after_s=6.2, style=style)
        response = await api.send()
        assert response.headers.get("retry-after") == header
        assert ("7 seconds" in detail(response)) is (header is None)
        assert (await api.send()).status_code == 201
        assert api.sandbox.letterbox.throttled == {"rest_v1": 1}

    async def test_throttling_until_a_date(self, api: Api):
        """Retry-After as an HTTP date, beside the Date it counts from (T3)."""
        api.strike(FaultKind.THROTTLE, style="date")
        response = await api.send()
        assert response.headers["retry-after"].endswith(" GMT")
        assert response.headers["date"].endswith(" GMT")

    @pytest.mark.parametrize(
        ("kind", "recorded"), [(FaultKind.DROP_BEFORE, 0), (FaultKind.DROP_AFTER, 1)]
    )
    async def test_the_connection_breaks(self, api: Api, kind: FaultKind, recorded: int):
        """The client sees a reset and no octet of an answer."""
        api.strike(kind)
        with pytest.raises(httpx.ReadError):
            await api.send()
        assert len(api.letters) == recorded
        assert (await api.send()).status_code == 201

    @pytest.mark.parametrize(("style", "recorded"), [("", 0), ("after", 1)])
    async def test_no_answer(self, api: Api, style: str, recorded: int):
        """The request is read and never answered; the client's leaving ends it."""
        api.strike(FaultKind.HANG, style=style)
        task = asyncio.create_task(api.send())
        await api.sandbox.letterbox.wait_until(lambda box: bool(box.calls) and not plan(api))
        assert len(api.letters) == recorded
        task.cancel()
        assert (await api.send()).status_code == 201

    async def test_stopping_ends_a_silent_connection(self, api: Api):
        """The listener closes while a client still waits for its answer."""
        api.strike(FaultKind.HANG, times=None)
        async with serving(Starlette(routes=api.sandbox.routes())) as client:
            task = asyncio.create_task(client.post("/email/messages", json=LETTER, headers=BEARER))
            await api.sandbox.letterbox.wait_until(lambda box: bool(box.calls))
        with pytest.raises(httpx.TransportError):
            await task

    async def test_only_for_a_recipient(self, api: Api):
        """A fault for one address leaves the others alone."""
        api.strike(FaultKind.REFUSE, recipient="eve@")
        assert (await api.send()).status_code == 201
        assert (await api.send({**LETTER, "to": "eve@example.org"})).status_code == 422

    async def test_questions_are_struck_too(self, api: Api):
        """A fault for all strikes calls that name no recipient."""
        api.strike(FaultKind.UNAUTHORISED)
        assert (await api.get("/email/lists")).status_code == 401
        assert (await api.get("/email/lists")).status_code == 200

    async def test_every_call_is_counted(self, api: Api):
        """Whatever became of it."""
        api.strike(FaultKind.DEFER)
        for _ in range(2):
            await api.send()
        await api.get("/email/nothing")
        assert api.sandbox.letterbox.calls == {"rest_v1": 3}


def plan(api: Api) -> list[Fault]:
    """The faults still to come."""
    return api.sandbox.faults.faults
