"""TLS, AUTH, PROXY and socket files on the wire, on both event loops."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import stat
import struct
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import argon2
import pytest
from structlog.testing import capture_logs

from gateway.ingress.limits import LimitRules
from gateway.ingress.policy import Auth, FrontDoorRules, Tls, TlsProfile
from gateway.ingress.server import FrontDoor, ListenerSpec, Security
from gateway.ingress.tls import load_tls
from gateway.ingress.users import User
from tests.support.certificates import Certificate, make_certificate
from tests.support.dialogue import Dialogue
from tests.support.fake_intake import FakeIntake
from tests.support.session_counts import SessionCounts

HASH = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("secret")
USERS = {"app": User("app", HASH)}
PLAIN = base64.b64encode(b"\0app\0secret").decode()
V2 = b"\r\n\r\n\x00\r\nQUIT\n"


class House:
    """A front door with one listener, and what it was given."""

    def __init__(
        self, rules: FrontDoorRules, spec: ListenerSpec, security: Security, **more: Any
    ) -> None:
        self.intake = FakeIntake()
        self.counts = SessionCounts()
        self.door = FrontDoor(rules, self.intake, (spec,), self.counts, security=security, **more)
        self._clients: list[Dialogue] = []

    async def connect(self, tls: ssl.SSLContext | None = None) -> Dialogue:
        """A client that has connected; it is closed after the test."""
        client = await Dialogue.connect(self.port, tls=tls)
        self._clients.append(client)
        return client

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        await self.door.stop()

    @property
    def port(self) -> int:
        return self.door.ports["app"]


Open = Callable[..., Awaitable[House]]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def open_house(certificate: Certificate) -> AsyncIterator[Open]:
    """Opens a front door whose one listener has these rules."""
    houses: list[House] = []

    async def make(
        *, spec: dict[str, Any] | None = None, limits: LimitRules | None = None, **rules: Any
    ) -> House:
        own = FrontDoorRules("gateway.example.com", **rules)
        where = {"host": "127.0.0.1", "port": 0} | (spec or {})
        security = Security(USERS, load_tls(certificate.certificate, certificate.key))
        house = House(own, ListenerSpec("app", rules=own, **where), security, limits=limits)
        houses.append(house)
        await house.door.start()
        return house

    yield make
    for house in houses:
        await house.close()


async def secured(house: House, certificate: Certificate) -> Dialogue:
    """A client that has begun TLS by STARTTLS and said EHLO again."""
    client = await house.connect()
    await client.hello()
    assert await client.say("STARTTLS") == ["220 2.0.0 Ready to start TLS"]
    await client.start_tls(certificate.client_context())
    assert (await client.say("EHLO client.example.com"))[-1] == "250 HELP"
    return client


async def test_starttls(open_house: Open, certificate: Certificate) -> None:
    """A letter after STARTTLS; the trace says ESMTPS."""
    house = await open_house(tls=Tls.REQUIRED)
    client = await secured(house, certificate)
    assert (await client.letter(b"hi")).startswith("250 ")
    assert await client.say("QUIT") == ["221 2.0.0 Bye"]
    await client.close()
    (submission,) = house.intake.submissions
    assert submission.client.tls
    assert await house.door.drain(60)
    assert house.counts.disconnected_from == ["app"]


async def test_nothing_is_injected_before_tls(open_house: Open, certificate: Certificate) -> None:
    """
    Commands that came in the clear behind STARTTLS are dropped, in one write and in two.

    Else who sits between puts his own in front of the client's (CVE-2011-0411 and its kin).
    """
    house = await open_house(tls=Tls.STARTTLS)
    client = await house.connect()
    await client.hello()
    await client.send(b"STARTTLS\r\nMAIL FROM:<evil@example.net>\r\nRCPT TO:<b@example.org>\r\n")
    await client.expect("220 2.0.0")
    await client.start_tls(certificate.client_context())
    assert await client.say("NOOP") == ["250 2.0.0 Ok"]
    assert (await client.say("DATA"))[0].startswith("503 ")
    assert (await client.say("MAIL FROM:<a@example.com>"))[0].startswith("503 5.5.1 Send HELO")
    await client.close()


async def test_handshake_that_fails(open_house: Open, certificate: Certificate) -> None:
    """No TLS behind STARTTLS, or a client that distrusts us: over, counted, told, nothing left."""
    house = await open_house(tls=Tls.STARTTLS)
    with capture_logs() as logs:
        client = await house.connect()
        await client.hello()
        await client.say("STARTTLS")
        await client.send(b"MAIL FROM:<a@example.com>\r\n" * 10)
        await client.rest()
        other = await Dialogue.connect(house.port)
        await other.hello()
        await other.say("STARTTLS")
        with pytest.raises(ssl.SSLCertVerificationError):
            await other.start_tls(ssl.create_default_context())
        other._writer.transport.abort()
        third = await house.connect()
        await third.hello()
        await third.say("STARTTLS")
        await third.reset()
        assert await house.door.drain(60)
    assert len(house.counts.disconnected_from) == 3
    failed = [line for line in logs if line["event"] == "tls_failed"]
    # Under TLS 1.3 the server is done before its client says that it does not trust it.
    assert 2 <= len(failed) == len(house.counts.failed_handshakes) <= 3
    assert "wrong version number" in [line["reason"] for line in failed]
    assert house.intake.contents == []


async def test_implicit_tls(open_house: Open, certificate: Certificate) -> None:
    """TLS from the first octet (port 465), the greeting behind it."""
    house = await open_house(tls=Tls.IMPLICIT, auth=Auth.REQUIRED)
    client = await house.connect(certificate.client_context())
    await client.expect("220 ")
    said = await client.say("EHLO client.example.com")
    assert "250-AUTH PLAIN LOGIN" in said
    assert "250-STARTTLS" not in said
    assert (await client.say("MAIL FROM:<a@example.com>"))[0].startswith("530 5.7.0 Auth")
    assert await client.say(f"AUTH PLAIN {PLAIN}") == ["235 2.7.0 Authentication successful"]
    assert (await client.letter(b"hi")).startswith("250 ")
    await client.close()
    (submission,) = house.intake.submissions
    assert (submission.client.user, submission.client.tls) == ("app", True)


async def test_clients_that_never_get_to_the_greeting(
    open_house: Open, certificate: Certificate
) -> None:
    """They count as connections, are turned away by the limit, and are told in the log."""
    house = await open_house(tls=Tls.IMPLICIT, max_connections=1)
    silent = await house.connect()
    await until(lambda: house.counts.connected_to == ["app"])
    extra = await house.connect()
    assert await extra.is_closed()
    assert house.counts.reasons == ["too_many_connections"]
    await silent.send(b"EHLO a\r\n")
    await silent.rest()
    await until(lambda: house.counts.disconnected_from == ["app"] * 2)
    assert house.counts.failed_handshakes == ["app"]
    client = await house.connect(certificate.client_context())
    await client.expect("220 ")
    await client.close()


async def test_stop_while_hands_are_shaken(open_house: Open) -> None:
    """A client in the middle of a handshake holds nothing up."""
    house = await open_house(tls=Tls.IMPLICIT)
    silent = await house.connect()
    await until(lambda: house.counts.connected_to == ["app"])
    await house.door.stop()
    assert await silent.is_closed()
    assert house.counts.disconnected_from == ["app"]


async def test_old_device(open_house: Open, certificate: Certificate) -> None:
    """TLS 1.0 where the profile is `old`, and only there."""
    context = certificate.client_context()
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # which is what this is about
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    modern = await open_house(tls=Tls.IMPLICIT)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await modern.connect(context)
    old = await open_house(tls=Tls.IMPLICIT, tls_profile=TlsProfile.OLD)
    client = await old.connect(context)
    assert client._writer.get_extra_info("ssl_object").version() == "TLSv1"
    await client.expect("220 ")
    await client.close()


async def test_new_certificate_leaves_sessions_alone(
    open_house: Open, certificate: Certificate, tmp_path: Path
) -> None:
    """After a reload new handshakes get the new one; a session under the old one goes on."""
    new = make_certificate(tmp_path)
    house = await open_house(tls=Tls.STARTTLS)
    before = await secured(house, certificate)
    idle = await house.connect()
    await idle.hello()
    users = {"other": User("other", HASH)}
    await house.door.secure(Security(users, load_tls(new.certificate, new.key)))
    assert (await before.letter(b"hi")).startswith("250 ")
    await idle.say("STARTTLS")
    await idle.start_tls(new.client_context())
    await idle.say("EHLO a")
    assert (await idle.letter(b"hi")).startswith("250 ")


async def test_wrong_passwords(open_house: Open) -> None:
    """535, slowed; then 421 and the address is shut out; the log says no password (T25)."""
    house = await open_house(
        auth=Auth.OPTIONAL, limits=LimitRules(auth_failures=3, auth_delay_s=0.01)
    )
    wrong = base64.b64encode(b"\0app\0hunter2").decode()
    slip = base64.b64encode(b"\0hunter2\0app").decode()
    with capture_logs() as logs:
        client = await house.connect()
        await client.hello()
        assert await client.say(f"AUTH PLAIN {wrong}") == [
            "535 5.7.8 Authentication credentials invalid"
        ]
        assert (await client.say(f"AUTH PLAIN {slip}"))[0].startswith("535 ")
        assert (await client.say(f"AUTH PLAIN {wrong}"))[0].startswith("421 4.7.0")
        assert await client.is_closed()
        again = await house.connect()
        await again.hello()
        assert (await again.say(f"AUTH PLAIN {PLAIN}"))[0].startswith("421 4.7.0")
        assert await again.is_closed()
    assert "hunter2" not in repr(logs)
    assert [line["user"] for line in logs if line["event"] == "auth_failed"] == ["app", None, "app"]
    assert [line["event"] for line in logs].count("auth_shut_out") == 1


async def test_response_that_looks_like_a_command(open_house: Open) -> None:
    """What AUTH waits for is not obeyed, though `MAIL` and `DATA` are base64 too."""
    house = await open_house(auth=Auth.OPTIONAL, limits=LimitRules(auth_delay_s=0.01))
    client = await house.connect()
    await client.hello()
    for word in ("MAIL", "RCPT", "DATA"):
        assert await client.say("AUTH LOGIN") == ["334 VXNlcm5hbWU6"]
        assert await client.say(word) == ["334 UGFzc3dvcmQ6"]
        assert (await client.say(word))[0].startswith("535 5.7.8")
    assert house.door._reception.limits._failures["127.0.0.1"].count == 3


async def test_client_that_leaves_before_its_535(open_house: Open) -> None:
    """Nothing waits for somebody who has gone."""
    house = await open_house(auth=Auth.OPTIONAL, limits=LimitRules(auth_delay_s=3600))
    wrong = base64.b64encode(b"\0app\0wrong").decode()
    client = await house.connect()
    await client.hello()
    await client.send(f"AUTH PLAIN {wrong}\r\n".encode())
    await until(lambda: bool(house.door._reception.limits._failures))
    await client.reset()
    await until(lambda: house.counts.disconnected_from == ["app"])


async def test_socket_file(open_house: Open, tmp_path: Path) -> None:
    """Permissions from the start; its clients may relay; one left behind is no hindrance."""
    path = tmp_path / "mailquay.sock"
    spec = {"host": "", "path": path, "mode": 0o600}
    house = await open_house(spec=spec, local=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    client = Dialogue(*await asyncio.open_unix_connection(str(path)))
    await client.hello()
    assert (await client.letter(b"hi")).startswith("250 ")
    await client.close()
    assert house.intake.submissions[0].client.address == ""
    with pytest.raises(OSError, match="in use"):
        await open_house(spec=spec, local=True)
    await house.door.stop()
    assert not path.exists()
    with socket_file_left_at(path):
        again = await open_house(spec=spec, local=True)
        assert path.is_socket()
        await again.door.stop()


def socket_file_left_at(path: Path) -> Any:
    """A socket that nobody listens on, as a killed daemon leaves it."""
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    return made


async def test_one_address_does_not_take_all_connections(open_house: Open) -> None:
    """421 to one more than its share."""
    house = await open_house(max_connections_per_address=2)
    two = [await house.connect() for _ in range(2)]
    for client in two:
        await client.hello()
    extra = await house.connect()
    await extra.expect("421 4.7.0 Too many connections from your address")
    assert await extra.is_closed()
    assert await two[0].say("QUIT") == ["221 2.0.0 Bye"]
    await until(lambda: len(house.counts.disconnected_from) == 2)
    again = await house.connect()
    await again.hello()


def v2(source: str, command: int = 1) -> bytes:
    """A header of version 2 for an IPv4 client, with some octets behind the addresses."""
    octets = bytes(map(int, source.split("."))) + bytes([127, 0, 0, 1])
    tail = octets + struct.pack("!HH", 40000, 25) + b"\x04\x00\x01\x00"
    return V2 + struct.pack("!BBH", 0x20 | command, 0x11, len(tail)) + tail


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (b"PROXY TCP4 192.0.2.7 127.0.0.1 40000 25\r\n", "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 40000 25\r\n", "2001:db8::7"),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 40000 25\r\n", "192.0.2.7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (v2("192.0.2.7"), "192.0.2.7"),
        (v2("192.0.2.7", command=0), "127.0.0.1"),
    ],
)
@pytest.mark.parametrize("tls", [Tls.OFF, Tls.IMPLICIT])
async def test_client_behind_a_proxy(
    open_house: Open, certificate: Certificate, header: bytes, address: str, tls: Tls
) -> None:
    """Its own address counts for networks; what follows the header is the client's, TLS too."""
    house = await open_house(
        tls=tls,
        networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")),
        spec={"proxy_networks": (ip_network("127.0.0.0/8"),)},
    )
    client = await house.connect()
    if tls is Tls.OFF:
        await client.send(header + b"EHLO client.example.com\r\n")
        await client.expect("220 ", "250 HELP")
    else:
        await client.send(header)
        await client.start_tls(certificate.client_context())
        await client.hello()
    if address == "127.0.0.1":
        assert (await client.say("MAIL FROM:<a@example.com>"))[0].startswith("550 ")
    else:
        assert (await client.letter(b"hi")).startswith("250 ")
        assert house.intake.submissions[0].client.address == address
    await client.close()


