"""
The alerting rules with all their times shortened, and the time within which each is to fire.

A drill cannot wait for half an hour. What is divided: `for`, the ranges of rates, and the age from
which mail is too old; everything else stays as it is written.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parents[2] / "config" / "prometheus" / "alerts.yaml"

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RANGE = re.compile(r"\[(\d+)([smhd])\]")
_AGE = re.compile(r"(mailquay_oldest_due_seconds\) > )(\d+)")
_SHORTEST_RANGE_S = 5.0  # with a scrape a second; a rate takes two of them, and one may be late
_LONGEST_FILLED_S = 1800.0  # longer ranges need not be filled: what they count is there at once


def read_rules() -> dict[str, Any]:
    """The rules as they are, for `shortened` and `stated_s`."""
    groups: dict[str, Any] = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return groups


def rules_of(groups: dict[str, Any]) -> list[dict[str, Any]]:
    """All of them, in the order of the file."""
    return [rule for group in groups["groups"] for rule in group["rules"]]


def shortened(groups: dict[str, Any], factor: float) -> dict[str, Any]:
    """
    The same rules with their times divided.

    Args:
        groups: From `read_rules`; not changed.
        factor: By how much.
    """
    groups = copy.deepcopy(groups)

    def shorter_range(found: re.Match[str]) -> str:
        return f"[{_ms(max(_SHORTEST_RANGE_S, _seconds(*found.groups()) / factor))}]"

    def younger(found: re.Match[str]) -> str:
        return f"{found[1]}{float(found[2]) / factor:g}"

    for rule in rules_of(groups):
        rule["expr"] = _AGE.sub(younger, _RANGE.sub(shorter_range, rule["expr"]))
        if "for" in rule:
            rule["for"] = _ms(_duration_s(rule["for"]) / factor)
    return groups


def stated_s(rule: dict[str, Any]) -> float:
    """
    Within how many seconds of its trouble an alert fires, by its rule as it is written.

    Its `for`, the time until its ranges are filled, and the age that mail must have.
    """
    ranges = [_seconds(*found) for found in _RANGE.findall(rule["expr"])]
    filled = max((s for s in ranges if s <= _LONGEST_FILLED_S), default=0.0)
    aged = max((float(age) for _, age in _AGE.findall(rule["expr"])), default=0.0)
    return _duration_s(rule.get("for", "0s")) + max(filled, aged)


def _duration_s(text: str) -> float:
    return _seconds(text[:-1], text[-1])


def _seconds(number: str, unit: str) -> float:
    return float(int(number) * _UNITS[unit])


def _ms(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
