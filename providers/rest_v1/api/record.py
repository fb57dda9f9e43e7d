"""
A JSON object of the v1 API read with patience: ids as text, what is missing as nothing.

Pure. Installations differ in what they tell (provider reference, D 10, 11 and 21), and a key that
is missing or of another type must not keep anybody from the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.http.verdict import id_from


class Record:
    """One object of an answer."""

    __slots__ = ("_values",)

    def __init__(self, values: object) -> None:
        self._values: Mapping[str, Any] = values if isinstance(values, dict) else {}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def id(self, name: str = "id") -> str:
        """An id as text, whether it came as a number or as a string; empty for none."""
        return id_from(self._values.get(name))

    def text(self, name: str) -> str:
        """A text; a number as it is written; empty for anything else."""
        value = self._values.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return ""
        return str(value)

    def number(self, name: str) -> int | None:
        """A whole number, also where it came as a string; `None` for anything else."""
        value = self._values.get(name)
        if isinstance(value, bool):
            return None
        if isinstance(value, int):
            return value
        text = value.strip() if isinstance(value, str) else ""
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    def flag(self, name: str) -> bool | None:
        """True or false; `None` for anything else."""
        value = self._values.get(name)
        return value if isinstance(value, bool) else None

    def record(self, name: str) -> Record:
        """An object within; an empty one for anything else."""
        return Record(self._values.get(name))

    def records(self, name: str) -> tuple[Record, ...]:
        """A list of objects; what is none of them is left out."""
        return tuple(Record(item) for item in self._list(name) if isinstance(item, dict))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; what is none of them is left out."""
        return tuple(item for item in self._list(name) if isinstance(item, str))

    def counts(self, name: str) -> dict[str, int]:
        """An object of counts; anything else, as an empty list, is none (D 21)."""
        value = self._values.get(name)
        items = value.items() if isinstance(value, dict) else ()
        return {key: count for key, count in items if isinstance(count, int)}

    def items(self) -> list[Any]:
        """The raw items of a collection, objects all."""
        return [item for item in self._list("collection") if isinstance(item, dict)]

    def _list(self, name: str) -> list[Any]:
        value = self._values.get(name)
        return value if isinstance(value, list) else []
