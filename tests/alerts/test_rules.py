"""The drill of alerts leaves none out, and shortens nothing but times."""

from __future__ import annotations

from pathlib import Path

from tests.alerts.faults import SCENES
from tests.alerts.rules import read_rules, rules_of, shortened, stated_s

PAGE = Path(__file__).parents[2] / "docs" / "alert-drill.md"
NAMES = [rule["alert"] for rule in rules_of(read_rules())]
RULE = {
    "alert": "One",
    "expr": "rate(some_total[5m]) > 300 and max(mailquay_oldest_due_seconds) > 300",
    "for": "2m",
}


def test_every_alert_has_a_scene() -> None:
    """And every scene an alert that there is."""
    assert sorted(alert for scene in SCENES for alert in scene.alerts) == sorted(NAMES)


def test_every_alert_fired() -> None:
    """The page is of a drill with all of them, each in time."""
    page = PAGE.read_text()
    assert "not in time" not in page
    assert [name for name in NAMES if f"| {name} |" not in page] == []


def test_times_are_shortened_and_nothing_else() -> None:
    """A threshold of letters stays; a range is long enough for two scrapes."""
    groups = {"groups": [{"name": "some", "rules": [RULE]}]}
    (rule,) = rules_of(shortened(groups, 60))
    shorter = "rate(some_total[5000ms]) > 300 and max(mailquay_oldest_due_seconds) > 5"
    assert (rule["expr"], rule["for"]) == (shorter, "2000ms")
    (written,) = rules_of(groups)
    assert "[5m]" in written["expr"]


def test_an_alert_states_its_time() -> None:
    """Its `for`, and the longer of what its ranges and its age take."""
    assert stated_s({"expr": "rate(some_total[5m]) > 0", "for": "2m"}) == 420
    assert stated_s({"expr": "max(mailquay_oldest_due_seconds) > 300", "for": "1m"}) == 360
    assert stated_s({"expr": "increase(some_total[24h]) > 2"}) == 0
