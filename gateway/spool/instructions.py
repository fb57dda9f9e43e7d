"""
Instructions as the text of one column, and back.

JSON with what delivery needs and nothing that has its default; what only admission needs (the mode,
the idempotency key) is left out. `rows` calls it; knows no database.
"""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import datetime
from typing import Any

from gateway.domain.instructions import NO_INSTRUCTIONS, Instructions
from gateway.domain.window import Priority
from providers.contract.options import NO_OPTIONS, SendOptions

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
# The moment stands beside the options: who keeps the letter until then is decided anew each time.
_OPTIONS = tuple(field.name for field in fields(SendOptions) if field.name != "send_at")


def text_from_instructions(instructions: Instructions) -> str | None:
    """The column's value, ASCII; `None` where there is nothing to keep."""
    if instructions is NO_INSTRUCTIONS or not instructions.outlives_admission:
        return None
    kept: dict[str, Any] = {
        "provider": instructions.provider,
        "route": instructions.route,
        "priority": None if instructions.priority is None else instructions.priority.name.lower(),
        "send_at": None if instructions.send_at is None else instructions.send_at.isoformat(),
        "options": {name: getattr(instructions.options, name) for name in _OPTIONS},
    }
    kept["options"] = _uttered(kept["options"])
    return _encode(_uttered(kept))


def instructions_from_text(text: str | None) -> Instructions:
    """
    The instructions that a column holds.

    Raises:
        ValueError: It does not hold what was written.
    """
    if text is None:
        return NO_INSTRUCTIONS
    try:
        kept = json.loads(text)
        options, send_at, priority = (kept.get(n) for n in ("options", "send_at", "priority"))
        return Instructions(
            options=SendOptions(**options) if options else NO_OPTIONS,
            provider=kept.get("provider", ""),
            route=kept.get("route", ""),
            priority=None if priority is None else Priority.from_word(priority),
            send_at=None if send_at is None else _aware(datetime.fromisoformat(send_at)),
        )
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"instructions that are none: {error}") from error


def _uttered(values: dict[str, Any]) -> dict[str, Any]:
    # False is an answer, an empty mapping is none.
    return {name: value for name, value in values.items() if value not in (None, "", {})}


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a moment without time zone is none")
    return moment
