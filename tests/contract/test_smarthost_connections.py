"""The smarthost's pool: connections are used again, found dead, left to idle, and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from providers.contract.clock import Clock
from providers.contract.outcome import Cause, DeliveryOutcome, Kind, Scope
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.smarthost import SandboxSmarthost
from providers.smarthost.pool import NARROWED_S
from providers.smarthost.provider import Smarthost
from tests.support.builders import a_request
from tests.support.manual_clock import ManualClock
from tests.support.scripted_smtp import ScriptedClient, scripted_smtp

Build = Callable[..., Smarthost]
Sandbox = Callable[..., Awaitable[SandboxSmarthost]]
Deliver = Callable[..., Awaitable[DeliveryOutcome]]


@pytest.fixture
def deliver(clock: Clock) -> Deliver:
    """Deliver a letter to one recipient; its outcome."""

    async def _deliver(
        provider: Smarthost, within: float = 60.0, clock: Clock = clock
    ) -> DeliveryOutcome:
        report = await provider.deliver(a_request(), deadline=clock.monotonic() + within)
        return report.outcomes[0]

    return _deliver


async def one_letter(client: ScriptedClient, *, pipelining: bool = True) -> None:
    """Take a letter."""
    if pipelining:
        await client.hear("MAIL", "RCPT", "DATA")
        await client.say("250 ok", "250 ok", "354 go")
    else:
        for verb, reply in (("MAIL", "250 ok"), ("RCPT", "250 ok"), ("DATA", "354 go")):
            await client.hear(verb)
            await client.say(reply)
    await client.content()
    await client.say("250 2.0.0 ok")


class TestReuse:
    async def test_letters_one_after_another(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """One connection, greeted and authenticated once, carries them all."""
        server = await sandbox()
        provider = smarthost(server.port)
        for _ in range(5):
            assert (await deliver(provider)).kind is Kind.ACCEPTED
        assert server.connections == 1
        assert list(server.transcript).count("EHLO gw.example.com") == 1
        assert "1 connections, 1 idle" in repr(provider)

    async def test_letters_at_once(self, sandbox: Sandbox, smarthost: Build, deliver: Deliver):
        """No more connections than configured, however many letters there are."""
        server = await sandbox()
        provider = smarthost(server.port, connections=3)
        outcomes = await asyncio.gather(*[deliver(provider) for _ in range(30)])
        assert {outcome.kind for outcome in outcomes} == {Kind.ACCEPTED}
        assert server.connections == 3
        assert len(server.letterbox.letters) == 30

    async def test_all_connections_busy(self, sandbox: Sandbox, smarthost: Build, deliver: Deliver):
        """A letter waits for a connection until its deadline: put off, and nothing was sent."""
        server = await sandbox()
        server.faults.add(Fault(FaultKind.HANG))
        provider = smarthost(server.port, connections=1)
        hung = asyncio.ensure_future(deliver(provider, 3.0))
        await server.letterbox.wait_until(lambda box: bool(box.letters))
        outcome = await deliver(provider, 0.2)
        assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
        assert outcome.status == "4.4.5"
        assert server.letterbox.calls == {"smarthost": 1}
        assert (await hung).kind is Kind.UNCERTAIN
        assert (await deliver(provider)).kind is Kind.ACCEPTED

    async def test_a_server_that_allows_fewer(self, smarthost: Build, deliver: Deliver):
        """Connections it turns away beside others are no trouble: those that stand carry all."""
        allowed, others = range(3), asyncio.Event()

        async def script(client: ScriptedClient) -> None:
            if client.number not in allowed:
                await client.say("421 4.7.0 too many connections from your address")
                others.set()
                return
            await client.greet("PIPELINING")
            await others.wait()
            while line := await client.reader.readline():
                await client.say("354 go" if line == b"DATA\r\n" else "250 2.0.0 ok")
                if line == b"DATA\r\n":
                    await client.content()
                    await client.say("250 2.0.0 ok")

        clock = ManualClock()
        async with scripted_smtp(script) as port:
            provider = smarthost(port, connections=8, clock=clock)
            letters = [deliver(provider, 60, clock=clock) for _ in range(30)]
            outcomes = await asyncio.gather(*letters)
            assert {outcome.kind for outcome in outcomes} == {Kind.ACCEPTED}
            # After a while it is asked for more again.
            clock.advance(NARROWED_S + 1)
            allowed = range(8, 16)
            outcomes = await asyncio.gather(*[deliver(provider, 60, clock=clock) for _ in range(8)])
            assert {outcome.kind for outcome in outcomes} == {Kind.ACCEPTED}
            assert "8 connections" in repr(provider)
            await provider.aclose()

    async def test_a_server_that_allows_none(self, smarthost: Build, deliver: Deliver):
        """Each letter learns what the server said: there is nothing to wait for."""

        async def script(client: ScriptedClient) -> None:
            await client.say("421 4.7.0 come back later")

        async with scripted_smtp(script) as port:
            provider = smarthost(port, connections=3)
            outcomes = await asyncio.gather(*[deliver(provider) for _ in range(9)])
        assert {outcome.cause for outcome in outcomes} == {Cause.THROTTLED}
        assert all("come back later" in outcome.diagnostic for outcome in outcomes)

    async def test_a_cancelled_wait_gives_its_place_back(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """Whoever stops waiting for a connection does not keep it from the others."""
        server = await sandbox()
        server.faults.add(Fault(FaultKind.HANG))
        provider = smarthost(server.port, connections=1)
        hung = asyncio.ensure_future(deliver(provider, 2.0))
        await server.letterbox.wait_until(lambda box: bool(box.letters))
        waiting = asyncio.ensure_future(deliver(provider))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await hung
        assert (await deliver(provider)).kind is Kind.ACCEPTED

    async def test_trouble_ends_a_connection(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """After doubt the next letter gets a connection of its own."""
        server = await sandbox()
        provider = smarthost(server.port)
        for kind in (FaultKind.HANG, FaultKind.GARBAGE, FaultKind.DROP_AFTER, FaultKind.THROTTLE):
            server.faults.add(Fault(kind))
            assert (await deliver(provider, 2.0)).kind is not Kind.ACCEPTED
        assert (await deliver(provider)).kind is Kind.ACCEPTED
        assert server.connections == 5

    async def test_cancelled_in_mid_letter(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """The connection is broken at once and never used again."""
        server = await sandbox()
        server.faults.add(Fault(FaultKind.HANG))
        provider = smarthost(server.port)
        task = asyncio.ensure_future(deliver(provider))
        await server.letterbox.wait_until(lambda box: bool(box.letters))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await deliver(provider)).kind is Kind.ACCEPTED
        assert server.connections == 2
        assert "1 connections, 1 idle" in repr(provider)


class TestFoundDead:
    @pytest.mark.parametrize("how", ["close", "reset", "unasked 421"])
    async def test_a_connection_that_died_idle(self, smarthost: Build, deliver: Deliver, how: str):
        """What the server ended meanwhile is not used, and the letter does not notice."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("PIPELINING")
            await one_letter(client)
            if client.number == 1:
                await client.hear("QUIT")
                await client.say("221 bye")
            elif how == "reset":
                client.reset()
            elif how == "unasked 421":
                await client.say("421 4.4.2 idle for too long")
                assert await client.gone() == b""

        async with scripted_smtp(script) as port:
            provider = smarthost(port)
            assert (await deliver(provider)).kind is Kind.ACCEPTED
            await only_open(provider, 0)
            assert (await deliver(provider)).kind is Kind.ACCEPTED
            await provider.aclose()

    @pytest.mark.parametrize("pipelining", [True, False])
    async def test_a_connection_that_dies_as_it_is_used(
        self, smarthost: Build, deliver: Deliver, pipelining: bool
    ):
        """Closed before it answered anything: the letter goes over a new connection, unseen."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("PIPELINING" if pipelining else "SIZE")
            await one_letter(client, pipelining=pipelining)
            if client.number == 0:
                await client.hear("MAIL")
                client.reset()
            else:
                await client.hear("QUIT")
                await client.say("221 bye")

        async with scripted_smtp(script) as port:
            provider = smarthost(port)
            for _ in range(2):
                assert (await deliver(provider)).kind is Kind.ACCEPTED
            await provider.aclose()

    async def test_a_new_connection_that_dies_too(self, smarthost: Build, deliver: Deliver):
        """One more try and no third: what a fresh connection does is the outcome."""
        numbers = []

        async def script(client: ScriptedClient) -> None:
            numbers.append(client.number)
            await client.greet("PIPELINING")
            if client.number == 0:
                await one_letter(client)
            await client.hear("MAIL")
            client.reset()

        async with scripted_smtp(script) as port:
            provider = smarthost(port)
            assert (await deliver(provider)).kind is Kind.ACCEPTED
            outcome = await deliver(provider)
        assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
        assert outcome.cause is Cause.UNREACHABLE
        assert numbers == [0, 1]

    @pytest.mark.parametrize("answered", ["250 ok", "421 4.7.0 enough letters"])
    async def test_a_connection_that_dies_having_answered(
        self, smarthost: Build, deliver: Deliver, answered: str
    ):
        """Whoever answered was alive: no second try, the outcome says what is known."""

        async def script(client: ScriptedClient) -> None:
            assert client.number == 0
            await client.greet("PIPELINING")
            await one_letter(client)
            await client.hear("MAIL", "RCPT", "DATA")
            await client.say(answered)

        async with scripted_smtp(script) as port:
            provider = smarthost(port)
            assert (await deliver(provider)).kind is Kind.ACCEPTED
            outcome = await deliver(provider)
        assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
        throttled = answered.startswith("421")
        assert outcome.cause is (Cause.THROTTLED if throttled else Cause.UNREACHABLE)

    async def test_never_a_second_try_after_the_content(self, smarthost: Build, deliver: Deliver):
        """A used connection that goes after the final dot leaves doubt, not a second copy."""

        async def script(client: ScriptedClient) -> None:
            assert client.number == 0
            await client.greet("PIPELINING")
            await one_letter(client)
            await client.hear("MAIL", "RCPT", "DATA")
            await client.say("250 ok", "250 ok", "354 go")
            await client.content()

        async with scripted_smtp(script) as port:
            provider = smarthost(port)
            assert (await deliver(provider)).kind is Kind.ACCEPTED
            assert (await deliver(provider)).kind is Kind.UNCERTAIN


class TestHealth:
    async def test_a_connection_that_was_silent_for_long_is_asked(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """RSET goes before the letter after `idle_check`, and not before."""
        server, clock = await sandbox(), ManualClock()
        provider = smarthost(server.port, clock, idle_timeout="60s", idle_check="10s")
        await deliver(provider, clock=clock)
        clock._monotonic += 9
        await deliver(provider, clock=clock)
        assert "RSET" not in server.transcript
        clock._monotonic += 10
        assert (await deliver(provider, clock=clock)).kind is Kind.ACCEPTED
        assert list(server.transcript).count("RSET") == 1
        assert server.connections == 1

    @pytest.mark.parametrize("answer", ["", "421 4.4.2 idle for too long", "rubbish"])
    async def test_one_that_does_not_answer_well_is_left(
        self, smarthost: Build, deliver: Deliver, answer: str
    ):
        """The letter goes over a new connection, and nobody waits for its deadline."""
        clock = ManualClock()

        async def script(client: ScriptedClient) -> None:
            await client.greet("PIPELINING")
            await one_letter(client)
            if client.number == 0:
                await client.hear("RSET")
                if answer:
                    await client.say(answer)
                assert await client.gone() == b""
            else:
                await client.hear("QUIT")
                await client.say("221 bye")

        async with scripted_smtp(script) as port:
            provider = smarthost(port, clock, idle_timeout="60s", idle_check="10s")
            assert (await deliver(provider, clock=clock)).kind is Kind.ACCEPTED
            clock._monotonic += 30
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("providers.smarthost.pool.CHECK_GRACE_S", 0.2)
                outcome = await deliver(provider, clock=clock)
            assert outcome.kind is Kind.ACCEPTED
            await provider.aclose()

    async def test_letters_per_connection(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """After so many letters the server hears QUIT, and the next one opens a new connection."""
        server = await sandbox()
        provider = smarthost(server.port, letters_per_connection=3)
        for _ in range(7):
            assert (await deliver(provider)).kind is Kind.ACCEPTED
        assert server.connections == 3
        assert list(server.transcript).count("QUIT") == 2

    async def test_cancelled_while_it_is_asked(self, smarthost: Build, deliver: Deliver):
        """The connection is broken, and its place is free again."""
        clock, asked = ManualClock(), asyncio.Event()

        async def script(client: ScriptedClient) -> None:
            await client.greet("PIPELINING")
            await one_letter(client)
            if client.number == 0:
                await client.hear("RSET")
                asked.set()
                assert await client.gone() == b""

        async with scripted_smtp(script) as port:
            provider = smarthost(port, clock, connections=1, idle_timeout="60s")
            await deliver(provider, clock=clock)
            clock._monotonic += 30
            task = asyncio.ensure_future(deliver(provider, clock=clock))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await deliver(provider, clock=clock)).kind is Kind.ACCEPTED


class TestIdle:
    async def test_idle_connections_are_parted_from(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """After `idle_timeout` the server hears QUIT, letters or no letters."""
        server, clock = await sandbox(), ManualClock()
        provider = smarthost(server.port, clock, idle_timeout="30s")
        await deliver(provider, clock=clock)
        await clock.someone_sleeps()
        clock.advance(29)
        assert (await deliver(provider, clock=clock)).kind is Kind.ACCEPTED
        assert server.connections == 1
        clock.advance(29)  # the sleeper wakes, and finds it was used meanwhile
        await clock.someone_sleeps()
        clock.advance(1)
        await only_open(provider, 0)
        assert server.transcript[-1] == "QUIT"
        assert (await deliver(provider, clock=clock)).kind is Kind.ACCEPTED
        assert server.connections == 2

    async def test_an_old_one_is_not_used(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """A connection past its time is not used though nobody closed it yet."""
        server, clock = await sandbox(), ManualClock()
        provider = smarthost(server.port, clock, idle_timeout="30s")
        await deliver(provider, clock=clock)
        clock._monotonic += 31  # its sleeper still sleeps
        assert (await deliver(provider, clock=clock)).kind is Kind.ACCEPTED
        assert server.connections == 2
        assert list(server.transcript).count("QUIT") == 1

    async def test_what_is_not_needed_ages(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """The connection used last is used first, so that a burst's others come to their end."""
        server, clock = await sandbox(), ManualClock()
        provider = smarthost(server.port, clock, connections=3, idle_timeout="30s")
        await asyncio.gather(*[deliver(provider, clock=clock) for _ in range(9)])
        assert "3 connections, 3 idle" in repr(provider)
        for _ in range(4):
            await clock.someone_sleeps()
            clock.advance(10)
            await deliver(provider, clock=clock)
        await only_open(provider, 1)
        assert server.connections == 3


