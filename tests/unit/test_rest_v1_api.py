"""The v1 API without a socket: operations, answers, errors and the walk through collections."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from providers.http.exchange import HttpAnswer, HttpRequest, NoAnswer, Phase
from providers.rest_v1.api import account, campaigns, imports, lists, messages, recipients
from providers.rest_v1.api import errors as e
from providers.rest_v1.api.errors import error_from_answer, error_from_no_answer
from providers.rest_v1.api.operation import Operation, path_of
from providers.rest_v1.api.paging import MAX_PAGES, EndlessCollection, Walk
from providers.rest_v1.api.record import Record
from providers.rest_v1.problem import Reason
from tests.support.forms import read_multipart

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def body(operation: Operation[Any]) -> Any:
    return json.loads(operation.request.body)


def line(operation: Operation[Any]) -> str:
    request = operation.request
    return f"{request.method} {request.path}" + (f"?{request.query}" if request.query else "")


def answer(status: int, content: object = None, **headers: str) -> HttpAnswer:
    octets = content if isinstance(content, bytes) else json.dumps(content).encode()
    return HttpAnswer(status, headers, octets)


class TestOperations:
    @pytest.mark.parametrize(
        ("operation", "expected"),
        [
            (lists.create_list("Clients"), "POST /email/lists"),
            (lists.one_list("1"), "GET /email/lists/1"),
            (lists.rename_list("1", "x"), "PATCH /email/lists/1"),
            (lists.delete_list("1"), "DELETE /email/lists/1"),
            (lists.create_parameter("1", "City"), "POST /email/lists/1/parameters"),
            (lists.change_parameter("1", "5", kind="date"), "PATCH /email/lists/1/parameters/5"),
            (lists.delete_parameter("1", "5"), "DELETE /email/lists/1/parameters/5"),
            (recipients.create_recipient("1", "a@b.c"), "POST /email/lists/1/recipients"),
            (recipients.one_recipient("1", "9"), "GET /email/lists/1/recipients/9"),
            (recipients.change_recipient("1", "9"), "PATCH /email/lists/1/recipients/9"),
            (recipients.delete_recipient("1", "9"), "DELETE /email/lists/1/recipients/9"),
            (
                imports.start_import("1", [imports.Row("a@b.c")]),
                "POST /email/lists/1/recipients/imports",
            ),
            (imports.import_status("1", "31"), "GET /email/lists/1/recipients/imports/31"),
            (account.balance(), "GET /email/balance"),
            (account.one_organization("1"), "GET /email/organizations/1"),
            (account.current_organization(), "GET /email/organizations/current"),
            (account.make_organization_current("1"), "PATCH /email/organizations/1/current"),
            (account.change_organization("1", city="Minsk"), "PATCH /email/organizations/1"),
            (account.delete_organization("1"), "DELETE /email/organizations/1"),
            (account.webhook(), "GET /email/webhook"),
            (account.set_webhook("http://127.0.0.1/"), "POST /email/webhook"),
            (account.remove_webhook("http://127.0.0.1/"), "DELETE /email/webhook"),
            (account.webhook_events(), "GET /email/messages_webhooks/events"),
            (account.webhook_kinds(), "GET /email/messages_webhooks/kinds"),
            (account.delete_webhook("2"), "DELETE /email/messages_webhooks/2"),
            (messages.message("77"), "GET /email/messages/77"),
            (messages.send_template("11", "a@b.c"), "POST /email/templates/11/messages"),
            (messages.submit_template("11"), "PATCH /email/templates/11/to_pending"),
            (campaigns.deliver_campaign("70"), "PATCH /email/campaigns/70/deliver"),
            (campaigns.one_campaign("70"), "GET /email/campaigns/70"),
            (
                recipients.search("b+1@example.com").page(2, 99),
                "GET /email/recipients/search?email=b%2B1%40example.com&page_number=2&page_size=99",
            ),
            (
                campaigns.all_campaigns().page(1, 25),
                "GET /email/campaigns?statistic=true&page_number=1&page_size=25",
            ),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_method_and_path(self, operation: Operation[Any], expected: str) -> None:
        """Every endpoint of part B under its method, path and query (D 16)."""
        assert line(operation) == expected

    def test_json_is_named_on_every_call(self) -> None:
        """B.1: the content type stands on GET and on an empty DELETE, too."""
        for operation in (lists.one_list("1"), lists.delete_list("1"), lists.create_list("x")):
            assert ("Content-Type", "application/json") in operation.request.headers
        assert lists.delete_list("1").request.body == b""

    @pytest.mark.parametrize("bad", ["", ".", ".."])
    def test_an_id_cannot_leave_its_place(self, bad: str) -> None:
        """Slashes and question marks are encoded; a step in the path is refused."""
        assert lists.one_list("1/../2?x#y").request.path == "/email/lists/1%2F..%2F2%3Fx%23y"
        with pytest.raises(ValueError, match="an id"):
            path_of("/email/lists/{}", bad)

    def test_fields_of_a_recipient(self) -> None:
        """B.7: ids as numbers, flags as `true`, what is not given is left out."""
        assert body(recipients.create_recipient("1", "bob@example.com")) == {
            "email": "bob@example.com"
        }
        full = recipients.create_recipient(
            "1", "bob@example.com", {"5": "Minsk"}, unconfirmed=True, tags=["vip"]
        )
        assert body(full) == {
            "email": "bob@example.com",
            "values": [{"parameter_id": 5, "value": "Minsk"}],
            "unconfirmed": True,
            "tags": ["vip"],
        }

    def test_value_and_destroy_exclude_each_other(self) -> None:
        """B.7: told before anything is sent."""
        changed = recipients.change_recipient("1", "9", values={"5": "x"}, destroy=["6"])
        assert body(changed)["values"] == [
            {"parameter_id": 5, "value": "x"},
            {"parameter_id": 6, "destroy": True},
        ]
        with pytest.raises(ValueError, match="both set and destroyed"):
            recipients.change_recipient("1", "9", values={"5": "x"}, destroy=["5"])

    def test_a_campaign_in_json_and_with_files(self) -> None:
        """B.11: lists as objects; with files as `lists[][id]` beside `attachments[]`."""
        fields = {"from_email": "a@example.com", "subject": "s", "html": "<p>x</p>"}
        operation = campaigns.create_campaign(**fields, list_ids=["1", "2"])
        assert body(operation) == {**fields, "lists": [{"id": 1}, {"id": 2}]}
        operation = campaigns.create_campaign(
            **fields, list_ids=["1"], files=[messages.File("a/b.pdf", b"%PDF", "application/pdf")]
        )
        form = read_multipart(operation.request)
        assert form.fields == {**fields, "lists[][id]": "1"}
        assert [(file.name, file.filename) for file in form.files] == [("attachments[]", "b.pdf")]
        with pytest.raises(ValueError, match="lists or to a segment"):
            campaigns.create_campaign(**fields)

    def test_a_later_start(self) -> None:
        """B.13: the platform's own way to write a moment."""
        operation = campaigns.schedule_campaign("70", datetime(2026, 3, 8, 9, 5), "Moscow")  # noqa: DTZ001 - a wall clock
        assert body(operation) == {"start_at": "08.03.2026 09:05", "time_zone": "Moscow"}

    def test_organizations_have_six_fields(self) -> None:
        """B.10: another one is a mistake of the caller."""
        with pytest.raises(ValueError, match="no fax"):
            account.change_organization("1", fax="1")

    def test_imports_are_cut(self) -> None:
        """B.8: at most 10,000 in one, read as they are needed."""
        rows = (imports.Row(f"{n}@example.com") for n in range(20_001))
        assert [len(part) for part in imports.cut(rows)] == [10_000, 10_000, 1]
        with pytest.raises(ValueError, match="1 to 10000"):
            imports.start_import("1", [])
        with pytest.raises(ValueError, match="1 to 10000"):
            imports.start_import("1", [imports.Row("a@b.c")] * 10_001)

    def test_text_that_is_none(self) -> None:
        """A lone surrogate, as a terminal may give it, is refused before it is sent."""
        with pytest.raises(ValueError, match="surrogates"):
            lists.create_list("\udcff")


