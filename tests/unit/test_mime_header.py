"""The header block: its end, its fields, and their values as text."""

from __future__ import annotations

import pytest

from providers.mime import decode_field, find_field, header_block, parse_letter
from providers.mime.header import fields, whole_header

LETTER = (
    b"Received: from a.example.com\r\n\tby b.example.com\r\n"
    b"subject-prefix: not this one\r\n"
    b"SUBJECT : Order\r\n 77\r\n"
    b"Subject: the second\r\n"
    b"X-Empty:\r\n"
    b"Message-ID:<1@example.com>\r\n"
    b"\r\n"
    b"From: in the body\r\n\r\nmore\r\n"
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("subject", b"Order 77"),
        ("Message-ID", b"<1@example.com>"),
        ("received", b"from a.example.com\tby b.example.com"),
        ("X-Empty", b""),
        ("From", None),
        ("Messag", None),
        ("by b.example.com", None),
    ],
)
def test_find_field_gives_the_first_value_unfolded(name: str, value: bytes | None) -> None:
    """A name is matched whole, in any case, with blanks before the colon, in the header only."""
    assert find_field(LETTER, name) == value
    assert find_field(LETTER.replace(b"\r\n", b"\n"), name) == value
    assert find_field(header_block(LETTER), name) == value


def test_find_field_on_the_first_line_and_without_a_body() -> None:
    """Neither the start nor the end of the octets hides a field."""
    assert find_field(b"Date: today", "date") == b"today"
    assert find_field(b"Date: today\r\n", "date") == b"today"
    assert find_field(b"", "date") is None
    assert find_field(b"\r\nDate: today\r\n", "date") is None


def test_find_field_lets_no_bare_line_end_through() -> None:
    """A value can be written on a line: a bare CR in it has become a blank."""
    assert find_field(b"X-Odd: a\rBcc: b\r\n\r\n", "x-odd") == b"a Bcc: b"


@pytest.mark.parametrize(
    ("content", "block"),
    [
        (b"A: b\r\nC: d\r\n\r\nbody\r\n\r\n", b"A: b\r\nC: d\r\n"),
        (b"A: b\n\nbody\r\n\r\n", b"A: b\n"),
        (b"A: b\r\n\r\nbody\n\n", b"A: b\r\n"),
        (b"A: b\r\n", b"A: b\r\n"),
        (b"\r\nbody", b""),
        (b"\nbody", b""),
        (b"", b""),
    ],
)
def test_header_block_ends_before_the_empty_line(content: bytes, block: bytes) -> None:
    """Fields may be added after it, and the empty line still ends the header."""
    assert header_block(content) == block


def test_header_ends_where_a_line_is_no_field() -> None:
    """A forgotten empty line costs no line of the text."""
    found, body = fields(b"A: b\r\nDear Bob,\r\nC: d\r\n", 0, 21)
    assert found == [(b"A", b" b\r")]
    assert body == 6


def test_mbox_line_is_no_field_and_no_end() -> None:
    """`From ` before the first field, as some pipes leave it, is passed over."""
    letter = parse_letter(b"From alice@example.com Mon Jan  1\r\nSubject: x\r\n\r\nHi\r\n")
    assert (letter.subject, letter.text) == ("x", "Hi\n")


def test_part_of_a_header_is_read_between_offsets() -> None:
    """A body part's header ends with the part, not with the letter."""
    content = b"xxA: b\r\n c\r\nyyyy: z\r\n"
    assert fields(content, 2, 12) == ([(b"A", b" b\r\n c\r")], None)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", "plain"),
        (b"  folded\r\n\tvalue\r\n", "folded value"),
        (b"=?utf-8?B?0J/RgNC40LLQtdGC?=", "Привет"),
        (b"=?UTF-8?b?0J/RgNC40LLQtdGC?= =?utf-8?q?,_=D0=BC=D0=B8=D1=80?=", "Привет, мир"),
        (b"=?utf-8?Q?=D0=9F=D1?=\r\n =?utf-8?Q?=80?=", "Пр"),
        (b"=?utf-8?B?0J/R?=\r\n\t=?utf-8?Q?=80?=", "Пр"),
        (b"=?koi8-r?B?8NLJ18XU?= =?windows-1251?Q?_=EC=E8=F0?=", "Привет мир"),
        (b"=?utf-8*ru?Q?a?= and =?utf-8?Q?b?=", "a and b"),
        (b"Re:=?utf-8?Q?a?=b", "Re:ab"),
        (b"=?utf-8?Q?with blanks inside?=", "with blanks inside"),
        (b"=? utf-8 ?Q? a ?=", "a"),
        (b"=?utf-8?B?0J/R gNC4?=", "При"),
        (b"=?utf-8?B?0J8?=", "П"),
        (b"=?utf-8?Q?How are you??= fine", "How are you? fine"),
        (b"=?utf-8?Q?=3D=zz=4?=", "==zz=4"),
        (b"=?x-unknown?B?aGk=?=", "hi"),
        (b"=??Q?no charset?=", "=??Q?no charset?="),
        (b"=?utf-8?X?no encoding?=", "=?utf-8?X?no encoding?="),
        (b"=?utf-8?Q?never closed", "=?utf-8?Q?never closed"),
        (b"=?utf-8?Q?a =?utf-8?Q?b?=", "=?utf-8?Q?a b"),
        (b"=?utf-8?Q?=0D=0ABcc:_eve?=", "Bcc: eve"),
        (b"=?utf-8?B?AAECQQ==?=", "A"),
        (b"a\0b\x1b[1mc\x7fd", "ab[1mcd"),
        ("a\u2028b\x85c".encode(), "a b c"),
        ("Заказ".encode(), "Заказ"),
        ("Заказ принят".encode("windows-1251"), "Заказ принят"),
        ("Заказ принят".encode("koi8-r"), "Заказ принят"),
        ("Grüße aus Köln".encode("latin-1"), "Grüße aus Köln"),
        (b"\x1b$B$4Cm\x1b(B ok", "ご注 ok"),
        (b"", ""),
    ],
)
def test_decode_field_makes_one_line_of_anything(raw: bytes, text: str) -> None:
    """T26: encoded words, whole or broken, and raw octets become the text that was meant."""
    assert decode_field(raw) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("=?utf-8?Q?=D0=9F?= ж", "П ж"),
        ("a\r\nBcc: eve@example.com", "a Bcc: eve@example.com"),
        ("П".encode().decode("ascii", "surrogateescape"), "П"),
        ("\ud800", "?"),
    ],
)
def test_decode_field_takes_text_too(value: str, text: str) -> None:
    """Text from the standard library, surrogates and all, is taken as octets are."""
    assert decode_field(value) == text


@pytest.mark.parametrize(
    "content",
    [
        b"A: b\r\nC: d\r\n\r\nbody: x\r\n\r\n",
        b"A: b\r\n\tfolded: too\r\n more\r\nC :d\r\n\r\n",
    ],
)
def test_whole_header_is_what_fields_finds(content: bytes) -> None:
    """The fast way and the patient one agree on every letter of which nothing is wrong."""
    assert whole_header(content) == fields(content, 0, len(content))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\nA: b\r\n\r\n",
        b"A: b\r\n",
        b"A: b\r\nno field\r\n\r\n",
        b"A: b\r\nwords before: a colon\r\n\r\n",
        b" folded: first\r\n\r\n",
        b"From a@b Sun\r\nA: b\r\n\r\n",
    ],
)
def test_header_that_needs_patience(content: bytes) -> None:
    """A line that is no field is never taken for one, wherever its colon stands."""
    assert whole_header(content) is None