class TestClosing:
    async def test_quit_is_said_and_waited_for(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """`aclose` parts politely and leaves nothing open."""
        server = await sandbox()
        provider = smarthost(server.port, connections=2)
        await asyncio.gather(*[deliver(provider) for _ in range(2)])
        await provider.aclose()
        assert list(server.transcript)[-2:] == ["QUIT", "QUIT"]
        assert "0 connections, 0 idle" in repr(provider)

    async def test_a_server_deaf_to_quit(self, smarthost: Build, deliver: Deliver):
        """It is waited for briefly, then the connection is broken."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("PIPELINING")
            await one_letter(client)
            assert await client.gone() == b"QUIT\r\n"

        async with scripted_smtp(script) as port:
            provider = smarthost(port)
            await deliver(provider)
            async with asyncio.timeout(20):
                await provider.aclose()

    async def test_closing_breaks_letters_in_hand(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """Whoever closes does not wait for a hung server; the letter is in doubt, and says so."""
        server = await sandbox()
        server.faults.add(Fault(FaultKind.HANG))
        provider = smarthost(server.port)
        task = asyncio.ensure_future(deliver(provider))
        await server.letterbox.wait_until(lambda box: bool(box.letters))
        await provider.aclose()
        assert (await task).kind is Kind.UNCERTAIN
        assert "0 connections" in repr(provider)

    async def test_closing_while_a_connection_opens(self, smarthost: Build, deliver: Deliver):
        """A connection that comes to stand too late carries nothing."""
        greet = asyncio.Event()

        async def script(client: ScriptedClient) -> None:
            await greet.wait()
            await client.greet("PIPELINING")
            assert b"MAIL" not in await client.gone()

        async with scripted_smtp(script) as port:
            provider = smarthost(port)
            task = asyncio.ensure_future(deliver(provider))
            await asyncio.sleep(0)
            await provider.aclose()
            greet.set()
            assert (await task).kind is Kind.DEFERRED

    async def test_after_closing(self, sandbox: Sandbox, smarthost: Build, deliver: Deliver):
        """A closed provider puts letters off and opens nothing."""
        server = await sandbox()
        provider = smarthost(server.port)
        await provider.aclose()
        outcome = await deliver(provider)
        assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
        assert server.connections == 0


async def only_open(provider: Smarthost, count: int) -> None:
    """Wait until no more than so many connections are open."""
    async with asyncio.timeout(60):
        while len(provider._pool._sessions) > count:
            closed = [session.closed for session in provider._pool._sessions]
            await asyncio.wait(closed, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)  # the provider hears of it by a callback of its own
