"""What the front door allows, and every reply it can give."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from gateway.domain.lifecycle import State
from gateway.domain.verdict import Answer
from gateway.ingress import policy, replies
from gateway.ingress.policy import Auth, FrontDoorRules, Tls
from gateway.ingress.replies import REASONS, Reason
from gateway.ingress.submission import Client, Reply

RULES = FrontDoorRules("gateway.example.com")

ALL_REPLIES = (
    *(value for value in vars(replies).values() if isinstance(value, Reply)),
    replies.greeting("gateway.example.com"),
    replies.hello("gateway.example.com"),
    replies.extended_hello("gateway.example.com", 1000),
    replies.extended_hello("gateway.example.com", 1000, ("STARTTLS", "AUTH PLAIN LOGIN")),
    replies.challenge(b""),
    replies.challenge(b"Username:"),
    replies.bad_parameter("SIZE"),
    replies.line_too_long(2048),
    replies.message_too_big(1000),
    replies.too_many_recipients(100),
    replies.queued_as("0123456789ABC"),
    replies.cannot_be_carried("bulk: two attachments"),
    replies.bad_instruction("X-Mailquay-Mode", "is neither queue nor direct"),
    replies.handed_over([("bob@example.com", "12345")], "0123456789ABC", 0),
    replies.handed_over([(f"{n}{'x' * 60}@example.com", "1" * 60) for n in range(9)], "Q", 1),
    replies.refused([Answer(0, State.FAILED, "5.1.1", "550 5.1.1 no\r\nü" + "x" * 999)], "Q"),
    replies.refused([Answer(0, State.FAILED, "5.7.1"), Answer(1, State.FAILED, "5.1.1")], "Q"),
    replies.spool_unhealthy("the disk is full", full=True),
    replies.spool_unhealthy("the disk fails", full=False),
    replies.spool_unavailable("0123456789ABC"),
    replies.internal_error("0a1b2c3d"),
)


def client(address: str, user: str = "") -> Client:
    return Client(address, "client.example.com", esmtp=True, user=user)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1"])
def test_loopback_may_relay_by_default(address: str) -> None:
    """An application beside us needs no configuration."""
    assert policy.refuse_client(RULES, client(address)) is None


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "", "128.0.0.1"])
def test_strangers_may_not(address: str) -> None:
    """No open relay, also for a client whose address is not known."""
    assert policy.refuse_client(RULES, client(address)) is replies.RELAY_DENIED


def test_networks_and_users() -> None:
    """A network of the configuration, or a name that was proved; with no networks, nobody else."""
    rules = replace(RULES, networks=(ip_network("192.0.2.0/24"),))
    assert policy.refuse_client(rules, client("192.0.2.77")) is None
    assert policy.refuse_client(rules, client("127.0.0.1")) is replies.RELAY_DENIED
    assert policy.refuse_client(rules, client("198.51.100.1", user="app")) is None
    nobody = replace(RULES, networks=())
    assert policy.refuse_client(nobody, client("127.0.0.1")) is replies.RELAY_DENIED


@pytest.mark.parametrize(
    ("tls", "auth", "secured", "refusal"),
    [
        (Tls.OFF, Auth.OFF, False, replies.RELAY_DENIED),
        (Tls.OFF, Auth.OPTIONAL, False, replies.RELAY_DENIED),
        (Tls.STARTTLS, Auth.OPTIONAL, False, replies.NEED_STARTTLS),
        (Tls.STARTTLS, Auth.OPTIONAL, True, replies.AUTH_REQUIRED),
        (Tls.IMPLICIT, Auth.REQUIRED, True, replies.AUTH_REQUIRED),
        (Tls.IMPLICIT, Auth.OFF, True, replies.RELAY_DENIED),
    ],
)
def test_stranger_is_told_how_to_get_in(
    tls: Tls, auth: Auth, secured: bool, refusal: Reply
) -> None:
    """RFC 4954 6, RFC 3207 4: the next thing to do, where there is one, and no more than that."""
    rules = replace(RULES, tls=tls, auth=auth)
    stranger = replace(client("192.0.2.1"), tls=secured)
    assert policy.refuse_client(rules, stranger) is refusal


def test_demanded_auth_is_demanded_of_all() -> None:
    """A listener that demands AUTH does not ask where a client comes from."""
    rules = replace(RULES, auth=Auth.REQUIRED)
    assert policy.refuse_client(rules, client("127.0.0.1")) is replies.AUTH_REQUIRED
    socket_file = replace(rules, local=True)
    assert policy.refuse_client(socket_file, client("")) is replies.AUTH_REQUIRED
    assert policy.refuse_client(rules, client("127.0.0.1", user="app")) is None


def test_socket_file_lets_in_who_can_open_it() -> None:
    """Its permissions are its network."""
    assert policy.refuse_client(replace(RULES, local=True), client("")) is None


@pytest.mark.parametrize(
    ("address", "secured", "rules", "offered"),
    [
        ("192.0.2.1", False, RULES, False),
        ("192.0.2.1", True, RULES, False),
        ("192.0.2.1", False, replace(RULES, auth=Auth.OPTIONAL), False),
        ("192.0.2.1", True, replace(RULES, auth=Auth.OPTIONAL), True),
        ("192.0.2.1", False, replace(RULES, auth=Auth.OPTIONAL, auth_without_tls=True), True),
        ("127.0.0.1", False, replace(RULES, auth=Auth.OPTIONAL), True),
        ("", False, replace(RULES, auth=Auth.OPTIONAL, local=True), True),
        ("", False, replace(RULES, auth=Auth.OPTIONAL), False),
    ],
)
def test_password_is_asked_for_where_nobody_listens(
    address: str, secured: bool, rules: FrontDoorRules, offered: bool
) -> None:
    """RFC 4954 4: over TLS, from this machine, or where the operator says so."""
    asked = replace(client(address), tls=secured)
    assert policy.offers_auth(rules, asked) is offered
    if rules.auth is not Auth.OFF and not offered:
        assert policy.refuse_auth(rules, asked) is replies.AUTH_NEEDS_TLS


@pytest.mark.parametrize(
    ("networks", "open_"),
    [
        ((), False),
        (("10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12", "fd00::/8", "127.0.0.0/8"), False),
        (("192.0.2.0/24", "2001:db8::/32"), False),
        (("198.0.0.0/12",), False),
        (("198.0.0.0/11",), True),
        (("0.0.0.0/0",), True),
        (("::/0",), True),
        (("0.0.0.0/1", "128.0.0.0/1"), True),
        (tuple(f"{n}.0.0.0/12" for n in (20, 30)), True),
        (("2000::/3",), True),
        (("10.0.0.0/7",), True),
    ],
)
def test_networks_that_are_an_open_relay(networks: tuple[str, ...], open_: bool) -> None:
    """Also in pieces; private ones may be as large as they are."""
    assert bool(policy.open_relay(tuple(map(ip_network, networks)))) is open_


@pytest.mark.parametrize(
    ("peername", "address"),
    [
        (("127.0.0.1", 40000), "127.0.0.1"),
        (("::1", 40000, 0, 0), "::1"),
        (("::ffff:192.0.2.1", 40000, 0, 0), "192.0.2.1"),
        (("fe80::1%eth0", 40000, 0, 2), "fe80::1%eth0"),
        ("", ""),
        (None, ""),
    ],
)
def test_address_of_a_peer(peername: object, address: str) -> None:
    """An IPv4 client of an IPv6 listener is judged by its IPv4 address."""
    assert policy.client_address(peername) == address


@pytest.mark.parametrize(
    "change",
    [
        {"hostname": ""},
        {"hostname": "two words"},
        {"hostname": "a\r\nEvil: b"},
        {"networks": (ip_network("0.0.0.0/0"),)},
        {"networks": (ip_network("::/0"),)},
        {"max_message_size": 0},
        {"max_recipients": -1},
        {"max_connections": 0},
        {"max_errors": 0},
        {"max_commands": 0},
        {"min_data_rate": 0},
        {"command_timeout_s": 0.0},
        {"data_timeout_s": -1.0},
    ],
)
def test_rules_that_make_no_sense(change: dict[str, object]) -> None:
    """Rules refuse to be built wrong; above all they cannot make an open relay."""
    with pytest.raises(ValueError, match=r"host name|strangers|positive"):
        replace(RULES, **change)


def test_recipient_limit() -> None:
    """T21: the limit is the configured one, and tells itself."""
    rules = replace(RULES, max_recipients=2)
    assert policy.refuse_recipient(rules, 1) is None
    refusal = policy.refuse_recipient(rules, 2)
    assert refusal is not None
    assert refusal.line() == b"452 4.5.3 Too many recipients, the limit is 2\r\n"


@pytest.mark.parametrize("reply", ALL_REPLIES, ids=lambda reply: reply.text[:30])
def test_reply_is_well_formed(reply: Reply) -> None:
    """One reply on the wire: ASCII, lines of 512 octets at most, its code on each."""
    wire = reply.line()
    assert wire.isascii()
    lines = wire.split(b"\r\n")
    assert lines.pop() == b""
    for number, line in enumerate(lines, start=1):
        assert line[:3] == b"%d" % reply.code
        assert line[3:4] == (b" " if number == len(lines) else b"-")
        assert len(line) <= 510
        assert b"\r" not in line
        assert b"\n" not in line


@pytest.mark.parametrize("reply", ALL_REPLIES, ids=lambda reply: reply.text[:30])
def test_reply_has_a_status_where_one_belongs(reply: Reply) -> None:
    """RFC 2034: everywhere but in the greeting, in replies to HELO and EHLO, in 334 and 354."""
    bare = reply.reason in (Reason.GREETING, Reason.HELLO, Reason.SEND_DATA, Reason.CHALLENGE)
    assert bare == (reply.status == "")


def test_own_trouble_is_temporary() -> None:
    """T11, T20: a client that comes back later finds us well."""
    ours = {
        Reason.TOO_MANY_CONNECTIONS, Reason.SHUTTING_DOWN, Reason.NO_MEMORY, Reason.SPOOL_FULL,
        Reason.SPOOL_UNHEALTHY, Reason.SPOOL_UNAVAILABLE, Reason.INTERNAL_ERROR, Reason.NO_TLS,
        Reason.AUTH_BUSY,
    }  # fmt: skip
    codes = {reply.code for reply in ALL_REPLIES if reply.reason in ours}
    assert codes == {421, 451, 452, 454}


def test_reasons_are_a_closed_list_and_all_are_used() -> None:
    """A metric label that no reply has would be a promise nobody keeps."""
    assert set(REASONS) == {reply.reason for reply in ALL_REPLIES}
    assert len(set(REASONS)) == len(REASONS)


def test_text_from_elsewhere_stays_on_its_line() -> None:
    """A provider's or a disk's word cannot begin a reply of its own, or fill the line."""
    for reply in (
        replies.cannot_be_carried("a\r\n250 Ok\tü" + "x" * 1000),
        replies.refused([Answer(0, State.FAILED, "5.1.1", "a\r\n250 Ok\tü" + "x" * 1000)], "Q"),
        replies.spool_unhealthy("a\r\n250 Ok\tü" + "x" * 1000, full=False),
    ):
        assert reply.line().count(b"\r\n") == 1
        assert reply.line().isascii()
        assert len(reply.line()) <= 512
    assert replies.cannot_be_carried("").line().endswith(b"no reason given\r\n")


def test_reply_of_two_lines_cannot_be_built() -> None:
    """Nor can anybody else make one."""
    with pytest.raises(ValueError, match="one line"):
        Reply(250, "2.0.0", "Ok\r\n250 2.0.0 Ok", Reason.OK)


def test_challenges_are_those_that_clients_know() -> None:
    """T17: the words that clients compare with, and the blank of an empty challenge."""
    assert replies.challenge(b"").line() == b"334 \r\n"
    assert replies.challenge(b"Username:").line() == b"334 VXNlcm5hbWU6\r\n"
    assert replies.challenge(b"Password:").line() == b"334 UGFzc3dvcmQ6\r\n"


def test_what_ehlo_offers() -> None:
    """T21: what we do and no more, with the configured size."""
    assert replies.extended_hello("gateway.example.com", 26214400, ("STARTTLS",)).line() == (
        b"250-gateway.example.com\r\n"
        b"250-PIPELINING\r\n"
        b"250-SIZE 26214400\r\n"
        b"250-8BITMIME\r\n"
        b"250-CHUNKING\r\n"
        b"250-SMTPUTF8\r\n"
        b"250-ENHANCEDSTATUSCODES\r\n"
        b"250-DSN\r\n"
        b"250-STARTTLS\r\n"
        b"250 HELP\r\n"
    )
