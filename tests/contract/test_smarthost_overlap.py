"""A waiting letter's envelope leaves behind another's content: fewer round trips, no more doubt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from providers.contract.address import Address
from providers.contract.clock import Clock
from providers.contract.envelope import Recipient
from providers.contract.message import Message
from providers.contract.outcome import Cause, DeliveryOutcome, Kind, Scope
from providers.sandbox.smarthost import SandboxSmarthost
from providers.smarthost.provider import Smarthost
from tests.support.builders import a_message, a_raw_message, a_request, an_envelope
from tests.support.scripted_smtp import ScriptedClient, scripted_smtp

Build = Callable[..., Smarthost]
Sandbox = Callable[..., Awaitable[SandboxSmarthost]]
Send = Callable[..., asyncio.Task[DeliveryOutcome]]

SMALL = a_message(subject="letter")
EIGHT_BIT = a_raw_message("Content-Type: text/plain\r\n\r\nСпасибо\r\n".encode())
LARGE = a_raw_message((b"x" * 998 + b"\r\n") * 300)


@pytest.fixture
def send(clock: Clock) -> Send:
    """Start to deliver a letter to one recipient; its outcome is the task's result."""

    def _send(
        provider: Smarthost, name: str, message: Message = SMALL, within: float = 60.0
    ) -> asyncio.Task[DeliveryOutcome]:
        async def deliver() -> DeliveryOutcome:
            request = a_request(f"{name}@example.org", message=message, queue_id=name)
            report = await provider.deliver(request, deadline=clock.monotonic() + within)
            return report.outcomes[0]

        return asyncio.ensure_future(deliver())

    return _send


async def envelope(client: ScriptedClient, name: str) -> None:
    """Hear a whole envelope for this recipient."""
    lines = await client.hear("MAIL", "RCPT", "DATA")
    assert lines[1] == f"RCPT TO:<{name}@example.org>"


async def take_envelope(client: ScriptedClient) -> None:
    await client.say("250 ok", "250 ok", "354 go")


async def first_with_passenger(client: ScriptedClient) -> None:
    """The first letter up to its dot, and the second one's envelope, which came unasked."""
    await client.greet("PIPELINING")
    await envelope(client, "one")
    await take_envelope(client)
    await client.content()
    await envelope(client, "two")


async def parted(client: ScriptedClient) -> None:
    await client.hear("QUIT")
    await client.say("221 bye")


class TestOverlap:
    async def test_the_envelope_comes_before_the_answer(self, smarthost: Build, send: Send):
        """RFC 2920 3.1: content may be the first of a group; both letters have their own ids."""

        async def script(client: ScriptedClient) -> None:
            await first_with_passenger(client)
            await client.say("250 <one@example.org:1>")
            await take_envelope(client)
            await client.content()
            await client.say("250 <two@example.org:2>")
            await parted(client)

        async with scripted_smtp(script) as port:
            provider = smarthost(port, connections=1)
            outcomes = await asyncio.gather(send(provider, "one"), send(provider, "two"))
            await provider.aclose()
        assert [outcome.kind for outcome in outcomes] == [Kind.ACCEPTED] * 2
        assert [outcome.provider_message_id for outcome in outcomes] == ["1", "2"]

    async def test_the_first_is_done_before_the_second_is_answered(
        self, smarthost: Build, send: Send
    ):
        """A slow RCPT of the passenger keeps nobody from knowing that the letter was taken."""
        answer = asyncio.Event()

        async def script(client: ScriptedClient) -> None:
            await first_with_passenger(client)
            await client.say("250 ok")
            await answer.wait()
            await take_envelope(client)
            await client.content()
            await client.say("250 ok")
            await parted(client)

        async with scripted_smtp(script) as port:
            provider = smarthost(port, connections=1)
            one, two = send(provider, "one"), send(provider, "two")
            assert (await one).kind is Kind.ACCEPTED
            assert not two.done()
            answer.set()
            assert (await two).kind is Kind.ACCEPTED
            await provider.aclose()

    @pytest.mark.parametrize("connections", [1, 3])
    async def test_many_letters(
        self, sandbox: Sandbox, smarthost: Build, send: Send, connections: int
    ):
        """No letter is lost, doubled or given to another, and the strict server is content."""
        server = await sandbox(extensions=["PIPELINING", "8BITMIME", "SIZE"])
        provider = smarthost(server.port, connections=connections, letters_per_connection=7)
        outcomes = await asyncio.gather(*[send(provider, f"user{n}") for n in range(60)])
        assert {outcome.kind for outcome in outcomes} == {Kind.ACCEPTED}
        arrived = {x.recipient: x.provider_message_id for x in server.letterbox.letters}
        assert len(server.letterbox.letters) == len(arrived) == 60
        for number, outcome in enumerate(outcomes):
            assert outcome.provider_message_id == arrived[f"user{number}@example.org"]
        assert server.connections >= 60 / 7

    async def test_two_letters_for_each_connection_are_asked_for(self, smarthost: Build):
        """The gateway learns that more letters than connections are worth bringing."""
        assert smarthost(25, connections=3).capabilities.letters_at_once == 6
        assert smarthost(25, connections=3, overlap=False).capabilities.letters_at_once == 3


