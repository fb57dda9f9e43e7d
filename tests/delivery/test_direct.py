"""Direct mode: what a client hears, when, and that nothing is lost or doubled whatever happens."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from gateway.domain.lifecycle import State
from gateway.domain.notification import Action, Result
from gateway.domain.routing import Condition, Mode, Route
from gateway.errors import SpoolFull
from gateway.ingress.direct import DirectVerdict
from gateway.ingress.submission import Reply
from providers.contract.outcome import (
    Cause,
    DeliveryOutcome,
    DeliveryReport,
    DeliveryRequest,
    Kind,
    Scope,
    accepted,
    all_same,
)
from tests.delivery.conftest import PATIENT, Delivery
from tests.support.scripted_provider import ScriptedProvider, Step

REFUSED = DeliveryOutcome(Kind.REJECTED, Scope.RECIPIENT, "5.1.1", "550 5.1.1 no such user")
REFUSED_LETTER = DeliveryOutcome(Kind.REJECTED, Scope.MESSAGE, "5.7.1", "554 5.7.1 spam")
PUT_OFF = DeliveryOutcome(Kind.DEFERRED, Scope.RECIPIENT, "4.2.1", "mailbox busy")
UNREACHABLE = DeliveryOutcome(
    Kind.DEFERRED, Scope.PROVIDER, "4.4.1", "no answer", cause=Cause.UNREACHABLE
)
UNCERTAIN = DeliveryOutcome(Kind.UNCERTAIN, Scope.MESSAGE, "4.4.2", "cut off")
BOTH = ("bob@example.org", "eve@example.org")


def direct(*providers: str, timeout_s: float = 30.0) -> tuple[Route, ...]:
    """One route in direct mode."""
    return (
        Route(
            "default",
            providers or ("main",),
            mode=Mode.DIRECT,
            direct_timeout=timedelta(seconds=timeout_s),
        ),
    )


def by_address(**steps: DeliveryOutcome) -> Step:
    """A step that answers each recipient by its local part."""

    async def step(request: DeliveryRequest) -> DeliveryReport:
        return DeliveryReport(
            {r.key: steps[r.forward_path.local_part] for r in request.envelope.recipients}
        )

    return step


class Gate:
    """A step that hangs until it is opened, then accepts."""

    def __init__(self, outcome: DeliveryOutcome | None = None) -> None:
        self._outcome = outcome or accepted("late-1")
        self._open = asyncio.Event()
        self.reached = asyncio.Event()

    def open(self) -> None:
        self._open.set()

    async def __call__(self, request: DeliveryRequest) -> DeliveryReport:
        self.reached.set()
        await self._open.wait()
        return all_same(request, self._outcome)


async def states(delivery: Delivery) -> dict[str, State]:
    return {row.forward_path: row.state for row in await delivery.rows()}


async def test_handed_over_with_ids(delivery: Delivery) -> None:
    """The smarthost's own form, so that an application that reads ids goes on doing so."""
    ids = by_address(bob=accepted("12345"), eve=accepted("12346"))
    await delivery.begin(ScriptedProvider(script=[ids]), routes=direct(), schedule=PATIENT)
    reply = await delivery.take(to=BOTH)
    assert reply.line() == b"250 2.0.0 Ok: <bob@example.org:12345>,<eve@example.org:12346>\r\n"
    assert reply.reason == "handed_over"


async def test_a_recipient_without_an_id_stands_alone(delivery: Delivery) -> None:
    """What is no id is not told as one."""
    ids = by_address(bob=accepted("12345"), eve=accepted())
    await delivery.begin(ScriptedProvider(script=[ids]), routes=direct())
    reply = await delivery.take(to=BOTH)
    assert reply.text == "Ok: <bob@example.org:12345>,<eve@example.org>"


