"""Addresses as marks: none is left in a line, and the same one has the same mark."""

from __future__ import annotations

import json

import pytest
import structlog

from gateway.observe.addresses import AddressMarks
from gateway.observe.log import set_up
from providers.contract.address import InvalidAddress, parse_address

MARKS = AddressMarks(b"k" * 32)
BOB = MARKS.mark("bob@example.org")


def test_marks_are_the_same_for_the_same_address_in_any_case() -> None:
    """And others under another key: without it nobody can try addresses out."""
    assert MARKS.mark("BOB@Example.ORG") == BOB
    assert MARKS.mark("eve@example.org") != BOB
    assert AddressMarks(b"other").mark("bob@example.org") != BOB


@pytest.mark.parametrize(
    ("value", "marked"),
    [
        ("bob@example.org", BOB),
        ("550 <Bob@example.org>: no such user", f"550 <{BOB}>: no such user"),
        ("to bob@example.org, later.", f"to {BOB}, later."),
        ("bob@example.org:12345", f"{BOB}:12345"),
        (["x", "bob@example.org"], ["x", BOB]),
        ({"to": "bob@example.org"}, {"to": BOB}),
        ("nobody here", "nobody here"),
        (7, 7),
    ],
)
def test_every_address_of_a_line_is_marked(value: object, marked: object) -> None:
    """Whatever holds it: a field of its own, words of a provider, a list."""
    assert MARKS(None, "info", {"said": value}) == {"said": marked}


def test_a_message_id_is_nobodys_address() -> None:
    """Stories stay findable by it."""
    line = {"message_id": "<order-77@example.com>"}
    assert MARKS(None, "info", line) == line


@pytest.mark.parametrize("style", ["json", "human"])
def test_nothing_of_an_address_is_printed(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines and tracebacks, for machines and for people."""
    set_up(style, "info", MARKS)  # type: ignore[arg-type]
    log = structlog.get_logger("test")
    try:
        parse_address("<bob@example.org> and more@")
    except InvalidAddress:
        log.exception("trouble", to="bob@example.org")
    printed = capsys.readouterr().err
    assert "bob@" not in printed
    assert BOB in printed
    if style == "json":
        assert json.loads(printed)["to"] == BOB
