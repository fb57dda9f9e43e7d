"""The v1 API fed with anything: webhooks, answers, pages and CSV, right and wrong."""

from __future__ import annotations

import csv
import io
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.cli.v1.rows import BadRow, cells, header, read_columns, read_rows
from providers.contract.tracking import InvalidWebhook
from providers.http.exchange import HttpAnswer
from providers.rest_v1.api import account, campaigns, imports, lists, messages, recipients
from providers.rest_v1.api.errors import error_from_answer
from providers.rest_v1.api.lists import Parameter
from providers.rest_v1.api.paging import Walk
from providers.rest_v1.api.recipients import Recipient, Value
from providers.rest_v1.api.record import Record
from providers.rest_v1.tracking import parse_webhook

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)

KEYS = st.sampled_from(
    (
        *("id", "message", "message_id", "event", "events", "name", "timestamp", "data", "url"),
        *("to", "status", "email", "collection", "values", "purchase", "statistics", "redirect"),
    )
) | st.text(max_size=5)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=20,
)
OPERATIONS: list[Any] = [
    *(lists.one_list("1"), lists.create_parameter("1", "x"), recipients.one_recipient("1", "2")),
    *(imports.import_status("1", "2"), account.balance(), account.one_organization("1")),
    *(account.webhook(), account.one_webhook("1"), account.webhook_events()),
    *(messages.message("1"), messages.one_template("1"), campaigns.one_campaign("1")),
    *(recipients.search("a@b.c"), campaigns.all_segments()),
]


@given(ANY_JSON)
@settings(max_examples=300)
def test_a_webhook_of_anything(content: object) -> None:
    """Events or `InvalidWebhook`, and nothing else; every event names a letter."""
    body = json.dumps(content).encode()
    try:
        found = parse_webhook({"content-type": "application/json"}, body, now=NOW)
    except InvalidWebhook:
        return
    assert all(event.provider_message_id for event in found)
    assert all(len(event.raw) <= 2000 for event in found)


@given(st.binary(max_size=200), st.sampled_from(["application/x-www-form-urlencoded", "x", ""]))
def test_a_webhook_of_rubbish(body: bytes, content_type: str) -> None:
    """Octets that are no text are no news."""
    with suppress(InvalidWebhook):
        assert parse_webhook({"content-type": content_type}, body, now=NOW)


@given(ANY_JSON, st.sampled_from(OPERATIONS))
@settings(max_examples=300)
def test_an_answer_of_anything_can_be_read(content: object, operation: Any) -> None:
    """A key that is missing or of another type never raises (D 10, 11, 21)."""
    operation.read(Record(content))


@given(st.integers(100, 599), ANY_JSON | st.binary(max_size=50), st.booleans())
def test_an_error_of_anything(status: int, content: object, extra: bool) -> None:
    """A typed error, one line; only a success code can be none (D 9, 14, 15)."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    error = error_from_answer(HttpAnswer(status, {}, body), extra=extra, now=NOW)
    if error is None:
        assert 200 <= status <= 299
    else:
        assert "\n" not in str(error)
        assert len(str(error)) <= 300


@given(
    count=st.integers(0, 60),
    size=st.integers(1, 12),
    cap=st.integers(1, 12),
    total=st.sampled_from(["true", "low", "high", "none"]),
    past_end=st.sampled_from(["empty", "last"]),
    tells_size=st.booleans(),
)
@settings(max_examples=300)
def test_a_walk_ends_and_brings_everything_once(
    *, count: int, size: int, cap: int, total: str, past_end: str, tells_size: bool
) -> None:
    """D 16: for every server that gives its pages in order, whatever it says of them."""
    assume(cap >= size or tells_size)  # a server that caps in silence cannot be seen through
    items = [{"id": n} for n in range(count)]
    given_size = min(size, cap)
    pages = [items[at : at + given_size] for at in range(0, count, given_size)] or [[]]
    totals = {"true": count, "low": 0, "high": count + 100}
    walk, found, asked = Walk(size), [], 0
    while not walk.over:
        asked += 1
        beyond = pages[-1] if past_end == "last" else []
        page: dict[str, Any] = {
            "collection": pages[walk.number - 1] if walk.number <= len(pages) else beyond
        }
        if total != "none":
            page["total_count"] = totals[total]
        if tells_size:
            page["page_size"] = given_size
        found += [item.id() for item in walk.take(Record(page))]
    assert found == [str(n) for n in range(count)]
    assert asked <= len(pages) + 1


TITLES = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff"),
    min_size=1,
    max_size=12,
).filter(lambda title: title == title.strip() and title)
TEXTS = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\x00\r\n\u2028\u2029\x85"),
    max_size=20,
)


@given(
    st.lists(TITLES, max_size=4, unique=True),
    st.lists(st.lists(TEXTS, min_size=4, max_size=4), max_size=5),
)
@settings(max_examples=200)
def test_what_is_exported_can_be_imported(titles: list[str], rows: list[list[str]]) -> None:
    """Addresses and values come back, whatever a parameter is called and holds."""
    parameters = [Parameter(str(n), title, "string") for n, title in enumerate(titles)]
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header(parameters, tags=True))
    sent = []
    for n, texts in enumerate(rows):
        values = {p.id: text for p, text in zip(parameters, texts, strict=False) if text.strip()}
        sent.append((f"{n}@example.com", values))
        held = tuple(Value(key, "string", text) for key, text in values.items())
        recipient = Recipient(str(n), f"{n}@example.com", None, held)
        writer.writerow(cells(recipient, parameters, tags=True))
    lines = io.StringIO(out.getvalue(), newline="")
    columns = read_columns(lines.readline())
    ids = {parameter.title: parameter.id for parameter in parameters}
    assert [title for title, _ in columns.parameters] == titles
    found = [(row.email, dict(row.values)) for row in read_rows(lines, columns, ids)]
    assert found == sent


@given(st.text(max_size=100))
def test_a_csv_of_anything(text: str) -> None:
    """Rows or `BadRow`, and nothing else."""
    lines = io.StringIO("email\n" + text, newline="")
    columns = read_columns(lines.readline())
    with suppress(BadRow):
        assert all(row.email for row in read_rows(lines, columns, {}))
    with pytest.raises(BadRow):
        read_columns("name;city")