async def test_no_ids_at_all(delivery: Delivery) -> None:
    """The queue id is what there is to ask for."""
    await delivery.begin(ScriptedProvider(script=[accepted()]), routes=direct())
    reply = await delivery.take()
    (row,) = await delivery.rows()
    assert reply.text == f"Ok: handed over as {row.queue_id}"


async def test_many_recipients_fit_on_lines(delivery: Delivery) -> None:
    """RFC 5321 4.5.3.1.5: no line over 512 octets, whatever the number of recipients."""
    await delivery.begin(ScriptedProvider(), routes=direct())
    to = [f"recipient-{n}@example.org" for n in range(60)]
    wire = (await delivery.take(to=to)).line()
    *before, last = wire.decode().removesuffix("\r\n").split("\r\n")
    assert before
    assert all(line.startswith("250-2.0.0 ") and len(line) <= 510 for line in before)
    assert last.startswith("250 2.0.0 ")
    assert [wire.count(f"<{address}:id-1>".encode()) for address in to] == [1] * 60


@pytest.mark.parametrize(
    ("outcome", "start"),
    [
        (REFUSED, "550 5.1.1 Refused: 550 5.1.1 no such user ("),
        (REFUSED_LETTER, "554 5.7.1 Refused: 554 5.7.1 spam ("),
    ],
)
async def test_a_refusal_goes_back_in_the_session(
    delivery: Delivery, outcome: DeliveryOutcome, start: str
) -> None:
    """T12: the client sees the failure, with the id to look for; it gets no report besides."""
    await delivery.begin(ScriptedProvider(script=[outcome]), routes=direct())
    reply = await delivery.take()
    (row,) = await delivery.rows()
    assert reply.line().decode().startswith(start)
    assert row.queue_id in reply.text
    assert row.state is State.FAILED
    assert delivery.told() == []
    story = await delivery.spool.story(row.queue_id)
    assert any("told in the session: 55" in line.text for line in story.lines)


async def test_all_refused_in_different_ways(delivery: Delivery) -> None:
    """One reply for all of them: the first one's words, the code that is true of all."""
    one_by_one = ScriptedProvider(script=[REFUSED, REFUSED_LETTER])
    one_by_one.capabilities = one_by_one.capabilities.__class__(max_recipients=1, raw_mime=True)
    await delivery.begin(one_by_one, routes=direct())
    reply = await delivery.take(to=BOTH)
    assert (reply.code, reply.status) == (554, "5.0.0")
    assert reply.text.startswith("Refused for all 2 recipients: ")
    assert set((await states(delivery)).values()) == {State.FAILED}
    assert delivery.told() == []


async def test_some_refused_some_handed_over(delivery: Delivery) -> None:
    """T7: never an error once a recipient was handed over; a report tells of the other."""
    mixed = by_address(bob=accepted("12345"), eve=REFUSED)
    await delivery.begin(ScriptedProvider(script=[mixed]), routes=direct())
    reply = await delivery.take(to=BOTH)
    queue_id = (await delivery.rows())[0].queue_id
    assert reply.code == 250
    assert reply.text == f"Ok: <bob@example.org:12345>; {queue_id} tells of the others"
    (told,) = delivery.told(Action.FAILED)
    assert (told.queue_id, told.recipients, told.result) == (queue_id, 1, Result.QUEUED)
    story = await delivery.spool.story(queue_id)
    assert any(told.report_id in line.text for line in story.lines)


async def test_refused_before_another_is_handed_over(delivery: Delivery) -> None:
    """T7: whether the first refusal becomes a reply or a report depends on who comes last."""
    gate = Gate(accepted("12346"))
    theirs = Condition(recipient_domains=frozenset({"slow.example"}))
    routes = (
        Route("slow", ("slow",), theirs, mode=Mode.DIRECT),
        Route("default", ("main",), mode=Mode.DIRECT),
    )
    await delivery.begin(
        ScriptedProvider(script=[REFUSED]), ScriptedProvider("slow", script=[gate]), routes=routes
    )
    taking = asyncio.create_task(delivery.take(to=("bob@example.org", "eve@slow.example")))
    await gate.reached.wait()
    await delivery.until(lambda: len(delivery.ended(State.FAILED)) == 1)
    assert delivery.told() == []
    gate.open()
    reply = await taking
    assert reply.code == 250
    assert reply.text.startswith("Ok: <eve@slow.example:12346>; ")
    assert [told.recipients for told in delivery.told(Action.FAILED)] == [1]


