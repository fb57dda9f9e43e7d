"""What the v2 adapter writes in brackets is what PHP reads, and no report upsets it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from hypothesis import given, settings
from hypothesis import strategies as st

from providers.contract.outcome import DeliveryOutcome, Kind
from providers.form_v2.results import outcomes_from
from providers.form_v2.wire import answers
from providers.form_v2.wire.forms import build_bulk, build_personal, folded, schedule_from
from providers.form_v2.wire.values import Content, PersonalLetter
from providers.form_v2.zone import zone_from
from providers.http.exchange import HttpAnswer
from providers.http.forms import build_urlencoded, urlencoded_octets
from providers.sandbox.form_v2_fields import php_fields

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)

quick = settings(max_examples=100, deadline=None)  # a busy machine is no failure

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=100)
lines = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=50)
emails = st.lists(
    st.from_regex(r"[a-z0-9+&=%'-]{1,10}@[a-z]{1,5}\.example", fullmatch=True),
    min_size=1,
    max_size=20,
    unique_by=folded,
)


def as_php_reads(fields: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    _, body = build_urlencoded(fields)
    return php_fields(parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True))


@quick
@given(emails, texts.filter(bool))
def test_addresses_of_a_batch_read_back(addresses: list[str], message: str) -> None:
    """C.5, bulk: all of them, in order, their indices consecutive from 0."""
    content = Content("news@example.com", "", "Hi", message)
    read = as_php_reads(build_bulk(content, addresses).fields)
    assert read["delivery_list"] == {str(n): email for n, email in enumerate(addresses)}
    assert read["message"] == message


@quick
@given(emails, st.data())
def test_letters_of_a_batch_read_back(addresses: list[str], data: st.DataObject) -> None:
    """C.5, personal: each with its own subject and message, whatever they hold (T26)."""
    letters = [PersonalLetter(e, data.draw(lines), data.draw(texts)) for e in addresses]
    read = as_php_reads(build_personal("news@example.com", "", letters).fields)
    assert read["delivery_list"] == {
        str(n): {"email": x.email, "subject": x.subject, "message": x.message}
        for n, x in enumerate(letters)
    }


@quick
@given(texts)
def test_octets_are_told_before_they_are_written(text: str) -> None:
    """The estimate of a call's size is exact for each value."""
    _, body = build_urlencoded((("a", text),))
    assert len(body) == len("a=") + urlencoded_octets(text)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
keys = st.sampled_from(
    ["status", "result", "error", "success", "errors", "recipient", "email", "email_id", "uuid"]
)
json_values = st.recursive(
    scalars,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(keys, children, max_size=4),
    max_leaves=15,
)
READERS = (
    answers.read_done,
    answers.read_email_sent,
    answers.read_list_sent,
    answers.read_batch_taken,
    answers.read_delivery_list,
    answers.read_mailings,
    answers.read_templates,
)


@quick
@given(json_values, st.sampled_from(READERS), st.sampled_from([200, 201, 302, 400, 500]))
def test_no_result_upsets_a_reader(result: object, read: Any, status: int) -> None:
    """D 24: a value only for a success, and never an exception."""
    for body in (result, {"status": "OK", "result": result}):
        found = read(HttpAnswer(status, {}, json.dumps(body).encode()), NOW)
        if status >= 300:
            assert isinstance(found, DeliveryOutcome)


@quick
@given(json_values)
def test_no_report_upsets_the_outcomes(result: object) -> None:
    """Whatever a report holds, what it says of an address is an outcome for that address."""
    body = {"status": "OK", "result": result}
    found = answers.read_mailings(HttpAnswer(200, {}, json.dumps(body).encode()), NOW)
    if isinstance(found, tuple):
        for outcome in outcomes_from(found, "u").values():
            assert outcome.kind in (Kind.ACCEPTED, Kind.REJECTED)
            assert outcome.provider_message_id == "u"


@quick
@given(st.integers(-(10**12), 10**15).map(lambda us: NOW + timedelta(microseconds=us)))
def test_nothing_is_scheduled_early_or_in_the_past(at: datetime) -> None:
    """D 33: the service reads a moment that is to come, and at most a minute late."""
    zone = zone_from("Europe/Minsk")
    text = schedule_from(at, zone, NOW)
    if text:
        read = datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=zone)
        assert read > NOW
        assert 0 <= (read - at).total_seconds() < 60
    else:
        assert (at - NOW).total_seconds() <= 60