@pytest.mark.parametrize(
    "header",
    [
        b"EHLO client.example.com\r\n",
        b"PROXY TCP4 nonsense 127.0.0.1 1 2\r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP4 192.0.2.7 127.0.0.1 40000 25 " + b"x" * 200 + b"\r\n",
        V2 + struct.pack("!BBH", 0x21, 0x11, 65535),
        V2 + struct.pack("!BBH", 0x21, 0x11, 4) + b"xxxx",
        V2 + struct.pack("!BBH", 0x99, 0x11, 0),
    ],
)
async def test_proxy_that_says_no_header(open_house: Open, header: bytes) -> None:
    """Who must say who the client is and does not is cut off, without a guess."""
    house = await open_house(spec={"proxy_networks": (ip_network("127.0.0.0/8"),)})
    with capture_logs() as logs:
        client = await house.connect()
        await client.send(header)
        assert await client.is_closed()
    assert [line["event"] for line in logs] == ["bad_proxy_header"]
    assert house.counts.connected_to == []


async def test_header_from_elsewhere_is_not_believed(open_house: Open) -> None:
    """A client that gives itself another address gets 521, on every kind of listener."""
    for spec in ({}, {"proxy_networks": (ip_network("192.0.2.0/24"),)}):
        house = await open_house(spec=spec)
        for header in (b"PROXY TCP4 192.0.2.7 127.0.0.1 40000 25\r\n", v2("192.0.2.7")):
            client = await house.connect()
            await client.expect("220 ")
            await client.send(header + b"EHLO a\r\nMAIL FROM:<a@example.com>\r\n")
            assert b"\r\n250" not in await client.rest()
            await client.close()


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something holds; five seconds at most."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)