@pytest.mark.parametrize("outcome", [PUT_OFF, UNREACHABLE, UNCERTAIN])
async def test_what_is_not_decided_is_queued(delivery: Delivery, outcome: DeliveryOutcome) -> None:
    """A temporary failure is the gateway's to carry on with, and so is a lost answer."""
    await delivery.begin(ScriptedProvider(script=[outcome]), routes=direct(), schedule=PATIENT)
    reply = await delivery.take()
    (row,) = await delivery.rows()
    assert reply.text == f"Ok: queued as {row.queue_id}"
    assert row.state in {State.WAITING, State.UNCERTAIN}


async def test_the_next_provider_is_waited_for(delivery: Delivery) -> None:
    """Failing over at once is part of the first try."""
    first = ScriptedProvider("first", script=[UNREACHABLE])
    second = ScriptedProvider("second", script=[accepted("22")])
    await delivery.begin(first, second, routes=direct("first", "second"))
    assert (await delivery.take()).text == "Ok: <bob@example.org:22>"


async def test_after_the_time_the_letter_is_queued(delivery: Delivery) -> None:
    """T10: a provider that hangs holds its client for the time-out, and the letter not at all."""
    gate = Gate()
    await delivery.begin(ScriptedProvider(script=[gate]), routes=direct(timeout_s=0.05))
    reply = await delivery.take()
    (row,) = await delivery.rows()
    assert reply.text == f"Ok: queued as {row.queue_id}"
    gate.open()
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 1)


async def test_a_failure_after_the_time_is_reported(delivery: Delivery) -> None:
    """The client was told 250: from then on its sender hears by report."""
    gate = Gate(REFUSED)
    await delivery.begin(ScriptedProvider(script=[gate]), routes=direct(timeout_s=0.05))
    assert (await delivery.take()).code == 250
    gate.open()
    await delivery.until(lambda: len(delivery.told(Action.FAILED)) == 1)


async def test_a_failure_before_the_end_of_the_wait_is_reported(delivery: Delivery) -> None:
    """Others hang; the report is on disk before the 250."""
    gate = Gate()
    theirs = Condition(recipient_domains=frozenset({"slow.example"}))
    await delivery.begin(
        ScriptedProvider(script=[REFUSED]),
        ScriptedProvider("slow", script=[gate]),
        routes=(Route("slow", ("slow",), theirs, mode=Mode.DIRECT), *direct()),
    )
    taking = asyncio.create_task(delivery.take(to=("bob@example.org", "eve@slow.example")))
    await gate.reached.wait()
    await delivery.until(lambda: len(delivery.ended(State.FAILED)) == 1)
    assert delivery.dispatcher is not None
    delivery.dispatcher.end_waits()
    assert (await taking).text.startswith("Ok: queued as ")
    (told,) = delivery.told(Action.FAILED)
    assert (await delivery.spool.story(told.report_id)).recipients
    gate.open()


async def test_a_client_that_left_is_told_by_report(delivery: Delivery) -> None:
    """Nobody hears a refusal that nobody is there for."""
    await delivery.begin(ScriptedProvider(script=[REFUSED]), routes=direct())
    taken = await delivery.submit()
    assert isinstance(taken, DirectVerdict)
    reply = await taken.reply(lambda: True)
    assert reply.code == 250
    assert len(delivery.told(Action.FAILED)) == 1


