"""The v2 API on the wire: letters to forms, the token on them, answers to values and outcomes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest

from gateway.clock import SystemClock
from providers.contract.options import NO_OPTIONS, SendOptions
from providers.contract.outcome import Cause, DeliveryOutcome, Kind, Scope, accepted
from providers.contract.tracking import EventType
from providers.form_v2 import zone
from providers.form_v2.client import FormV2Client
from providers.form_v2.letters import attachment_from, content_from, sending_from
from providers.form_v2.settings import FormV2Settings
from providers.form_v2.wire import answers, forms
from providers.form_v2.wire.values import (
    BatchTaken,
    Content,
    Done,
    ListSent,
    Mailing,
    PersonalLetter,
    RecipientStatus,
    RefusedAddress,
    Sending,
    Template,
)
from providers.form_v2.wire.words import event_type_from
from providers.form_v2.zone import zone_from
from providers.http.composition import BLANK_HTML, Composition, compose
from providers.http.exchange import MAX_ANSWER_OCTETS, HttpAnswer
from providers.mime import html_from_text, parse_letter
from providers.pacing import TokenBucket
from tests.support.builders import File, a_message
from tests.support.forms import read_multipart

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BOB = "bob@example.org"
TOKEN = "eyJpdiI6dummy+token/=="
HI = Content("news@example.com", "Example Shop", "Hi", "<p>Hi</p>")
SETTINGS = FormV2Settings(base_url="https://app.example.com/api/v2", token=TOKEN)


def composed(**parts: Any) -> Composition:
    """A letter that `a_message` builds, taken apart."""
    found = compose(parse_letter(a_message(**parts).content), None)
    assert isinstance(found, Composition)
    return found


def form(**parts: Any) -> forms.Form:
    """The form for such a letter."""
    found = composed(**parts)
    return forms.build_send_email(content_from(found), BOB, attachment=attachment_from(found))


def answer(body: object, status: int = 200, **headers: str) -> HttpAnswer:
    """An answer with this body, as JSON unless it is octets."""
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpAnswer(status, headers, octets)


@pytest.fixture
def client() -> FormV2Client:
    return FormV2Client(SETTINGS, SystemClock(), TokenBucket(None))


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
        fields = dict(forms.build_send_email(HI, BOB, Sending(wanted, wanted)).fields)
        assert (fields.get("track_open"), fields.get("track_click")) == (value, value)


class TestOtherCalls:
    def test_to_a_list(self) -> None:
        """C.3: the list takes the place of the address, and the mailing has a name."""
        built = forms.build_send_by_list(HI, "77", Sending(schedule="2026-01-02 09:00"), name="Q1")
        assert built.method == "sendEmailByList"
        assert dict(built.fields) == {
            "name": "Q1",
            "list_id": "77",
            "sender_email": "news@example.com",
            "sender_name": "Example Shop",
            "subject": "Hi",
            "message": "<p>Hi</p>",
            "d_schedule": "2026-01-02 09:00",
        }

    def test_bulk(self) -> None:
        """C.5: one content, the addresses in brackets from 0."""
        built = forms.build_bulk(HI, ["bob@example.org", "eve@example.org"], name="Q1 +1")
        assert built.method == "sendBulkEmail"
        fields = dict(built.fields)
        assert (fields["message_type"], fields["name"], fields["subject"]) == (
            "bulk",
            "Q1 +1",
            "Hi",
        )
        assert built.fields[-2:] == (
            ("delivery_list[0]", "bob@example.org"),
            ("delivery_list[1]", "eve@example.org"),
        )

    def test_personal(self) -> None:
        """C.5: the letters in two brackets; subject and message only there."""
        letters = [PersonalLetter("bob@example.org", "Hi Bob", "<p>1</p>")]
        built = forms.build_personal("news@example.com", "", letters, Sending(track_open=False))
        assert built.fields == (
            ("sender_email", "news@example.com"),
            ("message_type", "personal"),
            ("track_open", "0"),
            ("delivery_list[0][email]", "bob@example.org"),
            ("delivery_list[0][subject]", "Hi Bob"),
            ("delivery_list[0][message]", "<p>1</p>"),
        )

    @pytest.mark.parametrize("count", [0, forms.MAX_ADDRESSES + 1])
    def test_limits_of_bulk(self, count: int) -> None:
        """D 30: a call that PHP would read half of cannot be built."""
        with pytest.raises(ValueError, match="1 to 500"):
            forms.build_bulk(HI, [f"u{n}@example.org" for n in range(count)])

    @pytest.mark.parametrize("count", [0, forms.MAX_LETTERS + 1])
    def test_limits_of_personal(self, count: int) -> None:
        """D 30, with three fields to a letter."""
        letters = [PersonalLetter(f"u{n}@example.org", "Hi", "Hi") for n in range(count)]
        with pytest.raises(ValueError, match="1 to 200"):
            forms.build_personal("news@example.com", "", letters)

    def test_the_largest_calls_stay_below_php_s_limit(self) -> None:
        """D 30: max_input_vars counts every field, the token too."""
        emails = [f"u{n}@example.org" for n in range(forms.MAX_ADDRESSES)]
        letters = [PersonalLetter(email, "Hi", "Hi") for email in emails[: forms.MAX_LETTERS]]
        full = Sending(track_open=True, track_click=True, schedule="2026-01-02 09:00")
        assert len(forms.build_bulk(HI, emails, full, name="x").fields) < 1000
        assert len(forms.build_personal("a@example.com", "x", letters, full).fields) < 1000

    @pytest.mark.parametrize("twice", ["BOB@example.org", " bob@EXAMPLE.org", "bob@example.org"])
    def test_no_address_twice(self, twice: str) -> None:
        """Results come by address, and addresses come back in other case (D 27)."""
        with pytest.raises(ValueError, match="twice"):
            forms.build_bulk(HI, ["bob@example.org", twice])

    def test_questions(self) -> None:
        """C.4 and C.6: by the mailing's id, by the batch's uuid."""
        assert forms.build_delivery_list("555").fields == (("message_id", "555"),)
        assert forms.build_bulk_status("0-1").fields == (("uuid", "0-1"),)
        assert forms.build_templates() == forms.Form("getEmailTemplates")

    def test_unsubscribing(self) -> None:
        """C.8, C.9: list ids in one field; without them all lists."""
        built = forms.build_unsubscribe(BOB, ["7", "8"], "asked by phone")
        assert built.fields == (
            ("email", BOB),
            ("list_ids", "7,8"),
            ("reason", "asked by phone"),
        )
        assert forms.build_subscribe(BOB) == forms.Form("subscribeEmail", (("email", BOB),))

    @pytest.mark.parametrize("line_end", ["\r\n", "\n", "\x00", "\u2028"])
    def test_no_line_end_gets_into_a_header_field(self, line_end: str) -> None:
        """What the service writes into a header field is one line, or no call at all."""
        text = f"Hi{line_end}Bcc: eve@example.org"
        with pytest.raises(ValueError, match="subject is not a single line"):
            Content("a@example.com", "", text, "Hi")
        with pytest.raises(ValueError, match="sender_name is not a single line"):
            Content("a@example.com", text, "Hi", "Hi")
        with pytest.raises(ValueError, match="subject is not a single line"):
            PersonalLetter(BOB, text, "Hi")


class TestSchedule:
    @pytest.mark.parametrize(
        ("at", "text"),
        [
            ("2026-01-01T15:00:00+00:00", "2026-01-01 18:00"),
            ("2026-01-01T18:00:00+03:00", "2026-01-01 18:00"),
            ("2026-01-01T15:00:01+00:00", "2026-01-01 18:01"),
            ("2026-01-01T15:00:00.000001+00:00", "2026-01-01 18:01"),
            ("2026-01-01T23:59:30+00:00", "2026-01-02 03:00"),
            ("2026-01-01T12:01:00+00:00", ""),
            ("2026-01-01T11:00:00+00:00", ""),
        ],
    )
    def test_minutes_in_the_account_s_zone(self, at: str, text: str) -> None:
        """D 33: Minsk unless configured; never early, and never a moment that has passed."""
        minsk = zone_from("Europe/Minsk")
        assert forms.schedule_from(datetime.fromisoformat(at), minsk, NOW) == text

    def test_without_a_wish(self) -> None:
        """At once."""
        assert forms.schedule_from(None, UTC, NOW) == ""

    @pytest.mark.parametrize(
        ("text", "hours"), [("UTC", 0), ("+03:00", 3), ("-0530", -5.5), ("Europe/Minsk", 3)]
    )
    def test_zones(self, text: str, hours: float) -> None:
        """By name or offset."""
        assert zone_from(text).utcoffset(NOW.replace(tzinfo=None)) == timedelta(hours=hours)

    def test_the_default_works_without_the_system_s_table(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A container without zone data starts all the same."""
        monkeypatch.setattr(zone, "ZoneInfo", _no_zone)
        assert zone_from("Europe/Minsk").utcoffset(None) == timedelta(hours=3)
        with pytest.raises(ValueError, match="knows no 'Asia/Tokyo'"):
            zone_from("Asia/Tokyo")

    @pytest.mark.parametrize("text", ["", "Minsk", "+3", "../etc/passwd", "Europe", "+03:60"])
    def test_no_zones(self, text: str) -> None:
        """A misspelt zone is an error of the configuration."""
        with pytest.raises(ValueError, match="time zone"):
            FormV2Settings(base_url="https://app.example.com/v2", token=TOKEN, timezone=text)


