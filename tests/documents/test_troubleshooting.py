"""What docs/troubleshooting.md says is seen can be seen: it stands so in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from gateway.domain.lifecycle import State
from gateway.ingress import replies
from gateway.ingress.submission import Reply
from tests.documents.pages import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
_CODE = re.compile(r"`([^`]+)`")
_REPLY = re.compile(r"[245]\d\d \d\.\d+\.\d+ ")
_EVENT = re.compile(r"[a-z]+(_[a-z]+)+")
_LOG_METHODS = {"debug", "info", "warning", "error", "exception"}


def seen() -> dict[str, list[str]]:
    """The first cells of each section's table, as code."""
    found: dict[str, list[str]] = {}
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        rows = [row for row in text.splitlines() if row.startswith("| ")][1:]
        found[title] = [code for row in rows for code in _CODE.findall(row.split(" | ")[0])]
    return {title: codes for title, codes in found.items() if codes}


SEEN = seen()


@cache
def texts() -> tuple[str, ...]:
    """All strings of the program, what is filled in left as `…`."""
    return tuple(_strings())


def _strings() -> Iterator[str]:
    for package in ("gateway", "providers"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
                elif isinstance(node, ast.JoinedStr):
                    yield "".join(
                        str(part.value) if isinstance(part, ast.Constant) else "…"
                        for part in node.values
                    )


@cache
def events() -> frozenset[str]:
    """Whatever is the first word of a line in the log."""
    found = set()
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            by = node.func
            name = by.attr if isinstance(by, ast.Attribute) else getattr(by, "id", "")
            if name in _LOG_METHODS | {"write"}:
                words = [part for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)]
                found |= {str(word.value) for word in words}
    return frozenset(found)


@cache
def said_to_clients() -> tuple[str, ...]:
    """Every reply, those that are made for the case with something filled in."""
    made = [value for value in vars(replies).values() if isinstance(value, Reply)]
    made += [
        replies.message_too_big(1),
        replies.too_many_recipients(1),
        replies.spool_unhealthy("no room left for letters", full=True),
        replies.spool_unhealthy("the spool is read-only", full=False),
        replies.spool_unavailable("1K7QH3M2V0C01"),
        replies.internal_error("1K7QH3M2V0C01"),
        replies.cannot_be_carried("main: size"),
        replies.bad_instruction("X-Mailquay-Send-At", "is no moment"),
    ]
    return tuple(f"{reply.code} {reply.status} {reply.text}" for reply in made)


def pattern(shown: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, shown.split("…"))))


def test_sections_have_what_they_promise() -> None:
    """A page that was written anew would else be held against nothing."""
    assert len(SEEN) == 6
    assert sum(map(len, SEEN.values())) > 60


@pytest.mark.parametrize("reply", SEEN["The application gets an error"])
def test_a_reply_is_given(reply: str) -> None:
    """Somebody searches for the words that the application has logged."""
    assert _REPLY.match(reply)
    assert any(pattern(reply).fullmatch(said) for said in said_to_clients()), reply


@pytest.mark.parametrize("event", SEEN["What the log says"])
def test_an_event_is_logged(event: str) -> None:
    """A rule for a line that nobody writes finds nothing."""
    assert event in events()


@pytest.mark.parametrize("state", SEEN["The letter was taken, and does not arrive"])
def test_a_state_can_be_reached(state: str) -> None:
    """Queue and stories name states so."""
    assert state in set(State)


def test_every_final_or_resting_state_is_explained() -> None:
    """Whatever `trace` shows for longer than an attempt is on the page."""
    told = set(SEEN["The letter was taken, and does not arrive"])
    assert told == {state.value for state in State} - {State.SENDING.value}


@pytest.mark.parametrize(
    "words", [*SEEN["It does not start"], *SEEN["What attempts say"], *SEEN["Commands"]]
)
def test_words_stand_in_the_program(words: str) -> None:
    """With `…` for what is filled in; what another library says is held by starting the daemon."""
    if words == "providers: Field required":
        return  # test_a_container_without_configuration_says_what_it_needs
    assert any(pattern(words).search(text) for text in texts()), words


def test_what_is_named_in_passing_is_an_event_or_a_setting() -> None:
    """Words with underscores in the other cells: events, states, settings, metrics."""
    text = PAGE.read_text(encoding="utf-8")
    settings = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    known = events() | set(replies.REASONS) | {state.value for state in State}
    for code in _CODE.findall(text):
        if _EVENT.fullmatch(code) and not code.startswith("mailquay_"):
            assert code in known or f"{code}`" in settings, code


def test_reasons_of_a_sick_spool_are_its_own() -> None:
    """The row of `spool_unhealthy` quotes them, and so does the reply to MAIL."""
    row = next(
        line
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if "`spool_unhealthy`" in line
    )
    quoted = _CODE.findall(row.split(" | ")[1])
    assert len(quoted) == 4
    assert set(quoted) <= set(texts())
