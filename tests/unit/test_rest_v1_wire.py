"""The v1 API on the wire: letters to requests, answers to outcomes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from providers.contract.address import parse_address
from providers.contract.capabilities import Part
from providers.contract.outcome import Cause, Kind, Scope
from providers.http.composition import Composition, Submission, compose
from providers.http.exchange import HttpAnswer, HttpRequest
from providers.mime import parse_letter
from providers.rest_v1 import wire
from providers.rest_v1.smtp_headers import NOT_GIVEN
from tests.support.builders import File, a_message
from tests.support.forms import read_multipart

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BOB = parse_address("bob@example.org")


def composition(**parts: Any) -> Composition:
    """The composition of a letter that `a_message` builds."""
    return composition_of(a_message(**parts).content)


def composition_of(content: bytes) -> Composition:
    found = compose(parse_letter(content), None)
    assert isinstance(found, Composition)
    return found


def build(found: Composition, **options: Any) -> Submission:
    return wire.build_message(found, BOB, client_id="Q1-0", **options)


def payload(submission: Submission) -> dict[str, Any]:
    """The JSON of a request."""
    assert ("Content-Type", "application/json") in submission.request.headers
    return dict(json.loads(submission.request.body))


class TestJson:
    def test_all_fields(self) -> None:
        """B.3: each part under its name, what is empty left out."""
        letter = composition(
            sender='"Example Shop" <news@example.com>',
            subject="Order 77",
            text="Thank you\n",
            html="<p>Thank you</p>\n",
        )
        submission = build(letter, payment="credit")
        assert submission.request.method == "POST"
        assert submission.request.path == "/email/messages"
        assert payload(submission) == {
            "from_email": "news@example.com",
            "from_name": "Example Shop",
            "to": "bob@example.org",
            "subject": "Order 77",
            "text": "Thank you\n",
            "html": "<p>Thank you</p>\n",
            "payment": "credit",
            "smtp_headers": {"Client-Id": "Q1-0"},
        }
        assert submission.losses == ()

    def test_absent_parts_are_left_out(self) -> None:
        """A text letter of a nameless sender has three keys less."""
        keys = payload(build(composition())).keys()
        assert keys == {"from_email", "to", "subject", "text", "smtp_headers"}

    def test_other_scripts(self) -> None:
        """T26: subject, display-name and body in any script arrive as they are."""
        letter = composition(
            sender="Пекарня Ёлка <news@example.com>", subject="Заказ № 77 🎂", text="Спасибо, Zoë\n"
        )
        found = payload(build(letter))
        assert found["from_name"] == "Пекарня Ёлка"
        assert found["subject"] == "Заказ № 77 🎂"
        assert found["text"] == "Спасибо, Zoë\n"

    def test_international_domains_go_as_a_labels(self) -> None:
        """The API takes ASCII addresses."""
        to = parse_address("bob@пример.example.org")
        submission = wire.build_message(composition(), to, client_id="Q1-0")
        assert payload(submission)["to"] == "bob@xn--e1afmkfd.example.org"

    def test_no_secret_and_no_body_in_the_repr(self) -> None:
        """T25: a request can be looked at without showing the letter."""
        assert "Thank" not in repr(build(composition()).request)


class TestHeaderFields:
    def fields(self, *header_fields: tuple[str, str]) -> dict[str, str]:
        found = payload(build(composition(header_fields=header_fields)))["smtp_headers"]
        assert found.pop("Client-Id") == "Q1-0"
        return dict(found)

    def test_what_goes_along(self) -> None:
        """Reply-To, threading, lists and everybody's own fields, names as written."""
        fields = {
            "Reply-To": "help@example.com",
            "References": "<1@example.com> <2@example.com>",
            "In-Reply-To": "<2@example.com>",
            "List-Unsubscribe": "<https://example.com/u/1>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            "X-Order": "77",
            "Auto-Submitted": "auto-generated",
        }
        assert self.fields(*fields.items()) == fields

    @pytest.mark.parametrize("name", sorted(NOT_GIVEN - {"from", "to", "subject"}))
    def test_what_never_goes_along(self, name: str) -> None:
        """What the platform writes itself, or what is false once it does (D 18)."""
        lines = f"{name.title()}: x@example.com\r\nX-Order: 77\r\n"
        content = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: s\r\n" + lines.encode()
        found = payload(build(composition_of(content + b"\r\nHi\r\n")))["smtp_headers"]
        assert found == {"X-Order": "77", "Client-Id": "Q1-0"}

    @pytest.mark.parametrize("name", ["From", "To", "Cc", "Bcc", "Subject", "Content-Type"])
    def test_addresses_and_mime_never_go_along(self, name: str) -> None:
        """Envelope is truth: no header field adds a recipient (T8)."""
        content = f"From: a@example.com\r\n{name}: eve@example.com\r\n\r\nHi\r\n".encode()
        assert "eve" not in json.dumps(payload(build(composition_of(content)))["smtp_headers"])

    def test_reply_to_with_names(self) -> None:
        """Quoted and encoded as RFC 5322 and RFC 2047 want, so that no comma splits a name."""
        raw = (
            b"From: a@example.com\r\n"
            b"Reply-To: =?utf-8?q?M=C3=BCller=2C_Hans?= <hans@example.com>,\r\n"
            b' "Doe, Jane" <jane@example.com>\r\n\r\nHi\r\n'
        )
        reply_to = payload(build(composition_of(raw)))["smtp_headers"]["Reply-To"]
        again = parse_letter(f"Reply-To: {reply_to}\r\n\r\n".encode("ascii")).reply_to
        assert [(m.display_name, m.address) for m in again] == [
            ("Müller, Hans", "hans@example.com"),
            ("Doe, Jane", "jane@example.com"),
        ]

    @pytest.mark.parametrize("reply_to", ["undisclosed", "пост@example.com"])
    def test_reply_to_without_a_usable_address(self, reply_to: str) -> None:
        """What cannot be given is told."""
        raw = f"From: a@example.com\r\nReply-To: {reply_to}\r\n\r\nHi\r\n".encode()
        submission = build(composition_of(raw))
        assert "Reply-To" not in payload(submission)["smtp_headers"]
        assert Part.REPLY_TO in {loss.part for loss in submission.losses}

    def test_other_scripts_in_a_field(self) -> None:
        """T26: ASCII on the wire, the same text when decoded."""
        value = self.fields(("X-Note", "заказ " * 40))["X-Note"]
        assert value.isascii()
        assert "\n" not in value
        again = parse_letter(f"X-Note: {value}\r\n\r\n".encode()).header_fields
        assert again == (("X-Note", ("заказ " * 40).strip()),)

    def test_a_repeated_field_goes_once_and_is_told(self) -> None:
        """An object has each name once; the second one is a loss, not a silence."""
        letter = composition(header_fields=[("X-Tag", "one"), ("x-tag", "two")])
        submission = build(letter)
        assert payload(submission)["smtp_headers"]["X-Tag"] == "one"
        (loss,) = submission.losses
        assert loss.part is Part.HEADER_FIELD
        assert "x-tag" in loss.reason

    def test_a_name_that_could_break_out_is_left_behind(self) -> None:
        """`smtp_headers[Name]` holds plain names only."""
        raw = b"From: a@example.com\r\nX[Bcc]: eve@example.com\r\n\r\nHi\r\n"
        submission = build(composition_of(raw))
        assert payload(submission)["smtp_headers"] == {"Client-Id": "Q1-0"}
        assert "X[Bcc]" in " ".join(loss.reason for loss in submission.losses)

    def test_a_folded_value_is_one_line(self) -> None:
        """No line break reaches the platform, and so no header field of an attacker's."""
        raw = b"From: a@example.com\r\nX-Note: one\r\n two\rBcc: eve@example.com\r\n\r\nHi\r\n"
        found = payload(build(composition_of(raw)))["smtp_headers"]
        assert not set("\r\n") & set("".join(found.values()))

    def test_the_letters_own_client_id_stays(self) -> None:
        """Our trace does not replace what the application wrote."""
        submission = build(composition(header_fields=[("client-id", "77")]))
        assert payload(submission)["smtp_headers"] == {"client-id": "77"}


