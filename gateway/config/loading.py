"""
Reads the configuration: a YAML file, the environment over it, checked as a whole.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from gateway.config.environment import ENV_PREFIX
from gateway.config.problems import told
from gateway.config.settings import Settings
from gateway.errors import ConfigError

_SEARCHED = (Path("gateway.yaml"), Path("/etc/mailquay/gateway.yaml"))


def find_file(given: Path | None) -> Path | None:
    """
    The configuration file: the given one, else that of the environment, else the usual places.

    Returns:
        A path, or `None` when there is no file anywhere and the environment must suffice.
    """
    if given is not None:
        return given
    if named := os.environ.get("MAILQUAY_CONFIG"):
        return Path(named)
    return next((path for path in _SEARCHED if path.is_file()), None)


def load(given: Path | None = None) -> Settings:
    """
    Read and check the configuration.

    Raises:
        ConfigError: With a line for each thing to mend.
    """
    path = find_file(given)
    values = _read(path) if path else {}
    try:
        return Settings(**values)
    except ValidationError as error:
        where = str(path) if path else "environment"
        raise ConfigError(
            tuple(f"{where}: {_sourced(key)}: {text}" for key, text in told(error))
        ) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError((f"{path}: cannot be read: {error.strerror}",)) from None
    except UnicodeDecodeError:
        raise ConfigError((f"{path}: not UTF-8 text",)) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not readable"
        raise ConfigError((f"{path}: not valid YAML{place}: {problem}",)) from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError((f"{path}: must hold settings as `key: value`",))
    return values


def _sourced(key: str) -> str:
    variable = ENV_PREFIX + key.upper().replace(".", "__")
    return f"{key} (from {variable})" if variable in os.environ else key or "settings"
