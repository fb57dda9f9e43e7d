"""The imitated v2 API: what a right client gets, and that a wrong one fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.form_v2_answers import Quirk
from providers.sandbox.form_v2_fields import MAX_ATTACHMENT_OCTETS, MAX_INPUT_VARS
from tests.emulators.v2_api import LETTER, TOKEN, V2Api, error, v2_api

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def api() -> AsyncIterator[V2Api]:
    async with v2_api() as api:
        yield api


class TestSendEmail:
    async def test_success(self, api: V2Api):
        """HTTP 200, status OK and a number as id (C.2); all that came is recorded."""
        response = await api.send(track_open="0", d_schedule="2126-01-31 09:30")
        assert response.status_code == 200
        body = response.json()
        assert body["status"] == "OK"
        assert isinstance(body["result"]["email_id"], int)
        (letter,) = api.letters
        assert letter.provider_message_id == str(body["result"]["email_id"])
        assert (letter.recipient, letter.subject) == ("bob@example.org", "Order 77")
        assert (letter.from_email, letter.from_name) == ("news@example.com", "Example Shop")
        assert letter.html == "<p>Thank you</p>"
        assert letter.parameters == {"track_open": "0", "d_schedule": "2126-01-31 09:30"}

    async def test_one_file(self, api: V2Api):
        """A multipart form with one `attachment`; the token survives its + / and =."""
        file = ("счёт.pdf", b"%PDF\x00\xff", "application/pdf")
        response = await api.send(files={"attachment": file})
        assert response.status_code == 200
        ((attachment,),) = [letter.attachments for letter in api.letters]
        assert (attachment.filename, attachment.content) == file[:2]

    async def test_multipart_without_a_file(self, api: V2Api):
        """A multipart form is a form."""
        form = [(name, (None, value)) for name, value in LETTER.items()]
        assert (await api.call("sendEmail", files=form)).status_code == 200

    @pytest.mark.parametrize("name", ["sender_email", "subject", "message", "email"])
    @pytest.mark.parametrize("value", [None, "", " "])
    async def test_required_fields(self, api: V2Api, name: str, value: str | None):
        """What is demanded may be neither absent nor blank."""
        response = await api.send(**{name: value})
        assert (response.status_code, error(response)) == (400, f"The {name} field is required")
        assert api.letters == []

    @pytest.mark.parametrize("name", ["sender_email", "email"])
    @pytest.mark.parametrize("value", ["bob", "a@example.org,b@example.org", "B <b@example.org>"])
    async def test_addresses(self, api: V2Api, name: str, value: str):
        """One plain address each."""
        assert (await api.send(**{name: value})).status_code == 400

    @pytest.mark.parametrize("name", ["track_open", "track_click"])
    async def test_tracking_is_1_or_0(self, api: V2Api, name: str):
        """Words are refused."""
        assert (await api.send(**{name: "1"})).status_code == 200
        assert (await api.send(**{name: "true"})).status_code == 400

    @pytest.mark.parametrize(
        "value",
        ["2126-01-31T09:30", "2126-01-31 09:30:00", "31.01.2126 09:30", "2126-02-30 09:30", ""],
    )
    async def test_d_schedule(self, api: V2Api, value: str):
        """`YYYY-MM-DD HH:MM` and a day that exists, nothing else (C.1)."""
        assert (await api.send(d_schedule=value)).status_code == 400

    @pytest.mark.parametrize(
        "files",
        [
            [("attachment", ("1.txt", b"1")), ("attachment", ("2.txt", b"2"))],
            [("attachments[]", ("1.txt", b"1"))],
            [("attachment", ("big.bin", b"\0" * (MAX_ATTACHMENT_OCTETS + 1)))],
            [("attachment", (None, b"a field"))],
        ],
        ids=["two", "misnamed", "large", "no file"],
    )
    async def test_wrong_files(self, api: V2Api, files: Any):
        """One file, called `attachment`, within PHP's limit."""
        assert (await api.send(files=files)).status_code == 400
        assert api.letters == []

    @pytest.mark.parametrize("token", [None, "", "wrong", TOKEN.replace("+", " ")])
    async def test_token(self, api: V2Api, token: str | None):
        """Missing, wrong, or not percent-encoded: 401 in the usual body."""
        response = await api.send(token=token)
        assert (response.status_code, error(response)) == (401, "Invalid token")

    async def test_token_in_the_query_is_none(self, api: V2Api):
        """Only getEmailTemplates looks there."""
        fields = {name: value for name, value in LETTER.items() if name != "token"}
        response = await api.call("sendEmail", data=fields, params={"token": TOKEN})
        assert response.status_code == 401

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("application/json", b"{}"),
            ("text/plain", b"token=x"),
            ("application/x-www-form-urlencoded", b"token"),
            ("application/x-www-form-urlencoded", b"token=%ff"),
            ("application/x-www-form-urlencoded", "token=ё".encode()),
            ("multipart/form-data; boundary=x", b"--y\r\n"),
        ],
    )
    async def test_unreadable(self, api: V2Api, content_type: str, body: bytes):
        """Another media type, broken encoding or framing: a bad request."""
        response = await api.call("sendEmail", content=body, headers={"Content-Type": content_type})
        assert response.status_code == 400

    @pytest.mark.parametrize("multipart", [False, True])
    async def test_fields_beyond_php_s_limit_vanish(self, api: V2Api, multipart: bool):
        """Fields past max_input_vars are dropped without a word (C.5)."""
        padding = {f"x{n}": "" for n in range(MAX_INPUT_VARS - len(LETTER))}
        files = {"attachment": ("1.txt", b"1")} if multipart else None
        fits = {**padding, **LETTER}
        assert (await api.call("sendEmail", data=fits, files=files)).status_code == 200
        response = await api.call("sendEmail", data={"one": "more", **fits}, files=files)
        assert (response.status_code, error(response)) == (400, "The email field is required")

    async def test_unknown_methods(self, api: V2Api):
        """Other methods, and GET, are not found."""
        assert (await api.call("sendSms", data=LETTER)).status_code == 404
        assert (await api.client.get("/api/v2/sendEmail")).status_code == 404


