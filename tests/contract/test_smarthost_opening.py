"""The smarthost's connections come to stand: greeting, EHLO, TLS, AUTH, and what goes wrong."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from providers.contract.clock import Clock
from providers.contract.outcome import Cause, DeliveryOutcome, Kind, Scope
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.smarthost import SandboxSmarthost
from providers.smarthost.provider import Smarthost
from tests.contract.conftest import PASSWORD
from tests.support.builders import a_request
from tests.support.certificates import Certificate, make_certificate
from tests.support.scripted_smtp import ScriptedClient, scripted_smtp

Build = Callable[..., Smarthost]
Sandbox = Callable[..., Awaitable[SandboxSmarthost]]
CREDENTIALS = {"username": "account@example.com", "password": PASSWORD}
PLAIN = {**CREDENTIALS, "allow_plain_auth": True}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def deliver(clock: Clock) -> Callable[..., Awaitable[DeliveryOutcome]]:
    """Deliver a letter to one recipient; its outcome."""

    async def _deliver(provider: Smarthost, within: float = 60.0) -> DeliveryOutcome:
        report = await provider.deliver(a_request(), deadline=clock.monotonic() + within)
        return report.outcomes[0]

    return _deliver


Deliver = Callable[..., Awaitable[DeliveryOutcome]]


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def assert_unreachable(outcome: DeliveryOutcome, status: str) -> None:
    assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
    assert (outcome.cause, outcome.status) == (Cause.UNREACHABLE, status)
    assert outcome.diagnostic


class TestTls:
    async def test_starttls_with_a_private_ca(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver, certificate: Certificate
    ):
        """The usual way: STARTTLS, certificate checked, then AUTH, then the letter."""
        server = await sandbox(tls_context=certificate.server_context(), require_auth=True)
        settings = {"tls": "required", "ca_file": certificate.certificate, **CREDENTIALS}
        provider = smarthost(server.port, **settings)
        assert (await deliver(provider)).kind is Kind.ACCEPTED
        assert list(server.transcript)[:5] == [
            "EHLO gw.example.com",
            "STARTTLS",
            "EHLO gw.example.com",
            "AUTH PLAIN …",
            f"MAIL FROM:<news@example.com> SIZE={a_request().message.size}",
        ]
        result = await provider.probe()
        assert result.ok
        assert f"127.0.0.1:{server.port}, TLSv1." in result.detail
        assert "8BITMIME" in result.detail
        assert server.transcript[-1] == "QUIT"

    async def test_implicit_tls(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver, certificate: Certificate
    ):
        """Port 465's way, with more than one letter on the connection."""
        server = await sandbox(tls_context=certificate.server_context(), implicit_tls=True)
        provider = smarthost(server.port, tls="implicit", ca_file=certificate.certificate)
        for _ in range(2):
            assert (await deliver(provider)).kind is Kind.ACCEPTED
        assert server.connections == 1

    @pytest.mark.parametrize("implicit", [True, False])
    async def test_an_unknown_certificate(
        self,
        sandbox: Sandbox,
        smarthost: Build,
        deliver: Deliver,
        certificate: Certificate,
        implicit: bool,
    ):
        """No trust, no letter and no password; the other side's trouble, not the letter's."""
        server = await sandbox(tls_context=certificate.server_context(), implicit_tls=implicit)
        tls = "implicit" if implicit else "required"
        provider = smarthost(server.port, tls=tls, **CREDENTIALS)
        outcome = await deliver(provider)
        assert_unreachable(outcome, "4.7.5")
        assert "certificate is not trusted" in outcome.diagnostic
        assert not any(line.startswith(("AUTH", "MAIL")) for line in server.transcript)
        lax = smarthost(server.port, tls=tls, verify_certificate=False, **CREDENTIALS)
        assert (await deliver(lax)).kind is Kind.ACCEPTED

    async def test_a_certificate_of_another_name(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver, tmp_path_factory: Any
    ):
        """A trusted signature on the wrong name is no trust."""
        other = make_certificate(tmp_path_factory.mktemp("tls"), "other.example.com")
        server = await sandbox(tls_context=other.server_context())
        settings = {"host": "localhost", "tls": "required", "ca_file": other.certificate}
        outcome = await deliver(smarthost(server.port, **settings))
        assert_unreachable(outcome, "4.7.5")

    async def test_required_and_not_offered(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """A server, or somebody between, that hides STARTTLS gets neither password nor letter."""
        server = await sandbox()
        outcome = await deliver(smarthost(server.port, tls="required", **CREDENTIALS))
        assert_unreachable(outcome, "4.7.10")
        assert list(server.transcript) == ["EHLO gw.example.com"]

    async def test_opportunistic(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver, certificate: Certificate
    ):
        """Without credentials: TLS where it is offered, whatever the certificate; else none."""
        encrypted = await sandbox(tls_context=certificate.server_context())
        provider = smarthost(encrypted.port, tls="starttls")
        assert (await deliver(provider)).kind is Kind.ACCEPTED
        assert "TLSv1." in (await provider.probe()).detail
        plain = await sandbox()
        provider = smarthost(plain.port, tls="starttls")
        assert (await deliver(provider)).kind is Kind.ACCEPTED
        assert "no TLS" in (await provider.probe()).detail

    async def test_opportunistic_keeps_the_password(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """With credentials and no STARTTLS on offer nothing is said, unless it is allowed."""
        server = await sandbox(require_auth=True)
        outcome = await deliver(smarthost(server.port, tls="starttls", **CREDENTIALS))
        assert_unreachable(outcome, "4.7.10")
        assert list(server.transcript) == ["EHLO gw.example.com"]
        provider = smarthost(server.port, tls="starttls", **PLAIN)
        assert (await deliver(provider)).kind is Kind.ACCEPTED

    async def test_tls_where_there_is_none(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """A greeting instead of a handshake is a failed handshake."""

        async def script(client: ScriptedClient) -> None:
            await client.say("220 no TLS here")
            await client.gone()

        async with scripted_smtp(script) as port:
            outcome = await deliver(smarthost(port, tls="implicit"))
        assert (outcome.kind, outcome.cause) == (Kind.DEFERRED, Cause.UNREACHABLE)

    @pytest.mark.parametrize(
        ("reply", "status"), [("454 4.7.0 TLS not available", "4.7.0"), ("502 no", "4.4.1")]
    )
    async def test_starttls_refused(
        self, smarthost: Build, deliver: Deliver, reply: str, status: str
    ):
        """Offered and refused: never got through."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("STARTTLS")
            await client.hear("STARTTLS")
            await client.say(reply)
            await client.gone()

        async with scripted_smtp(script) as port:
            assert_unreachable(await deliver(smarthost(port, tls="required")), status)

    async def test_a_handshake_that_never_ends(self, smarthost: Build, deliver: Deliver):
        """The deadline holds within TLS too, and nothing stays open."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("STARTTLS")
            await client.hear("STARTTLS")
            await client.say("220 go")
            await client.gone()

        async with scripted_smtp(script) as port:
            assert_unreachable(await deliver(smarthost(port, tls="required"), 2.0), "4.4.2")

    @pytest.mark.skipif(not Path("/dev/fd").exists(), reason="counts open files in /dev/fd")
    async def test_a_dead_server_under_tls(
        self, smarthost: Build, deliver: Deliver, certificate: Certificate
    ):
        """A connection given up is closed at once, without the peer's part of the farewell."""
        accepted = []

        class Dead(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                accepted.append(transport)
                transport.pause_reading()  # type: ignore[attr-defined]

        context = certificate.server_context()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Dead, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        provider = smarthost(port, tls="implicit", ca_file=certificate.certificate)
        before = open_files()
        try:
            assert_unreachable(await deliver(provider, 2.0), "4.4.2")
            await asyncio.sleep(0.01)  # the loop closes sockets in an iteration of its own
            assert len(accepted) == 1
            assert open_files() <= before + 1  # the server's end
        finally:
            for transport in accepted:
                transport.abort()
            server.close()
            await server.wait_closed()

    async def test_plain_text_before_the_handshake_is_forgotten(
        self, smarthost: Build, deliver: Deliver, certificate: Certificate
    ):
        """Replies injected behind 220 are not taken for replies under TLS (RFC 3207 4.2)."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("STARTTLS", "AUTH PLAIN")
            await client.hear("STARTTLS")
            await client.say("220 go", "250-injected", "250 AUTH LOGIN")
            await client.writer.start_tls(certificate.server_context())
            await client.hear("EHLO ")
            await client.say("250-scripted", "250 SIZE 1000000")
            assert b"AUTH" not in await client.gone()

        async with scripted_smtp(script) as port:
            settings = {"tls": "required", "ca_file": certificate.certificate, **CREDENTIALS}
            outcome = await deliver(smarthost(port, **settings))
        assert (outcome.cause, outcome.status) == (Cause.ACCOUNT, "4.7.4")


class TestAuth:
    @pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
    async def test_the_one_that_is_offered(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver, mechanism: str
    ):
        """Servers know one or the other (T17 from the client's side)."""
        server = await sandbox(auth_mechanisms=[mechanism], require_auth=True)
        assert (await deliver(smarthost(server.port, **PLAIN))).kind is Kind.ACCEPTED
        assert server.transcript[1] == f"AUTH {mechanism} …"

    async def test_in_clear_text_the_one_that_hides_the_password(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver
    ):
        """Where clear text is allowed, the password still need not travel in it."""
        server = await sandbox(auth_mechanisms=["LOGIN", "PLAIN", "CRAM-MD5"], require_auth=True)
        assert (await deliver(smarthost(server.port, **PLAIN))).kind is Kind.ACCEPTED
        assert server.transcript[1] == "AUTH CRAM-MD5 …"

    async def test_under_tls_the_one_that_all_servers_know(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver, certificate: Certificate
    ):
        """CRAM-MD5 is wrong with too many servers to be first where it hides nothing."""
        server = await sandbox(
            auth_mechanisms=["CRAM-MD5", "LOGIN", "PLAIN"],
            tls_context=certificate.server_context(),
            implicit_tls=True,
        )
        settings = {"tls": "implicit", "ca_file": certificate.certificate, **CREDENTIALS}
        assert (await deliver(smarthost(server.port, **settings))).kind is Kind.ACCEPTED
        assert server.transcript[1] == "AUTH PLAIN …"

    @pytest.mark.parametrize("extensions", [["SIZE"], ["AUTH"]])
    async def test_none_that_we_know(
        self, sandbox: Sandbox, smarthost: Build, deliver: Deliver, extensions: list[str]
    ):
        """No AUTH on offer, or none of ours: the account's settings do not fit this server."""
        server = await sandbox(extensions=extensions, auth_mechanisms=["XOAUTH2"])
        outcome = await deliver(smarthost(server.port, **PLAIN))
        assert (outcome.scope, outcome.cause) == (Scope.PROVIDER, Cause.ACCOUNT)
        assert not any(line.startswith(("AUTH", "MAIL")) for line in server.transcript)

    async def test_offered_and_not_known_after_all(self, smarthost: Build, deliver: Deliver):
        """504 and only 504 leads to the next mechanism."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("AUTH CRAM-MD5 PLAIN LOGIN")
            await client.hear("AUTH CRAM-MD5")
            await client.say("504 5.5.4 not today")
            await client.hear("AUTH PLAIN")
            await client.say("535 5.7.8 no")
            assert b"AUTH" not in await client.gone()

        async with scripted_smtp(script) as port:
            outcome = await deliver(smarthost(port, **PLAIN))
        assert (outcome.cause, outcome.status) == (Cause.ACCOUNT, "4.7.8")

    async def test_temporary_trouble(self, smarthost: Build, deliver: Deliver):
        """454 says nothing against the account."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("AUTH LOGIN")
            await client.hear("AUTH LOGIN")
            await client.say("454 try later")
            await client.gone()

        async with scripted_smtp(script) as port:
            outcome = await deliver(smarthost(port, **PLAIN))
        assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
        assert outcome.cause is Cause.OTHER

    @pytest.mark.parametrize("verb", ["AUTH PLAIN", "AUTH LOGIN"])
    async def test_a_server_that_echoes_the_password(
        self, smarthost: Build, deliver: Deliver, verb: str
    ):
        """What the server says goes to logs and traces, our credentials do not (T25)."""
        seen = []

        async def script(client: ScriptedClient) -> None:
            await client.greet(verb)
            (line,) = await client.hear(verb)
            if verb == "AUTH LOGIN":
                for challenge in ("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"):
                    await client.say(challenge)
                    line = (await client.reader.readline()).decode().strip()
            seen.append(line.split()[-1])
            await client.say(f"535-5.7.8 bad {line}", f"535 5.7.8 that is {PASSWORD}")
            await client.gone()

        async with scripted_smtp(script) as port:
            outcome = await deliver(smarthost(port, **PLAIN))
        assert outcome.cause is Cause.ACCOUNT
        assert PASSWORD.encode() in base64.b64decode(seen[0])
        assert outcome.diagnostic.endswith("… 5.7.8 that is …")
        assert seen[0] not in outcome.diagnostic


class TestGreeting:
    @pytest.mark.parametrize(
        ("lines", "cause", "status"),
        [
            (["554 no SMTP service here"], Cause.UNREACHABLE, "4.4.1"),
            (["450 4.3.2 not now"], Cause.UNREACHABLE, "4.3.2"),
            (["421 4.3.2 busy"], Cause.THROTTLED, "4.3.2"),
            (["450 4.7.1 too many connections"], Cause.THROTTLED, "4.7.1"),
            (["<html>"], Cause.UNREACHABLE, "4.5.0"),
            (["999 what"], Cause.UNREACHABLE, "4.5.0"),
            ([], Cause.UNREACHABLE, "4.4.1"),
        ],
    )
    async def test_trouble(
        self, smarthost: Build, deliver: Deliver, lines: list[str], cause: Cause, status: str
    ):
        """Before EHLO everything is the provider's trouble and nothing was sent."""

        async def script(client: ScriptedClient) -> None:
            await client.say(*lines)

        async with scripted_smtp(script) as port:
            outcome = await deliver(smarthost(port))
        assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
        assert (outcome.cause, outcome.status) == (cause, status)

    async def test_a_silent_server(self, sandbox: Sandbox, smarthost: Build, deliver: Deliver):
        """No greeting until the deadline: not reachable, not uncertain."""
        server = await sandbox()
        server.faults.add(Fault(FaultKind.HANG, style="greeting"))
        assert_unreachable(await deliver(smarthost(server.port), 2.0), "4.4.2")
        assert (await deliver(smarthost(server.port))).kind is Kind.ACCEPTED

    async def test_several_lines(self, smarthost: Build, deliver: Deliver):
        """Long greetings and odd EHLO lines are no trouble."""

        async def script(client: ScriptedClient) -> None:
            await client.say("220-welcome", "220-to our", "220 server")
            await client.hear("EHLO gw.example.com")
            await client.say("250-hello", "250-SIZE", "250-XODD a b c", "250 AUTH=PLAIN")
            await client.hear("MAIL FROM:<news@example.com>")
            await client.say("250-2.1.0 several", "250 2.1.0 lines")
            await client.hear("RCPT TO:<bob@example.org>")
            await client.say("251 will forward")
            await client.hear("DATA")
            await client.say("354-go", "354 on")
            await client.content()
            await client.say("250-2.0.0 thanks", "250 2.0.0 <bob@example.org:77>")
            await client.hear("QUIT")
            await client.say("221 bye")
            await client.gone()

        async with scripted_smtp(script) as port:
            provider = smarthost(port)
            outcome = await deliver(provider)
            await provider.aclose()
        assert (outcome.kind, outcome.provider_message_id) == (Kind.ACCEPTED, "77")

    async def test_a_server_from_before_ehlo(self, smarthost: Build, deliver: Deliver):
        """5yz to EHLO leads to HELO, and nothing is used that was not offered."""

        async def script(client: ScriptedClient) -> None:
            await client.say("220 old")
            await client.hear("EHLO ")
            await client.say("502 what")
            await client.hear("HELO gw.example.com")
            await client.say("250 hello")
            (line,) = await client.hear("MAIL FROM:<news@example.com>")
            assert line == "MAIL FROM:<news@example.com>"
            await client.say("250 ok")
            await client.hear("RCPT ")
            await client.say("550 no")
            await client.hear("RSET")
            await client.say("250 ok")
            await client.hear("QUIT")
            await client.say("221 bye")

        async with scripted_smtp(script) as port:
            provider = smarthost(port)
            assert (await deliver(provider)).kind is Kind.REJECTED
            await provider.aclose()

    @pytest.mark.parametrize(
        ("reply", "cause"),
        [("421 busy", Cause.THROTTLED), ("451 4.3.0 no", Cause.UNREACHABLE), (None, None)],
    )
    async def test_ehlo_trouble(
        self, smarthost: Build, deliver: Deliver, reply: str | None, cause: Cause | None
    ):
        """A 4yz to EHLO is believed, and a connection lost there is not reachable."""

        async def script(client: ScriptedClient) -> None:
            await client.say("220 hello")
            await client.hear("EHLO ")
            if reply is not None:
                await client.say(reply)

        async with scripted_smtp(script) as port:
            outcome = await deliver(smarthost(port))
        assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
        assert outcome.cause is (cause or Cause.UNREACHABLE)


class TestNoServer:
    async def test_a_name_that_is_none(self, smarthost: Build, deliver: Deliver):
        """A host name that cannot be looked up is an outcome with the name in it."""
        outcome = await deliver(smarthost(25, host="a..b"))
        assert_unreachable(outcome, "4.4.3")
        assert "a..b:25" in outcome.diagnostic

    async def test_cancelled_while_opening(self, smarthost: Build, deliver: Deliver):
        """A cancelled delivery leaves no connection behind, half open or whole."""
        connected = asyncio.Event()

        async def script(client: ScriptedClient) -> None:
            connected.set()
            assert await client.gone() == b""

        async with scripted_smtp(script) as port:
            task = asyncio.ensure_future(deliver(smarthost(port)))
            await connected.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    async def test_probe_in_time(self, smarthost: Build):
        """A probe of a silent server ends with the account's time-out."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("SIZE")
            await client.hear("NOOP")
            await client.gone()

        async with scripted_smtp(script) as port:
            result = await smarthost(port, timeout="2s").probe()
        assert (result.ok, result.cause) == (False, Cause.UNREACHABLE)
        assert result.detail.endswith("no answer in time")

    @pytest.mark.parametrize(
        ("reply", "cause"),
        [("421 4.3.2 shutting down", Cause.THROTTLED), (None, Cause.UNREACHABLE)],
    )
    async def test_probe_refused_or_cut(self, smarthost: Build, reply: str | None, cause: Cause):
        """What NOOP brings is told."""

        async def script(client: ScriptedClient) -> None:
            await client.greet("SIZE")
            await client.hear("NOOP")
            if reply is not None:
                await client.say(reply)
                await client.hear("QUIT")

        async with scripted_smtp(script) as port:
            result = await smarthost(port).probe()
        assert (result.ok, result.cause) == (False, cause)
        assert (reply or "the server closed the connection") in result.detail
