"""What clients ask for reaches the provider, steers the choice of one, and waits for its time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.domain.instructions import Instructions
from gateway.domain.lifecycle import State
from gateway.domain.routing import Condition, Fidelity, Route, Schedule
from gateway.domain.window import Priority
from gateway.spool.values import Filter
from providers.contract.capabilities import Part, ProviderCapabilities
from providers.contract.options import SendOptions
from providers.contract.outcome import Cause, DeliveryOutcome, Kind, Scope
from tests.delivery.conftest import PATIENT, QUICK, Delivery
from tests.support.scripted_provider import ScriptedProvider

SMTP = ProviderCapabilities(raw_mime=True, smtputf8=True, null_reverse_path=True)
RICH = replace(SMTP, templates=True, schedules=True, tags=True, tracking_switches=True)
UNREACHABLE = DeliveryOutcome(
    Kind.DEFERRED, Scope.PROVIDER, "4.4.1", "no answer", cause=Cause.UNREACHABLE
)
HOUR = timedelta(hours=1)


def moment(delivery: Delivery, ahead: timedelta) -> str:
    return (delivery.clock.now() + ahead).isoformat()


async def test_wishes_reach_the_provider_that_knows_them(delivery: Delivery) -> None:
    """As options, not as a header field: no provider ever sees one."""
    main = ScriptedProvider(capabilities=RICH)
    await delivery.begin(main)
    reply = await delivery.take(("Template", "42"), ("Params", '{"n": 1}'), ("Payment", "credit"))
    assert reply.code == 250
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 1)
    (request,) = main.requests
    assert request.options == SendOptions(template="42", params={"n": 1})
    assert b"mailquay-" not in request.message.content.lower()
    (ended,) = delivery.ended()
    assert Part.PAYMENT in {loss.part for loss in ended.losses}  # not known: in the ledger


async def test_wishes_survive_the_spool(delivery: Delivery) -> None:
    """A letter that is claimed has them as one that came by hand has."""
    wishes = Instructions(SendOptions(tag="autumn"), priority=Priority.HIGH)
    await delivery.admit(instructions=wishes)
    main = ScriptedProvider(capabilities=RICH)
    await delivery.begin(main)
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 1)
    assert main.requests[0].options == SendOptions(tag="autumn")


@pytest.mark.parametrize(
    ("field", "who"),
    [
        (("Provider", "third"), "third"),  # not of the route at all
        (("Route", "other"), "second"),
        (("Template", "42"), "second"),  # the first has none
    ],
)
async def test_instructions_choose_the_provider(
    delivery: Delivery, field: tuple[str, str], who: str
) -> None:
    """The one that is named, by the route that is named, or the first that can."""
    providers = [
        ScriptedProvider("first", capabilities=SMTP),
        ScriptedProvider("second", capabilities=RICH),
        ScriptedProvider("third", capabilities=SMTP),
    ]
    never = Condition(senders=frozenset({"nobody@example.com"}))
    await delivery.begin(
        *providers,
        routes=(Route("other", ("second",), never), Route("default", ("first", "second"))),
    )
    assert (await delivery.take(field)).code == 250
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 1)
    assert [p.name for p in providers if p.requests] == [who]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ([("Provider", "unknown")], "X-Mailquay-Provider names no provider that is configured"),
        ([("Route", "unknown")], "X-Mailquay-Route names no route that is configured"),
        ([("Sendat", "x")], "X-Mailquay-Sendat there is no such instruction"),
        ([("Template", "4"), ("Params", "[")], "X-Mailquay-Params is not JSON"),
    ],
)
async def test_what_cannot_be_obeyed_is_refused_by_name(
    delivery: Delivery, fields: list[tuple[str, str]], text: str
) -> None:
    """A 5xx that names the field; nothing is kept."""
    await delivery.begin(ScriptedProvider())
    reply = await delivery.take(*fields)
    assert (reply.code, reply.status) == (554, "5.6.0")
    assert reply.text.startswith(text)
    assert await delivery.rows() == ()


async def test_a_wish_that_nobody_can_fulfil_is_refused(delivery: Delivery) -> None:
    """A template letter without its template would be another letter, whatever is tolerated."""
    await delivery.begin(
        ScriptedProvider(capabilities=SMTP),
        routes=(Route("default", ("main",), fidelity=Fidelity.TOLERANT),),
    )
    reply = await delivery.take(("Template", "42"))
    assert (reply.code, reply.status) == (554, "5.6.3")
    assert "no templates" in reply.text


async def test_a_list_is_written_to_once(delivery: Delivery) -> None:
    """With two recipients each would have the whole list written to."""
    lists = ScriptedProvider(capabilities=replace(RICH, mailing_lists=True))
    await delivery.begin(lists)
    refused = await delivery.take(("List", "7"), to=("a@example.org", "b@example.org"))
    assert refused.text == "X-Mailquay-List allows one recipient, not several"
    assert (await delivery.take(("List", "7"))).code == 250
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 1)
    assert lists.requests[0].options.mailing_list == "7"


async def test_a_letter_with_a_time_is_kept_until_then(delivery: Delivery) -> None:
    """Nothing is sent before; it leaves by itself when its time has come, as late as it is then."""
    main = ScriptedProvider(capabilities=RICH)  # could keep it, and its route does not ask it to
    await delivery.begin(main)
    wanted = delivery.clock.now() + timedelta(milliseconds=300)
    assert (await delivery.take(("Send-At", wanted.isoformat()))).code == 250
    (row,) = await delivery.rows()
    assert (row.state, row.due_at) == (State.WAITING, wanted)
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 1)
    (ended,) = delivery.ended()
    assert ended.started_at >= wanted
    assert ended.arrival == wanted
    assert main.requests[0].options.send_at is None


@pytest.mark.parametrize("by_hand", [False, True])
async def test_a_letter_is_not_sent_before_its_time(delivery: Delivery, by_hand: bool) -> None:
    """Not when somebody says retry, not after a restart: the time is the client's wish."""
    wanted = delivery.clock.now() + HOUR
    due = [wanted] if by_hand else []
    await delivery.admit(instructions=Instructions(send_at=wanted), due_at=due)
    if by_hand:
        assert await delivery.spool.retry(Filter(), delivery.clock.now()) == 1
    main = ScriptedProvider(capabilities=RICH)
    await delivery.begin(main)
    await until_due(delivery, wanted)
    assert main.requests == []


