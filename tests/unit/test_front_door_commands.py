"""Command lines as clients write them, and what is made of them."""

from __future__ import annotations

import pytest

from gateway.ingress import commands, replies
from gateway.ingress.commands import MailCommand, RcptCommand
from gateway.ingress.submission import Reply
from providers.contract.address import parse_address
from providers.contract.envelope import BodyType, Notify, Ret

HOSTNAME = "gateway.example.com"


def mail(argument: str) -> MailCommand | Reply:
    return commands.parse_mail(argument.encode())


def rcpt(argument: str) -> RcptCommand | Reply:
    return commands.parse_rcpt(argument.encode(), HOSTNAME)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"MAIL FROM:<a@example.com>", (b"MAIL", b"FROM:<a@example.com>")),
        (b"mail  FROM:<a@example.com> ", (b"MAIL", b"FROM:<a@example.com>")),
        (b"MAIL\tFROM:<a@example.com>", (b"MAIL", b"FROM:<a@example.com>")),
        (b"  noop", (b"NOOP", b"")),
        (b"QUIT", (b"QUIT", b"")),
        (b"", (b"", b"")),
        (b"   ", (b"", b"")),
    ],
)
def test_verb_and_argument(line: bytes, expected: tuple[bytes, bytes]) -> None:
    """Case and blanks do not matter."""
    assert commands.split_verb(line) == expected


@pytest.mark.parametrize(
    ("verb", "reply"),
    [
        (b"", replies.EMPTY_LINE),
        (b"XYZZY", replies.UNKNOWN_COMMAND),
        (b"ETRN", replies.NOT_IMPLEMENTED),
        (b"EXPN", replies.NOT_IMPLEMENTED),
        (b"GET", replies.NOT_SMTP),
        (b"POST", replies.NOT_SMTP),
        (b"PROXY", replies.NOT_SMTP),
        (b"\x16\x03", replies.NOT_SMTP),
    ],
)
def test_verbs_that_are_no_commands_here(verb: bytes, reply: Reply) -> None:
    """Unknown, known and not offered, and not SMTP at all are three different things."""
    assert commands.refuse_verb(verb) is reply


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        (b"client.example.com", "client.example.com"),
        (b"[127.0.0.1]", "[127.0.0.1]"),
        (b"my computer", "my"),
        (b"a\x00b\xff(c", "a?b?(c"),
        (b"x" * 300, "x" * 255),
        (b"", ""),
        (b"  ", ""),
    ],
)
def test_client_may_call_itself_anything(argument: bytes, name: str) -> None:
    """What goes into log and Received is short and printable."""
    assert commands.parse_hello(argument) == name


@pytest.mark.parametrize(
    "argument",
    [
        "FROM:<a@example.com>",
        "from:<a@example.com>",
        "From: <a@example.com>",
        "FROM:\t <a@example.com>",
        "FROM : <a@example.com>",
        "FROM:< a@example.com >",
        "FROM:a@example.com",
        "FROM: a@example.com",
        "FROM:<@relay.example.net:a@example.com>",
        "FROM:<@relay.example.net,@other.example.net:a@example.com>",
        "FROM:<a@EXAMPLE.com>",
    ],
)
@pytest.mark.parametrize("end", ["", " SIZE=5", "  SIZE=5 "])
def test_one_path_in_many_spellings(argument: str, end: str) -> None:
    """Old clients get through; a source route is ignored (RFC 5321 appendix C)."""
    parsed = mail(argument + end)
    assert isinstance(parsed, MailCommand)
    assert parsed.reverse_path == parse_address("a@example.com")
    assert parsed.size == (5 if end else 0)


@pytest.mark.parametrize("argument", ["FROM:<>", "FROM: <>", "from:<> SIZE=0", "FROM:< >"])
def test_null_reverse_path(argument: str) -> None:
    """Bounces are mail too."""
    parsed = mail(argument)
    assert isinstance(parsed, MailCommand)
    assert parsed.reverse_path is None


def test_quoted_local_part() -> None:
    """Blanks, brackets, @ and > within quotes belong to the address."""
    for address in ('"a b"@example.com', '"a>@<b"@example.com', r'"a\"b"@example.com'):
        for argument in (f"FROM:<{address}> SIZE=1", f"FROM:{address} SIZE=1"):
            parsed = mail(argument)
            assert isinstance(parsed, MailCommand), argument
            assert parsed.reverse_path == parse_address(address)


def test_addresses_beyond_ascii() -> None:
    """An internationalised domain and local part, with SMTPUTF8 or without."""
    parsed = rcpt("TO:<почта@пример.рф>")
    assert isinstance(parsed, RcptCommand)
    assert parsed.forward_path.local_part == "почта"
    assert parsed.forward_path.domain == "xn--e1afmkfd.xn--p1ai"


def test_postmaster_needs_no_domain() -> None:
    """RFC 5321 4.5.1, in any case."""
    for word in ("postmaster", "Postmaster"):
        parsed = rcpt(f"TO:<{word}>")
        assert isinstance(parsed, RcptCommand)
        assert parsed.forward_path.domain == HOSTNAME


