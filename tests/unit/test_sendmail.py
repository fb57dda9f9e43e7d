"""The command line of sendmail, and the letter made of it; no socket, no file."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.sendmail.command import read_letter
from gateway.cli.sendmail.compose import BadAddress, Caller, Letter, NoRecipients, compose
from gateway.cli.sendmail.options import SendmailOptions, Task, UsageError, parse_options
from gateway.cli.sendmail.submit import Target, parse_target
from providers.contract.envelope import BodyType, Notify, Ret

NOW = datetime(2026, 11, 23, 10, 20, 30, tzinfo=UTC)
CALLER = Caller("app", "The Application", "host.example.com")
TEXT = b"Subject: Hi\n\nhello\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("bob@example.org", SendmailOptions(recipients=("bob@example.org",))),
        ("-t", SendmailOptions(from_header=True)),
        ("-ti", SendmailOptions(from_header=True, dot_is_text=True)),
        ("-t -i", SendmailOptions(from_header=True, dot_is_text=True)),
        ("-oi -oem -om -t", SendmailOptions(from_header=True, dot_is_text=True)),
        ("-f a@b c@d", SendmailOptions(sender="a@b", recipients=("c@d",))),
        ("-fa@b -- -c@d -t", SendmailOptions(sender="a@b", recipients=("-c@d", "-t"))),
        ("c@d -fa@b", SendmailOptions(sender="a@b", recipients=("c@d",))),
        ("-f <> c@d", SendmailOptions(sender="", recipients=("c@d",))),
        ("-r a@b -F Joe", SendmailOptions(sender="a@b", full_name="Joe")),
        ("-bm -v", SendmailOptions(verbose=True)),
        ("-bs", SendmailOptions(task=Task.SPEAK_SMTP)),
        ("-bi", SendmailOptions(task=Task.ALIASES)),
        ("-bp", SendmailOptions(task=Task.LIST)),
        ("-q15m", SendmailOptions(task=Task.FLUSH)),
        ("-q", SendmailOptions(task=Task.FLUSH)),
        ("-N success,delay", SendmailOptions(notify=frozenset({Notify.SUCCESS, Notify.DELAY}))),
        ("-N never", SendmailOptions(notify=frozenset({Notify.NEVER}))),
        ("-R hdrs -V id77", SendmailOptions(ret=Ret.HEADERS, envid="id77")),
        ("-B 8BITMIME -C x.yaml", SendmailOptions(eight_bit=True, config=Path("x.yaml"))),
        ("-O ErrorMode=q -ODeliveryMode=b -h 3 -L tag -X log -p smtp:x", SendmailOptions()),
        ("-Am -d9 -G -n -m -s -U", SendmailOptions()),
    ],
)
def test_command_lines_that_programs_use(words: str, expected: SendmailOptions) -> None:
    """PHP, cron, git, Perl and old scripts: attached values, run-together flags, ignored ones."""
    assert parse_options(words.split()) == expected


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("-Z", "-Z"),
        ("-f", "-f"),
        ("-bd", "mailquay serve"),
        ("-bv", "not for this program"),
        ("-N perhaps", "-N takes"),
        ("-N never,delay", "alone"),
        ("-R all", "-R takes"),
        ("-V ключ", "-V takes"),
    ],
)
def test_what_cannot_be_understood_is_told(words: str, told: str) -> None:
    """One line that names the option."""
    with pytest.raises(UsageError) as raised:
        parse_options(words.split())
    assert told in str(raised.value)


def composed(written: bytes, *words: str) -> Letter:
    return compose(written, parse_options(words), CALLER, NOW)


def recipients(letter: Letter) -> list[str]:
    return [recipient.forward_path.addr_spec for recipient in letter.envelope.recipients]


def test_a_letter_gets_what_it_lacks() -> None:
    """From of user, full name and host; Date; Message-ID; the rest as it was written."""
    letter = composed(TEXT, "bob@example.org")
    parsed = message_from_bytes(letter.content, policy=default)
    assert parsed["From"] == "The Application <app@host.example.com>"
    assert parsed["Date"] == "Mon, 23 Nov 2026 10:20:30 +0000"
    assert parsed["Message-ID"].endswith("@host.example.com>")
    assert letter.content.endswith(b"Subject: Hi\r\n\r\nhello\r\n")
    assert str(letter.envelope.reverse_path) == "app@host.example.com"
    assert recipients(letter) == ["bob@example.org"]


def test_what_is_there_stays() -> None:
    """Octet for octet, but for line ends."""
    header = b"From: a@b.example\nDate: now\nMessage-ID: <1@a>\nX: \xff\n folded\n"
    letter = composed(header + b"\n.\n", "bob@example.org")
    assert letter.content == (header + b"\n.\n").replace(b"\n", b"\r\n")
    assert letter.envelope.body is BodyType.EIGHT_BIT_MIME


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"To: a@x.example, B <b@x.example>\n", ["a@x.example", "b@x.example"]),
        (b"To: a@x.example\nCc: b@x.example\nBcc: c@x.example\n", ["a", "b", "c"]),
        (b"To: team: a@x.example, b@x.example;\nCc: undisclosed:;\n", ["a", "b"]),
        (b"TO : a@x.example,\n\tb@x.example\nto: c@x.example\n", ["a", "b", "c"]),
        (b"To: a@x.example\nCc: A@X.example, a@x.example\n", ["a", "A"]),
        (b"To: root\n", ["root@host.example.com"]),
        (b"To: a@x.example\nResent-To: b@x.example\nResent-Bcc: c@x.example\n", ["b", "c"]),
    ],
)
def test_recipients_of_the_header(header: bytes, expected: list[str]) -> None:
    """-t: groups, folds, several fields, users of this machine, resent ones before others."""
    letter = composed(header + b"\nhi\n", "-t")
    full = [text if "@" in text else f"{text}@x.example" for text in expected]
    assert recipients(letter) == full


@pytest.mark.parametrize("words", [("-t",), ("bob@example.org",)])
def test_bcc_is_never_sent(words: tuple[str, ...]) -> None:
    """Folded, in any case, read or not."""
    written = (
        b"To: a@x.example\nbCC: hidden@x.example,\n  other@x.example\nReturn-Path: <x@y>\n\nhi\n"
    )
    letter = composed(written, *words)
    assert b"hidden" not in letter.content
    assert b"other@" not in letter.content
    assert b"Return-Path" not in letter.content


def test_arguments_are_added_to_the_header() -> None:
    """As Postfix does, each address once."""
    letter = composed(b"To: a@x.example\n\nhi\n", "-t", "b@x.example", "a@x.example")
    assert recipients(letter) == ["b@x.example", "a@x.example"]


@pytest.mark.parametrize("written", [b"", b"\n", b"just a text\n", b"From a@b Mon\nTo: a@x\n\nhi"])
def test_odd_input_is_a_letter(written: bytes) -> None:
    """Nothing, no header, an mbox line: pipes from cron and old mailers."""
    letter = composed(written, "bob@example.org")
    assert letter.content.startswith(b"From: ")
    assert b"\r\n\r\n" in letter.content
    assert not letter.content.replace(b"\r\n", b"").count(b"\n")


def test_senders() -> None:
    """-f is the reverse-path and, where there is none, the From; the null one stays null."""
    assert str(composed(TEXT, "-f", "www", "b@c.example").envelope.reverse_path) == (
        "www@host.example.com"
    )
    null = composed(TEXT, "-f", "", "b@c.example")
    assert null.envelope.reverse_path is None
    assert b"From: The Application <app@host.example.com>" in null.content
    assert b"From: =?utf-8?" in composed(TEXT, "-F", "Жанна", "b@c.example").content


def test_nobody_to_send_to() -> None:
    """Told, not sent to nobody."""
    with pytest.raises(NoRecipients):
        composed(TEXT)
    with pytest.raises(NoRecipients):
        composed(b"Subject: Hi\nTo: undisclosed-recipients:;\n\nhello\n", "-t")


@pytest.mark.parametrize("words", [("a b@@c",), ("-f", "x@@y", "a@b.example")])
def test_addresses_that_are_none(words: tuple[str, ...]) -> None:
    """Named, so that the caller's people see which."""
    with pytest.raises(BadAddress, match="is no address"):
        composed(TEXT, *words)


