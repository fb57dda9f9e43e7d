"""The sans-IO parts of the front door against naive models, at random."""

from __future__ import annotations

import base64
import contextlib
import re
from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.ingress import commands, replies, sasl
from gateway.ingress.commands import MailCommand, RcptCommand
from gateway.ingress.dialogue import Dialogue
from gateway.ingress.lines import MAX_COMMAND_LINE, LineFault, LineReader
from gateway.ingress.policy import Auth, FrontDoorRules, Tls
from gateway.ingress.reader import ChunkReader, DataReader
from gateway.ingress.reception import Reception
from gateway.ingress.submission import Client, Reply, Submission
from gateway.ingress.tls import ServerTls
from gateway.ingress.trace import received_field
from gateway.ingress.users import BadUsersFile, parse_users
from providers.contract.address import parse_address
from tests.support.builders import an_envelope
from tests.support.fake_intake import FakeIntake
from tests.support.session_counts import SessionCounts

# Octets that matter, more often than the others.
FRAGMENTS = st.sampled_from(
    [b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"..", b"\r\n.\r\n", b"\n.\n", b"a", b"\x00", b"\xff"]
)
WIRE = st.lists(FRAGMENTS | st.binary(max_size=3), max_size=40).map(b"".join)
NOW = datetime(2026, 11, 23, 10, 20, 30, tzinfo=UTC)
CUTS = st.lists(st.integers(0, 200), max_size=20)


def chunks(octets: bytes, cuts: list[int]) -> list[bytes]:
    """The octets cut at these places, empty chunks too."""
    places = [0, *sorted(min(cut, len(octets)) for cut in cuts), len(octets)]
    return [octets[start:end] for start, end in pairwise(places)]


def with_whole_line_ends(octets: bytes) -> bytes:
    """Octet by octet: CRs before an LF are one line end with it, all others are one each."""
    out, at = b"", 0
    while at < len(octets):
        run = 0
        while octets[at + run : at + run + 1] == b"\r":
            run += 1
        if octets[at + run : at + run + 1] == b"\n":
            out, at = out + b"\r\n", at + run + 1
        elif run:
            out, at = out + b"\r\n" * run, at + run
        else:
            out, at = out + octets[at : at + 1], at + 1
    return out


def naive_read(wire: bytes) -> tuple[bytes, int, bytes] | None:
    """Content, repairs and rest by the book, line by line; `None` where there is no end."""
    before, end, rest = (b"\r\n" + wire).partition(b"\r\n.\r\n")
    if not end:
        return None
    lines = (before + b"\r\n").split(b"\r\n")[1:]
    content = b"\r\n".join(line.removeprefix(b".") for line in lines)
    bare = content.replace(b"\r\n", b"")
    content = re.sub(rb"(?<!\r)\n\.\.", b"\n.", content)  # clients double behind a bare LF too
    return with_whole_line_ends(content), bare.count(b"\r") + bare.count(b"\n"), rest


@given(WIRE, CUTS)
def test_content_is_what_a_naive_reader_finds(wire: bytes, cuts: list[int]) -> None:
    """T18: end, dots, line ends and leftover are exact, whatever comes and however it is cut."""
    reader = DataReader(1 << 20)
    parts = chunks(wire, cuts)
    rest = None
    while parts and rest is None:
        rest = reader.feed(parts.pop(0))
    found = (reader.content(), reader.repairs, rest + b"".join(parts)) if rest is not None else None
    assert found == naive_read(wire)
    assert reader.ended == (found is not None)


@given(WIRE, CUTS)
def test_content_has_whole_line_ends_alone(wire: bytes, cuts: list[int]) -> None:
    """T18: whatever comes in, what goes on has CRLF and neither of its halves alone."""
    reader = DataReader(1 << 20)
    for part in chunks(wire + b"\r\n.\r\n", cuts):
        if reader.feed(part) is not None:
            break
    content = reader.content()
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
    assert not content or content.endswith(b"\r\n")


@given(st.lists(st.binary(max_size=30), max_size=10), CUTS)
def test_what_a_client_stuffs_comes_out_again(lines: list[bytes], cuts: list[int]) -> None:
    """RFC 5321 4.5.2 there and back."""
    content = b"".join(re.sub(rb"[\r\n]", b"", line) + b"\r\n" for line in lines)
    stuffed = re.sub(rb"(?m)^\.", b"..", content)
    reader = DataReader(1 << 20)
    for part in chunks(stuffed + b".\r\n", cuts):
        reader.feed(part)
    assert reader.content() == content
    assert reader.repairs == 0


