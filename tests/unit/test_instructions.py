"""What a client's instructions come to, and what is refused with its name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.instructions import (
    NO_INSTRUCTIONS,
    BadInstruction,
    Instructions,
    Vocabulary,
    parse_instructions,
    passed_options,
    scheduled,
)
from gateway.domain.routing import Mode
from gateway.domain.window import Priority
from gateway.spool.instructions import instructions_from_text, text_from_instructions
from providers.contract.capabilities import ProviderCapabilities
from providers.contract.options import NO_OPTIONS, SendOptions

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
WORDS = Vocabulary(
    providers={"main", "rest"}, routes={"default", "newsletters"}, ahead=timedelta(days=30)
)


def parsed(*fields: tuple[str, str]) -> Instructions | BadInstruction:
    return parse_instructions([(f"X-Mailquay-{name}", value) for name, value in fields], WORDS, NOW)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Provider", "rest", Instructions(provider="rest")),
        ("Route", "newsletters", Instructions(route="newsletters")),
        ("Mode", "Direct", Instructions(mode=Mode.DIRECT)),
        ("Mode", "queue", Instructions(mode=Mode.QUEUE)),
        ("Priority", "HIGH", Instructions(priority=Priority.HIGH)),
        ("Idempotency-Key", "order-77/1", Instructions(idempotency_key="order-77/1")),
        ("Track-Opens", "no", Instructions(SendOptions(track_opens=False))),
        ("Track-Clicks", "ON", Instructions(SendOptions(track_clicks=True))),
        ("Payment", "credit", Instructions(SendOptions(payment="credit"))),
        ("Template", "42", Instructions(SendOptions(template="42"))),
        ("List", "7", Instructions(SendOptions(mailing_list="7"))),
        ("Tag", "осень 2026", Instructions(SendOptions(tag="осень 2026"))),
        ("pRoViDeR", "  rest\t", Instructions(provider="rest")),
    ],
)
def test_each_field_has_its_meaning(name: str, value: str, expected: Instructions) -> None:
    """Names in any case, blanks around the value let go."""
    assert parsed((name, value)) == expected


def test_fields_stand_together() -> None:
    """A template with what is filled in, and what the gateway itself is to do."""
    assert parsed(
        ("Template", "42"),
        ("Params", '{"name": "Боб", "age": 40, "vip": true, "sum": 10.5}'),
        ("Mode", "direct"),
    ) == Instructions(
        SendOptions(template="42", params={"name": "Боб", "age": 40, "vip": True, "sum": 10.5}),
        mode=Mode.DIRECT,
    )


def test_no_fields_ask_for_nothing() -> None:
    """And cost the letter nothing further on."""
    found = parsed()
    assert found == NO_INSTRUCTIONS
    assert isinstance(found, Instructions)
    assert found.options is NO_OPTIONS


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T13:30:00+03:00",
        "2026-11-24t10:30:00Z",
        "2026-11-24 10:30:00.000+00:00",
        "Tue, 24 Nov 2026 10:30:00 +0000",
        "24 Nov 2026 13:30:00 +0300 (MSK)",
        "Tue, 24 Nov 2026 10:30:00 -0000",
        "Tue, 24 Nov 2026 05:30:00 EST",
        "Tue, 24 Nov 2026 10:30:00 GMT",
    ],
)
def test_a_moment_in_the_forms_of_two_rfcs(text: str) -> None:
    """RFC 3339 and RFC 5322, always with a time zone, to the same moment in UTC."""
    expected = Instructions(send_at=datetime(2026, 11, 24, 10, 30, tzinfo=UTC))
    assert parsed(("Send-At", text)) == expected


@pytest.mark.parametrize("text", ["2026-11-23T10:00:00Z", "Sun, 1 Jan 2023 00:00:00 +0000"])
def test_a_moment_that_has_passed_asks_for_nothing(text: str) -> None:
    """A client whose clock or queue is slow gets its letter sent, now."""
    assert parsed(("Send-At", text)) == NO_INSTRUCTIONS


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("Provider", "other", "names no provider that is configured"),
        ("Provider", "", "is empty"),
        ("Route", "other", "names no route that is configured"),
        ("Mode", "later", "neither queue nor direct"),
        ("Track-Opens", "perhaps", "neither yes nor no"),
        ("Track-Clicks", "", "neither yes nor no"),
        ("Payment", "two words", "not one word"),
        ("Template", "", "not one word"),
        ("List", "x" * 129, "not one word"),
        ("Tag", "", "not a line"),
        ("Tag", "x" * 129, "not a line"),
        ("Priority", "urgent", "high, normal, bulk"),
        ("Idempotency-Key", "", "not one word"),
        ("Idempotency-Key", "ключ", "not one word"),
        ("Send-At", "tomorrow", "no moment"),
        ("Send-At", "2026-11-24T10:30:00", "no moment"),
        ("Send-At", "2026-11-24", "no moment"),
        ("Send-At", "2026-W48-2T10:30:00Z", "no moment"),
        ("Send-At", "2026-13-24T10:30:00Z", "no moment"),
        ("Send-At", "9999-12-31T23:59:59-12:00", "no moment"),
        ("Send-At", "Tue, 24 Nov 2026 10:30:00", "no moment"),
        ("Send-At", "Tue, 24 Nov 2026 10:30:00 MSK", "no moment"),
        ("Send-At", "Tue, 99 Nov 2026 10:30:00 +0000", "no moment"),
        ("Send-At", "1" + " " * 100_000, "no moment"),
        ("Send-At", "2026-12-24T10:30:00Z", "more than 30 days ahead"),
        ("Params", '{"a": 1}', "X-Mailquay-Template names none"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str, reason: str) -> None:
    """The client's people read which field it was and what is wrong with it."""
    found = parsed((name, value))
    assert isinstance(found, BadInstruction)
    assert found.name == f"X-Mailquay-{name}"
    assert reason in found.reason