class TestWhoGoesAlone:
    @pytest.mark.parametrize(
        ("extensions", "first", "second", "settings"),
        [
            ([], SMALL, SMALL, {}),
            (["PIPELINING"], LARGE, SMALL, {}),
            (["PIPELINING"], SMALL, EIGHT_BIT, {}),
            (["PIPELINING"], SMALL, SMALL, {"overlap": False}),
            (["PIPELINING"], SMALL, SMALL, {"letters_per_connection": 1}),
        ],
        ids=["no pipelining", "large", "to be encoded", "switched off", "worn"],
    )
    async def test_it_waits_for_its_turn(
        self,
        *,
        smarthost: Build,
        send: Send,
        extensions: list[str],
        first: Message,
        second: Message,
        settings: dict[str, object],
    ):
        """Nothing of the second letter is sent before the first one is answered."""
        answered = []

        async def script(client: ScriptedClient) -> None:
            await client.greet("SIZE 0", *extensions)
            while line := await client.reader.readline():
                match line[:4]:
                    case b"DATA":
                        await client.say("354 go")
                        await client.content()
                        assert not client.reader._buffer, "something came behind the dot"
                        answered.append(client.number)
                    case b"QUIT":
                        await client.say("221 bye")
                        return
                await client.say("250 ok")

        async with scripted_smtp(script) as port:
            provider = smarthost(port, connections=1, **settings)
            outcomes = await asyncio.gather(
                send(provider, "one", first), send(provider, "two", second)
            )
            await provider.aclose()
        assert [outcome.kind for outcome in outcomes] == [Kind.ACCEPTED] * 2
        assert len(answered) == 2