@given(WIRE, CUTS, st.integers(0, 60))
def test_limit_is_on_the_content(wire: bytes, cuts: list[int], limit: int) -> None:
    """RFC 1870: a letter is refused exactly when what would be kept is over the limit."""
    wire = re.sub(rb"\r+", b"\r", wire)  # what repairs make much shorter is over it as it comes
    reader = DataReader(limit)
    for part in chunks(wire + b"\r\n.\r\n", cuts):
        if reader.feed(part) is not None:
            break
    expected = naive_read(wire + b"\r\n.\r\n")
    assert expected is not None
    assert reader.too_big == (len(expected[0]) > limit)
    assert reader.content() == (b"" if reader.too_big else expected[0])


@given(st.lists(WIRE, max_size=6), st.binary(max_size=5), CUTS)
def test_chunks_are_exact(pieces: list[bytes], rest: bytes, cuts: list[int]) -> None:
    """RFC 3030: what the sizes say is the content, whatever it is and however it is cut."""
    reader = ChunkReader(1 << 20)
    for number, piece in enumerate(pieces):
        reader.expect(len(piece), last=number == len(pieces) - 1)
        parts = chunks(piece + rest, cuts)
        after = reader.feed(parts.pop(0))
        while after is None:
            after = reader.feed(parts.pop(0))
        assert after + b"".join(parts) == rest
    content = with_whole_line_ends(b"".join(pieces))
    if content and not content.endswith(b"\r\n"):
        content += b"\r\n"
    assert reader.content() == content


COMMAND_WIRE = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"NOOP", b" ", b"N" * 1000, b"N" * MAX_COMMAND_LINE]),
    max_size=12,
).map(b"".join)


@given(COMMAND_WIRE, st.lists(st.integers(0, 9000), max_size=20))
def test_lines_are_what_a_naive_reader_finds(wire: bytes, cuts: list[int]) -> None:
    """T14, T18: lines and faults are exact however they are cut, and little is held."""
    expected: list[bytes | LineFault] = []
    for line in wire.split(b"\n")[:-1]:
        if len(line) > MAX_COMMAND_LINE + 1:
            expected.append(LineFault.TOO_LONG)
        elif not line.endswith(b"\r"):
            expected.append(LineFault.BARE_LF)
        else:
            expected.append(line[:-1])
    reader, found = LineReader(), []
    for part in chunks(wire, cuts):
        reader.feed(part)
        while (line := reader.next()) is not None:
            found.append(line)
        assert reader.pending <= MAX_COMMAND_LINE + 1
    assert found == expected


ADDRESSES = st.builds(
    "{}@{}.example".format,
    st.text("abz09!#$%&'*+/=?^_`{|}~.-", min_size=1, max_size=20),
    st.text("abz09", min_size=1, max_size=10),
)
PARAMETERS = st.lists(
    st.sampled_from(
        ["SIZE=10", "BODY=7BIT", "BODY=8BITMIME", "SMTPUTF8", "RET=FULL", "ENVID=a+20b", "AUTH=<>"]
    ),
    unique_by=lambda word: word.partition("=")[0],
)


@given(
    ADDRESSES,
    PARAMETERS,
    st.sampled_from(["FROM:<{}>", "from: <{}>", "FROM:{}", "From : {}", "FROM:<@x.example:{}>"]),
)
def test_mail_there_and_back(address: str, parameters: list[str], form: str) -> None:
    """T16: every spelling of a good MAIL is read as what it says."""
    line = " ".join([form.format(address), *parameters])
    parsed = commands.parse_mail(line.encode())
    assert isinstance(parsed, MailCommand), parsed
    assert parsed.reverse_path == parse_address(address)
    assert parsed.size == (10 if "SIZE=10" in parameters else 0)
    assert parsed.smtputf8 == ("SMTPUTF8" in parameters)


WORDS = [
    *("MAIL", "RCPT", "mail", "FROM:", "TO:", "<", ">", "a@example.com", "@x:", '"', "\\", "\t"),
    *("\r", "\x00", "я", "SIZE=", "ORCPT=", "rfc822;", "+0D", "NOTIFY=NEVER", ",", "=", "DATA"),
    *("RSET", "postmaster", " ", "EHLO a", "9" * 30),
]
COMMAND_LINES = st.binary(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=12).map(
    lambda words: "".join(words).encode()
)