async def until_due(delivery: Delivery, wanted: Any) -> None:
    """Wait until the only recipient is due at that moment; what is put back makes no event."""
    while (await delivery.rows())[0].due_at != wanted:
        await delivery.clock.sleep(0.01)


async def test_a_provider_keeps_the_time_where_the_route_says_so(delivery: Delivery) -> None:
    """It is handed over at once, with its moment, by the first that can."""
    plain = ScriptedProvider("plain", capabilities=SMTP)
    rich = ScriptedProvider("rich", capabilities=RICH)
    await delivery.begin(
        plain, rich, routes=(Route("default", ("plain", "rich"), schedule=Schedule.PROVIDER),)
    )
    wanted = delivery.clock.now() + HOUR
    assert (await delivery.take(("Send-At", wanted.isoformat()))).code == 250
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 1)
    assert rich.requests[0].options.send_at == wanted
    assert plain.requests == []


async def test_the_gateway_keeps_it_where_no_provider_can(delivery: Delivery) -> None:
    """A route that leaves times to providers has one that knows none."""
    main = ScriptedProvider(capabilities=SMTP)
    await delivery.begin(main, routes=(Route("default", ("main",), schedule=Schedule.PROVIDER),))
    wanted = delivery.clock.now() + HOUR
    assert (await delivery.take(("Send-At", wanted.isoformat()))).code == 250
    (row,) = await delivery.rows()
    assert row.due_at == wanted


async def test_nobody_sends_early_in_place_of_who_could_wait(delivery: Delivery) -> None:
    """The provider that would have kept the time is unreachable; the next one cannot keep it."""
    rich = ScriptedProvider("rich", [UNREACHABLE] * 50, RICH)
    plain = ScriptedProvider("plain", capabilities=SMTP)
    await delivery.begin(
        rich,
        plain,
        routes=(Route("default", ("rich", "plain"), schedule=Schedule.PROVIDER),),
        schedule=PATIENT,
    )
    assert (await delivery.take(("Send-At", moment(delivery, HOUR)))).code == 250
    await delivery.until(lambda: len(delivery.ended(State.WAITING)) == 1)
    (row,) = await delivery.rows()
    assert row.provider == "rich"
    assert plain.requests == []


async def test_age_begins_with_the_time(delivery: Delivery) -> None:
    """A letter kept for longer than letters are tried is still tried, and not at once late."""
    main = ScriptedProvider(script=[UNREACHABLE])
    past = delivery.clock.now() - timedelta(milliseconds=50)
    await delivery.admit(instructions=Instructions(send_at=past), age=QUICK.give_up_after * 2)
    await delivery.begin(main)
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 1)
    assert [ended.expired for ended in delivery.ended()] == [False, False]
    assert delivery.told() == []


async def test_recipients_of_one_letter_are_asked_for_what_their_routes_say(
    delivery: Delivery,
) -> None:
    """One is kept here and sent when it is time, the other goes to the provider at once."""
    main = ScriptedProvider(capabilities=RICH)
    theirs = Condition(recipient_domains=frozenset({"theirs.example.org"}))
    await delivery.begin(
        main,
        routes=(
            Route("theirs", ("main",), theirs, schedule=Schedule.PROVIDER),
            Route("default", ("main",)),
        ),
    )
    wanted = delivery.clock.now() + HOUR
    to = ("a@example.org", "b@theirs.example.org")
    assert (await delivery.take(("Send-At", wanted.isoformat()), to=to)).code == 250
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 1)
    (request,) = main.requests
    assert [r.forward_path.addr_spec for r in request.envelope.recipients] == [to[1]]
    assert request.options.send_at == wanted
    rows = {row.forward_path: row for row in await delivery.rows()}
    assert rows[to[0]].due_at == wanted