@pytest.mark.parametrize(
    ("written", "dot_is_text", "expected"),
    [
        (b"a\n.\nb\n", False, b"a\n"),
        (b"a\n.\nb\n", True, b"a\n.\nb\n"),
        (b"a\r\n.\r\nb", False, b"a\r\n"),
        (b"a\n..\n.b\n", False, b"a\n..\n.b\n"),
        (b"12345678", False, b"12345678"),
        (b"12345678", True, b"12345678"),
        (b"123456789", False, None),
        (b"123456789", True, None),
        (b"1\n2\n3\n4\n.\n", False, b"1\n2\n3\n4\n"),
    ],
)
def test_reading_ends_where_it_should(
    written: bytes, dot_is_text: bool, expected: bytes | None
) -> None:
    """At the lone dot unless -i, at the end, or at the limit: no more than that is held."""
    assert read_letter(io.BytesIO(written), 8, dot_is_text=dot_is_text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:2525", Target("127.0.0.1", 2525)),
        ("[::1]:25", Target("::1", 25)),
        ("gateway", Target("gateway", 25)),
        ("/run/mailquay.sock", Target("/run/mailquay.sock", 0)),
        ("unix:/run/x", Target("/run/x", 0)),
    ],
)
def test_where_the_daemon_listens(text: str, expected: Target) -> None:
    """Host and port, or a socket."""
    assert parse_target(text) == expected


@given(st.binary(max_size=300), st.booleans())
def test_any_input_is_composed_or_refused(written: bytes, from_header: bool) -> None:
    """Whatever stands on standard input: a letter of whole lines, or a reason."""
    words = ["-t"] if from_header else []
    try:
        letter = compose(written, parse_options([*words, "b@example.org"]), CALLER, NOW)
    except BadAddress:
        return
    rest = letter.content.replace(b"\r\n", b"")
    assert b"\n" not in rest
    assert b"\r" not in rest
    assert letter.content.endswith(b"\r\n")