class TestRecords:
    def test_ids_are_text(self) -> None:
        """D 10: a number, beyond 32 bits too, and a string are the same id."""
        for value in (5_000_000_001, "5000000001"):
            assert Record({"id": value}).id() == "5000000001"
        for value in (None, True, 1.5, [], {}):
            assert Record({"id": value}).id() == ""

    @pytest.mark.parametrize("redirect", [{}, [], None, "missing"])
    def test_shapes_of_redirect(self, redirect: object) -> None:
        """D 21: object, list, null and nothing at all are no clicks."""
        events: dict[str, object] = {"open": 2}
        if redirect != "missing":
            events["redirect"] = redirect
        found = messages.message("1").read(Record({"id": 1, "status": "sent", "events": events}))
        assert (found.events.opened, found.events.spam, found.events.redirect) == (2, 0, {})

    def test_clicks(self) -> None:
        """B.3: URLs with their counts."""
        events = {"redirect": {"https://shop.example.com/a": 3, "odd": "x"}}
        found = messages.message("1").read(Record({"events": events}))
        assert found.events.redirect == {"https://shop.example.com/a": 3}

    def test_whatever_comes(self) -> None:
        """Nothing but an object is an empty one; wrong types are nothing."""
        for value in (None, [], "x", 7):
            assert Record(value).text("title") == ""
        record = Record({"title": True, "count": "12", "many": 1 << 70, "items": [1, {"id": 2}]})
        assert record.text("title") == ""
        assert (record.number("count"), record.number("title")) == (12, None)
        assert [item.id() for item in record.records("items")] == ["2"]
        found = campaigns.one_campaign("1").read(Record({"id": 1, "purchase": []}))
        assert (found.id, found.purchase.enable, found.statistics.spam) == ("1", None, None)


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (301, e.Unprocessable),
            (400, e.BadRequest),
            (401, e.Unauthorised),
            (402, e.NotEnoughFunds),
            (403, e.Unauthorised),
            (404, e.NotFound),
            (405, e.Unprocessable),
            (412, e.PageTooBig),
            (413, e.UnsupportedMedia),
            (415, e.UnsupportedMedia),
            (422, e.Unprocessable),
            (429, e.Throttled),
            (500, e.ServerTrouble),
            (503, e.ServerTrouble),
        ],
    )
    def test_by_status(self, status: int, kind: type[e.RestV1Error]) -> None:
        """D 14: the status decides, never the words."""
        content = {"errors": [{"code": status, "detail": "title can't be blank"}]}
        error = error_from_answer(answer(status, content), extra=False, now=NOW)
        assert type(error) is kind
        assert str(error) == f"HTTP {status} title can't be blank"
        assert error.reasons == (Reason("title can't be blank", status),)
        assert error.done is (status >= 500)

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ({"errors": [{"detail": "a"}, {"code": 422, "detail": "b"}]}, ["a", "b"]),
            ({"errors": ["a", "", None, 7]}, ["a"]),
            ({"errors": {"title": ["is taken", "is long"]}}, ["is taken", "is long"]),
            ({"errors": "a"}, ["a"]),
            ({"message": "a", "error": "b"}, ["a"]),
            ({"error": "b"}, ["b"]),
            ({"title": "c"}, ["c"]),
            ({}, []),
            (b"<html>\r\n503\x00</html>", ["<html> 503 </html>"]),
            (b"", []),
            (b"[1]", ["[1]"]),
        ],
    )
    def test_wherever_it_stands(self, content: object, expected: list[str]) -> None:
        """D 15: all the places where clients have met the text, each one line."""
        error = error_from_answer(answer(422, content), extra=False, now=NOW)
        assert error is not None
        assert [reason.detail for reason in error.reasons] == expected
        assert "\n" not in str(error)

    def test_the_field_is_named(self) -> None:
        """Reasons by field keep their field."""
        content = {"errors": {"title": ["is taken"]}}
        error = error_from_answer(answer(422, content), extra=False, now=NOW)
        assert error is not None
        assert error.reasons == (Reason("is taken", field="title"),)
        assert str(error) == "HTTP 422 title: is taken"

    def test_success_with_errors_is_none(self) -> None:
        """D 9: HTTP 200 proves nothing where `errors` stands in the body."""
        content = {"id": 1, "errors": [{"code": 402, "detail": "Not enough funds"}]}
        error = error_from_answer(answer(200, content), extra=False, now=NOW)
        assert isinstance(error, e.NotEnoughFunds)
        assert error_from_answer(answer(204, b""), extra=False, now=NOW) is None
        assert error_from_answer(answer(201, {"id": 1, "errors": []}), extra=False, now=NOW) is None

    @pytest.mark.parametrize("status", [404, 405])
    def test_methods_that_are_not_there(self, status: int) -> None:
        """D 22: an older installation is no mistake of the caller."""
        error = error_from_answer(answer(status, b""), extra=True, now=NOW)
        assert isinstance(error, e.NotAvailable)
        assert "no such method" in str(error)

    @pytest.mark.parametrize(
        ("content", "headers", "wait"),
        [
            ({"errors": [{"detail": "retry in 3 seconds"}]}, {}, 3),
            ({"errors": [{"detail": "retry in 3 seconds"}]}, {"retry-after": "7"}, 7),
            ({"errors": [{"detail": "slow down"}]}, {}, None),
        ],
    )
    def test_the_wait(self, content: object, headers: dict[str, str], wait: int | None) -> None:
        """D 13: Retry-After, else the number before "second", else none."""
        error = error_from_answer(answer(429, content, **headers), extra=False, now=NOW)
        assert isinstance(error, e.Throttled)
        assert error.retry_after == (None if wait is None else timedelta(seconds=wait))

    @pytest.mark.parametrize("phase", list(Phase))
    def test_no_answer(self, phase: Phase) -> None:
        """D 7: only a call that left whole may have been carried out."""
        error = error_from_no_answer(NoAnswer(phase, "broken"))
        assert isinstance(error, e.AnswerLost if phase is Phase.ANSWER else e.NotReached)
        assert error.done is (phase is Phase.ANSWER)