def _no_zone(key: str) -> None:
    raise KeyError(key)


class TestWishes:
    def test_the_client_s_go_before_the_operator_s(self) -> None:
        """Switches of a letter win over those of the account."""
        account = SETTINGS.model_copy(update={"track_open": True, "track_click": False})
        assert sending_from(NO_OPTIONS, account, UTC, NOW) == Sending(
            track_open=True, track_click=False
        )
        wishes = SendOptions(track_opens=False, send_at=NOW + timedelta(hours=1))
        sending = sending_from(wishes, account, UTC, NOW)
        assert sending == Sending(track_open=False, track_click=False, schedule="2026-01-01 13:00")


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
        request = client.signed_in_query(forms.build_templates())
        assert (request.path, request.body) == ("/getEmailTemplates", b"")
        assert request.query == "token=eyJpdiI6dummy%2Btoken%2F%3D%3D"

    def test_not_in_any_repr(self, client: FormV2Client) -> None:
        """T25: neither client nor requests show the token, in any spelling."""
        shown = repr(
            [
                client,
                vars(client),
                client.signed(form()),
                client.signed_in_query(forms.build_templates()),
            ]
        )
        assert "eyJpdiI6" not in shown

    def test_room_for_a_long_answer(self, client: FormV2Client) -> None:
        """C.4 knows no paging: the recipients of a large mailing come in one answer."""
        listed = client.signed(forms.build_delivery_list("555"))
        assert listed.answer_octets > 50 * MAX_ANSWER_OCTETS
        assert client.signed(forms.build_bulk_status("0-1")).answer_octets == MAX_ANSWER_OCTETS


