"""Mailboxes of address fields."""

from __future__ import annotations

import pytest

from providers.mime import Mailbox
from providers.mime.mailbox import parse_mailboxes


@pytest.mark.parametrize(
    ("raw", "mailboxes"),
    [
        (b"bob@example.com", [("", "bob@example.com")]),
        (b"<bob@example.com>", [("", "bob@example.com")]),
        (b"Bob <bob@example.com>", [("Bob", "bob@example.com")]),
        (b'"Doe, J" <j@example.com>', [("Doe, J", "j@example.com")]),
        (b'"a \\"b\\" \\\\c" <j@example.com>', [('a "b" \\c', "j@example.com")]),
        (b"Bob\r\n Doe\r\n\t<bob@example.com>,\r\n eve@example.com",
         [("Bob Doe", "bob@example.com"), ("", "eve@example.com")]),
        (b"bob@example.com (Bob (the man))", [("Bob (the man)", "bob@example.com")]),
        (b"Bob (at home) <bob@example.com>", [("Bob", "bob@example.com")]),
        (b'"bob@example.com" <b@example.org>', [("bob@example.com", "b@example.org")]),
        (b'"a b"@example.com', [("", '"a b"@example.com')]),
        (b'X <"a b"@example.com>', [("X", '"a b"@example.com')]),
        (b"u@[IPv6:2001:db8::1], <v@[IPv6:2001:db8::2]>",
         [("", "u@[IPv6:2001:db8::1]"), ("", "v@[IPv6:2001:db8::2]")]),
    ],
)  # fmt: skip
def test_mailboxes_by_the_book(raw: bytes, mailboxes: list[tuple[str, str]]) -> None:
    """RFC 5322 3.4: names, quotes, comments, folding."""
    assert parse_mailboxes(raw) == tuple(Mailbox(*mailbox) for mailbox in mailboxes)


@pytest.mark.parametrize(
    ("raw", "mailboxes"),
    [
        (b"undisclosed-recipients:;", []),
        (b"undisclosed-recipients: ;, bob@example.com", [("", "bob@example.com")]),
        (b"Team: a@example.com, B <b@example.com>; c@example.com",
         [("", "a@example.com"), ("B", "b@example.com"), ("", "c@example.com")]),
        (b'"A, B": a@example.com;', [("", "a@example.com")]),
    ],
)  # fmt: skip
def test_groups_are_flattened(raw: bytes, mailboxes: list[tuple[str, str]]) -> None:
    """A group's name is no mailbox, and an empty group shows nobody."""
    assert parse_mailboxes(raw) == tuple(Mailbox(*mailbox) for mailbox in mailboxes)


@pytest.mark.parametrize(
    ("raw", "mailboxes"),
    [
        (b"Doe, Jane <jane@example.com>", [("Doe, Jane", "jane@example.com")]),
        (b"Doe, Jane, PhD <jane@example.com>, b@example.com",
         [("Doe, Jane, PhD", "jane@example.com"), ("", "b@example.com")]),
        (b"root, bob@example.com", [("", "root"), ("", "bob@example.com")]),
        (b"root (Cron Daemon)", [("Cron Daemon", "root")]),
        (b"Just A Name", [("Just A Name", "")]),
        (b"<root>", [("", "root")]),
        (b"Bob <>", [("Bob", "")]),
        (b"<>", []),
        (b" , ;,", []),
        (b"Bob bob @ example.com", [("Bob", "bob@example.com")]),
        (b"< bob@example.com >", [("", "bob@example.com")]),
        (b"<<bob@example.com>>", [("", "bob@example.com")]),
        (b"<@relay.example.com,@b.example.com:c@example.com>", [("", "c@example.com")]),
        (b'"bob@example.com"', [("", "bob@example.com")]),
        (b'Bob "the man <bob@example.com>', [('Bob "the man', "bob@example.com")]),
        (b"<bob@example.com, eve@example.com", [("", "bob@example.com"), ("", "eve@example.com")]),
        (b"(unclosed bob@example.com", []),
    ],
)  # fmt: skip
def test_mailboxes_as_people_write_them(raw: bytes, mailboxes: list[tuple[str, str]]) -> None:
    """T9: unquoted commas, missing brackets, obsolete routes; no half of a name is an address."""
    assert parse_mailboxes(raw) == tuple(Mailbox(*mailbox) for mailbox in mailboxes)


@pytest.mark.parametrize(
    ("raw", "mailboxes"),
    [
        (b"=?utf-8?B?0JHQvtGA0LjRgQ==?= <bob@example.com>", [("Борис", "bob@example.com")]),
        (b'"=?utf-8?B?0JHQvtGA0LjRgQ==?=" <bob@example.com>', [("Борис", "bob@example.com")]),
        (b"=?utf-8?Q?Doe,_eve=40example.com,?= <bob@example.com>",
         [("Doe, eve@example.com,", "bob@example.com")]),
        (b"=?utf-8?Q?eve@example.com?=", [("eve@example.com", "")]),
        ("Роман Захаров <р@example.com>".encode(), [("Роман Захаров", "р@example.com")]),
        ("р@example.com (Роман)".encode(), [("Роман", "р@example.com")]),
        ('"Иванова, А" <a@example.com>'.encode("cp1251"), [("Иванова, А", "a@example.com")]),
        (b"=?utf-8?Q?a=0D=0ABcc:_x?= <a@example.com>", [("a Bcc: x", "a@example.com")]),
    ],
)  # fmt: skip
def test_names_are_decoded_after_the_structure_is_read(
    raw: bytes, mailboxes: list[tuple[str, str]]
) -> None:
    """T26: no comma, @ or line end inside an encoded word makes an address or a field."""
    assert parse_mailboxes(raw) == tuple(Mailbox(*mailbox) for mailbox in mailboxes)


def test_an_endless_field_is_read_so_far() -> None:
    """A field of megabytes costs no more than a long one, and gives whole mailboxes only."""
    short = parse_mailboxes(b"a@b," * 100_000)
    assert short == (Mailbox("", "a@b"),) * 10_000
    assert len(parse_mailboxes(b"a," * 100_000)) == 10_000
    long = parse_mailboxes(b", ".join(b"%0100d@example.com" % n for n in range(10_000)))
    assert 2_000 < len(long) < 10_000
    assert {len(mailbox.address) for mailbox in long} == {112}
