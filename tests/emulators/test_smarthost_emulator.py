"""The imitated smarthost itself: right clients pass, wrong ones fail, faults look as planned."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from providers.sandbox.faults import Fault, FaultKind, FaultPlan
from providers.sandbox.letterbox import Letterbox
from providers.sandbox.smarthost import EXTENSIONS, SandboxSmarthost
from providers.sandbox.smarthost_session import SandboxSession
from tests.support.certificates import Certificate, make_certificate
from tests.support.smtp_dialogue import SmtpDialogue

USERNAME = "account@example.com"
PASSWORD = "dummy-key-0001"
CREDENTIALS = base64.b64encode(f"\0{USERNAME}\0{PASSWORD}".encode()).decode()

Start = Callable[..., Awaitable[SandboxSmarthost]]
Connect = Callable[..., Awaitable[SmtpDialogue]]


class WrittenTransport(asyncio.Transport):
    """Keeps what is written; for sessions without a socket."""

    written = b""

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written += data

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a smarthost that asks for no AUTH unless told so."""
    started = []

    async def _start(**options: Any) -> SandboxSmarthost:
        options = {"require_auth": False} | options
        server = SandboxSmarthost(
            Letterbox(), FaultPlan(), username=USERNAME, password=PASSWORD, **options
        )
        await server.start()
        started.append(server)
        return server

    yield _start
    for server in started:
        await server.stop()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connect, read the greeting and say EHLO."""
    dialogues = []

    async def _connect(server: SandboxSmarthost, *, ehlo: bool = True, **tls: Any) -> SmtpDialogue:
        dialogue = await SmtpDialogue.connect(server.port, **tls)
        dialogues.append(dialogue)
        if ehlo:
            assert (await dialogue.reply())[0].startswith("220 ")
            assert (await dialogue.say("EHLO client.example.com"))[-1].startswith("250 ")
        return dialogue

    yield _connect
    for dialogue in dialogues:
        await dialogue.close()


async def begin_letter(client: SmtpDialogue, *recipients: str, mail: str = "") -> None:
    """MAIL, RCPT and DATA, up to the 354."""
    assert (await client.say(f"MAIL FROM:<news@example.com>{mail}"))[0].startswith("250")
    for recipient in recipients or ("bob@example.org",):
        assert (await client.say(f"RCPT TO:<{recipient}>"))[0].startswith("250")
    assert (await client.say("DATA"))[0].startswith("354")


class TestCorrectClient:
    async def test_a_letter_is_kept_for_each_recipient(self, start: Start, connect: Connect):
        """A right dialogue is accepted, and nothing of it is held against the client."""
        server = await start()
        client = await connect(server)
        await begin_letter(client, "bob@example.org", "eve@example.org")
        reply = await client.say("Subject: hi\r\n\r\nhello\r\n.")
        assert reply == ["250 Ok <bob@example.org:10001>,<eve@example.org:10002>"]
        assert [(x.recipient, x.provider_message_id) for x in server.letterbox.letters] == [
            ("bob@example.org", "10001"),
            ("eve@example.org", "10002"),
        ]
        assert server.letterbox.letters[0].reverse_path == "news@example.com"
        assert server.letterbox.letters[0].content == b"Subject: hi\r\n\r\nhello\r\n"
        assert server.letterbox.calls == {"smarthost": 1}
        assert (await client.say("QUIT"))[0].startswith("221")
        assert await client.is_closed()
        assert server.violations == []

    async def test_dots_are_undoubled_and_nothing_else_is(self, start: Start, connect: Connect):
        """The content that is kept is the one meant, octet for octet."""
        server = await start()
        client = await connect(server)
        await begin_letter(client)
        await client.send(b"..\r\n...a\r\nb.\r\n..c..\r\n \r\n\r\n.\r\n")
        assert (await client.reply())[0].startswith("250")
        assert server.letterbox.letters[0].content == b".\r\n..a\r\nb.\r\n.c..\r\n \r\n\r\n"
        assert server.violations == []

    @pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
    async def test_octets_may_come_in_any_pieces(self, size: int):
        """However TCP cuts the octets, the letter and the replies are the same."""
        server = SandboxSmarthost(
            Letterbox(), FaultPlan(), username="u", password="p", require_auth=False
        )
        session, transport = SandboxSession(server), WrittenTransport()
        session.connection_made(transport)
        said = [b"EHLO c.example.com\r\n", b"MAIL FROM:<>\r\n", b"RCPT TO:<b@example.org>\r\n"]
        for octets in (*said, b"DATA\r\n", b"a\r\n..\r\n\r\nb\r\n.\r\n", b"QUIT\r\n"):
            for at in range(0, len(octets), size):
                session.data_received(octets[at : at + size])
        assert [letter.content for letter in server.letterbox.letters] == [b"a\r\n.\r\n\r\nb\r\n"]
        assert transport.written.endswith(b"250 Ok <b@example.org:10001>\r\n221 Bye\r\n")
        assert server.violations == []

    async def test_an_empty_letter_and_the_next_one(self, start: Start, connect: Connect):
        """A dot alone ends a letter of no octets, and the connection serves another."""
        server = await start()
        client = await connect(server)
        for wire in (b".\r\n", b"x\r\n.\r\n"):
            await begin_letter(client)
            await client.send(wire)
            assert (await client.reply())[0].startswith("250")
        assert [letter.content for letter in server.letterbox.letters] == [b"", b"x\r\n"]

    async def test_pipelined_group_where_offered(self, start: Start, connect: Connect):
        """With PIPELINING a whole envelope may come at once, and each command has its reply."""
        server = await start(extensions=["PIPELINING"])
        client = await connect(server)
        server.faults.add(Fault(FaultKind.REFUSE, recipient="eve"))
        await client.send(
            b"MAIL FROM:<news@example.com>\r\nRCPT TO:<eve@example.org>\r\n"
            b"RCPT TO:<bob@example.org>\r\nDATA\r\n"
        )
        codes = [(await client.reply())[0][:3] for _ in range(4)]
        assert codes == ["250", "550", "250", "354"]
        await client.send(b"x\r\n.\r\nMAIL FROM:<>\r\nRSET\r\n")
        assert [(await client.reply())[0][:3] for _ in range(3)] == ["250", "250", "250"]
        assert server.violations == []

    @pytest.mark.parametrize(
        ("form", "lines"),
        [
            (1, ["250 Ok <bob@example.com:10001>,<eve@example.com:10002>"]),
            (2, ["250 2.0.0 Ok <bob@example.com:10001>, <eve@example.com:10002>"]),
            (3, ["250 bob@example.com:10001,eve@example.com:10002"]),
            (4, ["250-Message accepted", "250 <bob@example.com:10001>,<eve@example.com:10002>"]),
            (5, ["250 Ok"]),
            (6, ["250 Ok <bob@example.com:10001>"]),
        ],
    )
    async def test_every_form_of_the_final_reply(
        self, start: Start, connect: Connect, form: int, lines: list[str]
    ):
        """All six readings of the lost sample can be had (provider reference, part A.1)."""
        server = await start(reply_form=form)
        client = await connect(server)
        await begin_letter(client, "bob@example.com", "eve@example.com")
        assert await client.say("x\r\n.") == lines

    @pytest.mark.parametrize("extension", sorted(EXTENSIONS))
    async def test_each_extension_alone(
        self, start: Start, connect: Connect, certificate: Certificate, extension: str
    ):
        """What is not asked for is not offered."""
        context = certificate.server_context() if extension == "STARTTLS" else None
        server = await start(extensions=[extension], tls_context=context)
        client = await connect(server)
        lines = await client.say("EHLO client.example.com")
        assert len(lines) == 2
        assert lines[1][4:].split()[0] == extension

    async def test_a_server_without_extensions(self, start: Start, connect: Connect):
        """EHLO may have nothing to offer, and HELO never has."""
        server = await start(extensions=[])
        client = await connect(server)
        assert await client.say("EHLO client.example.com") == ["250 smarthost.sandbox.example"]
        assert await client.say("HELO client.example.com") == ["250 smarthost.sandbox.example"]

    async def test_parameters_are_kept(self, start: Start, connect: Connect):
        """A test can see what MAIL and RCPT were given."""
        server = await start(extensions=["SIZE", "8BITMIME", "DSN", "SMTPUTF8"])
        client = await connect(server)
        mail = "MAIL FROM:<ü@example.com> SIZE=5 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=Q1"
        assert (await client.say(mail))[0] == "250 Ok"
        rcpt = "RCPT TO:<bob@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob+2Bx@example.org"
        assert (await client.say(rcpt))[0] == "250 Ok"
        assert (await client.say("DATA"))[0].startswith("354")
        assert (await client.say("é\r\n."))[0].startswith("250")
        assert server.letterbox.letters[0].parameters == {
            "SIZE": "5",
            "BODY": "8BITMIME",
            "SMTPUTF8": "",
            "RET": "HDRS",
            "ENVID": "Q1",
            "NOTIFY": "SUCCESS,DELAY",
            "ORCPT": "rfc822;bob+2Bx@example.org",
        }
        assert server.violations == []

    async def test_enhanced_status_codes_where_offered(self, start: Start, connect: Connect):
        """Replies carry the codes of RFC 3463 only when the extension was offered."""
        server = await start(extensions=["ENHANCEDSTATUSCODES"])
        client = await connect(server)
        assert await client.say("NOOP") == ["250 2.0.0 Ok"]
        server = await start()
        client = await connect(server)
        assert await client.say("NOOP") == ["250 Ok"]


class TestWrongClient:
    @pytest.mark.parametrize(
        ("commands", "code", "violation"),
        [
            (["MAIL FROM:news@example.com"], "501", "not FROM:<address>"),
            (["MAIL FROM: <news@example.com>"], "501", "not FROM:<address>"),
            (["MAIL FROM:<news>"], "501", "bad address"),
            (["MAIL FROM:<a b@example.com>"], "501", "bad address"),
            (["MAIL FROM:<ü@example.com>"], "500", "a non-ASCII command without SMTPUTF8"),
            (["MAIL FROM:<> SIZE=1"], "555", "parameter SIZE was not offered"),
            (["MAIL FROM:<> BODY=8BITMIME"], "555", "parameter BODY was not offered"),
            (["MAIL FROM:<> SMTPUTF8"], "555", "parameter SMTPUTF8 was not offered"),
            (["MAIL FROM:<> RET=FULL"], "555", "parameter RET was not offered"),
            (["MAIL FROM:<> X=Y"], "555", "parameter X was not offered"),
            (["MAIL FROM:<>", "MAIL FROM:<>"], "503", "MAIL within a transaction"),
            (["RCPT TO:<bob@example.org>"], "503", "RCPT before MAIL"),
            (["MAIL FROM:<>", "RCPT TO:<>"], "501", "bad address"),
            (["DATA"], "503", "DATA before MAIL"),
            (["MAIL FROM:<>", "DATA"], "554", "DATA without a recipient"),
            (["DATA now"], "501", "DATA with an argument"),
            (["EHLO"], "501", "without a name"),
            (["STARTTLS"], "502", "STARTTLS was not offered"),
            (["AUTH PLAIN AAA="], "504", "AUTH PLAIN was not offered"),
            (["HELP"], "500", "an unknown command"),
            (["NOOP\tx"], "500", "a control character"),
            (["NOOP " + "x" * 506], "500", "a command line that is too long"),
        ],
    )
    async def test_a_wrong_command_is_refused_and_noted(
        self, start: Start, connect: Connect, commands: list[str], code: str, violation: str
    ):
        """What a correct client never says fails here as it would elsewhere."""
        server = await start(extensions=[])
        client = await connect(server)
        for command in commands[:-1]:
            assert (await client.say(command))[0].startswith("250")
        assert (await client.say(commands[-1]))[0].startswith(code)
        assert len(server.violations) == 1
        assert violation in server.violations[0]

    async def test_mail_before_ehlo(self, start: Start, connect: Connect):
        """A session begins with EHLO."""
        server = await start()
        client = await connect(server, ehlo=False)
        await client.reply()
        assert (await client.say("MAIL FROM:<>"))[0].startswith("503")
        assert server.violations == ["MAIL before EHLO"]

    @pytest.mark.parametrize("parameter", ["SIZE=x", "SIZE=1 SIZE=1", "BODY=9BIT", "SMTPUTF8=1"])
    async def test_a_bad_parameter(self, start: Start, connect: Connect, parameter: str):
        """Offered parameters must have a right value, once."""
        server = await start(extensions=["SIZE", "8BITMIME", "SMTPUTF8"])
        client = await connect(server)
        assert (await client.say(f"MAIL FROM:<> {parameter}"))[0].startswith("501")
        assert server.violations

    @pytest.mark.parametrize(
        ("octets", "violation"),
        [
            (b"NOOP\n", "a bare CR or LF in a command"),
            (b"NO\rOP\r\n", "a bare CR or LF in a command"),
            (b"NOOP\r\nNOOP\r\n", "commands sent before a reply"),
            (b"MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\n", "commands sent before a reply"),
        ],
    )
    async def test_stray_line_ends_and_impatience(
        self, start: Start, connect: Connect, octets: bytes, violation: str
    ):
        """Line ends are CRLF, and without PIPELINING each reply is waited for."""
        server = await start()
        client = await connect(server)
        await client.send(octets)
        assert (await client.reply())[0].startswith("50")
        assert server.violations == [violation]

    async def test_no_pipelining_behind_data(self, start: Start, connect: Connect):
        """Even with PIPELINING nothing follows DATA before its 354."""
        server = await start(extensions=["PIPELINING"])
        client = await connect(server)
        await client.send(b"MAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nx\r\n.\r\n")
        codes = [(await client.reply())[0][:3] for _ in range(3)]
        assert codes == ["250", "250", "503"]
        assert await client.is_closed()
        assert server.violations == ["text sent before 354"]
        assert server.letterbox.letters == []

    async def test_no_pipelining_behind_the_final_dot(self, start: Start, connect: Connect):
        """Without PIPELINING the final reply is waited for; the letter is not accepted."""
        server = await start()
        client = await connect(server)
        await begin_letter(client)
        await client.send(b"x\r\n.\r\nQUIT\r\n")
        assert (await client.reply())[0].startswith("503")
        assert server.violations == ["commands sent before the final dot was answered"]
        assert server.letterbox.letters == []

    @pytest.mark.parametrize(
        ("wire", "violation"),
        [
            (b"a\nb\r\n.\r\n", "a bare CR or LF in content"),
            (b"a\rb\r\n.\r\n", "a bare CR or LF in content"),
            (b"a\n.\n\r\n.\r\n", "a bare CR or LF in content"),
            (b"a\r\n.\n\r\n.\r\n", "a bare CR or LF in content"),
            (b"a\r\n.b\r\n.\r\n", "a content line starts with a single dot"),
            (b"x" * 999 + b"\r\n.\r\n", "a text line of 999 octets"),
            (b"\xc3\xa9\r\n.\r\n", "8-bit content without BODY=8BITMIME"),
        ],
    )
    async def test_wrong_content_is_refused(
        self, start: Start, connect: Connect, wire: bytes, violation: str
    ):
        """T18: no smuggled line end, no forgotten dot, no over-long line, no undeclared 8-bit."""
        server = await start()
        client = await connect(server)
        await begin_letter(client)
        await client.send(wire)
        assert (await client.reply())[0].startswith("554")
        assert server.violations == [violation]
        assert server.letterbox.letters == []

    async def test_the_longest_line_passes(self, start: Start, connect: Connect):
        """998 octets are allowed, and a doubled dot does not count."""
        server = await start()
        client = await connect(server)
        await begin_letter(client)
        await client.send(b"." + b"." * 998 + b"\r\n" + b"x" * 998 + b"\r\n.\r\n")
        assert (await client.reply())[0].startswith("250")

    async def test_size_is_kept(self, start: Start, connect: Connect):
        """The limit told by SIZE holds, for the declared and for the real size."""
        server = await start(size=10)
        client = await connect(server)
        assert (await client.say("MAIL FROM:<> SIZE=11"))[0].startswith("552")
        await begin_letter(client)
        assert (await client.say("x" * 9 + "\r\n."))[0].startswith("552")
        await begin_letter(client)
        assert (await client.say("x" * 8 + "\r\n."))[0].startswith("250")

    async def test_nonsense_options_are_refused(self):
        """The sandbox does not start with what it cannot do."""
        for options in ({"extensions": ["XYZ"]}, {"implicit_tls": True}, {"reply_form": 7}):
            with pytest.raises(ValueError, match=r"extension|certificate|form"):
                SandboxSmarthost(Letterbox(), FaultPlan(), username="u", password="p", **options)


class TestAuthAndTls:
    async def test_auth_is_demanded_and_given(self, start: Start, connect: Connect):
        """MAIL without AUTH is refused with 530, with it it is taken."""
        server = await start(require_auth=True)
        client = await connect(server)
        assert (await client.say("MAIL FROM:<>"))[0].startswith("530")
        assert (await client.say(f"AUTH PLAIN {CREDENTIALS}"))[0].startswith("235")
        assert (await client.say("MAIL FROM:<>"))[0].startswith("250")
        assert server.violations == []
        assert CREDENTIALS not in " ".join(server.transcript)

    @pytest.mark.parametrize(
        ("password", "code"), [(PASSWORD, "235"), ("wrong", "535"), ("", "535")]
    )
    async def test_login_step_by_step(
        self, start: Start, connect: Connect, password: str, code: str
    ):
        """LOGIN asks for name and password in the words every client knows (T17)."""
        server = await start(auth_mechanisms=["LOGIN"])
        client = await connect(server)
        assert await client.say("AUTH login") == ["334 VXNlcm5hbWU6"]
        assert await client.say(base64.b64encode(USERNAME.encode()).decode()) == [
            "334 UGFzc3dvcmQ6"
        ]
        answer = base64.b64encode(password.encode()).decode()
        assert (await client.say(answer))[0].startswith(code)

    async def test_plain_with_a_challenge_and_cancelling(self, start: Start, connect: Connect):
        """PLAIN without initial response is asked for one; `*` cancels."""
        server = await start()
        client = await connect(server)
        assert await client.say("AUTH PLAIN") == ["334 "]
        assert (await client.say("*"))[0].startswith("501")
        assert await client.say("AUTH PLAIN") == ["334 "]
        assert (await client.say(CREDENTIALS))[0].startswith("235")
        assert (await client.say("AUTH PLAIN"))[0].startswith("503")

    async def test_malformed_responses(self, start: Start, connect: Connect):
        """What is no base64, or not three parts, is the client's fault."""
        server = await start()
        client = await connect(server)
        assert (await client.say("AUTH PLAIN ***"))[0].startswith("501")
        assert (await client.say("AUTH PLAIN YWJj"))[0].startswith("501")
        assert server.violations == [
            "malformed base64 in AUTH",
            "AUTH PLAIN without its three parts",
        ]

    async def test_starttls_forgets_everything(
        self, start: Start, connect: Connect, certificate: Certificate
    ):
        """After the handshake EHLO comes again, now with AUTH and without STARTTLS (RFC 3207)."""
        server = await start(tls_context=certificate.server_context(), require_auth=True)
        client = await connect(server)
        assert "AUTH" not in " ".join(await client.say("EHLO client.example.com"))
        assert (await client.say("STARTTLS"))[0].startswith("220")
        await client.start_tls(certificate.client_context())
        assert (await client.say("MAIL FROM:<>"))[0].startswith("503")
        offered = " ".join(await client.say("EHLO client.example.com"))
        assert "AUTH PLAIN LOGIN" in offered
        assert "STARTTLS" not in offered
        assert (await client.say(f"AUTH PLAIN {CREDENTIALS}"))[0].startswith("235")
        await begin_letter(client)
        assert (await client.say("x\r\n."))[0].startswith("250")

    async def test_a_handshake_that_fails(
        self, start: Start, connect: Connect, certificate: Certificate
    ):
        """A handshake that fails ends its own connection and no other."""
        server = await start(tls_context=certificate.server_context())
        client, other = await connect(server), await connect(server)
        await client.say("STARTTLS")
        await client.send(b"no handshake at all\r\n")
        assert await client.is_closed()
        assert (await other.say("NOOP"))[0].startswith("250")

    async def test_implicit_tls(self, start: Start, connect: Connect, certificate: Certificate):
        """Port 465's way: TLS from the first octet, no STARTTLS on offer."""
        server = await start(tls_context=certificate.server_context(), implicit_tls=True)
        client = await connect(server, tls=certificate.client_context())
        offered = " ".join(await client.say("EHLO client.example.com"))
        assert "AUTH" in offered
        assert "STARTTLS" not in offered

    async def test_auth_without_tls_is_a_violation(
        self, start: Start, connect: Connect, certificate: Certificate
    ):
        """Where TLS can be had, a password in clear text is refused."""
        server = await start(tls_context=certificate.server_context())
        client = await connect(server)
        assert (await client.say(f"AUTH PLAIN {CREDENTIALS}"))[0].startswith("538")
        assert server.violations == ["AUTH without TLS"]

    async def test_plain_text_behind_starttls_is_discarded(
        self, start: Start, connect: Connect, certificate: Certificate
    ):
        """Commands smuggled in before TLS are never obeyed (RFC 3207 4.2)."""
        server = await start(tls_context=certificate.server_context())
        client = await connect(server)
        await client.send(b"STARTTLS\r\nMAIL FROM:<>\r\n")
        assert (await client.reply())[0].startswith("503")
        assert await client.is_closed()
        assert server.violations == ["plain text sent behind STARTTLS"]
        assert server.letterbox.calls == {}


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "codes"),
        [
            (Fault(FaultKind.REFUSE), ["250", "550"]),
            (Fault(FaultKind.REFUSE, style="mail"), ["550"]),
            (Fault(FaultKind.REFUSE, style="data"), ["250", "250", "354", "554"]),
            (Fault(FaultKind.DEFER), ["250", "450"]),
            (Fault(FaultKind.DEFER, style="mail"), ["450"]),
            (Fault(FaultKind.DEFER, style="data"), ["250", "250", "354", "451"]),
            (Fault(FaultKind.ERROR), ["250", "250", "354", "451"]),
            (Fault(FaultKind.THROTTLE), ["421"]),
            (Fault(FaultKind.THROTTLE, style="451"), ["451"]),
            (Fault(FaultKind.UNAUTHORISED, style="mail"), ["530"]),
        ],
        ids=lambda value: f"{value.kind}-{value.style}" if isinstance(value, Fault) else None,
    )
    async def test_refusals_come_where_planned(
        self, start: Start, connect: Connect, fault: Fault, codes: list[str]
    ):
        """Each fault has its code and its moment, and nothing is accepted."""
        server = await start()
        server.faults.add(fault)
        client = await connect(server)
        commands = ["MAIL FROM:<>", "RCPT TO:<bob@example.org>", "DATA", "x\r\n."]
        said = [(await client.say(command))[0][:3] for command in commands[: len(codes)]]
        assert said == codes
        assert server.letterbox.letters == []
        assert bool(server.letterbox.throttled) == (fault.kind is FaultKind.THROTTLE)
        assert server.faults.faults == []

    async def test_a_fault_for_one_recipient(self, start: Start, connect: Connect):
        """The others of the same letter are not touched."""
        server = await start()
        server.faults.add(Fault(FaultKind.REFUSE, recipient="eve@", times=None))
        client = await connect(server)
        await client.say("MAIL FROM:<>")
        assert (await client.say("RCPT TO:<bob@example.org>"))[0].startswith("250")
        assert (await client.say("RCPT TO:<Eve@example.org>"))[0].startswith("550")

    async def test_unauthorised(self, start: Start, connect: Connect):
        """535 whatever the password."""
        server = await start()
        server.faults.add(Fault(FaultKind.UNAUTHORISED))
        client = await connect(server)
        assert (await client.say(f"AUTH PLAIN {CREDENTIALS}"))[0].startswith("535")

    async def test_greeting_faults(self, start: Start, connect: Connect):
        """A busy server says 421 at once; a silent one takes what is said and never speaks."""
        server = await start()
        server.faults.add(Fault(FaultKind.THROTTLE, style="greeting"))
        client = await connect(server, ehlo=False)
        assert (await client.reply())[0].startswith("421")
        assert await client.is_closed()
        assert server.letterbox.throttled == {"smarthost": 1}
        server.faults.add(Fault(FaultKind.HANG, style="greeting"))
        silent = await connect(server, ehlo=False)
        silent.timeout_s = 0.05
        with pytest.raises(TimeoutError):
            await silent.reply()

    @pytest.mark.parametrize("style", ["", "rcpt"])
    async def test_drop_before(self, start: Start, connect: Connect, style: str):
        """The connection breaks and nothing was accepted."""
        server = await start()
        server.faults.add(Fault(FaultKind.DROP_BEFORE, style=style))
        client = await connect(server)
        if style == "rcpt":
            await client.say("MAIL FROM:<>")
            await client.send(b"RCPT TO:<bob@example.org>\r\n")
        else:
            await begin_letter(client)
            await client.send(b"half a le")
        assert await client.is_closed()
        assert server.letterbox.letters == []

    async def test_drop_after(self, start: Start, connect: Connect):
        """Accepted, and the connection breaks before the reply."""
        server = await start()
        server.faults.add(Fault(FaultKind.DROP_AFTER))
        client = await connect(server)
        await begin_letter(client)
        await client.send(b"x\r\n.\r\n")
        assert await client.is_closed()
        assert len(server.letterbox.letters) == 1

    async def test_hang(self, start: Start, connect: Connect):
        """The letter is read and there is no reply; stopping the server ends the wait."""
        server = await start()
        server.faults.add(Fault(FaultKind.HANG))
        client = await connect(server)
        await begin_letter(client)
        await client.send(b"x\r\n.\r\n")
        await server.letterbox.wait_until(lambda box: len(box.letters) == 1)
        await server.stop()
        assert await client.is_closed()

    async def test_garbage(self, start: Start, connect: Connect):
        """Accepted, and the answer is no reply of SMTP."""
        server = await start()
        server.faults.add(Fault(FaultKind.GARBAGE))
        client = await connect(server)
        await begin_letter(client)
        assert not (await client.say("x\r\n."))[0][:3].isdigit()
        assert len(server.letterbox.letters) == 1

    async def test_an_endless_reply_flows_as_it_is_read(self, start: Start, connect: Connect):
        """The sandbox itself does not pile up what a slow client has not read yet."""
        server = await start()
        server.faults.add(Fault(FaultKind.GARBAGE, style="long"))
        client = await connect(server)
        await begin_letter(client)
        await client.send(b"x\r\n.\r\n")
        async with asyncio.timeout(60):
            octets = await client._reader.readexactly(4 << 20)
        assert octets.startswith(b"250-xxx")
        assert b"\n" not in octets


async def test_stop_breaks_open_connections_and_is_idempotent(start: Start, connect: Connect):
    """No connection survives the sandbox, and a sandbox never started can be stopped."""
    server = await start()
    client = await connect(server)
    await server.stop()
    await server.stop()
    assert await client.is_closed()
    await SandboxSmarthost(Letterbox(), FaultPlan(), username="u", password="p").stop()
