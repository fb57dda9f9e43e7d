"""
What is wrong with a configuration, as lines for people: the key and the reason, never the value.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError


def told(error: ValidationError) -> Iterator[tuple[str, str]]:
    """Each problem as key and reason, one line, without the value."""
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        key = ".".join(str(word) for word in problem["loc"])
        if problem["type"] == "extra_forbidden":
            yield key, "no such setting; see the settings table for the names"
            continue
        for line in problem["msg"].removeprefix("Value error, ").split("\n"):
            inner, colon, text = line.partition(": ")
            # A provider's own settings are checked one level deeper and bring their keys along.
            yield (f"{key}.{inner}", text) if key == "providers" and colon else (key, line)
