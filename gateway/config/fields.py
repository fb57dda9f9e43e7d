"""
The kinds of values that several sections of the configuration share.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")


def one_or_many(value: object) -> object:
    """A list of one where a word stands alone."""
    return [value] if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(one_or_many)]
Port = Annotated[int, Field(ge=0, le=65535)]


def checked_name(value: str) -> str:
    """A name of a listener, route or provider, or a `ValueError` that says how one looks."""
    if not _NAME.match(value):
        raise ValueError(
            "a name is made of lower-case letters, digits, - and _, 32 at most, "
            "so that it can be a metric label and part of an environment variable"
        )
    return value


def off_is_a_word(value: object) -> object:
    """YAML 1.1 reads a bare `off` as false."""
    return "off" if value is False else value
