"""Alerts: their rules hold, each has a runbook and a test, and asks for metrics that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.ingress.replies import REASONS
from gateway.observe.metrics import Metrics

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "config" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in RULES]
METRIC = re.compile(r"\b(?:mailquay|process)_\w+")


def metric_names() -> set[str]:
    """All series names that a gateway shows."""
    metrics = Metrics(providers={"main": "smarthost"}, listeners=["app"], reply_reasons=REASONS)
    lines = metrics.render().decode().splitlines()
    return {re.split(r"[{ ]", line)[0] for line in lines if not line.startswith("#")}


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_is_whole(rule: dict[str, Any]) -> None:
    """A person who is woken by it is told what, why and what to do."""
    assert rule["labels"]["severity"] in {"page", "ticket"}
    annotations = rule["annotations"]
    assert annotations["summary"]
    assert annotations["description"]
    page, _, anchor = annotations["runbook_url"].partition("#")
    assert anchor == rule["alert"].lower()
    assert f"\n## {rule['alert']}\n" in (ROOT / page).read_text()


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_asks_for_what_there_is(rule: dict[str, Any]) -> None:
    """A renamed metric would leave an alert silent for ever."""
    asked = set(METRIC.findall(rule["expr"]))
    assert asked <= metric_names() | {"up"}


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_has_a_test(name: str) -> None:
    """Raised by made-up series, in the file that promtool runs."""
    assert name in (FOLDER / "alerts_test.yaml").read_text()


def test_the_rules_raise_what_they_shall_and_no_more() -> None:
    """Promtool runs every rule over series that raise it, and over those of a healthy gateway."""
    if shutil.which("promtool") is None:
        pytest.skip("not installed: promtool")
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts_test.yaml"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
