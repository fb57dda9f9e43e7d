"""One letter over one connection: what goes out, and what each answer, or none, is taken for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from providers.contract.capabilities import Part
from providers.contract.clock import Clock
from providers.contract.envelope import Notify, Ret
from providers.contract.message import Message
from providers.contract.outcome import (
    Cause,
    DeliveryOutcome,
    DeliveryRequest,
    Kind,
    Scope,
)
from providers.mime import Mailbox, parse_letter
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.smarthost import SandboxSmarthost
from providers.smarthost.provider import Smarthost
from tests.support.builders import a_message, a_raw_message, a_request, an_envelope
from tests.support.scripted_smtp import ScriptedClient, scripted_smtp

Build = Callable[..., Smarthost]
Sandbox = Callable[..., Awaitable[SandboxSmarthost]]
Deliver = Callable[..., Awaitable[dict[int, DeliveryOutcome]]]
BOTH_WAYS = pytest.mark.parametrize("extensions", [["SIZE"], ["SIZE", "PIPELINING"]])


@pytest.fixture
def deliver(clock: Clock) -> Deliver:
    """Deliver a letter; the outcomes by key."""

    async def _deliver(
        provider: Smarthost, request: DeliveryRequest | None = None, within: float = 60.0
    ) -> dict[int, DeliveryOutcome]:
        deadline = clock.monotonic() + within
        report = await provider.deliver(request or a_request(), deadline=deadline)
        return dict(report.outcomes)

    return _deliver


def kinds(outcomes: dict[int, DeliveryOutcome]) -> list[tuple[Kind, Scope]]:
    return [(outcomes[key].kind, outcomes[key].scope) for key in sorted(outcomes)]


ACCEPTED = (Kind.ACCEPTED, Scope.RECIPIENT)
UNCERTAIN = (Kind.UNCERTAIN, Scope.RECIPIENT)
REJECTED = (Kind.REJECTED, Scope.RECIPIENT)
DEFERRED = (Kind.DEFERRED, Scope.RECIPIENT)
PUT_OFF = (Kind.DEFERRED, Scope.PROVIDER)
SIGNED = (
    "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nСпасибо\r\n--b\r\n"
    "Content-Type: application/pgp-signature\r\n\r\ndummy\r\n--b--\r\n"
).encode()
LARGE = a_raw_message((b"x" * 998 + b"\r\n") * 30_000)  # more than any socket buffer holds


class TestContent:
    @pytest.mark.parametrize(
        "content",
        [
            b".\r\n..\r\n.x\r\n\r\n.\r\nend\r\n",
            b"",
            b"\r\n",
            bytes(range(1, 10)) + b"\x0b\x0c" + bytes(range(14, 256)) + b"\r\n",
            (b"." + b"x" * 900 + b"\r\n") * 3000,
            (b"y" * 500 + b"\r\n") * 5000 + b".\r\n",
        ],
        ids=["dots", "empty", "blank", "octets", "large-dots", "large"],
    )
    @pytest.mark.parametrize("extensions", [["8BITMIME"], ["8BITMIME", "PIPELINING"]])
    async def test_octet_for_octet(
        self,
        sandbox: Sandbox,
        smarthost: Build,
        deliver: Deliver,
        content: bytes,
        extensions: list[str],
    ):
        """Bytes in are bytes out, small ones in one write and large ones as the network takes."""
        server = await sandbox(extensions=extensions)
        outcomes = await deliver(smarthost(server.port), a_request(message=a_raw_message(content)))
        assert kinds(outcomes) == [ACCEPTED]
        assert server.letterbox.letters[0].content == content

    async def test_parameters_travel_where_offered(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """SIZE, BODY, SMTPUTF8 and DSN as the letter needs them and EHLO allows them."""
        extensions = ["SIZE", "8BITMIME", "SMTPUTF8", "DSN"]
        server = await sandbox(extensions=extensions)
        envelope = an_envelope(
            "üser@bücher.example",
            ret=Ret.HEADERS,
            envid="Q1",
            orcpt="rfc822;bob@example.org",
            notify=frozenset({Notify.FAILURE}),
        )
        message = a_message(subject="Заказ", smtputf8=True)
        outcomes = await deliver(
            smarthost(server.port), a_request(envelope=envelope, message=message)
        )
        assert kinds(outcomes) == [ACCEPTED]
        (letter,) = server.letterbox.letters
        assert letter.recipient == "üser@xn--bcher-kva.example"
        assert letter.parameters == {
            "SIZE": str(message.size),
            "BODY": "8BITMIME",
            "SMTPUTF8": "",
            "RET": "HDRS",
            "ENVID": "Q1",
            "NOTIFY": "FAILURE",
            "ORCPT": "rfc822;bob@example.org",
        }

    @pytest.mark.parametrize(
        ("request_", "options", "status"),
        [
            (a_request(), {"size": 20}, "5.3.4"),
            (a_request("ü@example.org"), {}, "5.6.7"),
            (a_request(message=a_raw_message(SIGNED)), {"extensions": []}, "5.6.3"),
        ],
        ids=["size", "smtputf8", "signed"],
    )
    async def test_what_ehlo_forbids_is_not_tried(
        self,
        *,
        sandbox: Sandbox,
        smarthost: Build,
        deliver: Deliver,
        request_: DeliveryRequest,
        options: dict[str, object],
        status: str,
    ):
        """No MAIL for a letter that the server said it cannot take; the connection stays good."""
        server = await sandbox(**options)
        provider = smarthost(server.port)
        outcomes = await deliver(provider, request_)
        assert kinds(outcomes) == [(Kind.UNSUPPORTED, Scope.MESSAGE)]
        assert outcomes[0].status == status
        assert server.letterbox.calls == {}
        await deliver(provider, a_request(message=a_raw_message(b"x\r\n")))
        assert (server.connections, len(server.letterbox.letters)) == (1, 1)

    @pytest.mark.parametrize("lines", [1, 10_000], ids=["small", "large"])
    async def test_a_server_without_8bitmime(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver, lines: int
    ):
        """The letter goes in 7 bits and reads the same (T26); a large one beside the loop."""
        server = await sandbox(extensions=["SIZE"])
        text = "Спасибо за заказ, café\r\n" * lines
        head = "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n"
        content = f"{head}Content-Transfer-Encoding: 8bit\r\n\r\n{text}".encode()
        outcomes = await deliver(smarthost(server.port), a_request(message=a_raw_message(content)))
        assert kinds(outcomes) == [ACCEPTED]
        assert outcomes[0].losses == ()
        (letter,) = server.letterbox.letters
        assert letter.content.isascii()
        assert letter.parameters == {"SIZE": str(len(letter.content))}
        assert parse_letter(letter.content) == parse_letter(content)

    async def test_a_server_without_smtputf8(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """The header goes as encoded words, a domain as A-labels; what is lost is told."""
        server = await sandbox(extensions=["SIZE", "8BITMIME"])
        message = a_message(
            subject="Заказ",
            sender="Анна <anna@bücher.example>",
            header_fields=[("In-Reply-To", "<ü@example.com>")],
            smtputf8=True,
        )
        outcomes = await deliver(smarthost(server.port), a_request(message=message))
        assert kinds(outcomes) == [ACCEPTED]
        assert [loss.part for loss in outcomes[0].losses] == [Part.HEADER_FIELD]
        read = parse_letter(server.letterbox.letters[0].content)
        assert read.subject == "Заказ"
        assert read.from_ == Mailbox("Анна", "anna@xn--bcher-kva.example")

    async def test_the_null_reverse_path(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """Reports of non-delivery can be sent."""
        server = await sandbox()
        envelope = an_envelope(reverse_path=None)
        await deliver(smarthost(server.port), a_request(envelope=envelope))
        assert server.letterbox.letters[0].reverse_path == ""


class TestChunks:
    """BDAT (RFC 3030), for letters large enough that it pays."""

    @pytest.mark.parametrize("pipelining", [True, False])
    async def test_octet_for_octet(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver, pipelining: bool
    ):
        """No dot is doubled, no octet changed, over several chunks."""
        extensions = ["SIZE", "8BITMIME", "CHUNKING", *(["PIPELINING"] if pipelining else [])]
        server = await sandbox(extensions=extensions)
        content = b".\r\n" * 700_000 + "конец\r\n".encode()
        provider = smarthost(server.port)
        outcomes = await deliver(
            provider, a_request("a@example.org", message=a_raw_message(content))
        )
        assert kinds(outcomes) == [ACCEPTED]
        assert outcomes[0].provider_message_id == "10001"
        assert server.letterbox.letters[0].content == content
        chunks = [line for line in server.transcript if line.startswith("BDAT")]
        assert chunks == ["BDAT 1048576", "BDAT 1048576", f"BDAT {len(content) - (2 << 20)} LAST"]
        assert "DATA" not in server.transcript

    @pytest.mark.parametrize(
        ("message", "settings"),
        [(a_message(), {}), (LARGE, {"chunking": False})],
        ids=["small", "off"],
    )
    async def test_where_it_does_not_pay(
        self,
        *,
        sandbox: Sandbox,
        smarthost: Build,
        deliver: Deliver,
        message: Message,
        settings: dict[str, object],
    ):
        """Small letters go by DATA, and all where the operator says so."""
        server = await sandbox(extensions=["CHUNKING", "PIPELINING"], size=64 << 20)
        outcomes = await deliver(smarthost(server.port, **settings), a_request(message=message))
        assert kinds(outcomes) == [ACCEPTED]
        assert "DATA" in server.transcript

    async def test_all_refused(self, sandbox: Sandbox, smarthost: Build, deliver: Deliver):
        """Nothing of the content is sent to nobody; the connection is used again."""
        server = await sandbox(extensions=["CHUNKING", "PIPELINING"], size=64 << 20)
        server.faults.add(Fault(FaultKind.REFUSE))
        provider = smarthost(server.port)
        assert kinds(await deliver(provider, a_request(message=LARGE))) == [REJECTED]
        assert kinds(await deliver(provider, a_request(message=LARGE))) == [ACCEPTED]
        assert server.connections == 1

    async def test_a_server_that_does_not_want_the_rest(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """A refused chunk ends it: no further one is sent, and the next letter is well."""
        server = await sandbox(extensions=["CHUNKING"], size=2 << 20)
        provider = smarthost(server.port)
        outcomes = await deliver(provider, a_request(message=LARGE))
        assert kinds(outcomes) == [(Kind.UNSUPPORTED, Scope.MESSAGE)]
        assert list(server.transcript)[-3:] == ["BDAT 1048576"] * 2 + ["RSET"]
        assert kinds(await deliver(provider)) == [ACCEPTED]
        assert server.connections == 1

    @pytest.mark.parametrize(
        ("answered", "expected"), [(0, PUT_OFF), (28, PUT_OFF), (29, UNCERTAIN)]
    )
    async def test_where_a_connection_breaks(
        self, smarthost: Build, deliver: Deliver, answered: int, expected: object
    ):
        """Before the last chunk nothing can have been accepted; with it on its way, it may."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("CHUNKING", "PIPELINING")
            await client.hear("MAIL", "RCPT")
            await client.say("250 ok", "250 ok")
            for number in range(30):
                if number > answered:
                    break
                (line,) = await client.hear("BDAT")
                await client.reader.readexactly(int(line.split()[1]))
                if number < answered:
                    await client.say("250 more")
            client.reset()

        message = a_raw_message((b"x" * 1022 + b"\r\n") * (1024 * 30))
        async with scripted_smtp(script) as port:
            outcomes = await deliver(smarthost(port), a_request(message=message))
        assert kinds(outcomes) == [expected]

    @pytest.mark.parametrize("fault", [FaultKind.HANG, FaultKind.DROP_AFTER, FaultKind.GARBAGE])
    async def test_the_answer_lost(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver, fault: FaultKind
    ):
        """As with DATA: uncertain, once the last octet left."""
        server = await sandbox(extensions=["CHUNKING"], size=64 << 20)
        server.faults.add(Fault(fault))
        outcomes = await deliver(smarthost(server.port), a_request(message=LARGE), 6.0)
        assert kinds(outcomes) == [UNCERTAIN]
        assert len(server.letterbox.letters) == 1

    async def test_421_to_a_chunk(self, smarthost: Build, deliver: Deliver):
        """The server leaves in mid-letter: put off, for it has no whole letter."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("CHUNKING")
            for verb in ("MAIL", "RCPT"):
                await client.hear(verb)
                await client.say("250 ok")
            (line,) = await client.hear("BDAT")
            await client.reader.readexactly(int(line.split()[1]))
            await client.say("421 4.3.2 shutting down")

        async with scripted_smtp(script) as port:
            outcomes = await deliver(smarthost(port), a_request(message=LARGE))
        assert kinds(outcomes) == [PUT_OFF]


class TestIds:
    @pytest.mark.parametrize(
        ("form", "ids"),
        [
            (1, ["10001", "10002"]),
            (2, ["10001", "10002"]),
            (3, ["10001", "10002"]),
            (4, ["10001", "10002"]),
            (5, ["", ""]),
            (6, ["10001", ""]),
        ],
    )
    async def test_every_form_of_the_final_reply(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver, form: int, ids: list[str]
    ):
        """Whatever the reply looks like, 250 is acceptance, and ids are taken where they stand."""
        server = await sandbox(reply_form=form)
        outcomes = await deliver(
            smarthost(server.port), a_request("bob@example.com", "Eve@example.com")
        )
        assert kinds(outcomes) == [ACCEPTED, ACCEPTED]
        assert [outcomes[key].provider_message_id for key in (0, 1)] == ids
        assert outcomes[0].diagnostic.startswith("250 ")

    async def test_ids_of_nobody_are_told_beside(self, smarthost: Build, clock: Clock):
        """Leftover pairs are a remark for the log, and nobody gets a foreign id."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("PIPELINING")
            await client.hear("MAIL", "RCPT", "RCPT", "DATA")
            await client.say("250 ok", "250 ok", "250 ok", "354 go")
            await client.content()
            await client.say("250 <eve@example.com:2>,<mallory@example.com:3>")
            await client.hear("QUIT")
            await client.say("221 bye")

        async with scripted_smtp(script) as port:
            provider = smarthost(port)
            request = a_request("bob@example.com", "eve@example.com")
            report = await provider.deliver(request, deadline=clock.monotonic() + 60)
            await provider.aclose()
        assert [report.outcomes[key].provider_message_id for key in (0, 1)] == ["", "2"]
        (remark,) = report.remarks
        assert remark.endswith("of no recipient: mallory@example.com:3")


