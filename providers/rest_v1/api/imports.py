"""
Imports of many recipients at once, in parts of at most 10,000 (provider reference, B.8).

Pure. An import is only queued by the call; how it ends is told to its callback, or found by asking
for the import (where the installation has a method for it) or for its last address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from providers.rest_v1.api.operation import Operation, get, given, path_of, post
from providers.rest_v1.api.recipients import values_out
from providers.rest_v1.api.record import Record

MAX_RECIPIENTS = 10_000

_IMPORTS = "/email/lists/{}/recipients/imports"
_OVER = frozenset(("completed", "complete", "done", "finished", "failed", "error", "canceled"))


@dataclass(frozen=True, slots=True)
class Row:
    """One recipient to import; `values` by parameter id."""

    email: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Import:
    """An import as the platform tells of it; the words of `status` are documented nowhere."""

    id: str
    status: str
    callback_url: str = ""

    @property
    def over(self) -> bool:
        """Whether it is over, as far as the word can be understood."""
        return self.status.lower() in _OVER


def start_import(
    list_id: str,
    rows: Sequence[Row],
    *,
    run_triggers: bool = False,
    tags: Sequence[str] = (),
    callback_url: str | None = None,
) -> Operation[Import]:
    """
    Queue one import.

    Raises:
        ValueError: No rows, or more than fit.
    """
    if not 0 < len(rows) <= MAX_RECIPIENTS:
        raise ValueError(f"an import takes 1 to {MAX_RECIPIENTS} recipients, not {len(rows)}")
    recipients: list[dict[str, Any]] = [
        given(email=row.email, values=values_out(row.values) if row.values else None)
        for row in rows
    ]
    fields = given(
        recipients=recipients,
        run_triggers=True if run_triggers else None,
        tags=list(tags) or None,
        callback_url=callback_url,
    )
    return post(path_of(_IMPORTS, list_id), fields, import_from)


def import_status(list_id: str, import_id: str) -> Operation[Import]:
    """How an import stands. No document has the method; the ids are said to be for it."""
    return get(path_of(_IMPORTS + "/{}", list_id, import_id), import_from, extra=True)


def cut(rows: Iterable[Row], size: int = MAX_RECIPIENTS) -> Iterator[tuple[Row, ...]]:
    """Rows in parts of at most that size, read as they are needed."""
    remaining = iter(rows)
    while part := tuple(islice(remaining, size)):
        yield part


def import_from(record: Record) -> Import:
    """An import of an answer, or of what a callback brings."""
    return Import(record.id(), record.text("status"), record.text("callback_url"))
