"""Which route applies, and which of its providers can carry a letter."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import ClassVar

import pytest

from gateway.domain.routing import (
    GUARDED,
    Condition,
    Fidelity,
    Plan,
    Route,
    RouteFacts,
    choose_route,
    plan,
)
from providers.contract.address import parse_address
from providers.contract.capabilities import Part, ProviderCapabilities
from providers.contract.message import Needs

FACTS = RouteFacts(
    reverse_path=parse_address("News@News.example.com"),
    forward_path=parse_address("bob@Example.org"),
    listener="app",
    size=1000,
    has_attachments=False,
    user="shop",
    header={"list-id": "News <SHOP.example.com>", "precedence": "Bulk"},
)
SMTP = ProviderCapabilities(raw_mime=True, null_reverse_path=True, smtputf8=True)
API = ProviderCapabilities()
RICH = ProviderCapabilities(
    reply_to=True, inline_parts=True, text_beside_html=True, passed_header_fields=True
)
LETTER = Needs(
    size=1000,
    text=True,
    html=True,
    header_fields=frozenset({"date", "message-id", "x-campaign"}),
)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Condition(), True),
        (Condition(senders=frozenset({"news@news.example.com", "x@y.example"})), True),
        (Condition(senders=frozenset({"x@y.example"})), False),
        (Condition(sender_domains=frozenset({"news.example.com"})), True),
        (Condition(sender_domains=frozenset({"example.com"})), False),
        (Condition(recipient_domains=frozenset({"example.org"})), True),
        (Condition(recipient_domains=frozenset({"example.com"})), False),
        (Condition(listeners=frozenset({"app"})), True),
        (Condition(listeners=frozenset({"bulk"})), False),
        (Condition(size_over=999), True),
        (Condition(size_over=1000), False),
        (Condition(has_attachments=False), True),
        (Condition(has_attachments=True), False),
        (Condition(listeners=frozenset({"app"}), size_over=1000), False),
        (Condition(users=frozenset({"shop", "crm"})), True),
        (Condition(users=frozenset({"crm"})), False),
        (Condition(header=(("list-id", ("*",)),)), True),
        (Condition(header=(("x-campaign", ("*",)),)), False),
        (Condition(header=(("list-id", ("*<shop.*", "nothing")),)), True),
        (Condition(header=(("list-id", ("shop",)),)), False),
        (Condition(header=(("list-id", ("*",)), ("precedence", ("bulk",)))), True),
        (Condition(header=(("list-id", ("*",)), ("precedence", ("list",)))), False),
    ],
)
def test_a_condition_holds_when_all_its_parts_do(condition: Condition, holds: bool) -> None:
    """Every condition given must hold, one of its values suffices, case does not matter."""
    assert condition.holds(FACTS) is holds


def test_a_null_reverse_path_is_from_no_sender() -> None:
    """A bounce does not match a route for some sender, and matches one for everybody."""
    bounce = replace(FACTS, reverse_path=None)
    assert not Condition(senders=frozenset({"news@news.example.com"})).holds(bounce)
    assert not Condition(sender_domains=frozenset({"news.example.com"})).holds(bounce)
    assert Condition().holds(bounce)


def test_the_first_route_that_applies_is_taken() -> None:
    """Routes are tried in the order written; where none applies there is none."""
    bulk = Route("bulk", ("a",), Condition(listeners=frozenset({"bulk"})))
    small = Route("small", ("a",), Condition(has_attachments=False))
    default = Route("default", ("b",))
    assert choose_route([bulk, small, default], FACTS) is small
    assert choose_route([default, small], FACTS) is default
    assert choose_route([bulk], FACTS) is None
    assert default.condition.is_catch_all
    assert not small.condition.is_catch_all


@pytest.mark.parametrize("providers", [(), ("a", "a"), ("a", "b", "a")])
def test_a_route_names_each_provider_once(providers: tuple[str, ...]) -> None:
    """A provider twice would be tried twice in one round."""
    with pytest.raises(ValueError, match="once"):
        Route("r", providers)


def made(fidelity: Fidelity, needs: Needs = LETTER, excluded: tuple[str, ...] = ()) -> Plan:
    route = Route("r", ("api", "rich", "smtp"), fidelity=fidelity)
    return plan(route, {"api": API, "rich": RICH, "smtp": SMTP}, needs, excluded)


def test_strict_takes_only_who_loses_nothing() -> None:
    """Down to the last header field."""
    found = made(Fidelity.STRICT)
    assert found.candidates == ("rich", "smtp")
    assert {s.part for s in found.passed_over["api"]} == {
        Part.TEXT_ALTERNATIVE,
        Part.DATE,
        Part.MESSAGE_ID,
        Part.HEADER_FIELD,
    }
    assert found.losses == {"rich": (), "smtp": ()}


def test_faithful_lets_go_of_what_no_reader_misses() -> None:
    """The default: trace fields and the text alternative may go, and are told as losses."""
    found = made(Fidelity.FAITHFUL)
    assert found.candidates == ("api", "rich", "smtp")
    assert {s.part for s in found.losses["api"]} >= {Part.TEXT_ALTERNATIVE, Part.DATE}
    assert made(Fidelity.FAITHFUL, replace(LETTER, reply_to=True)).candidates == ("rich", "smtp")


def test_tolerant_prefers_who_loses_least() -> None:
    """In the order of losses, and in the route's order where they are equal."""
    found = made(Fidelity.TOLERANT, replace(LETTER, calendar=True, reply_to=True))
    assert found.candidates == ("smtp", "rich", "api")
    assert made(Fidelity.TOLERANT).candidates == ("rich", "smtp", "api")