class TestTemplates:
    async def test_token_in_the_query(self, api: V2Api):
        """POST with the token in the query, percent-encoded (C.10)."""
        response = await api.call("getEmailTemplates", params={"token": TOKEN})
        assert response.json() == {"status": "OK", "result": [{"id": 11, "title": "Welcome"}]}
        response = await api.call(f"getEmailTemplates?token={TOKEN}")
        assert response.status_code == 401

    async def test_token_in_the_form_only_when_switched_on(self, api: V2Api):
        """By default the form is not looked at."""
        assert (await api.call("getEmailTemplates", data=LETTER)).status_code == 401
        api.sandbox.quirks.add(Quirk.TOKEN_IN_FORM)
        assert (await api.call("getEmailTemplates", data=LETTER)).status_code == 200
        assert (await api.call("getEmailTemplates", data={"token": "wrong"})).status_code == 401

    async def test_faults_strike_it(self, api: V2Api):
        """A fault for all strikes a call that names no recipient."""
        api.strike(FaultKind.THROTTLE)
        response = await api.call("getEmailTemplates", params={"token": TOKEN})
        assert response.status_code == 429


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "status", "recorded"),
        [
            (Fault(FaultKind.REFUSE), 400, 0),
            (Fault(FaultKind.DEFER), 503, 0),
            (Fault(FaultKind.UNAUTHORISED), 401, 0),
            (Fault(FaultKind.THROTTLE), 429, 0),
            (Fault(FaultKind.ERROR), 500, 0),
            (Fault(FaultKind.GARBAGE), 200, 1),
        ],
        ids=lambda value: value.kind if isinstance(value, Fault) else "",
    )
    async def test_answers(self, api: V2Api, fault: Fault, status: int, recorded: int):
        """Each fault has its status; only what was accepted is recorded; then all is well."""
        api.sandbox.faults.add(replace(fault))
        assert (await api.send()).status_code == status
        assert len(api.letters) == recorded
        assert (await api.send()).status_code == 200

    async def test_dresses_of_a_refusal(self, api: V2Api):
        """HTTP 200 with an error, Laravel's validation, a redirect (C.1)."""
        for style in ("200", "laravel", "302"):
            api.strike(FaultKind.REFUSE, style=style)
        response = await api.send()
        assert response.status_code == 200
        assert error(response)
        response = await api.send()
        assert response.status_code == 422
        assert list(response.json()["errors"]) == ["email"]
        response = await api.send()
        assert (response.status_code, response.headers["location"]) == (302, "/")
        assert api.letters == []

    async def test_throttling_names_the_wait_in_the_header(self, api: V2Api):
        """By default Retry-After in seconds."""
        api.strike(FaultKind.THROTTLE, retry_after_s=7)
        assert (await api.send()).headers["retry-after"] == "7"
        assert api.sandbox.letterbox.throttled == {"form_v2": 1}

    @pytest.mark.parametrize(
        ("kind", "recorded"), [(FaultKind.DROP_BEFORE, 0), (FaultKind.DROP_AFTER, 1)]
    )
    async def test_the_connection_breaks(self, api: V2Api, kind: FaultKind, recorded: int):
        """The client sees a reset and no octet of an answer."""
        api.strike(kind)
        with pytest.raises(httpx.ReadError):
            await api.send()
        assert len(api.letters) == recorded

    async def test_no_answer(self, api: V2Api):
        """The request is read, not recorded and never answered."""
        api.strike(FaultKind.HANG)
        task = asyncio.create_task(api.send())
        await api.sandbox.letterbox.wait_until(lambda box: bool(box.calls))
        task.cancel()
        assert (await api.send()).status_code == 200
        assert len(api.letters) == 1
