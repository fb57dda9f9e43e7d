"""
`providers.mime` against octets and letters nobody thought of.

Nothing raises; what the standard library writes comes back as it was put in; text that becomes HTML
is still that text, and never markup.
"""

from __future__ import annotations

import base64
import binascii
import re
from email.message import EmailMessage
from email.policy import SMTP
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from providers.contract.address import parse_address
from providers.contract.envelope import Envelope, Recipient
from providers.mime import (
    Attachment,
    Mailbox,
    decode_field,
    find_field,
    header_block,
    html_from_text,
    needs_from,
    needs_from_parsed,
    parse_letter,
    raw_needs_from,
)
from providers.mime import mailbox as mailbox_reader
from providers.mime.mailbox import parse_mailboxes

CORPUS = [
    path.read_bytes() for path in sorted(Path(__file__).parents[1].glob("data/letters/*.eml"))
]
ENVELOPE = Envelope(
    parse_address("alice@example.com"),
    (Recipient(0, parse_address("bob@example.com")),),
    smtputf8=True,
)
# Fragments on which readers of MIME stumble.
SHARDS = [
    *rb"""( < > ; , : = " \ % '' cid: *0*= --alt --mix-- =?utf-8?B? ?= =? From:""".split(),
    *(b"\r\n", b"\n", b"\r", b"\0", b"\xff\xfe", b"\x1b$B", b" ", b"begin 644 x\n"),
    b"Content-Type: multipart/mixed; boundary=",
    b"Content-Type: text/plain; charset=utf-7\r\n\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Disposition: attachment; filename*=",
]


@st.composite
def mutated_letters(draw: st.DrawFn) -> bytes:
    """A letter of the corpus with pieces cut out, doubled, or put in."""
    letter = bytearray(draw(st.sampled_from(CORPUS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(letter)))
        end = min(len(letter), at + draw(st.integers(0, 60)))
        piece = draw(st.sampled_from(SHARDS) | st.binary(max_size=6) | st.just(letter[at:end] * 2))
        letter[at:end] = piece
    return bytes(letter)


def assert_is_a_letter(content: bytes) -> None:
    """All that `providers.mime` promises of any octets."""
    parsed = parse_letter(content)
    needs = needs_from(content, ENVELOPE)
    assert needs == needs_from_parsed(parsed, content, ENVELOPE)
    raw = raw_needs_from(content, ENVELOPE)
    assert (raw.size, raw.smtputf8, raw.eight_bit) == (
        len(content),
        needs.smtputf8,
        needs.eight_bit,
    )
    one_line = [parsed.subject, parsed.message_id, *(value for _, value in parsed.header_fields)]
    for file in (*parsed.attachments, *parsed.inline_parts):
        assert file.filename
        assert not set(file.filename) & set("/\\")
        assert file.content_type.count("/") == 1
        assert file.content_type.isascii()
        one_line += [file.filename, file.content_type, file.content_id]
    for mailbox in (*parsed.to, *parsed.cc, *parsed.reply_to, parsed.from_ or Mailbox("", "")):
        one_line += [mailbox.display_name, mailbox.address]
    for text in one_line:
        assert text == "".join(text.splitlines())
        assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text)
    for text in (*one_line, parsed.text or "", parsed.html or ""):
        text.encode()  # no lone surrogates
    assert "\r" not in (parsed.text or "") + (parsed.html or "")


@settings(max_examples=150)
@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from(SHARDS) | st.binary(max_size=8)).map(b"".join)
)
def test_no_octets_make_it_raise(content: bytes) -> None:
    """Any octets are a letter of some kind."""
    assert_is_a_letter(content)
    assert_is_a_letter(b"Content-Type: multipart/related; boundary=mix\r\n\r\n" + content)


@settings(max_examples=200)
@given(mutated_letters())
def test_no_broken_letter_makes_it_raise(content: bytes) -> None:
    """Letters that were whole once are read, and keep the promises on lines and names."""
    assert_is_a_letter(content)


@given(st.binary(max_size=200), st.sampled_from(["From", "subject", "X-Odd"]))
def test_header_block_is_a_slice_and_holds_the_field(content: bytes, name: str) -> None:
    """The cheap search sees the header only, whatever the body says."""
    block = header_block(content)
    assert content.startswith(block)
    assert content[len(block) :].startswith((b"\r\n", b"\n")) or block == content
    found = find_field(content, name)
    assert found == find_field(block, name)
    assert found is None or (b"\n" not in found and found in b" ".join(block.splitlines()) + b" ")


WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]),
    min_size=1,
    max_size=40,
)


@given(st.lists(WORDS, min_size=1, max_size=4), st.sampled_from(["utf-8", "utf-16-be", "gb18030"]))
def test_encoded_words_come_back(words: list[str], charset: str) -> None:
    """T26: RFC 2047 in B and Q, neighbours joined without the blanks between."""
    text = "".join(words)
    encoded = [
        f"=?{charset}?B?{base64.b64encode(word.encode(charset)).decode()}?=" for word in words
    ]
    assert decode_field("\r\n ".join(encoded)) == text.strip(" ")
    quoted = "".join(f"={octet:02X}" for octet in text.encode(charset))
    assert decode_field(f"=?{charset.upper()}?q?{quoted}?=") == text.strip(" ")
    if "=?" not in text:
        assert decode_field(text.encode()) == text.strip(" ")


def collapsed(name: str) -> str:
    """Blanks between words do not count in a display-name."""
    return re.sub(" +", " ", name).strip(" ")


def quoted(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')


NAMES = WORDS.map(collapsed).filter(lambda name: name and "=?" not in name)
PLAIN = NAMES.map(lambda name: collapsed(re.sub(r'[()<>@,;:"\\\[\]=]', "", name))).filter(bool)
MAILBOXES = st.one_of(
    PLAIN.map(lambda name: (name, f"{name} <a@example.com>")),
    PLAIN.map(lambda name: (name, f"a@example.com ({name})")),
    NAMES.map(lambda name: (name, f'"{quoted(name)}" <a@example.com>')),
    NAMES.map(
        lambda name: (
            name,
            f"=?utf-8?B?{base64.b64encode(name.encode()).decode()}?= <a@example.com>",
        )
    ),
)


PIECES = st.sampled_from(
    [b"a", b"b.c", b"x@y", b"@", b".", b" ", b" ", b"<", b">", b"=?", b"?=", b"_", b"'", b'"', b":"]
)


@given(st.lists(PIECES, max_size=9).map(b"".join))
def test_plain_mailboxes_are_read_as_all_others(raw: bytes) -> None:
    """The short way and the long one agree wherever both lead."""
    quick = parse_mailboxes(raw)
    with patch.object(mailbox_reader, "_PLAIN", re.compile(rb"(?!)")):
        assert parse_mailboxes(raw) == quick


@given(st.lists(MAILBOXES, max_size=5))
def test_display_names_come_back(mailboxes: list[tuple[str, str]]) -> None:
    """T26, T9: any display-name, raw, quoted, encoded or as a comment, stays one name."""
    to = ", ".join(written for _, written in mailboxes)
    assert parse_letter(f"To: {to}\r\n\r\n".encode()).to == tuple(
        Mailbox(name, "a@example.com") for name, _ in mailboxes
    )


# Octets of each charset that are not also UTF-8 by chance: those are read as UTF-8 on purpose.
ALPHABETS = {
    "us-ascii": "abc XYZ.,=?-_<>&",
    "iso-8859-1": "abcäöüß é",
    "koi8-r": "абвгд Ёёжя xyz",
    "windows-1251": "абвгд Ёё№ «»",
    "iso-8859-5": "абвгд xyz",
    "iso-2022-jp": "ご注文 abc",
    "shift_jis": "ご注文 abc",
    "big5": "謝謝您 abc",
    "gb2312": "订单 abc",
    "euc-kr": "안녕 abc",
    "utf-8": "абв äöü ご注文 😀 =?x?= \t",
}


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, str]:
    """A charset and a text of several lines that it can hold."""
    charset = draw(st.sampled_from(sorted(ALPHABETS)))
    letters = st.sampled_from(ALPHABETS[charset])
    line = st.text(letters, max_size=30).map(str.rstrip)
    return charset, "\n".join(draw(st.lists(line, min_size=1, max_size=4))) + "\n"


FILENAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters='/\\"'),
    min_size=1,
    max_size=40,
).filter(lambda name: name.strip(".") and "=?" not in name and "'" not in name)


