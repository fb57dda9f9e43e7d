"""Letters that clients send twice: one on its way, one answer, and all of it told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gateway.domain.events import LetterReceived, LetterRepeated
from gateway.domain.lifecycle import State
from gateway.domain.routing import Mode, Route
from providers.contract.outcome import DeliveryOutcome, Kind, Scope
from tests.delivery.conftest import Delivery
from tests.support.scripted_provider import ScriptedProvider

REFUSED = DeliveryOutcome(Kind.REJECTED, Scope.RECIPIENT, "5.1.1", "550 5.1.1 no such user")
KEY = ("Idempotency-Key", "order-77")


def of_kind(delivery: Delivery, kind: type[Any]) -> list[Any]:
    return [event for event in delivery.events if isinstance(event, kind)]


async def test_sent_again_it_is_answered_with_the_first_id(delivery: Delivery) -> None:
    """The client that lost its connection before the 250 has lost nothing and doubles nothing."""
    main = ScriptedProvider()
    await delivery.begin(main)
    first = await delivery.take()
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 1)
    again = await delivery.take()
    assert again == first
    assert len(main.requests) == 1
    assert len(of_kind(delivery, LetterReceived)) == 1
    (repeated,) = of_kind(delivery, LetterRepeated)
    assert repeated.queue_id in first.text
    assert repeated.recipients == 1
    assert len(await delivery.rows()) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"message_id": "<b@example.com>"},
        {"subject": "Order 78"},
        {"address": "192.0.2.7"},
        {"user": "app"},
    ],
    ids=["message-id", "octets", "address", "user"],
)
async def test_another_letter_is_sent(delivery: Delivery, other: dict[str, Any]) -> None:
    """Octets, Message-ID and client must all be the same."""
    await delivery.begin(ScriptedProvider())
    first = await delivery.take()
    assert await delivery.take(**other) != first
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 2)


async def test_another_trace_makes_no_other_letter(delivery: Delivery) -> None:
    """A client that is watched names a new span with each try; the letter is the same."""
    await delivery.begin(ScriptedProvider())
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    first = await delivery.take(trace=f"00-{trace}-00f067aa0ba902b7-01")
    assert await delivery.take(trace=f"00-{trace}-b9c7c989f97918e1-01") == first
    (received,) = of_kind(delivery, LetterReceived)
    (repeated,) = of_kind(delivery, LetterRepeated)
    assert received.trace == received.parent
    assert (received.trace.span_id, repeated.parent.span_id) == (
        "00f067aa0ba902b7",
        "b9c7c989f97918e1",
    )
    assert received.at <= received.admitted_at <= received.stored_at
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 1)
    assert delivery.ended()[0].trace == received.trace


async def test_a_user_is_the_same_from_everywhere(delivery: Delivery) -> None:
    """An application with several addresses tries again from another."""
    await delivery.begin(ScriptedProvider())
    first = await delivery.take(user="app", address="127.0.0.1")
    assert await delivery.take(user="app", address="192.0.2.7") == first


async def test_this_machine_is_one_client(delivery: Delivery) -> None:
    """A program that came by TCP comes again by the socket or the maildrop."""
    await delivery.begin(ScriptedProvider())
    first = await delivery.take(address="127.0.0.1")
    assert await delivery.take(address="") == first
    assert await delivery.take(address="::1") == first


@pytest.mark.parametrize(
    "without", [{"message_id": ""}, {"window": timedelta(0)}], ids=["message-id", "window"]
)
async def test_letters_that_are_not_guarded(delivery: Delivery, without: dict[str, Any]) -> None:
    """A device that counts nothing sends equal alarms; and the guard can be switched off."""
    await delivery.begin(ScriptedProvider())
    first = await delivery.take(**without)
    assert await delivery.take(**without) != first
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 2)


async def test_a_key_says_what_is_the_same(delivery: Delivery) -> None:
    """Whatever Message-ID and octets say: one key, one letter for each recipient."""
    main = ScriptedProvider()
    await delivery.begin(main)
    first = await delivery.take(KEY, message_id="")
    assert await delivery.take(KEY, message_id="", subject="Order 78") == first
    other = await delivery.take(("Idempotency-Key", "order-78"), message_id="")
    assert other != first
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 2)
    assert all(b"Idempotency" not in request.message.content for request in main.requests)


async def test_new_recipients_are_sent_it(delivery: Delivery) -> None:
    """A letter whose client was told of one recipient less comes again with all of them."""
    main = ScriptedProvider()
    await delivery.begin(main)
    first = await delivery.take(to=("a@example.org", "b@example.org"))
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 2)
    again = await delivery.take(to=("a@example.org", "b@example.org", "c@example.org"))
    assert again != first
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 3)
    (request,) = main.requests[1:]
    assert [r.forward_path.addr_spec for r in request.envelope.recipients] == ["c@example.org"]
    assert [event.recipients for event in of_kind(delivery, LetterReceived)] == [2, 1]
    assert [event.recipients for event in of_kind(delivery, LetterRepeated)] == [2]


async def test_in_direct_mode(delivery: Delivery) -> None:
    """One that is here is told so at once; of one that is here in part, the rest is waited for."""
    route = Route("default", ("main",), mode=Mode.DIRECT)
    await delivery.begin(ScriptedProvider(), routes=(route,))
    assert (await delivery.take(to=("a@example.org",))).text == "Ok: <a@example.org:id-1>"
    again = await delivery.take(to=("a@example.org",))
    assert again.text.startswith("Ok: queued as ")
    more = await delivery.take(to=("a@example.org", "b@example.org"))
    assert more.text.startswith("Ok: <b@example.org:id-2>; ")


async def test_a_refused_letter_is_tried_again(delivery: Delivery) -> None:
    """The client heard of the refusal, mended what was wrong elsewhere, and sends it again."""
    route = Route("default", ("main",), mode=Mode.DIRECT)
    await delivery.begin(ScriptedProvider(script=[REFUSED]), routes=(route,))
    assert (await delivery.take()).code == 550
    assert (await delivery.take()).text == "Ok: <bob@example.org:id-2>"


async def test_the_hand_off_has_its_memory_back(delivery: Delivery) -> None:
    """A thousand repeats leave as much room as none."""
    await delivery.begin(ScriptedProvider())
    await delivery.take()
    assert delivery.dispatcher is not None
    for _ in range(20):
        await delivery.take()
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 1)
    await delivery.take(message_id="<b@example.com>")
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 2)
    await delivery.dispatcher.drain(10)
    assert delivery.dispatcher._hand_off_octets == 0
