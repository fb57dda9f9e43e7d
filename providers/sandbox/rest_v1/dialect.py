"""
Where the platform's documents leave a choice: which reading this imitation follows.

One field for each ambiguity of the provider reference (part D) that is no fault but a habit. The
first choice is what the reference holds likeliest. Pure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError


@dataclass(slots=True)
class Dialect:
    """
    The habits of one installation; every field may be changed while it runs.

    Attributes:
        ids: Ids in answers as JSON numbers or as strings (D 10).
        created: The status of what was created (D 9).
        errors: Where an error's text stands in the body (D 15).
        redirect: The shape of `events.redirect` when nothing was clicked (D 21).
        files: Whether the answer to a letter names its files (D 17).
        unset_webhook: What GET answers where no webhook is set (D 20).
        webhooks: Whether a second webhook takes the place of the first or stands beside it (D 20).
        webhook_style: Whether a webhook nests the id and the name, or tells them flat (B.12).
        complaint: How a complaint is spelt (D 11).
        totals: Whether `total_count` and `total_pages` tell the truth (B.2).
        past_end: What a page past the end holds (D 16).
        pages: Whether `page_number` is obeyed at all.
        largest_recipients_page: How many recipients fit into one page.
        delivered_campaign: The state after `deliver` (B.11).
        extras: Whether it is a newer installation, with the methods and keys of B.13.
    """

    ids: Literal["number", "string"] = "number"
    created: Literal[201, 200] = 201
    errors: Literal["errors", "message", "error", "text", "html", "empty"] = "errors"
    redirect: Literal["object", "list", "null", "missing"] = "object"
    files: Literal["told", "untold"] = "told"
    unset_webhook: Literal["404", "null"] = "404"
    webhooks: Literal["replace", "add"] = "replace"
    webhook_style: Literal["nested", "flat"] = "nested"
    complaint: Literal["complined", "complained"] = "complined"
    totals: Literal["true", "low", "high", "missing"] = "true"
    past_end: Literal["empty", "last"] = "empty"
    pages: Literal["obeyed", "ignored"] = "obeyed"
    largest_recipients_page: int = 1000
    delivered_campaign: Literal["sending", "pending"] = "sending"
    extras: bool = False

    def spell(self, value: Any) -> Any:  # noqa: ANN401 - JSON holds anything
        """An answer's body with its ids as this installation writes them."""
        if self.ids == "number":
            return value
        if isinstance(value, Mapping):
            return {name: self._spelt(name, item) for name, item in value.items()}
        return [self.spell(item) for item in value] if isinstance(value, list) else value

    def _spelt(self, name: str, value: Any) -> Any:  # noqa: ANN401 - JSON holds anything
        if name == "id" or name.endswith("_id"):
            return str(value)
        return self.spell(value)


def parse_habits(texts: Iterable[str]) -> Dialect:
    """
    Read `NAME=VALUE` for each habit that differs, as the command line takes it.

    Raises:
        ValueError: There is no such habit, or it has no such value.
    """
    dialect = Dialect()
    habits = {field.name for field in dataclasses.fields(Dialect)}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in habits:
            raise ValueError(f"a habit of v1 is one of {', '.join(sorted(habits))}, not {name!r}")
        dialect = _with(dialect, name, value)
    return dialect


def _with(dialect: Dialect, name: str, value: str) -> Dialect:
    """Statuses are numbers for some habits and words for others: whichever fits."""
    values = (value, int(value)) if value.isascii() and value.isdigit() else (value,)
    for one in values:
        try:
            changed: Dialect = TypeAdapter(Dialect).validate_python(
                dataclasses.asdict(dialect) | {name: one}
            )
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
        else:
            return changed
    raise ValueError(f"habit {name}: {reason}")