class TestVerdicts:
    def read(self, status: int, body: object, **headers: str) -> Any:
        """What sendEmail's answer comes to; a success as the outcome of its recipient."""
        sent = answers.read_email_sent(answer(body, status, **headers), NOW)
        return sent if isinstance(sent, DeliveryOutcome) else accepted(sent.email_id)

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


class TestReading:
    def test_list_sent(self) -> None:
        """C.3: the mailing's id as text, its count as a number."""
        told = answer({"status": "OK", "result": {"message_id": 555, "count_emails": "100"}})
        assert answers.read_list_sent(told, NOW) == ListSent("555", 100)
        assert answers.read_list_sent(answer({"status": "OK"}), NOW) == ListSent("", None)

    def test_batch_taken(self) -> None:
        """C.5; without a uuid it was taken all the same."""
        told = answer({"status": "OK", "result": {"uuid": "0-1"}})
        assert answers.read_batch_taken(told, NOW) == BatchTaken("0-1")
        assert answers.read_batch_taken(answer({"status": "OK"}), NOW) == BatchTaken("")

    def test_only_ok(self) -> None:
        """C.8: no result at all."""
        assert answers.read_done(answer({"status": "OK"}), NOW) == Done()

    @pytest.mark.parametrize("empty", [{"error": ""}, {"error": None}, {}])
    def test_delivery_list(self, empty: dict[str, object]) -> None:
        """C.4: ids as text (D 26), blanks trimmed (D 27), no error in any dress (D 36)."""
        entry = {"email_id": 654321, "email": " Email1@example.com", "status": "Delivered"}
        told = answer({"status": "OK", "result": [entry | empty, "rubbish"]})
        assert answers.read_delivery_list(told, NOW) == (
            RecipientStatus("654321", "Email1@example.com", "DELIVERED", ""),
        )

    def test_mailings(self) -> None:
        """C.6: `recipient` among the taken, `email` among the refused, who have no id."""
        body = {
            "message_id": "555",
            "name": "Batch 1",
            "sender_email": "news@example.com",
            "sender_name": "SHOP",
            "success": [
                {"email_id": "1", "recipient": "bob@example.com", "status": "OPEN", "error": None}
            ],
            "errors": [{"email": "nobody@example", "error": "incorrect"}],
        }
        assert answers.read_mailings(answer({"status": "OK", "result": [body]}), NOW) == (
            Mailing(
                "555",
                "Batch 1",
                "news@example.com",
                "SHOP",
                (RecipientStatus("1", "bob@example.com", "OPEN"),),
                (RefusedAddress("nobody@example", "incorrect"),),
            ),
        )

    @pytest.mark.parametrize("result", [[], {}, None])
    def test_none_yet(self, result: object) -> None:
        """C.6: the batch waits; PHP writes an empty list in several ways."""
        assert answers.read_mailings(answer({"status": "OK", "result": result}), NOW) == ()

    @pytest.mark.parametrize("broken", [None, "x", 7, [1], {"a": 1}])
    def test_half_of_a_mailing(self, broken: object) -> None:
        """What cannot be read is left out; the rest is told."""
        body = {"message_id": broken, "success": broken, "errors": broken}
        (mailing,) = answers.read_mailings(answer({"status": "OK", "result": [body]}), NOW)  # type: ignore[misc]
        assert (mailing.success, mailing.errors) == ((), ())

    def test_a_list_with_gaps(self) -> None:
        """PHP writes a list whose keys have gaps as an object."""
        told = answer({"status": "OK", "result": {"3": {"id": 11, "title": "Welcome"}}})
        assert answers.read_templates(told, NOW) == (Template("11", "Welcome"),)

    @pytest.mark.parametrize("result", ["x", 7, True])
    def test_no_list(self, result: object) -> None:
        """An OK that holds no list answers nothing."""
        found = answers.read_mailings(answer({"status": "OK", "result": result}), NOW)
        assert isinstance(found, DeliveryOutcome)
        assert found.kind is Kind.UNCERTAIN

    def test_an_error_is_told_by_every_reader(self) -> None:
        """D 24, for questions too."""
        told = answer({"status": "ERROR", "error": "unknown uuid"}, 400)
        for read in (answers.read_done, answers.read_mailings, answers.read_templates):
            found = read(told, NOW)
            assert isinstance(found, DeliveryOutcome)
            assert found.diagnostic == "HTTP 400 unknown uuid"


@pytest.mark.parametrize(
    ("word", "event"),
    [
        ("NEW", EventType.QUEUED),
        ("sent", EventType.SENT),
        ("DELIVERED", EventType.DELIVERED),
        ("UNDELIVERED", EventType.BOUNCED),
        (" OPEN ", EventType.OPENED),
        ("OPENED", EventType.OPENED),
        ("CLICK", EventType.CLICKED),
        ("CLICKED_LINK", EventType.CLICKED),
        ("UNSUBSCRIBED", EventType.UNSUBSCRIBED),
        ("SPAM", EventType.COMPLAINED),
        ("PURPLE", EventType.UNKNOWN),
        ("", EventType.UNKNOWN),
    ],
)
def test_words(word: str, event: EventType) -> None:
    """C.7, D 31: what no row knows is unknown."""
    assert event_type_from(word) is event