@pytest.mark.parametrize(
    "params",
    [
        "",
        "name=Bob",
        "[1]",
        "1",
        "null",
        '{"a": null}',
        '{"a": [1]}',
        '{"a": {"b": 1}}',
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": "\\ud800"}',
        '{"\\udc00": 1}',
        '{"": 1}',
        "[" * 100_000,
        '{"a": ' + "9" * 5000 + "}",
        '{"a": "' + "x" * (64 << 10) + '"}',
    ],
)
def test_params_that_cannot_be_filled_in(params: str) -> None:
    """Names once, values of text, numbers and booleans: what a platform surely takes."""
    found = parsed(("Template", "42"), ("Params", params))
    assert isinstance(found, BadInstruction)
    assert found.name == "X-Mailquay-Params"


def test_a_field_given_twice_is_refused() -> None:
    """Which of two is meant is not ours to guess."""
    found = parsed(("Tag", "a"), ("TAG", "b"))
    assert found == BadInstruction("X-Mailquay-Tag", "is given twice")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("X-Mailquay-Sendat", "X-Mailquay-Sendat"),
        ("x-mailquay-", "x-mailquay-"),
        ("X-Mailquay-<b>", "a field that begins with X-Mailquay-"),
        ("X-Mailquay-" + "x" * 500, "a field that begins with X-Mailquay-"),
    ],
)
def test_an_unknown_field_is_named_where_it_can_be(name: str, shown: str) -> None:
    """A misspelt instruction that was dropped in silence would be a wish not granted."""
    found = parse_instructions([(name, "x")], WORDS, NOW)
    assert found == BadInstruction(shown, "there is no such instruction")


EVERYTHING = Instructions(
    SendOptions(
        track_opens=False,
        track_clicks=True,
        payment="credit",
        template="42",
        params={"имя": "Боб", "n": 0, "x": 1.5, "vip": False, "nul": "\0"},
        mailing_list="7",
        tag="осень",
    ),
    provider="main",
    route="default",
    priority=Priority.HIGH,
    send_at=NOW + timedelta(days=1, microseconds=5),
)


@pytest.mark.parametrize(
    "instructions",
    [
        EVERYTHING,
        Instructions(SendOptions(track_opens=False)),
        Instructions(priority=Priority.HIGH),
        Instructions(send_at=NOW),
        NO_INSTRUCTIONS,
    ],
)
def test_what_is_kept_comes_back(instructions: Instructions) -> None:
    """A restart forgets no wish; text without NUL goes into every database."""
    text = text_from_instructions(instructions)
    assert text is None or text.isascii()
    assert text is None or "\0" not in text
    assert instructions_from_text(text) == instructions


def test_what_only_admission_needs_is_not_kept() -> None:
    """Most letters have no instructions on disk."""
    asked = Instructions(mode=Mode.DIRECT, idempotency_key="k")
    assert text_from_instructions(asked) is None
    assert text_from_instructions(NO_INSTRUCTIONS) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"options": 1}',
        '{"options": {"tagg": "x"}}',
        '{"priority": "x"}',
        '{"priority": 1}',
        '{"send_at": "2026-01-01T00:00:00"}',
        '{"options": {"params": {"a": 1}}}',
    ],
)
def test_a_damaged_column_is_told(text: str) -> None:
    """The letter is held, not sent without what its client asked for."""
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says, the row is called damaged
        instructions_from_text(text)


def test_a_provider_gets_the_wishes_it_knows() -> None:
    """The others stand in the loss ledger; an adapter need not look at them."""
    asked = scheduled(EVERYTHING.options, NOW)
    assert passed_options(asked, ProviderCapabilities()) == NO_OPTIONS
    everything = ProviderCapabilities(
        templates=True,
        mailing_lists=True,
        schedules=True,
        tracking_switches=True,
        payments=True,
        tags=True,
    )
    assert passed_options(asked, everything) == asked
    assert passed_options(asked, ProviderCapabilities(tags=True)) == SendOptions(tag="осень")
    assert passed_options(NO_OPTIONS, everything) is NO_OPTIONS


def test_a_moment_that_came_is_forgotten() -> None:
    """From then on the letter is like any other."""
    tomorrow = EVERYTHING.send_at
    assert tomorrow is not None
    assert EVERYTHING.as_of(NOW) is EVERYTHING
    assert EVERYTHING.as_of(tomorrow) == replace(EVERYTHING, send_at=None)
