"""Routes that are called unreachable are exactly those that no letter takes, tried one by one."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.reach import Entrance, contradiction, covered_by
from gateway.domain.routing import Condition, Route, RouteFacts, choose_route
from providers.contract.address import Address, parse_address

WAYS_IN = (Entrance("app", frozenset(), 20), Entrance("office", frozenset({"shop", "crm"}), 30))
SENDERS = ("a@x.example", "b@x.example", "a@y.example")


def some(*words: str) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(words), max_size=2)


CONDITIONS = st.builds(
    Condition,
    senders=some(*SENDERS),
    sender_domains=some("x.example", "y.example"),
    recipient_domains=some("r.example", "s.example"),
    listeners=some("app", "office", "api"),
    users=some("shop", "crm", "nobody"),
    header=st.sampled_from(
        [(), (("f", ("v",)),), (("f", ("w",)),), (("f", ("v", "w")),), (("f", ("*",)),)]
    ),
    size_over=st.sampled_from([None, 10, 20, 30]),
    has_attachments=st.sampled_from([None, True, False]),
)


def letters() -> list[RouteFacts]:
    """One of every sort: each value that a condition can name, and one that none does."""
    senders: list[Address | None] = [parse_address(text) for text in (*SENDERS, "c@z.example")]
    senders += [parse_address("c@x.example"), parse_address("c@y.example"), None]
    ways = [("app", "", 20), ("office", "", 30), ("office", "shop", 30), ("office", "crm", 30)]
    return [
        RouteFacts(sender, parse_address(f"bob@{domain}"), name, size, files, user, header)
        for sender, domain, (name, user, most), size, files, header in product(
            senders,
            ("r.example", "s.example", "t.example"),
            ways,
            (1, 11, 21),
            (True, False),
            ({}, {"f": "v"}, {"f": "w"}, {"f": "other"}),
        )
        if size <= most
    ]


LETTERS = letters()


@given(CONDITIONS)
def test_a_contradiction_is_what_no_letter_meets(condition: Condition) -> None:
    """Neither a warning without a reason, nor a contradiction without a warning."""
    assert bool(contradiction(condition, WAYS_IN)) == (not any(map(condition.holds, LETTERS)))


@given(st.lists(CONDITIONS, min_size=2, max_size=4))
def test_a_covered_route_is_one_that_no_letter_takes(conditions: list[Condition]) -> None:
    """The last of some routes gets no letter just where others are named, who take them all."""
    routes = [Route(str(place), ("p",), one) for place, one in enumerate(conditions)]
    *earlier, last = routes
    met = [letter for letter in LETTERS if last.condition.holds(letter)]
    if not met:
        return
    takers = covered_by(last.condition, earlier, WAYS_IN)
    assert bool(takers) == all(choose_route(routes, letter) is not last for letter in met)
    named = [route for route in earlier if route.name in takers]
    assert not takers or all(choose_route(named, letter) for letter in met)
