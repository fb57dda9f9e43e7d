"""
The environment as a source of settings: `MAILQUAY_…`, with `__` between levels.
"""

from __future__ import annotations

import json
import os
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from gateway.errors import ConfigError

ENV_PREFIX = "MAILQUAY_"
_NOT_SETTINGS = {"MAILQUAY_CONFIG"}
# As JSON they are sections of the configuration; as a plain word they are for `mailquay sendmail`.
_FOR_SENDMAIL = {"MAILQUAY_SMTP", "MAILQUAY_MAILDROP"}


class Environment(PydanticBaseSettingsSource):
    """
    `MAILQUAY_A__B__C=value` as nested settings.

    Values stay text, so that a key of digits does not become a number on its way to a secret;
    only those that begin with [ or { are read as JSON. The library's own source decodes more.
    """

    def get_field_value(
        self,
        field: FieldInfo,  # noqa: ARG002 - the library's signature
        field_name: str,
    ) -> tuple[Any, str, bool]:
        """One top setting, as the library asks for it."""
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """All of them; `ConfigError` where two variables contradict or one is not JSON."""
        tree: dict[str, Any] = {}
        for variable, text in sorted(os.environ.items()):
            if not variable.startswith(ENV_PREFIX) or variable in _NOT_SETTINGS:
                continue
            if variable in _FOR_SENDMAIL and plain_word(variable):
                continue
            *path, leaf = variable.removeprefix(ENV_PREFIX).lower().split("__")
            branch = tree
            for word in path:
                below = branch.setdefault(word, {})
                if not isinstance(below, dict):
                    raise ConfigError((f"{variable}: its value is given as a whole elsewhere",))
                branch = below
            branch[leaf] = _value_from_text(variable, text)
        return tree


def plain_word(variable: str) -> str | None:
    """What a variable holds that is a word, and no JSON; `None` when it is not set."""
    text = os.environ.get(variable, "").strip()
    return None if not text or text.startswith(("[", "{")) else text


def _value_from_text(variable: str, text: str) -> object:
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise ConfigError((f"{variable}: not valid JSON",)) from None