class TestMultipart:
    def test_files_make_it_a_form(self) -> None:
        """B.3: the same fields, `attachments[]` and `smtp_headers[Name]`."""
        files = [File(), File("отчёт 1.csv", b"a;b", "text/csv")]
        letter = composition(
            subject="Заказ", html="<p>да</p>", attachments=files, header_fields=[("X-Order", "77")]
        )
        submission = build(letter, payment="credit")
        form = read_multipart(submission.request)
        assert form.fields == {
            "from_email": "news@example.com",
            "to": "bob@example.org",
            "subject": "Заказ",
            "text": "Thank you\n",
            "html": "<p>да</p>\n",
            "payment": "credit",
            "smtp_headers[X-Order]": "77",
            "smtp_headers[Client-Id]": "Q1-0",
        }
        assert [(f.name, f.filename, f.content_type, f.content) for f in form.files] == [
            ("attachments[]", "invoice.pdf", "application/pdf", files[0].content),
            ("attachments[]", "отчёт 1.csv", "text/csv", b"a;b"),
        ]
        assert submission.filenames == ("invoice.pdf", "отчёт 1.csv")

    def test_a_file_without_a_name_gets_one(self) -> None:
        """A part without a file name is no file to Rack and would vanish."""
        raw = (
            b"From: a@example.com\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
            b"--x\r\n\r\nHi\r\n--x\r\nContent-Type: application/pdf\r\n\r\n%PDF\r\n--x--\r\n"
        )
        (file,) = read_multipart(build(composition_of(raw)).request).files
        assert (file.filename, file.content) == ("attachment.pdf", b"%PDF")

    @pytest.mark.parametrize("filename", ['a"b.txt', "a%22b.txt", "a;b=c.txt", "ё" * 60])
    def test_file_names_stay_in_their_part(self, filename: str) -> None:
        """No character of a name ends it early (T26)."""
        (file,) = read_multipart(build(composition(attachments=[File(filename)])).request).files
        assert file.filename.replace("%22", '"') == filename.replace("%22", '"')