@given(COMMAND_LINES)
def test_parsers_never_raise(argument: bytes) -> None:
    """Whatever stands in a line, the answer is a value or a reply with one line of ASCII."""
    for parsed in (commands.parse_mail(argument), commands.parse_rcpt(argument, "gw.example.com")):
        assert isinstance(parsed, MailCommand | RcptCommand | Reply)
        if isinstance(parsed, Reply):
            assert parsed.line().isascii()
            assert parsed.line().count(b"\r\n") == 1
    verb, _ = commands.split_verb(argument)
    assert isinstance(commands.refuse_verb(verb), Reply)
    assert commands.parse_hello(argument).isascii()


@given(st.lists(COMMAND_LINES | st.sampled_from(LineFault), max_size=15))
def test_any_dialogue_has_an_answer(lines: list[bytes | LineFault]) -> None:
    """Each line gets one reply, and 354 comes with a whole envelope only."""
    rules = FrontDoorRules("gateway.example.com", max_recipients=2)
    dialogue = Dialogue(Reception(rules, FakeIntake(), SessionCounts()), "127.0.0.1")
    for line in lines:
        reply = dialogue.answer(line)
        assert 200 <= reply.code < 600
        if reply is replies.SEND_DATA:
            assert 1 <= len(dialogue.take_envelope().recipients) <= 2
            assert not dialogue.within_letter


AUTH_LINES = st.sampled_from(
    [
        *(
            "EHLO a",
            "HELO a",
            "STARTTLS",
            "AUTH PLAIN",
            "AUTH LOGIN",
            "AUTH PLAIN AGEAYg==",
            "AUTH",
        ),
        *("YQ==", "AGEAYg==", "*", "=", "!", "", "MAIL FROM:<a@example.com>"),
        *("RCPT TO:<b@c.example>", "DATA", "RSET", "NOOP"),
    ]
).map(str.encode)


@given(
    st.lists(AUTH_LINES | COMMAND_LINES, max_size=20), st.sampled_from(Tls), st.sampled_from(Auth)
)
def test_nobody_gets_in_unchecked(lines: list[bytes], tls: Tls, auth: Auth) -> None:
    """
    Whatever is said: no letter of a stranger whose credentials nobody has found to be right.

    And none before TLS where that is demanded, nor a password taken in the clear.
    """
    rules = FrontDoorRules("gateway.example.com", tls=tls, auth=auth)
    certificate = ServerTls({}, NOW)
    reception = Reception(rules, FakeIntake(), SessionCounts(), tls=certificate)
    dialogue = Dialogue(reception, "192.0.2.1", tls=tls is Tls.IMPLICIT)
    for line in lines:
        reply = dialogue.answer(line)
        assert reply.line().startswith(b"%d" % reply.code)
        assert not dialogue.within_letter
        if reply is replies.START_TLS:
            assert tls in {Tls.STARTTLS, Tls.REQUIRED}
            dialogue.secured()
            assert not dialogue.client.helo
        if dialogue.credentials is not None:
            assert auth is not Auth.OFF
            assert dialogue.client.tls
            assert dialogue.refuse_credentials(reply) is replies.AUTH_FAILED
        assert not dialogue.client.user


@given(st.binary(max_size=100))
def test_any_base64_has_an_answer(line: bytes) -> None:
    """Octets or a reply; what was encoded comes back whole."""
    assert isinstance(sasl.decode(line), bytes | Reply)
    assert sasl.decode(base64.b64encode(line)) == line
    for name in (b"PLAIN", b"LOGIN"):
        exchange = sasl.exchange(name)
        assert exchange is not None
        assert isinstance(exchange.respond(line), Reply | sasl.Credentials)


@given(st.text(max_size=200))
def test_any_users_file_has_an_answer(text: str) -> None:
    """Users by their names, or a fault and no other exception."""
    with contextlib.suppress(BadUsersFile):
        assert all(name == user.name for name, user in parse_users(text).items())


@given(st.text(max_size=300), st.booleans())
def test_no_client_writes_into_our_field(helo: str, esmtp: bool) -> None:
    """Header injection by EHLO is impossible: our Received has four lines and ends once."""
    submission = Submission(an_envelope(), b"", "app", Client("192.0.2.7", helo, esmtp))
    field = received_field(submission, queue_id="0123456789ABC", hostname="gw.example.com", now=NOW)
    lines = field.decode("ascii").split("\r\n")
    assert [line[:1] for line in lines] == ["R", "\t", "\t", "\t", ""]
    assert all(line.isprintable() for line in (line.strip("\t") for line in lines))
    assert max(map(len, lines)) < 998
