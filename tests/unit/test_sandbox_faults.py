"""Faults as the command line writes them, and when each strikes."""

from __future__ import annotations

import pytest

from providers.sandbox.faults import Fault, FaultKind, FaultPlan, parse_fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("hang", Fault(FaultKind.HANG)),
        ("rest_v1:throttle:3", Fault(FaultKind.THROTTLE, "rest_v1", 3)),
        ("*:error/502:always", Fault(FaultKind.ERROR, "*", None, style="502")),
        (
            "form_v2:refuse/200@sendBulkEmail:2",
            Fault(FaultKind.REFUSE, "form_v2", 2, style="200", method="sendBulkEmail"),
        ),
    ],
)
def test_words_of_the_command_line(text: str, fault: Fault) -> None:
    """Provider, style, method and times may each be left out."""
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    "text", ["", "smarthost", "smarthost:", "bang", "v3:hang", "hang:0", "hang:-1", "hang:1:2"]
)
def test_words_that_mean_nothing(text: str) -> None:
    """A misspelt fault is told and not ignored."""
    with pytest.raises(ValueError, match=r"a fault is|how often"):
        parse_fault(text)


def test_only_at_its_method() -> None:
    """A fault of one method leaves the others alone, and is over after its times."""
    plan = FaultPlan([Fault(FaultKind.ERROR, "form_v2", 1, method="statusBulkEmail")])
    assert plan.strike("form_v2", "", *FaultKind, method="sendBulkEmail") is None
    assert plan.strike("form_v2", "", *FaultKind, method="statusBulkEmail") is not None
    assert plan.faults == []


def test_only_for_its_recipient() -> None:
    """A fault for an address does not strike while no address is known."""
    plan = FaultPlan([Fault(FaultKind.REFUSE, recipient="bob@")])
    assert plan.strike("form_v2", "", *FaultKind) is None
    assert plan.strike("form_v2", "BOB@example.org", *FaultKind) is not None