@settings(max_examples=80, deadline=None)
@given(
    text=texts(),
    html=st.none() | texts(),
    files=st.lists(st.tuples(FILENAMES, st.binary(max_size=200)), max_size=3),
    subject=st.text(st.sampled_from("абв xyz,;:()<>@ é 注文 😀"), max_size=80),
    transfer=st.sampled_from(["base64", "quoted-printable"]),
)
def test_letters_of_the_standard_library_come_back(
    text: tuple[str, str],
    html: tuple[str, str] | None,
    files: list[tuple[str, bytes]],
    subject: str,
    transfer: str,
) -> None:
    """T26: what EmailMessage writes, in any charset and encoding, is read as it was put in."""
    letter = EmailMessage(policy=SMTP)
    letter["From"] = '"Doe, Jane" <jane@example.com>'
    letter["Subject"] = " ".join(subject.split())
    if html is None or text[1].strip():
        letter.set_content(text[1], charset=text[0], cte=transfer)
    if html is not None:
        add = letter.add_alternative if letter.get("Content-Type") else letter.set_content
        add(html[1], subtype="html", charset=html[0], cte=transfer)
    for name, octets in files:
        letter.add_attachment(octets, "application", "x-thing", filename=name)

    parsed = parse_letter(letter.as_bytes())

    assert parsed.from_ == Mailbox("Doe, Jane", "jane@example.com")
    assert parsed.subject == " ".join(subject.split())
    assert parsed.html == (html and html[1])
    assert parsed.text == (text[1] if html is None or text[1].strip() else None)
    assert parsed.attachments == tuple(
        Attachment(name, "application/x-thing", octets) for name, octets in files
    )
    assert not parsed.other_parts
    assert not parsed.sealed


@given(st.binary(max_size=400), st.integers(4, 80))
def test_transfer_encodings_come_back(content: bytes, width: int) -> None:
    """Octets survive base64 wrapped anywhere and without padding, and quoted-printable."""
    digits = base64.b64encode(content).rstrip(b"=")
    wrapped = b"\r\n".join(digits[at : at + width] for at in range(0, len(digits), width))
    head = b"Content-Type: image/png\r\nContent-Transfer-Encoding: "
    assert parse_letter(head + b"base64\r\n\r\n" + wrapped).attachments[0].content == content
    quoted = binascii.b2a_qp(content, quotetabs=True, istext=False)
    soft = head + b"quoted-printable\r\n\r\n" + quoted
    assert parse_letter(soft).attachments[0].content == content


class Shown(HTMLParser):
    """What a reader sees of `html_from_text`: its text, and where its links lead."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.text = ""
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "br":
            self.text += "\0"
        if tag == "a":
            self.links += [value or "" for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_entityref(self, name: str) -> None:
        self.text += {"nbsp": " ", "amp": "&", "lt": "<", "gt": ">", "quot": '"'}[name]

    def handle_charref(self, name: str) -> None:
        self.text += {"x27": "'"}[name]


def shown(html: str) -> Shown:
    reader = Shown()
    reader.feed(html)
    reader.close()
    body = reader.text.removeprefix("\n\n").removesuffix("\n\n").replace("\0\n", "\n")
    reader.text = body
    return reader


MARKUP = [
    *("<", ">", "&", '"', "'", ")", ".", "ж", " ", "   ", "\t", "\n", "\xa0"),
    *("&nbsp;", "<br>", "</body>", "<!--", "http://", "javascript:x", "HTTP://x'y"),
    "https://example.com/a?b=1&c=(2)",
]
LETTERS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=5)


@settings(max_examples=200)
@given(st.lists(st.sampled_from(MARKUP) | LETTERS).map("".join))
def test_text_as_html_is_still_that_text(text: str) -> None:
    """Nothing of the text is lost or becomes markup; links lead where they say, by http only."""
    html = html_from_text(text)
    reader = shown(html)
    assert reader.text == text
    assert reader.tags <= {"html", "head", "meta", "body", "br", "span", "a"}
    assert all(link.lower().startswith(("http://", "https://")) for link in reader.links)
    assert all(link.replace("&amp;", "&") in text.replace("&amp;", "&") for link in reader.links)
    assert "  " not in html, "runs of blanks collapse where they are shown"