async def test_a_stop_lets_clients_go(delivery: Delivery) -> None:
    """SIGTERM while a client waits: the letter is queued, and it hears so at once."""
    gate = Gate()
    await delivery.begin(ScriptedProvider(script=[gate]), routes=direct())
    taking = asyncio.create_task(delivery.take())
    await gate.reached.wait()
    assert delivery.dispatcher is not None
    delivery.dispatcher.end_waits()
    assert (await taking).text.startswith("Ok: queued as ")
    assert isinstance(await delivery.submit(), Reply)  # from now on nobody waits
    gate.open()


async def test_a_session_that_is_cut_short_loses_no_report(delivery: Delivery) -> None:
    """What was owed when the front door closed for good is told all the same."""
    gate = Gate()
    theirs = Condition(recipient_domains=frozenset({"slow.example"}))
    await delivery.begin(
        ScriptedProvider(script=[REFUSED]),
        ScriptedProvider("slow", script=[gate]),
        routes=(Route("slow", ("slow",), theirs, mode=Mode.DIRECT), *direct()),
    )
    taking = asyncio.create_task(delivery.take(to=("bob@example.org", "eve@slow.example")))
    await gate.reached.wait()
    await delivery.until(lambda: len(delivery.ended(State.FAILED)) == 1)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert len(delivery.told(Action.FAILED)) == 1
    gate.open()


async def test_no_more_wait_than_may(delivery: Delivery) -> None:
    """T10: those beyond are answered as in queue mode, so that some connections stay free."""
    gate = Gate()
    await delivery.begin(ScriptedProvider(script=[gate]), routes=direct(), verdicts=1)
    waiting = asyncio.create_task(delivery.take())
    await gate.reached.wait()
    reply = await delivery.take(message_id="<b@example.com>")
    assert reply.text.startswith("Ok: queued as ")
    gate.open()
    assert (await waiting).text == "Ok: <bob@example.org:late-1>"


async def test_a_letter_that_was_not_admitted_is_waited_for_by_nobody(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is 452 in direct mode too, and leaves nothing behind."""
    await delivery.begin(ScriptedProvider(), routes=direct(), verdicts=1)

    async def full(_letter: object) -> None:
        raise SpoolFull("no room")

    with monkeypatch.context() as patched:
        patched.setattr(delivery.spool, "admit", full)
        assert (await delivery.take()).code == 452
    assert (await delivery.take()).text == "Ok: <bob@example.org:id-1>"


async def test_a_surprise_while_waiting_is_no_error(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T7, T11: an error would have the client send again what is handed over already."""
    await delivery.begin(ScriptedProvider(), routes=direct())
    monkeypatch.setattr("gateway.ingress.replies.handed_over", None)
    assert (await delivery.take()).text.startswith("Ok: queued as ")


@pytest.mark.parametrize(
    ("mode", "field", "waits"),
    [
        (Mode.QUEUE, (), False),
        (Mode.DIRECT, (), True),
        (Mode.QUEUE, (("Mode", "direct"),), True),
        (Mode.DIRECT, (("Mode", "queue"),), False),
        (Mode.DIRECT, (("Send-At", "2126-01-01T00:00:00Z"),), False),
    ],
)
async def test_who_waits(
    delivery: Delivery, mode: Mode, field: tuple[tuple[str, str], ...], waits: bool
) -> None:
    """The route says so, the client says otherwise; for a letter with a time nobody waits."""
    await delivery.begin(ScriptedProvider(), routes=(Route("default", ("main",), mode=mode),))
    taken = await delivery.submit(*field, ahead=timedelta(days=40_000))
    assert isinstance(taken, DirectVerdict) is waits


async def test_a_letter_is_direct_when_all_its_routes_are(delivery: Delivery) -> None:
    """Nobody waits for a newsletter's thousand because one recipient's route is direct."""
    theirs = Condition(recipient_domains=frozenset({"example.net"}))
    await delivery.begin(ScriptedProvider(), routes=(Route("queue", ("main",), theirs), *direct()))
    assert isinstance(await delivery.submit(to=("a@example.org", "b@example.net")), Reply)
