"""Equal providers share the letters of a route; each letter keeps its place among them."""

from __future__ import annotations

from collections import Counter

from gateway.domain.lifecycle import State
from gateway.domain.routing import Route
from providers.contract.outcome import Cause, DeliveryOutcome, Kind, Scope
from tests.delivery.conftest import Delivery
from tests.support.scripted_provider import ScriptedProvider

ROUTE = Route("all", ("main", "other"), equals=((("main", 1), ("other", 1)),))
AWAY = DeliveryOutcome(
    Kind.DEFERRED, Scope.PROVIDER, "4.4.1", "nobody there", cause=Cause.UNREACHABLE
)


async def test_they_share_letters_and_stand_in_for_each_other(delivery: Delivery) -> None:
    """Each has some first; what one cannot be given goes to the other in the same round."""
    main, other = ScriptedProvider("main", [AWAY] * 40), ScriptedProvider("other")
    await delivery.begin(main, other, routes=(ROUTE,))
    for number in range(40):
        await delivery.take(to=[f"user{number}@example.org"], message_id=f"<{number}@example.com>")
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 40)
    first = Counter(event.provider for event in delivery.ended() if event.attempt == 1)
    assert first["other"] > 5
    assert len(other.requests) == 40
    assert 0 < len(main.requests) < 40
    assert {row.provider for row in await delivery.rows()} == {"other"}