class TestAnswers:
    SENT = Submission(HttpRequest("POST", "/email/messages"), ("a.pdf", "b.pdf", "a.pdf"))

    def read(self, status: int, body: object, **headers: str) -> Any:
        octets = body if isinstance(body, bytes) else json.dumps(body).encode()
        return wire.read_answer(HttpAnswer(status, headers, octets), NOW)

    @pytest.mark.parametrize("status", [200, 201, 202])
    @pytest.mark.parametrize(("value", "text"), [(5000000001, "5000000001"), ("77", "77")])
    def test_accepted(self, status: int, value: object, text: str) -> None:
        """Any 2xx with an id; ids are text here (D 9, D 10)."""
        outcome = self.read(status, {"id": value, "status": "queued"})
        assert (outcome.kind, outcome.scope) == (Kind.ACCEPTED, Scope.RECIPIENT)
        assert outcome.provider_message_id == text
        assert outcome.losses == ()

    @pytest.mark.parametrize("body", [{}, {"status": "queued"}, {"id": None}, {"id": {}}])
    def test_accepted_without_an_id(self, body: object) -> None:
        """D 9: a readable success without id is a success."""
        outcome = self.read(201, body)
        assert (outcome.kind, outcome.provider_message_id) == (Kind.ACCEPTED, "")

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"OK",
            b"<html>",
            b"[]",
            b"null",
            b'{"id": 1',
            b"\xff\xfe",
            b"[" * 100_000,
            b"9" * 9999,
        ],
    )
    def test_unreadable_success(self, body: bytes) -> None:
        """A 2xx that proves nothing: it may have been accepted."""
        outcome = self.read(201, body)
        assert (outcome.kind, outcome.scope) == (Kind.UNCERTAIN, Scope.RECIPIENT)

    @pytest.mark.parametrize(
        ("errors", "kind", "cause"),
        [
            ([{"code": 422, "detail": "no"}], Kind.REJECTED, Cause.OTHER),
            ([{"code": 402, "detail": "no"}], Kind.DEFERRED, Cause.ACCOUNT),
            ([{"code": 429, "detail": "no"}], Kind.DEFERRED, Cause.THROTTLED),
            ([{"code": 500, "detail": "no"}], Kind.UNCERTAIN, Cause.OTHER),
            ([{"detail": "no"}], Kind.REJECTED, Cause.OTHER),
            (["no"], Kind.REJECTED, Cause.OTHER),
            ({"to": ["no"]}, Kind.REJECTED, Cause.OTHER),
        ],
    )
    def test_success_with_errors(self, errors: object, kind: Kind, cause: Cause) -> None:
        """D 9: non-empty errors are a failure, whatever the status; their code says which."""
        outcome = self.read(200, {"id": 1, "errors": errors})
        assert (outcome.kind, outcome.cause) == (kind, cause)
        assert "no" in outcome.diagnostic

    @pytest.mark.parametrize("errors", [[], None, {}, ""])
    def test_empty_errors_are_none(self, errors: object) -> None:
        """An empty list of errors is a success."""
        assert self.read(201, {"id": 1, "errors": errors}).kind is Kind.ACCEPTED

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            ({"errors": [{"code": 422, "detail": "to is invalid"}]}, "to is invalid"),
            ({"errors": [{"detail": "one"}, {"detail": "two"}]}, "one; two"),
            ({"errors": ["one"]}, "one"),
            ({"errors": [], "message": "said so"}, "said so"),
            ({"error": "said so"}, "said so"),
            ({"title": "said so"}, "said so"),
            ({"errors": [{"code": 422, "detail": None}]}, '{"errors"'),
            (b"<html>\n<h1>Bad</h1>", "<html> <h1>Bad</h1>"),
            (b"", ""),
        ],
    )
    def test_what_the_provider_says(self, body: object, text: str) -> None:
        """D 15: details first, then other habits, then whatever came; one line."""
        diagnostic = self.read(422, body).diagnostic
        assert diagnostic.startswith(f"HTTP 422 {text}".strip())

    def test_throttled_in_words(self) -> None:
        """T3, B.1: the wait stands in the text alone."""
        errors = [{"code": 429, "detail": "Limit exceeded, retry in 3 seconds"}]
        outcome = self.read(429, {"errors": errors})
        assert (outcome.cause, outcome.retry_after) == (Cause.THROTTLED, timedelta(seconds=3))

    @pytest.mark.parametrize(
        ("named", "lost"),
        [
            (["a.pdf", "b.pdf", "a.pdf"], []),
            (["a.pdf", "a.pdf", "b.pdf", "more.pdf"], []),
            (["a.pdf", "b.pdf"], ["a.pdf"]),
            (["A.pdf", "b.pdf", "a.pdf"], ["a.pdf"]),
            ([], ["a.pdf", "a.pdf", "b.pdf"]),
            (None, []),
            ([{"name": "a.pdf"}], []),
        ],
    )
    def test_files_that_did_not_arrive(self, named: object, lost: list[str]) -> None:
        """D 17: a file that the answer does not name is a loss, and told by its name."""
        body = json.dumps({"id": 1, "attachments": named}).encode()
        outcome = wire.read_answer(HttpAnswer(201, {}, body), NOW, self.SENT)
        assert outcome.kind is Kind.ACCEPTED
        assert [loss.part for loss in outcome.losses] == [Part.ATTACHMENT] * len(lost)
        for loss, name in zip(outcome.losses, lost, strict=True):
            assert name in loss.reason