def page(ids: list[int], **told: int) -> Record:
    return Record({"collection": [{"id": n} for n in ids], **told})


def taken(walk: Walk, ids: list[int], **told: int) -> list[str]:
    return [item.id() for item in walk.take(page(ids, **told))]


class TestWalk:
    def test_to_the_end(self) -> None:
        """Full pages, then one that is not full."""
        walk = Walk(2)
        assert taken(walk, [1, 2], total_count=3, page_size=2) == ["1", "2"]
        assert (walk.number, walk.over) == (2, False)
        assert taken(walk, [3], total_count=3, page_size=2) == ["3"]
        assert walk.over

    def test_an_empty_collection(self) -> None:
        """Nothing, at once."""
        walk = Walk(2)
        assert taken(walk, [], total_count=0) == []
        assert walk.over

    @pytest.mark.parametrize("total", [0, 1, 2])
    def test_a_total_that_is_too_low(self, total: int) -> None:
        """A full page is never the end, whatever the total says."""
        walk = Walk(2)
        taken(walk, [1, 2], total_count=total, page_size=2)
        assert not walk.over
        taken(walk, [], total_count=total, page_size=2)
        assert walk.over

    def test_a_total_that_is_too_high(self) -> None:
        """A short page is asked past once, and the empty one ends it."""
        walk = Walk(2)
        taken(walk, [1], total_count=99, page_size=2)
        assert not walk.over
        taken(walk, [], total_count=99, page_size=2)
        assert walk.over

    def test_no_total_at_all(self) -> None:
        """A short page is the end then."""
        walk = Walk(2)
        taken(walk, [1, 2])
        assert not walk.over
        taken(walk, [3])
        assert walk.over

    def test_the_last_page_again_and_again(self) -> None:
        """A server that ignores the number does not keep us for ever, and nothing comes twice."""
        walk = Walk(2)
        assert taken(walk, [1, 2], total_count=9) == ["1", "2"]
        assert taken(walk, [1, 2], total_count=9) == []
        assert walk.over

    def test_pages_that_overlap(self) -> None:
        """An item that was removed meanwhile shifts the next page; what shifted comes once."""
        walk = Walk(2)
        assert taken(walk, [1, 2], total_count=4) == ["1", "2"]
        assert taken(walk, [2, 3], total_count=4) == ["3"]
        assert not walk.over

    def test_smaller_pages_than_asked_for(self) -> None:
        """A server that caps the page in silence tells its size; such a page is full."""
        walk = Walk(1000)
        taken(walk, [1, 2], total_count=2, page_size=2)
        assert not walk.over

    def test_no_end(self) -> None:
        """A server that makes items up is cut off."""
        walk = Walk(1)
        walk.number = MAX_PAGES
        with pytest.raises(EndlessCollection):
            walk.take(page([1], total_count=9))

    def test_shrinking(self) -> None:
        """412: less is asked for from where the walk stands, and never more."""
        walk = Walk(1000)
        assert walk.shrink(100)
        assert (walk.number, walk.size) == (1, 100)
        assert not walk.shrink(100)
        walk = Walk(4)
        taken(walk, [1, 2, 3, 4], total_count=9)
        assert not walk.shrink(5, 3)
        assert walk.shrink(3, 2, 1)
        assert (walk.number, walk.size) == (3, 2)
        assert taken(walk, [5, 6], total_count=9) == ["5", "6"]

    def test_items_without_an_id(self) -> None:
        """B.9: what is found has none, and is told apart by all of it."""
        walk = Walk(1)
        items = [{"email": "a@b.c", "recipients": []}, {"email": "d@b.c", "recipients": []}]
        for item in items:
            assert len(walk.take(Record({"collection": [item], "total_count": 9}))) == 1
        assert walk.take(Record({"collection": items[1:], "total_count": 9})) == ()
        assert walk.over


def test_requests_hold_no_secret() -> None:
    """The key is the client's to put on."""
    request = lists.one_list("1").request
    assert isinstance(request, HttpRequest)
    assert "authorization" not in {name.lower() for name, _ in request.headers}
