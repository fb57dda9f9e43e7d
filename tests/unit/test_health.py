"""The circuit of a provider: opens on proof of trouble, asks without sending, closes with care."""

from __future__ import annotations

import pytest

from gateway.domain.health import Circuit, CircuitRules, CircuitState, most_telling
from providers.contract.outcome import Cause, DeliveryOutcome, Kind, Scope, accepted

WELL = accepted("1")
REFUSED = DeliveryOutcome(Kind.REJECTED, Scope.RECIPIENT, "5.1.1", "no such user")
DOWN = DeliveryOutcome(
    Kind.DEFERRED, Scope.PROVIDER, "4.4.1", "connection refused", cause=Cause.UNREACHABLE
)
NO_FUNDS = DeliveryOutcome(
    Kind.DEFERRED, Scope.PROVIDER, "4.7.0", "402 no funds", cause=Cause.ACCOUNT
)
THROTTLED = DeliveryOutcome(Kind.DEFERRED, Scope.PROVIDER, "4.7.1", "429", cause=Cause.THROTTLED)
SILENT = DeliveryOutcome(Kind.UNCERTAIN, Scope.MESSAGE, "4.4.2", "no answer in time")


def attempt(circuit: Circuit, outcome: DeliveryOutcome, now: float) -> None:
    """One attempt that may start, and its end."""
    assert circuit.begin()
    circuit.ended(outcome, now)


def opened() -> Circuit:
    """A circuit that account trouble opened at 100.0."""
    circuit = Circuit(CircuitRules())
    attempt(circuit, NO_FUNDS, 100.0)
    assert circuit.state is CircuitState.OPEN
    return circuit


def test_account_trouble_opens_at_once() -> None:
    """Each further letter would only be refused too; the reason is the provider's own."""
    circuit = opened()
    assert circuit.reason == "402 no funds"
    assert not circuit.begin()
    assert circuit.probe_in(100.0) == 5.0
    assert circuit.probe_in(110.0) == 0.0


@pytest.mark.parametrize("trouble", [DOWN, SILENT])
def test_failures_open_when_they_are_many_and_half_of_all(trouble: DeliveryOutcome) -> None:
    """One lost connection is no outage; five in a row are."""
    circuit = Circuit(CircuitRules())
    for step in range(4):
        attempt(circuit, trouble, float(step))
    assert circuit.state is CircuitState.CLOSED
    attempt(circuit, trouble, 4.0)
    assert circuit.state is CircuitState.OPEN


def test_slow_answers_are_failures_where_that_is_wanted() -> None:
    """Who takes a minute for each letter keeps all others waiting, however well it ends."""
    patient, circuit = Circuit(CircuitRules()), Circuit(CircuitRules(slow_after_s=10.0))
    for step in range(5):
        for one in (patient, circuit):
            assert one.begin()
            one.ended(WELL, float(step), took_s=10.5)
    assert patient.state is CircuitState.CLOSED
    assert circuit.state is CircuitState.OPEN
    assert circuit.reason == "slow: it took 10.5 s"


def test_slow_with_the_first_letter_after_a_probe_it_is_open_again() -> None:
    """A probe asks for no letter to be carried: it may be quick where letters are not."""
    circuit = Circuit(CircuitRules(slow_after_s=10.0))
    attempt(circuit, NO_FUNDS, 100.0)
    circuit.probed(105.0, well=True)
    assert circuit.begin()
    circuit.ended(WELL, 120.0, took_s=15.0)
    assert circuit.state is CircuitState.OPEN


def test_throttled_slowly_is_throttled() -> None:
    """The pace is the answer to that, whatever time it took to say so."""
    circuit = Circuit(CircuitRules(slow_after_s=1.0))
    for step in range(20):
        assert circuit.begin()
        circuit.ended(THROTTLED, float(step), took_s=9.0)
    assert circuit.state is CircuitState.CLOSED


def test_a_few_failures_among_many_letters_do_not_open() -> None:
    """T23: a share of failures below the half is trouble of letters, not of the provider."""
    circuit = Circuit(CircuitRules())
    for step in range(300):
        attempt(circuit, DOWN if step % 3 == 0 else WELL, step / 10)
    assert circuit.state is CircuitState.CLOSED


def test_failures_of_long_ago_do_not_count() -> None:
    """Four lost connections in the night and one in the morning are no outage."""
    circuit = Circuit(CircuitRules())
    for moment in (0.0, 1.0, 2.0, 3.0, 3600.0):
        attempt(circuit, DOWN, moment)
    assert circuit.state is CircuitState.CLOSED


