"""What the planner finds out of a letter before a route is chosen."""

from __future__ import annotations

import pytest

from gateway.domain.routing import Condition, Route
from gateway.planner import Planner
from providers.contract.address import parse_address
from providers.contract.capabilities import ProviderCapabilities
from tests.support.builders import an_envelope

SMTP = ProviderCapabilities(raw_mime=True)
NEWS = Route("news", ("bulk",), Condition(header=(("list-id", ("*shop*",)),)))
SHOP = Route("shop", ("main",), Condition(users=frozenset({"shop"})))
REST = Route("rest", ("main",))
PLANNER = Planner((NEWS, SHOP, REST), {"bulk": SMTP, "main": SMTP})


@pytest.mark.parametrize(
    ("header", "user", "route"),
    [
        ("List-Id: The shop\r\n <list.example.com>\r\n", "", "news"),
        ("LIST-ID: =?utf-8?q?The_sh=6Fp?=\r\n", "shop", "news"),
        ("Subject: List-Id: shop\r\n", "shop", "shop"),
        ("Subject: x\r\n\r\nList-Id: shop\r\n", "", "rest"),
    ],
)
def test_routes_by_header_and_user(header: str, user: str, route: str) -> None:
    """A field's value unfolded and decoded, whatever its name's case; the body is no header."""
    content = f"From: a@example.com\r\n{header}\r\nHello\r\n".encode()
    envelope = an_envelope()
    found = PLANNER.plan(
        PLANNER.message(content, envelope),
        reverse_path=envelope.reverse_path,
        forward_path=parse_address("bob@example.com"),
        listener="app",
        user=user,
    )
    assert found is not None
    assert found.route.name == route


def test_who_is_away_leaves_the_choice_to_a_full_parse() -> None:
    """With the carrier of raw MIME away, the next one's choice depends on all of the letter."""
    api = ProviderCapabilities()
    planner = Planner((Route("all", ("main", "api")),), {"main": SMTP, "api": api})
    content, envelope = b"From: a@example.com\r\n\r\nHello\r\n", an_envelope()
    assert not planner.message(content, envelope).needs.complete
    planner.avoid(frozenset({"main"}))
    assert planner.message(content, envelope).needs.complete


def test_among_equal_providers_each_may_be_the_first() -> None:
    """One that takes no raw MIME beside one that does: the choice depends on all of the letter."""
    equals = ((("main", 1), ("other", 1)),)
    route = Route("all", ("main", "other", "api"), equals=equals)
    carriers = {"main": SMTP, "other": SMTP, "api": ProviderCapabilities()}
    content, envelope = b"From: a@example.com\r\n\r\nHello\r\n", an_envelope()
    assert not Planner((route,), carriers).message(content, envelope).needs.complete
    mixed = carriers | {"other": ProviderCapabilities()}
    assert Planner((route,), mixed).message(content, envelope).needs.complete
