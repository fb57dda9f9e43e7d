"""Which routes are ever taken: contradictions, and routes that others before them leave nothing."""

from __future__ import annotations

import pytest

from gateway.domain.reach import Entrance, contradiction, covered_by, entrances_of
from gateway.domain.routing import Condition, Route

APP = Entrance("app", frozenset(), 1000)
OFFICE = Entrance("office", frozenset({"shop", "crm"}), 5000)
WAYS_IN = (APP, OFFICE)
OF_X = Condition(sender_domains=frozenset({"x.example"}))
ANN = Condition(senders=frozenset({"ann@x.example"}))
WITH_FILES = Condition(has_attachments=True)
WITHOUT = Condition(has_attachments=False)


def listeners(*names: str) -> Condition:
    return Condition(listeners=frozenset(names))


def field(*patterns: str, name: str = "list-id") -> Condition:
    return Condition(header=((name, patterns),))


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Condition(), ""),
        (listeners("app", "api"), ""),
        (listeners("api", "maildrop"), "nothing comes in by api or maildrop"),
        (Condition(users=frozenset({"shop", "nobody"})), ""),
        (Condition(users=frozenset({"nobody"})), "no user is called nobody"),
        (Condition(users=frozenset({"shop"}), listeners=frozenset({"app"})), "nobody can log in"),
        (ANN, ""),
        (Condition(ANN.senders, frozenset({"y.example"})), "none of its senders"),
        (Condition(ANN.senders, frozenset({"x.example"})), ""),
        (Condition(size_over=4999), ""),
        (Condition(size_over=5000), "over 5000 octets, and 5000 are the most"),
        (Condition(size_over=1000, listeners=frozenset({"app"})), "1000 are the most"),
        (Condition(size_over=1000, users=frozenset({"shop"})), ""),
        (field("*"), ""),
        (field("high", name="x-mailquay-priority"), "is taken out"),
    ],
)
def test_a_contradiction_is_told(condition: Condition, words: str) -> None:
    """A condition that holds for no letter is a mistake; one that may hold is none."""
    found = contradiction(condition, WAYS_IN)
    assert bool(found) == bool(words)
    assert words in found


def test_entrances_are_those_that_a_condition_can_hold_at() -> None:
    """Users come in where they can log in, and by listeners that are named."""
    assert entrances_of(Condition(), WAYS_IN) == WAYS_IN
    assert entrances_of(listeners("app"), WAYS_IN) == (APP,)
    assert entrances_of(Condition(users=frozenset({"crm"})), WAYS_IN) == (OFFICE,)


COVERED = {
    "after one for everything": ((Condition(),), OF_X, "0"),
    "the same again": ((OF_X,), OF_X, "0"),
    "a sender of a domain": ((OF_X,), ANN, "0"),
    "a domain of a sender": ((ANN,), OF_X, ""),
    "everything after some": ((OF_X,), Condition(), ""),
    "a sender that contradicts is not counted": (
        (ANN,),
        Condition(frozenset({"ann@x.example", "bob@y.example"}), frozenset({"x.example"})),
        "0",
    ),
    "senders one by one": (
        (ANN, Condition(sender_domains=frozenset({"y.example"}))),
        Condition(senders=frozenset({"ann@x.example", "bob@y.example"})),
        "01",
    ),
    "domains one by one, and one is left": (
        (OF_X,),
        Condition(sender_domains=frozenset({"x.example", "y.example"})),
        "",
    ),
    "recipients one by one": (
        (
            Condition(recipient_domains=frozenset({"a.example"})),
            Condition(recipient_domains=frozenset({"b.example", "c.example"})),
        ),
        Condition(recipient_domains=frozenset({"a.example", "b.example"})),
        "01",
    ),
    "larger than the large": ((Condition(size_over=10),), Condition(size_over=11), "0"),
    "large, and larger ones before": ((Condition(size_over=11),), Condition(size_over=10), ""),
    "every letter has octets": ((Condition(size_over=0),), Condition(), "0"),
    "with files and without": ((WITH_FILES, WITHOUT), Condition(), "10"),
    "with files only": ((WITH_FILES,), Condition(), ""),
    "all listeners that there are": ((listeners("app"), listeners("office")), Condition(), "01"),
    "one listener of two": ((listeners("app"),), Condition(), ""),
    "users one by one": (
        (Condition(users=frozenset({"shop"})), Condition(users=frozenset({"crm"}))),
        Condition(users=frozenset({"shop", "crm"})),
        "10",
    ),
    "users after everybody at the only listener they use": (
        (listeners("office"),),
        Condition(users=frozenset({"shop"})),
        "0",
    ),
    "any value of a field": ((field("*"),), field("*shop*"), "0"),
    "a field that need not be there": ((field("*"),), Condition(), ""),
    "a wider pattern, in any case": ((field("*SHOP*"),), field("*my shop.*"), "0"),
    "a narrower pattern": ((field("*my shop*"),), field("*shop*"), ""),
    "patterns one by one": ((field("a*"), field("b*")), field("ab", "ba*"), "01"),
    "brackets are no certainty": ((field("*a*"),), field("[ab]"), ""),
    "another field": ((field("*", name="x-a"),), field("*", name="x-b"), ""),
    "only together with another field": (
        (Condition(header=(("x-a", ("*",)), ("x-b", ("*",)))),),
        field("*", name="x-a"),
        "",
    ),
}


@pytest.mark.parametrize("case", COVERED)
def test_a_route_that_others_leave_nothing(case: str) -> None:
    """Those before it are named, and only where it is certain that they take everything."""
    earlier, condition, names = COVERED[case]
    routes = [Route(str(place), ("p",), one) for place, one in enumerate(earlier)]
    assert "".join(covered_by(condition, routes, WAYS_IN)) == names


def test_a_condition_in_many_pieces_is_compared_as_a_whole() -> None:
    """A start takes no longer for thousands of addresses; what is not certain is not told."""
    many = frozenset(f"u{number}@x.example" for number in range(5000))
    half = Route("half", ("p",), Condition(senders=frozenset(sorted(many)[:2500])))
    other = Route("other", ("p",), Condition(senders=many - half.condition.senders))
    assert covered_by(Condition(senders=many), (half, other), WAYS_IN) == ()
    assert covered_by(Condition(senders=many), (Route("x", ("p",), OF_X),), WAYS_IN) == ("x",)
