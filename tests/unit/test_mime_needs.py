"""What a letter needs of its carrier, by a full parse and by a scan."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.contract.address import parse_address
from providers.contract.envelope import Envelope, Recipient
from providers.contract.message import Needs
from providers.mime import needs_from, needs_from_parsed, parse_letter, raw_needs_from

LETTERS = Path(__file__).parents[1] / "data" / "letters"
USUAL_FIELDS = frozenset(("date", "message-id"))


def envelope(
    *recipients: str, reverse_path: str | None = "alice@example.com", smtputf8: bool = False
) -> Envelope:
    return Envelope(
        None if reverse_path is None else parse_address(reverse_path),
        tuple(
            Recipient(key, parse_address(address))
            for key, address in enumerate(recipients or ("bob@example.com",))
        ),
        smtputf8=smtputf8,
    )


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("text-only", Needs(0, text=True)),
        ("html-only", Needs(0, html=True)),
        ("empty-body", Needs(0)),
        ("no-body", Needs(0)),
        ("several-senders", Needs(0, text=True, senders=3, header_fields=frozenset(("sender",)))),
        ("no-subject", Needs(0, text=True, subject=False)),
        ("attachment-only", Needs(0, attachments=1, attachment_octets=26)),
        (
            "nested",
            Needs(0, text=True, html=True, attachments=1, attachment_octets=26, inline_parts=1),
        ),
        ("amp", Needs(0, text=True, html=True, other_parts=("text/x-amp-html",))),
        (
            "calendar-invitation",
            Needs(0, text=True, html=True, calendar=True, attachments=1, attachment_octets=92),
        ),
        ("smime-signed", Needs(0, text=True, sealed=True, attachments=1, attachment_octets=15)),
        ("koi8-r", Needs(0, text=True, eight_bit=True)),
        ("undisclosed-recipients", Needs(0, text=True, reply_to=True, other_recipients=True)),
        (
            "all-header-fields",
            Needs(
                0,
                text=True,
                list_unsubscribe=True,
                header_fields=frozenset(("list-unsubscribe-post", "received", "x-odd", "x-bell")),
            ),
        ),
        ("sender-only", Needs(0, text=True, header_fields=frozenset(("sender",)))),
    ],
)
def test_needs_of_the_corpus(name: str, needs: Needs) -> None:
    """Each need is seen, and no need is made up."""
    content = (LETTERS / f"{name}.eml").read_bytes()
    found = needs_from(content, envelope())
    assert found.size == len(content)
    assert found.header_fields == needs.header_fields | USUAL_FIELDS
    for attribute in Needs.__slots__:
        if attribute not in ("size", "header_fields"):
            assert getattr(found, attribute) == getattr(needs, attribute), attribute
    assert needs_from_parsed(parse_letter(content), content, envelope()) == found


@pytest.mark.parametrize(
    ("to", "recipients", "shows_others"),
    [
        ("bob@example.com", ("bob@example.com",), False),
        ("BOB@Example.COM", ("bob@example.com",), False),
        ("Bob <bob@example.com>", ("bob@example.com",), True),
        ("bob@пример.example", ("bob@xn--e1afmkfd.example",), False),
        ("bob@example.com, BOB@example.com", ("bob@example.com",), False),
        ("undisclosed-recipients:;", ("bob@example.com",), False),
        ("undisclosed-recipients:;", ("bob@example.com", "eve@example.com"), False),
        ("list@example.com", ("bob@example.com",), True),
        ("bob@example.com, eve@example.com", ("bob@example.com",), True),
        ("bob@example.com", ("bob@example.com", "hidden@example.com"), True),
        ("bob@example.com, eve@example.com", ("bob@example.com", "eve@example.com"), True),
    ],
)
@pytest.mark.parametrize("name", ["To", "Cc"])
def test_other_recipients(
    name: str, to: str, recipients: tuple[str, ...], shows_others: bool
) -> None:
    """T8: one letter each that shows one address is the same letter only for its bare address."""
    content = f"{name}: {to}\r\n\r\nHi\r\n".encode()
    assert needs_from(content, envelope(*recipients)).other_recipients is shows_others


@pytest.mark.parametrize(
    ("header", "differs"),
    [
        ("From: A <a@example.com>\r\nReply-To: Other Name <A@EXAMPLE.com>", False),
        ("From: a@example.com\r\nReply-To: b@example.com", True),
        ("From: a@example.com\r\nReply-To: a@example.com, b@example.com", True),
        ("From: a@example.com\r\nReply-To: <>", False),
        ("Reply-To: b@example.com", True),
        ("From: a@example.com", False),
    ],
)
def test_reply_to_that_says_nothing_new_is_no_need(header: str, differs: bool) -> None:
    """Only another address matters; a name or a change of case does not."""
    content = f"{header}\r\n\r\nHi\r\n".encode()
    assert needs_from(content, envelope()).reply_to is differs


ASCII = b"Subject: x\r\n\r\nHi\r\n"
RAW_HEADER = "Subject: ж\r\n\r\nHi\r\n".encode()
RAW_BODY = "Subject: x\r\n\r\nж\r\n".encode()


@pytest.mark.parametrize(
    ("content", "envelope_", "smtputf8", "eight_bit"),
    [
        (ASCII, envelope("b@example.com"), False, False),
        (ASCII, envelope("b@example.com", smtputf8=True), False, False),
        (ASCII, envelope("b@пример.example", smtputf8=True), False, False),
        (ASCII, envelope("ж@example.com"), True, False),
        (ASCII, envelope("b@example.com", "ж@example.com"), True, False),
        (ASCII, envelope(reverse_path="ж@example.com"), True, False),
        (ASCII, envelope(reverse_path=None, smtputf8=True), False, False),
        (RAW_HEADER, envelope(smtputf8=True), True, True),
        (RAW_HEADER, envelope(), False, True),
        (RAW_BODY, envelope(smtputf8=True), False, True),
    ],
)
def test_scan_and_parse_agree(
    content: bytes, envelope_: Envelope, smtputf8: bool, eight_bit: bool
) -> None:
    """Raw octets in a header need SMTPUTF8 where it was declared; old clients just send them."""
    raw = raw_needs_from(content, envelope_)
    assert raw == Needs(
        len(content),
        null_reverse_path=envelope_.reverse_path is None,
        smtputf8=smtputf8,
        eight_bit=eight_bit,
        complete=False,
    )
    parsed = needs_from(content, envelope_)
    assert parsed.complete
    for attribute in ("size", "null_reverse_path", "smtputf8", "eight_bit"):
        assert getattr(parsed, attribute) == getattr(raw, attribute)