class TestTrouble:
    async def test_a_forged_address_harms_its_own_letter_alone(
        self, sandbox: Sandbox, smarthost: Build, send: Send, clock: Clock
    ):
        """What is wrong with the one that waits is not the trouble of the one before it."""
        server = await sandbox(extensions=["PIPELINING"])
        provider = smarthost(server.port, connections=1)
        recipient = Recipient(0, Address("a\r\nRSET", "example.org", ""))
        forged = a_request(envelope=replace(an_envelope(), recipients=(recipient,)))
        one = send(provider, "one")
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="control character"):
            await provider.deliver(forged, deadline=clock.monotonic() + 60)
        assert (await one).kind is Kind.ACCEPTED
        assert (await send(provider, "two")).kind is Kind.ACCEPTED

    async def test_the_first_is_refused(self, smarthost: Build, send: Send):
        """A refusal of content ends one transaction and not the next."""

        async def script(client: ScriptedClient) -> None:
            await first_with_passenger(client)
            await client.say("554 5.7.1 no")
            await take_envelope(client)
            await client.content()
            await client.say("250 ok")
            await parted(client)

        async with scripted_smtp(script) as port:
            provider = smarthost(port, connections=1)
            one, two = await asyncio.gather(send(provider, "one"), send(provider, "two"))
            await provider.aclose()
        assert (one.kind, one.scope) == (Kind.REJECTED, Scope.MESSAGE)
        assert two.kind is Kind.ACCEPTED

    async def test_the_second_has_no_recipient(self, smarthost: Build, send: Send):
        """Its transaction is undone, and the connection carries the next letter."""

        async def script(client: ScriptedClient) -> None:
            await first_with_passenger(client)
            await client.say("250 ok", "250 ok", "550 5.1.1 no", "554 nobody")
            await client.hear("RSET")
            await client.say("250 ok")
            await envelope(client, "three")
            await take_envelope(client)
            await client.content()
            await client.say("250 ok")
            await parted(client)

        async with scripted_smtp(script) as port:
            provider = smarthost(port, connections=1)
            one, two = await asyncio.gather(send(provider, "one"), send(provider, "two"))
            assert (await send(provider, "three")).kind is Kind.ACCEPTED
            await provider.aclose()
        assert one.kind is Kind.ACCEPTED
        assert (two.kind, two.scope) == (Kind.REJECTED, Scope.RECIPIENT)

    @pytest.mark.parametrize(
        ("said", "kind", "cause"),
        [
            ((), Kind.UNCERTAIN, Cause.OTHER),
            (("421 4.7.0 enough",), Kind.DEFERRED, Cause.THROTTLED),
            (("250 ok",), Kind.ACCEPTED, Cause.OTHER),
            (("250 ok", "250 ok"), Kind.ACCEPTED, Cause.OTHER),
        ],
        ids=["silence", "421", "accepted", "in mid-envelope"],
    )
    async def test_the_connection_breaks(
        self, smarthost: Build, send: Send, said: tuple[str, ...], kind: Kind, cause: Cause
    ):
        """The first is judged by its own answer; the second was never accepted, and says so."""

        async def script(client: ScriptedClient) -> None:
            if client.number == 0:
                await first_with_passenger(client)
                await client.say(*said)
                return
            await client.greet("PIPELINING")
            await envelope(client, "two")
            await take_envelope(client)
            await client.content()
            await client.say("250 ok")
            await parted(client)

        async with scripted_smtp(script) as port:
            provider = smarthost(port, connections=1)
            one, two = await asyncio.gather(send(provider, "one"), send(provider, "two"))
            await provider.aclose()
        assert (one.kind, one.cause) == (kind, cause)
        # Where its own envelope was answered it was no dead connection, and the caller decides.
        answered = len(said) == 2
        assert two.kind is (Kind.DEFERRED if answered else Kind.ACCEPTED)

    async def test_the_second_is_cancelled(self, smarthost: Build, send: Send):
        """The first is not disturbed; the connection that awaits nobody's content is broken."""
        boarded, answer = asyncio.Event(), asyncio.Event()

        async def script(client: ScriptedClient) -> None:
            if client.number == 0:
                await first_with_passenger(client)
                boarded.set()
                await answer.wait()
                await client.say("250 ok", "250 ok", "250 ok", "354 go")
                assert await client.gone() == b""
                return
            await client.greet("PIPELINING")
            await envelope(client, "three")
            await take_envelope(client)
            await client.content()
            await client.say("250 ok")
            await parted(client)

        async with scripted_smtp(script) as port:
            provider = smarthost(port, connections=1)
            one, two = send(provider, "one"), send(provider, "two")
            await boarded.wait()
            two.cancel()
            with pytest.raises(asyncio.CancelledError):
                await two
            answer.set()
            assert (await one).kind is Kind.ACCEPTED
            assert (await send(provider, "three")).kind is Kind.ACCEPTED
            await provider.aclose()

    async def test_the_first_is_cancelled(self, smarthost: Build, send: Send):
        """Its connection is broken; the second goes over a new one."""
        boarded = asyncio.Event()

        async def script(client: ScriptedClient) -> None:
            if client.number == 0:
                await first_with_passenger(client)
                boarded.set()
                assert await client.gone() == b""
                return
            await client.greet("PIPELINING")
            await envelope(client, "two")
            await take_envelope(client)
            await client.content()
            await client.say("250 ok")
            await parted(client)

        async with scripted_smtp(script) as port:
            provider = smarthost(port, connections=1)
            one, two = send(provider, "one"), send(provider, "two")
            await boarded.wait()
            one.cancel()
            with pytest.raises(asyncio.CancelledError):
                await one
            assert (await two).kind is Kind.ACCEPTED
            await provider.aclose()

    async def test_the_second_runs_out_of_time(self, smarthost: Build, send: Send):
        """It is put off: nothing of its content was sent; the first is waited for."""
        boarded, answer = asyncio.Event(), asyncio.Event()

        async def script(client: ScriptedClient) -> None:
            await first_with_passenger(client)
            boarded.set()
            await answer.wait()
            await client.say("250 ok")
            assert await client.gone() == b""

        async with scripted_smtp(script) as port:
            provider = smarthost(port, connections=1)
            one, two = send(provider, "one"), send(provider, "two", within=2.0)
            await boarded.wait()
            outcome = await two
            assert (outcome.kind, outcome.status) == (Kind.DEFERRED, "4.4.5")
            answer.set()
            assert (await one).kind is Kind.ACCEPTED

    async def test_closing(self, smarthost: Build, send: Send):
        """The first is in doubt, the second was not sent; nothing is left open."""
        boarded = asyncio.Event()

        async def script(client: ScriptedClient) -> None:
            await first_with_passenger(client)
            boarded.set()
            assert await client.gone() == b""

        async with scripted_smtp(script) as port:
            provider = smarthost(port, connections=1)
            one, two = send(provider, "one"), send(provider, "two")
            await boarded.wait()
            await provider.aclose()
            assert (await one).kind is Kind.UNCERTAIN
            assert (await two).kind is Kind.DEFERRED
        assert "0 connections" in repr(provider)
