"""
What an answer of the v1 API says is wrong, wherever it says so.

Pure; knows the shapes of error bodies (provider reference, B.1 and D 15) and no more. Whether a
letter may be sent again, and what a caller is told, is decided by the status alone, by others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from providers.http.exchange import HttpAnswer
from providers.http.verdict import one_line

_MAX_REASONS = 20


@dataclass(frozen=True, slots=True)
class Reason:
    """
    One thing that is wrong: in words, one line; `field` where the answer names it apart.
    """

    detail: str
    code: int | None = None
    field: str = ""


def reasons_in(answer: HttpAnswer, body: dict[str, Any] | None) -> tuple[Reason, ...]:
    """
    All that the answer complains of; empty where it says nothing.

    Args:
        answer: For its text, where the body is no JSON object.
        body: The body, if it is one.
    """
    if body is None:
        text = one_line(answer.text())
        return (Reason(text),) if text else ()
    if found := tuple(_entries(body.get("errors")))[:_MAX_REASONS]:
        return found
    for name in ("message", "error", "title"):
        if isinstance(body.get(name), str) and body[name]:
            return (Reason(one_line(body[name])),)
    return ()


def text_of(answer: HttpAnswer, body: dict[str, Any] | None) -> str:
    """The same as one text of any length, never empty where the answer is not."""
    details = [
        f"{reason.field}: {reason.detail}" if reason.field else reason.detail
        for reason in reasons_in(answer, body)
    ]
    return "; ".join(details) or answer.text()


def code_in(errors: object, default: int = 422) -> int:
    """The status that an error in a success answer names; a refusal where it names none."""
    first = errors[0] if isinstance(errors, list) and errors else errors
    code = first.get("code") if isinstance(first, dict) else None
    return code if isinstance(code, int) and 400 <= code <= 599 else default


def _entries(errors: object) -> Iterator[Reason]:
    """`[{code, detail}]`, `[text]`, and `{field: [text]}` as frameworks write it."""
    if isinstance(errors, str) and errors:
        yield Reason(one_line(errors))
    elif isinstance(errors, list):
        for entry in errors:
            detail = entry.get("detail") if isinstance(entry, dict) else entry
            code = entry.get("code") if isinstance(entry, dict) else None
            if isinstance(detail, str) and detail:
                yield Reason(one_line(detail), code if isinstance(code, int) else None)
    elif isinstance(errors, dict):
        for field, texts in errors.items():
            for text in texts if isinstance(texts, list) else [texts]:
                if isinstance(text, str) and text:
                    yield Reason(one_line(text), field=one_line(str(field)))