@pytest.mark.parametrize("word", [REFUSED, THROTTLED])
def test_a_provider_that_answers_is_well(word: DeliveryOutcome) -> None:
    """Refused recipients and a pace too fast say nothing against the provider's health."""
    circuit = Circuit(CircuitRules())
    for step in range(50):
        attempt(circuit, word, float(step))
    assert circuit.state is CircuitState.CLOSED


def test_waits_double_with_every_probe_in_vain() -> None:
    """A long outage is asked about less and less often, and for ever."""
    circuit, now, waits = opened(), 100.0, []
    for _ in range(9):
        wait = circuit.probe_in(now)
        assert wait is not None
        waits.append(wait)
        now += wait
        circuit.probed(now, well=False, detail="still down")
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert circuit.reason == "still down"


def test_closing_takes_letters_that_are_accepted() -> None:
    """After a good probe one letter tries the way, then two, then more, and then all."""
    circuit = opened()
    circuit.probed(105.0, well=True)
    assert circuit.state is CircuitState.HALF_OPEN
    assert circuit.probe_in(105.0) is None
    assert circuit.begin()
    assert not circuit.begin(), "one at first"
    circuit.ended(WELL, 106.0)
    assert [circuit.begin() for _ in range(3)] == [True, True, False]
    for _ in range(2):
        circuit.ended(WELL, 107.0)
    while circuit.state is CircuitState.HALF_OPEN:
        attempt(circuit, WELL, 108.0)
    assert circuit.state is CircuitState.CLOSED
    assert circuit.reason == ""
    assert all(circuit.begin() for _ in range(100))


def test_a_failure_on_the_way_back_opens_again_and_waits_longer() -> None:
    """A probe that finds a server which takes no letter does not make it flap."""
    circuit, now = opened(), 100.0
    waits = []
    for _ in range(4):
        wait = circuit.probe_in(now)
        assert wait is not None
        waits.append(wait)
        now += wait
        circuit.probed(now, well=True)
        attempt(circuit, DOWN, now)
    assert waits == [5, 10, 20, 40]


@pytest.mark.parametrize(("steady_for", "wait"), [(1.0, 10.0), (120.0, 5.0)])
def test_who_falls_soon_after_is_trusted_less(steady_for: float, wait: float) -> None:
    """Up for a second and down again doubles the wait; up for long begins anew."""
    circuit = opened()
    circuit.probed(105.0, well=True)
    while circuit.state is CircuitState.HALF_OPEN:
        attempt(circuit, WELL, 105.0)
    attempt(circuit, NO_FUNDS, 105.0 + steady_for)
    assert circuit.probe_in(105.0 + steady_for) == wait


def test_an_attempt_that_was_not_made_says_nothing() -> None:
    """A letter that was removed by hand before its turn leaves no trace, and its place is free."""
    circuit = opened()
    circuit.probed(105.0, well=True)
    assert circuit.begin()
    circuit.ended(None, 106.0)
    assert circuit.state is CircuitState.HALF_OPEN
    assert circuit.begin()


def test_what_began_before_it_opened_changes_nothing_after() -> None:
    """A late success does not close a circuit, a late failure does not count twice."""
    circuit = Circuit(CircuitRules())
    for _ in range(3):
        assert circuit.begin()
    circuit.ended(NO_FUNDS, 1.0)
    circuit.ended(WELL, 2.0)
    circuit.ended(DOWN, 3.0)
    assert circuit.state is CircuitState.OPEN
    assert circuit.probe_in(1.0) == 5.0
    circuit.probed(6.0, well=True)
    assert circuit.begin(), "nothing of the past is counted as under way"


def test_rules_that_make_no_sense() -> None:
    """They are told when they are made."""
    with pytest.raises(ValueError, match="some of the attempts"):
        CircuitRules(failures=30)
    with pytest.raises(ValueError, match="longest wait"):
        CircuitRules(first_wait_s=10, longest_wait_s=5)


def test_the_most_telling_outcome_of_an_attempt() -> None:
    """Account trouble speaks of all letters, a refused recipient of himself alone."""
    assert most_telling([WELL, NO_FUNDS, DOWN]) is NO_FUNDS
    assert most_telling([WELL, REFUSED, SILENT]) is SILENT
    assert most_telling([THROTTLED, WELL]) is WELL
    assert most_telling([THROTTLED]) is THROTTLED