class TestRecipients:
    @BOTH_WAYS
    async def test_some_refused(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver, extensions: list[str]
    ):
        """Each has its own verdict, and the letter goes to the rest (T6, T7)."""
        server = await sandbox(extensions=extensions)
        server.faults.add(Fault(FaultKind.REFUSE, recipient="eve"))
        server.faults.add(Fault(FaultKind.DEFER, recipient="ann"))
        request = a_request("eve@example.org", "bob@example.org", "ann@example.org")
        outcomes = await deliver(smarthost(server.port), request)
        assert kinds(outcomes) == [REJECTED, ACCEPTED, DEFERRED]
        assert [letter.recipient for letter in server.letterbox.letters] == ["bob@example.org"]

    @BOTH_WAYS
    async def test_all_refused(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver, extensions: list[str]
    ):
        """No content for nobody; the transaction is undone and the connection used again."""
        server = await sandbox(extensions=extensions)
        server.faults.add(Fault(FaultKind.REFUSE, times=2))
        provider = smarthost(server.port)
        outcomes = await deliver(provider, a_request("eve@example.org", "bob@example.org"))
        assert kinds(outcomes) == [REJECTED, REJECTED]
        assert server.transcript[-1] == "RSET"
        assert kinds(await deliver(provider)) == [ACCEPTED]
        assert (server.connections, len(server.letterbox.letters)) == (1, 1)

    async def test_354_for_nobody(self, smarthost: Build, deliver: Deliver):
        """A pipelined DATA may be taken though all were refused: a dot alone ends it (RFC 2920)."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("PIPELINING")
            await client.hear("MAIL", "RCPT", "DATA")
            await client.say("250 ok", "550 no", "354 go")
            assert await client.reader.readline() == b".\r\n"
            await client.say("554 no valid recipients")
            await client.hear("QUIT")
            await client.say("221 bye")

        async with scripted_smtp(script) as port:
            provider = smarthost(port)
            assert kinds(await deliver(provider)) == [REJECTED]
            await provider.aclose()

    @pytest.mark.parametrize("pipelining", [True, False])
    async def test_421_in_the_middle(self, smarthost: Build, deliver: Deliver, pipelining: bool):
        """Verdicts that were given stay, the others are put off for the provider as a whole."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("PIPELINING" if pipelining else "SIZE 0")
            if pipelining:
                await client.hear("MAIL", "RCPT", "RCPT", "RCPT", "DATA")
            for reply in ("250 ok", "550 5.1.1 no", "250 ok", "421 4.7.0 enough"):
                if not pipelining:
                    await client.reader.readline()
                await client.say(reply)

        async with scripted_smtp(script) as port:
            request = a_request("a@example.org", "b@example.org", "c@example.org")
            outcomes = await deliver(smarthost(port), request)
        assert kinds(outcomes) == [REJECTED, PUT_OFF, PUT_OFF]
        assert outcomes[1].cause is Cause.THROTTLED

    @BOTH_WAYS
    @pytest.mark.parametrize(
        ("fault", "kind"),
        [
            (Fault(FaultKind.REFUSE, style="mail"), Kind.REJECTED),
            (Fault(FaultKind.REFUSE, style="data"), Kind.REJECTED),
            (Fault(FaultKind.DEFER, style="data"), Kind.DEFERRED),
        ],
        ids=lambda value: value.style if isinstance(value, Fault) else None,
    )
    async def test_the_letter_refused(
        self,
        *,
        sandbox: Sandbox,
        smarthost: Build,
        deliver: Deliver,
        extensions: list[str],
        fault: Fault,
        kind: Kind,
    ):
        """A refusal of sender or content is for all recipients; the connection stays good."""
        server = await sandbox(extensions=extensions)
        server.faults.add(Fault(fault.kind, style=fault.style))
        provider = smarthost(server.port)
        outcomes = await deliver(provider, a_request("a@example.org", "b@example.org"))
        assert kinds(outcomes) == [(kind, Scope.MESSAGE)] * 2
        assert kinds(await deliver(provider)) == [ACCEPTED]
        assert server.connections == 1

    @pytest.mark.parametrize("pipelining", [True, False])
    async def test_data_refused(self, smarthost: Build, deliver: Deliver, pipelining: bool):
        """No 354, no content; whoever was refused at RCPT keeps that."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("PIPELINING" if pipelining else "SIZE 0")
            if pipelining:
                await client.hear("MAIL", "RCPT", "RCPT", "DATA")
            for reply in ("250 ok", "250 ok", "550 no", "451 4.3.0 not now"):
                if not pipelining:
                    await client.reader.readline()
                await client.say(reply)
            await client.hear("RSET")
            await client.say("250 ok")
            await client.hear("QUIT")
            await client.say("221 bye")

        async with scripted_smtp(script) as port:
            provider = smarthost(port)
            outcomes = await deliver(provider, a_request("a@example.org", "b@example.org"))
            await provider.aclose()
        assert kinds(outcomes) == [(Kind.DEFERRED, Scope.MESSAGE), REJECTED]


class TestDoubt:
    """Where a connection breaks decides between *not sent* and *uncertain*."""

    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            ([], PUT_OFF),
            (["250 ok"], PUT_OFF),
            (["250 ok", "250 ok"], PUT_OFF),
            (["250 ok", "250 ok", "354 go"], UNCERTAIN),
            (["what"], PUT_OFF),
            (["250 ok", "what"], PUT_OFF),
            (["250 ok", "250 ok", "what"], PUT_OFF),
            (["250 ok", "250 ok", "354 go", "what"], UNCERTAIN),
            (["250 ok", "250 ok", "354 go", "354 go on"], UNCERTAIN),
            (["354 go"], PUT_OFF),
            (["250 ok", "354 go"], PUT_OFF),
            (["250 ok", "250 ok", "250 ok"], PUT_OFF),
            (["250 ok", "250 ok", "354 go", "250 o"], UNCERTAIN),
        ],
    )
    @pytest.mark.parametrize("reset", [True, False])
    async def test_answers_stop(
        self, smarthost: Build, deliver: Deliver, said: list[str], expected: object, reset: bool
    ):
        """After some answers the connection breaks, or says what fits nowhere."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("8BITMIME")
            for n, reply in enumerate(said):
                await (client.content() if n == 3 else client.reader.readline())
                client.writer.write(reply.encode() + (b"" if reply == "250 o" else b"\r\n"))
            if len(said) == 3 and said[-1].startswith("354"):
                await client.content()
            if reset:
                client.reset()

        async with scripted_smtp(script) as port:
            outcomes = await deliver(smarthost(port))
        assert kinds(outcomes) == [expected]

    @pytest.mark.parametrize("phase", [0, 1, 2])
    async def test_silence_before_the_content(self, smarthost: Build, deliver: Deliver, phase: int):
        """The deadline passes before the content was sent: surely not accepted."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("8BITMIME")
            for _ in range(phase):
                await client.reader.readline()
                await client.say("250 ok")
            await client.gone()

        async with scripted_smtp(script) as port:
            outcomes = await deliver(smarthost(port), within=2.0)
        assert kinds(outcomes) == [PUT_OFF]
        assert "in time" in outcomes[0].diagnostic

    async def test_broken_in_the_middle_of_large_content(self, smarthost: Build, deliver: Deliver):
        """The dot was never written: not uncertain, however much of the letter arrived."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("PIPELINING")
            await client.hear("MAIL", "RCPT", "DATA")
            await client.say("250 ok", "250 ok", "354 go")
            await client.reader.readexactly(100_000)
            client.reset()

        async with scripted_smtp(script) as port:
            outcomes = await deliver(smarthost(port), a_request(message=LARGE))
        assert kinds(outcomes) == [PUT_OFF]

    async def test_too_slow_for_large_content(self, smarthost: Build, deliver: Deliver):
        """Nor is it where the deadline passes while the network takes no more."""
        over = asyncio.Event()

        async def script(client: ScriptedClient) -> None:
            await client.greet("PIPELINING")
            await client.hear("MAIL", "RCPT", "DATA")
            client.writer.transport.pause_reading()
            await client.say("250 ok", "250 ok", "354 go")
            await over.wait()

        async with scripted_smtp(script) as port:
            outcomes = await deliver(smarthost(port), a_request(message=LARGE), within=2.0)
            over.set()
        assert kinds(outcomes) == [PUT_OFF]

    async def test_an_answer_in_the_middle_of_large_content(
        self, smarthost: Build, deliver: Deliver
    ):
        """A server that has seen enough is believed, and the rest is not sent."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("PIPELINING")
            await client.hear("MAIL", "RCPT", "DATA")
            await client.say("250 ok", "250 ok", "354 go")
            await client.reader.readexactly(100_000)
            await client.say("552 5.3.4 enough")
            assert b"\r\n.\r\n" not in await client.gone()

        async with scripted_smtp(script) as port:
            outcomes = await deliver(smarthost(port), a_request(message=LARGE))
        assert kinds(outcomes) == [(Kind.UNSUPPORTED, Scope.MESSAGE)]

    async def test_an_endless_reply(self, sandbox: Sandbox, smarthost: Build, deliver: Deliver):
        """It is cut off long before it fills our memory."""
        server = await sandbox()
        server.faults.add(Fault(FaultKind.GARBAGE, style="long"))
        outcomes = await deliver(smarthost(server.port))
        assert kinds(outcomes) == [UNCERTAIN]
        assert "without an end" in outcomes[0].diagnostic

    async def test_a_fault_at_rcpt(self, sandbox: Sandbox, smarthost: Build, deliver: Deliver):
        """A connection that breaks at RCPT has accepted nothing, and that is sure."""
        server = await sandbox()
        server.faults.add(Fault(FaultKind.DROP_BEFORE, style="rcpt"))
        outcomes = await deliver(smarthost(server.port))
        assert kinds(outcomes) == [PUT_OFF]
        assert outcomes[0].cause is Cause.UNREACHABLE
