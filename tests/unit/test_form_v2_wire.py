"""The v2 API on the wire: letters to forms, the token on them, answers to outcomes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest

from gateway.clock import SystemClock
from providers.contract.address import parse_address
from providers.contract.outcome import Cause, Kind, Scope
from providers.form_v2 import FormV2Settings, wire
from providers.form_v2.client import FormV2Client
from providers.http.composition import BLANK_HTML, Composition, compose
from providers.http.exchange import HttpAnswer
from providers.mime import html_from_text, parse_letter
from tests.support.builders import File, a_message
from tests.support.forms import read_multipart

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BOB = parse_address("bob@example.org")
TOKEN = "eyJpdiI6dummy+token/=="


def form(**parts: Any) -> wire.Form:
    """The form for a letter that `a_message` builds."""
    found = compose(parse_letter(a_message(**parts).content), None)
    assert isinstance(found, Composition)
    return wire.build_send_email(found, BOB)


@pytest.fixture
def client() -> FormV2Client:
    settings = FormV2Settings(base_url="https://app.example.com/api/v2", token=TOKEN)
    return FormV2Client(settings, SystemClock())


class TestSendEmail:
    def test_all_fields(self) -> None:
        """C.2: each part under its name."""
        built = form(
            sender='"Example Shop" <news@example.com>', subject="Заказ", text=None, html="<p>Hi</p>"
        )
        assert built.method == "sendEmail"
        assert dict(built.fields) == {
            "sender_email": "news@example.com",
            "sender_name": "Example Shop",
            "subject": "Заказ",
            "message": "<p>Hi</p>\n",
            "email": "bob@example.org",
        }
        assert built.files == ()
        assert built.losses == ()

    def test_plain_text_becomes_html(self) -> None:
        """`message` is the only body: a text goes as HTML that looks the same."""
        assert dict(form(text="a < b\n  c\n").fields)["message"] == html_from_text("a < b\n  c\n")

    def test_html_goes_before_text(self) -> None:
        """Of two bodies the one that the reader would see."""
        assert dict(form(text="Hi", html="<p>Hi</p>").fields)["message"] == "<p>Hi</p>\n"

    def test_blank_html_does_not_hide_the_text(self) -> None:
        """A body of blanks is no body."""
        assert "Hi" in dict(form(text="Hi", html=" ").fields)["message"]

    def test_an_empty_letter_has_a_message(self) -> None:
        """The field is demanded; what goes shows nothing."""
        assert dict(form(text="").fields)["message"] == BLANK_HTML

    @pytest.mark.parametrize(("wanted", "value"), [(None, None), (True, "1"), (False, "0")])
    def test_tracking(self, wanted: bool | None, value: str | None) -> None:
        """1 or 0, and nothing where the service shall decide."""
        found = compose(parse_letter(a_message().content), None)
        assert isinstance(found, Composition)
        built = wire.build_send_email(found, BOB, track_open=wanted, track_click=wanted)
        fields = dict(built.fields)
        assert (fields.get("track_open"), fields.get("track_click")) == (value, value)


class TestToken:
    def test_urlencoded(self, client: FormV2Client) -> None:
        """The token first, its + / and = encoded; every field comes back as it was (T26)."""
        built = form(subject="Ёлка & Co = 100%+", sender="Пекарня <news@example.com>")
        request = client.signed(built)
        assert (request.method, request.path, request.query) == ("POST", "/sendEmail", "")
        assert dict(request.headers)["Content-Type"] == "application/x-www-form-urlencoded"
        assert request.body.startswith(b"token=eyJpdiI6dummy%2Btoken%2F%3D%3D&")
        assert parse_qsl(request.body.decode("ascii"), strict_parsing=True) == [
            ("token", TOKEN),
            *built.fields,
        ]

    def test_multipart(self, client: FormV2Client) -> None:
        """With a file: one `attachment` part beside the fields (C.2)."""
        built = form(attachments=[File("счёт.pdf")])
        read = read_multipart(client.signed(built))
        assert list(read.fields.items()) == [("token", TOKEN), *built.fields]
        ((name, filename, content),) = [(f.name, f.filename, f.content) for f in read.files]
        assert (name, filename, content) == ("attachment", "счёт.pdf", File().content)

    def test_in_the_query(self, client: FormV2Client) -> None:
        """C.10: percent-encoded, and no body."""
        request = client.signed_in_query(wire.TEMPLATES)
        assert (request.path, request.body) == ("/getEmailTemplates", b"")
        assert request.query == "token=eyJpdiI6dummy%2Btoken%2F%3D%3D"

    def test_not_in_any_repr(self, client: FormV2Client) -> None:
        """T25: neither client nor requests show the token, in any spelling."""
        shown = repr(
            [client, vars(client), client.signed(form()), client.signed_in_query(wire.TEMPLATES)]
        )
        assert "eyJpdiI6" not in shown


class TestAnswers:
    def read(self, status: int, body: object, **headers: str) -> Any:
        octets = body if isinstance(body, bytes) else json.dumps(body).encode()
        return wire.read_answer(HttpAnswer(status, headers, octets), NOW)

    @pytest.mark.parametrize("word", ["OK", "ok", "Ok"])
    @pytest.mark.parametrize(("value", "text"), [(1234, "1234"), ("1234", "1234")])
    def test_accepted(self, word: str, value: object, text: str) -> None:
        """C.1: 2xx, an object, status ok in any case, no error; ids are text (D 26)."""
        outcome = self.read(200, {"status": word, "result": {"email_id": value}, "error": ""})
        assert (outcome.kind, outcome.scope) == (Kind.ACCEPTED, Scope.RECIPIENT)
        assert outcome.provider_message_id == text

    @pytest.mark.parametrize("result", [None, [], {}, "x", {"email_id": None}])
    def test_accepted_without_an_id(self, result: object) -> None:
        """An OK whose result says nothing is an OK."""
        outcome = self.read(200, {"status": "OK", "result": result})
        assert (outcome.kind, outcome.provider_message_id) == (Kind.ACCEPTED, "")

    @pytest.mark.parametrize("empty", ["", None, [], {}])
    def test_an_empty_error_is_none(self, empty: object) -> None:
        """D 36: empty, null or absent."""
        body = {"status": "OK", "result": {}, "error": empty, "errors": empty}
        assert self.read(200, body).kind is Kind.ACCEPTED

    @pytest.mark.parametrize(
        "body",
        [
            {"status": "ERROR", "error": "bad address"},
            {"status": "error", "message": "bad address"},
            {"error": "bad address"},
            {"status": "OK", "error": "bad address"},
            {"status": "OK", "errors": {"email": ["bad address"]}},
            {"errors": ["bad address"]},
        ],
    )
    def test_errors_with_http_200(self, body: object) -> None:
        """D 24: HTTP 200 alone proves nothing; an error refuses this letter."""
        outcome = self.read(200, body)
        assert (outcome.kind, outcome.scope) == (Kind.REJECTED, Scope.RECIPIENT)
        assert outcome.diagnostic == "HTTP 200 bad address"

    def test_an_error_with_http_200_that_names_a_wait(self) -> None:
        """T3: a rate excess in the service's old dress is no refusal (C.1)."""
        outcome = self.read(200, {"status": "error", "message": "Too often, wait 20 seconds"})
        assert (outcome.kind, outcome.cause) == (Kind.DEFERRED, Cause.THROTTLED)
        assert outcome.retry_after == timedelta(seconds=20)

    @pytest.mark.parametrize(
        "body",
        [b"", b"OK", b"<html>", b"[]", b'{"status": "O', {}, {"status": None}, {"status": "DONE"}],
    )
    def test_unreadable_success(self, body: object) -> None:
        """Neither success nor an error: it may have been accepted."""
        outcome = self.read(200, body)
        assert (outcome.kind, outcome.scope) == (Kind.UNCERTAIN, Scope.RECIPIENT)

    @pytest.mark.parametrize(
        ("status", "kind", "cause"),
        [
            (302, Kind.DEFERRED, Cause.OTHER),
            (400, Kind.REJECTED, Cause.OTHER),
            (401, Kind.DEFERRED, Cause.ACCOUNT),
            (403, Kind.DEFERRED, Cause.ACCOUNT),
            (404, Kind.REJECTED, Cause.OTHER),
            (413, Kind.UNSUPPORTED, Cause.OTHER),
            (422, Kind.REJECTED, Cause.OTHER),
            (429, Kind.DEFERRED, Cause.THROTTLED),
            (500, Kind.UNCERTAIN, Cause.OTHER),
            (503, Kind.DEFERRED, Cause.THROTTLED),
        ],
    )
    @pytest.mark.parametrize("body", [{"status": "OK", "result": {"email_id": 1}}, b"<html>"])
    def test_the_status_decides(self, status: int, kind: Kind, cause: Cause, body: object) -> None:
        """T4, and D 25: no body makes a success of another status, no redirect is followed."""
        outcome = self.read(status, body)
        assert (outcome.kind, outcome.cause) == (kind, cause)

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            ({"error": "one", "message": "two"}, "one"),
            ({"message": "two", "errors": {"email": ["three"]}}, "two"),
            ({"errors": {"email": ["three", "four"]}}, "three"),
            ({"errors": ["three"]}, "three"),
            ({"errors": {"email": [{"code": 1}]}}, '{"errors"'),
            (b"<h1>\nBad</h1>", "<h1> Bad</h1>"),
        ],
    )
    def test_what_the_service_says(self, body: object, text: str) -> None:
        """C.1: the first of error, message, errors, else the body."""
        assert self.read(400, body).diagnostic.startswith(f"HTTP 400 {text}")
