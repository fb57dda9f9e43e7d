"""What the dispatcher makes of pauses: nothing for who is paused, all else undisturbed."""

from __future__ import annotations

from datetime import timedelta

from gateway.domain.lifecycle import State
from gateway.domain.pauses import Pause, PauseKind
from gateway.domain.routing import Condition, OnThrottled, Route
from providers.contract.capabilities import Rate
from providers.pacing import TokenBucket
from tests.delivery.conftest import PATIENT, Delivery
from tests.delivery.test_dispatcher import UNREACHABLE
from tests.support.scripted_provider import ScriptedProvider

NEWS = Route("news", ("main",), Condition(recipient_domains=frozenset({"news.example"})))


async def pause(delivery: Delivery, kind: PauseKind, name: str) -> None:
    assert await delivery.spool.pause(Pause(kind, name, delivery.clock.now()))


async def test_a_paused_route_does_not_use_up_the_pace_of_others(delivery: Delivery) -> None:
    """Its backlog is put aside without a place in the account's rate."""
    main = ScriptedProvider(pace=TokenBucket(Rate(1, timedelta(hours=1))))
    await pause(delivery, PauseKind.ROUTE, "news")
    for _ in range(5):
        await delivery.admit("bob@news.example")
    await delivery.admit("bob@example.org")
    await delivery.begin(main, routes=(NEWS, Route("default", ("main",))))
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 1)
    assert delivery.ended()[0].forward_path == "bob@example.org"
    assert len(main.requests) == 1


async def test_letters_go_on_when_a_pause_ends(delivery: Delivery) -> None:
    """Seen by the running dispatcher itself; what a second pause keeps back waits on."""
    main, spare = ScriptedProvider("main"), ScriptedProvider("spare")
    routes = (NEWS, Route("default", ("spare",)))
    await pause(delivery, PauseKind.PROVIDER, "main")
    await pause(delivery, PauseKind.PROVIDER, "spare")
    await delivery.admit("bob@news.example", provider="main")
    await delivery.admit("bob@example.org", provider="spare")
    await delivery.begin(main, spare, routes=routes)
    await delivery.spool.resume(PauseKind.PROVIDER, "main")
    await delivery.until(lambda: len(delivery.ended()) == 1, timeout_s=30)
    assert (len(main.requests), len(spare.requests)) == (1, 0)


async def test_a_failed_round_does_not_go_to_a_paused_provider(delivery: Delivery) -> None:
    """The round ends before it, and the letter waits for its first provider's next try."""
    main, spare = ScriptedProvider("main", [UNREACHABLE]), ScriptedProvider("spare")
    await pause(delivery, PauseKind.PROVIDER, "spare")
    await delivery.admit("bob@example.org")
    await delivery.begin(main, spare, schedule=PATIENT)
    await delivery.until(lambda: len(delivery.ended()) == 1)
    (event,) = delivery.ended()
    assert event.due_at is not None
    assert event.due_at > event.ended_at
    (row,) = await delivery.rows()
    assert (row.provider, row.state) == ("main", State.WAITING)


async def test_with_everybody_paused_letters_wait(delivery: Delivery) -> None:
    """Also on a route that fails over: nothing is given up, and it leaves when they go on."""
    providers = [ScriptedProvider(name) for name in ("main", "spare")]
    for provider in providers:
        await pause(delivery, PauseKind.PROVIDER, provider.name)
    queue_id = await delivery.admit("bob@example.org")
    both = Route("all", ("main", "spare"), on_throttled=OnThrottled.FAIL_OVER)
    await delivery.begin(*providers, routes=(both,))
    await delivery.spool.resume(PauseKind.PROVIDER, "spare")
    await delivery.spool.resume(PauseKind.PROVIDER, "main")
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 1, timeout_s=30)
    told = [line.text for line in (await delivery.spool.story(queue_id)).lines]
    assert "waits: provider main is paused" in told