@pytest.mark.parametrize(
    "argument", ["", "FROM", "FROM:", "FROM: ", "<a@example.com>", "TO:<a@example.com>", "FROM:<a"]
)
def test_mail_that_says_no_path(argument: str) -> None:
    """501, with the syntax."""
    assert mail(argument) is replies.SYNTAX_MAIL


@pytest.mark.parametrize(
    "path",
    [
        "a", "a@", "@example.com", "a b@example.com", "a@exa mple.com", "a@@example.com",
        "a\x00@example.com", "a\r@example.com", "a@example.com,b@example.com", "@route", "a@-x",
        "a" * 400 + "@example.com",
    ],
)  # fmt: skip
def test_malformed_addresses(path: str) -> None:
    """553, with the status of its side (RFC 3463 X.1.7 and X.1.3)."""
    assert mail(f"FROM:<{path}>") is replies.BAD_REVERSE_PATH
    assert rcpt(f"TO:<{path}>") is replies.BAD_FORWARD_PATH


def test_address_that_is_no_utf8() -> None:
    """Octets that are no text are no address."""
    assert commands.parse_mail(b"FROM:<\xff@example.com>") is replies.BAD_REVERSE_PATH


def test_nobody_is_no_recipient() -> None:
    """`<>` is a reverse-path only."""
    assert rcpt("TO:<>") is replies.BAD_FORWARD_PATH


def test_everything_mail_can_say() -> None:
    """T16: whether offered or not, each parameter is taken and what it says is kept."""
    parsed = mail(
        "FROM:<a@example.com> size=1234 BODY=8bitmime SMTPUTF8 RET=hdrs "
        "ENVID=order+2B77 AUTH=<> AUTH=a+40example.com"
    )
    assert parsed == MailCommand(
        parse_address("a@example.com"),
        size=1234,
        body=BodyType.EIGHT_BIT_MIME,
        smtputf8=True,
        ret=Ret.HEADERS,
        envid="order+2B77",
    )


def test_everything_rcpt_can_say() -> None:
    """T16: the same for RCPT."""
    parsed = rcpt("TO:<b@example.org> NOTIFY=success,FAILURE ORCPT=rfc822;b+40example.org")
    assert parsed == RcptCommand(
        parse_address("b@example.org"),
        frozenset({Notify.SUCCESS, Notify.FAILURE}),
        "rfc822;b+40example.org",
    )


@pytest.mark.parametrize(
    ("parameter", "keyword"),
    [
        ("SIZE", "SIZE"),
        ("SIZE=", "SIZE"),
        ("SIZE=x", "SIZE"),
        ("SIZE=-1", "SIZE"),
        ("SIZE=" + "1" * 21, "SIZE"),
        ("SIZE=١", "SIZE"),  # a digit, but not RFC 5234's
        ("SIZE=1 SIZE=2", "SIZE"),
        ("BODY=BINARYMIME", "BODY"),
        ("SMTPUTF8=yes", "SMTPUTF8"),
        ("RET=SOME", "RET"),
        ("ENVID=a=b", "ENVID"),
        ("ENVID=+0D+0AX-Evil:", "ENVID"),
        ("ENVID=+7F", "ENVID"),
        ("ENVID=" + "a" * 101, "ENVID"),
    ],
)
def test_bad_mail_parameters(parameter: str, keyword: str) -> None:
    """501 names the keyword and never what stood there."""
    assert mail(f"FROM:<a@example.com> {parameter}") == replies.bad_parameter(keyword)


@pytest.mark.parametrize(
    ("parameter", "keyword"),
    [
        ("NOTIFY=", "NOTIFY"),
        ("NOTIFY=NEVER,DELAY", "NOTIFY"),
        ("NOTIFY=SOMETIMES", "NOTIFY"),
        ("NOTIFY=DELAY NOTIFY=DELAY", "NOTIFY"),
        ("ORCPT=b@example.org", "ORCPT"),
        ("ORCPT=rfc822;", "ORCPT"),
        ("ORCPT=rfc822;a+0Ab", "ORCPT"),
        ("ORCPT=rfc822;ü", "ORCPT"),
        ("ORCPT=rfc822;" + "a" * 501, "ORCPT"),
    ],
)
def test_bad_rcpt_parameters(parameter: str, keyword: str) -> None:
    """The same for RCPT."""
    assert rcpt(f"TO:<b@example.org> {parameter}") == replies.bad_parameter(keyword)


def test_orcpt_may_be_utf8_where_its_type_says_so() -> None:
    """RFC 6533 3."""
    parsed = rcpt("TO:<b@example.org> ORCPT=utf-8;почта@пример.рф")
    assert isinstance(parsed, RcptCommand)
    assert parsed.orcpt == "utf-8;почта@пример.рф"


@pytest.mark.parametrize("parameter", ["BY=120;R", "NOTIFY=NEVER", "X-A=b", "=", "HOLDFOR=5"])
def test_unknown_parameters(parameter: str) -> None:
    """RFC 5321 4.1.1.11: what we do not understand we must not ignore."""
    assert mail(f"FROM:<a@example.com> {parameter}") is replies.UNKNOWN_PARAMETER