@pytest.mark.parametrize("fidelity", Fidelity)
def test_a_seal_is_never_broken(fidelity: Fidelity) -> None:
    """Signed and encrypted letters travel by SMTP alone, whatever a route tolerates."""
    assert made(fidelity, replace(LETTER, sealed=True)).candidates == ("smtp",)


@pytest.mark.parametrize("fidelity", Fidelity)
def test_what_no_hand_over_is_possible_without(fidelity: Fidelity) -> None:
    """Too large is too large."""
    route = Route("r", ("small",), fidelity=fidelity)
    small = {"small": ProviderCapabilities(raw_mime=True, max_message_octets=999)}
    found = plan(route, small, LETTER)
    assert (found.candidates, [s.part for s in found.passed_over["small"]]) == ((), [Part.SIZE])


def test_levels_guard_more_and_more() -> None:
    """Whoever passes strict passes faithful, whoever passes faithful passes tolerant."""
    tolerant, faithful, strict = (
        GUARDED[level] for level in (Fidelity.TOLERANT, Fidelity.FAITHFUL, Fidelity.STRICT)
    )
    assert tolerant < faithful < strict == frozenset(Part)


def test_who_cannot_or_is_not_there_is_passed_over() -> None:
    """Excluded by an earlier answer, or gone from the configuration: left out and named."""
    route = Route("r", ("gone", "smtp", "api"))
    found = plan(route, {"smtp": SMTP, "api": API}, LETTER, excluded=("smtp", "old"))
    assert found.candidates == ("api",)
    assert found.passed_over == {"gone": (), "smtp": ()}


def test_the_round_goes_on_after_a_provider() -> None:
    """Who follows in this round; from a provider outside the plan the round begins anew."""
    found = made(Fidelity.FAITHFUL)
    assert [found.next_after(name) for name in ("api", "rich", "smtp")] == ["rich", "smtp", None]
    assert found.next_after("gone") == "api"
    nobody = Plan(found.route, (), {}, {})
    assert nobody.next_after("api") is None


class TestAway:
    """Providers that are given no letters at the moment."""

    ROUTE = Route("r", ("a", "b", "c"))
    ALL: ClassVar = {"a": SMTP, "b": SMTP, "c": SMTP}

    def test_who_is_away_stands_last(self) -> None:
        """Letters go to the others first, and can still wait for one that is away."""
        found = plan(self.ROUTE, self.ALL, LETTER, away={"a"})
        assert found.candidates == ("b", "c", "a")
        assert found.away == {"a"}
        assert plan(self.ROUTE, self.ALL, LETTER, away=set("abc")).candidates == ("a", "b", "c")

    def test_a_round_ends_before_who_is_away(self) -> None:
        """Or a letter would go back and forth between one that fails and one that is away."""
        found = plan(self.ROUTE, self.ALL, LETTER, away={"a"})
        assert found.next_after("b") == "c"
        assert found.next_after("c") is None

    def test_who_cannot_carry_it_is_not_away_but_out(self) -> None:
        """Being away says nothing of a provider that the letter could not go by anyway."""
        found = plan(self.ROUTE, self.ALL, LETTER, excluded=["a"], away={"a", "b"})
        assert found.candidates == ("c", "b")
        assert found.away == {"b"}


class TestEqualProviders:
    """Several accounts that share the letters of a route."""

    ROUTE = Route("all", ("a", "b", "c", "spare"), equals=((("a", 1), ("b", 2), ("c", 5)),))
    ALL: ClassVar = dict.fromkeys(ROUTE.providers, SMTP)
    LETTERS: ClassVar = [f"Q{number:06}" for number in range(8000)]

    def candidates(self, letter: str, excluded: tuple[str, ...] = ()) -> tuple[str, ...]:
        return plan(self.ROUTE, self.ALL, LETTER, excluded, letter=letter).candidates

    def test_each_has_its_share(self):
        """As many letters first as its weight says, within three standard deviations."""
        counts = Counter(self.candidates(letter)[0] for letter in self.LETTERS)
        for (name, weight), spread in zip(self.ROUTE.equals[0], (90, 117, 130), strict=True):
            assert abs(counts[name] - len(self.LETTERS) * weight / 8) < spread

    def test_the_others_follow_and_the_spare_is_last(self):
        """Nobody is left out, and who is not equal keeps its place."""
        for letter in self.LETTERS[:100]:
            assert sorted(self.candidates(letter)[:3]) == ["a", "b", "c"]
            assert self.candidates(letter)[3:] == ("spare",)

    def test_a_letter_keeps_its_lot(self):
        """Each time it is planned anew, and when one of the others cannot carry it."""
        for letter in self.LETTERS[:100]:
            whole = self.candidates(letter)
            assert self.candidates(letter) == whole
            for gone in "abc":
                left = tuple(name for name in whole if name != gone)
                assert self.candidates(letter, (gone,)) == left

    def test_without_a_letter_the_order_is_as_written(self):
        """What `check` and `explain` show."""
        assert self.candidates("") == ("a", "b", "c", "spare")

    def test_who_is_equal_to_whom(self):
        """The spare to nobody; and one provider asked for by name stands alone."""
        assert self.ROUTE.equal_to("b") == {"a", "c"}
        assert self.ROUTE.equal_to("spare") == frozenset()
        assert self.ROUTE.by("b").order("Q1") == ("b",)
