"""What clients leave undone or do wrong in a letter, and what is made of it."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path

import pytest

from gateway.domain.repair import Repair, told
from gateway.ingress.repair import Mended, mend
from providers.mime import decode_field, parse_letter
from providers.mime.rewrite import SealedPart
from tests.support.builders import an_envelope

NOW = datetime(2026, 11, 23, 10, 20, 30, 400, tzinfo=UTC)
TODAY = b"Mon, 23 Nov 2026 10:20:30 +0000"
GOOD = {
    b"Date": b"Sun, 1 Jan 2023 00:00:00 +0100",
    b"From": b"a@example.com",
    b"Message-ID": b"<a@example.com>",
    b"Subject": b"a",
}
LETTERS = sorted((Path(__file__).parents[1] / "data" / "letters").glob("*.eml"))


def mended(
    content: bytes, *, reverse_path: str | None = "app@example.com", smtputf8: bool = False
) -> Mended:
    envelope = an_envelope(reverse_path=reverse_path, smtputf8=smtputf8)
    return mend(content, envelope, queue_id="Q1", hostname="gw.example.com", now=NOW)


def a_letter(body: bytes = b"hi\r\n", **fields: bytes | None) -> bytes:
    """A sound letter but for these fields, `None` for none; names with `_` for `-`."""
    given = {name.replace("_", "-").encode(): value for name, value in fields.items()}
    known = {name.lower() for name in given}
    kept = {name: value for name, value in GOOD.items() if name.lower() not in known}
    lines = [name + b": " + value for name, value in (kept | given).items() if value is not None]
    return b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def value_of(result: Mended, name: str) -> str:
    """The only field of that name, unfolded; a KeyError when there is none or are several."""
    parsed = message_from_bytes(result.added + result.content)
    values = parsed.get_all(name, [])
    if len(values) != 1:
        raise KeyError(f"{len(values)} fields {name}")
    return " ".join(values[0].split())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"Date": b"1 Jan 2023 00:00 GMT"},
        {"Date": b"Sun, 01 Jan 2023\r\n 00:00:00 -0000 (a comment)"},
        {"From": b'"Doe, J." <j@example.com>, b@example.com'},
        {"From": b"=?utf-8?q?=C3=84?= <a@example.com>"},
        {"From": b"J. R. Doe <j@example.com>"},
        {"From": b"a@example.com (Jane Doe)"},
        {"From": b"a@[192.0.2.1]"},
        {"Message_ID": b"(comment)\r\n <a$b/c@x>"},
        {"MIME_Version": b"1.0", "Content_Type": b'text/plain; charset="utf-8"; format=flowed'},
        {"MIME_Version": b"1.0", "Content_Type": b"TEXT/html;\r\n\tcharset=utf-8 ;"},
        {"Content_Transfer_Encoding": b" 8BIT "},
        {"Content_Transfer_Encoding": b"x-uuencode"},
        {"To": b"a@b, c@d", "Cc": b"e@f", "X_Any": b"1", "Received": b"x"},
    ],
)
def test_sound_letter_is_the_same_object(fields: dict[str, bytes]) -> None:
    """Bytes in = bytes out: nothing is added, nothing is even copied."""
    letter = a_letter(**fields)
    result = mended(letter)
    assert result.content is letter
    assert (result.added, result.repairs) == (b"", ())


def test_repeated_fields_that_may_be_repeated() -> None:
    """Trace fields and those nobody knows stand as often as they like."""
    letter = b"Received: a\r\nReceived: b\r\nX-A: 1\r\nX-A: 2\r\n" + a_letter()
    assert mended(letter).repairs == ()


@pytest.mark.parametrize(
    ("fields", "added", "repair"),
    [
        ({"Date": None}, b"Date: " + TODAY, Repair.DATE_MISSING),
        ({"Message_ID": None}, b"Message-ID: <Q1@gw.example.com>", Repair.MESSAGE_ID_MISSING),
        ({"From": None}, b"From: app@example.com", Repair.FROM_MISSING),
        ({"From": None, "Sender": b"B <b@c>"}, b"From: B <b@c>", Repair.FROM_MISSING),
        ({"Content_Type": b"text/html"}, b"MIME-Version: 1.0", Repair.MIME_VERSION_MISSING),
    ],
)  # fmt: skip
def test_missing_fields_are_added(
    fields: dict[str, bytes | None], added: bytes, repair: Repair
) -> None:
    """RFC 6409 8: in front of the letter, which stays as it is."""
    letter = a_letter(**fields)
    result = mended(letter)
    assert result.content is letter
    assert result.added == added + b"\r\n"
    assert result.repairs == (repair,)


@pytest.mark.parametrize("content", [b"Paper jam in tray 2\r\n", b"\r\nhi\r\n", b""])
def test_letter_without_a_header(content: bytes) -> None:
    """Old devices send a bare body; it stays the body."""
    result = mended(content)
    assert result.repairs[0] is Repair.HEADER_MISSING
    parsed = message_from_bytes(result.added + result.content)
    assert parsed.get_payload() == content.removeprefix(b"\r\n").decode()


def test_endless_word_is_no_name_of_a_field() -> None:
    """A body without a header, which has a colon after a thousand octets."""
    body = b"x" * 999 + b": too long for a name\r\n"
    result = mended(body)
    assert result.repairs[0] is Repair.HEADER_MISSING
    assert message_from_bytes(result.added + result.content).get_payload(decode=True) == body


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"Sun, 1 Jan 2023 00:00:00", "Sun, 01 Jan 2023 00:00:00 +0000"),
        (b"Sun 1 Jan 2023 00:00:00 +0100", "Sun, 01 Jan 2023 00:00:00 +0100"),
        (b"Sunday, 1-Jan-23 00:00:00 GMT", "Sun, 01 Jan 2023 00:00:00 +0000"),
        (b"Sun Jan  1 00:00:00 2023", "Sun, 01 Jan 2023 00:00:00 +0000"),
        (b"2023-01-01T00:00:00+03:00", "Sun, 01 Jan 2023 00:00:00 +0300"),
        (b"2023-01-01 00:00:00", "Sun, 01 Jan 2023 00:00:00 +0000"),
    ],
)
def test_date_that_can_be_read(given: bytes, expected: str) -> None:
    """The moment that was meant, in the spelling of RFC 5322 3.3."""
    result = mended(a_letter(Date=given))
    assert value_of(result, "Date") == expected
    assert result.repairs == (Repair.DATE_BROKEN,)


@pytest.mark.parametrize(
    "given", [b"today", b"", b"99 Jan 2023 00:00:00 +0000", b"%DATE%", b"\xff"]
)
def test_date_that_cannot_be_read(given: bytes) -> None:
    """The moment of arrival; what stood there is kept under another name."""
    result = mended(a_letter(Date=given))
    assert value_of(result, "Date").encode() == TODAY
    if given:
        assert decode_field(value_of(result, "X-Original-Date")) == decode_field(given)


@pytest.mark.parametrize(
    ("given", "message_id"),
    [
        (b"12345@printer", "<12345@printer>"),
        (b"<12345>", "<12345@gw.example.com>"),
        (b"12345", "<12345@gw.example.com>"),
        (b"< 12345@x >", "<12345@x>"),
        (b"", "<Q1@gw.example.com>"),
        (b"<>", "<Q1@gw.example.com>"),
        (b"@", "<Q1@gw.example.com>"),
        (b"<a b@x>", "<Q1@gw.example.com>"),
        (b"<\xff@x>", "<Q1@gw.example.com>"),
        (b"<a@b> <c@d>", "<Q1@gw.example.com>"),
        (b"<" + b"a" * 2000 + b"@x>", "<Q1@gw.example.com>"),
    ],
)
def test_broken_message_id(given: bytes, message_id: str) -> None:
    """The client's own as far as it can be; what it wrote is never lost."""
    result = mended(a_letter(Message_ID=given))
    assert result.message_id == value_of(result, "Message-ID") == message_id
    assert Repair.MESSAGE_ID_BROKEN in result.repairs
    if given and message_id == "<Q1@gw.example.com>" and given not in (b"<>", b"@"):
        kept = decode_field(value_of(result, "X-Original-Message-ID")).replace(" ", "")
        assert kept == decode_field(given).replace(" ", "")


def test_message_id_is_told_as_it_stands() -> None:
    """`trace` finds a letter by what its application wrote."""
    assert mended(a_letter(Message_ID=b"(c)\r\n\t<x.y@z>")).message_id == "<x.y@z>"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"", "app@example.com"),
        (b"Printer on floor 2", "Printer on floor 2 <app@example.com>"),
        (b"root", "root@gw.example.com"),
        (b"app", "app@example.com"),
        (b"Jane <a@example.com", "Jane <a@example.com>"),
        (b"Doe, Jane <jane@example.com>", '"Doe, Jane" <jane@example.com>'),
        (b"a@x.example, nobody, b@c", "a@x.example, nobody@gw.example.com, b@c"),
        (b"<a@example.com> Jane", "Jane <a@example.com>"),
        (b"jane@", '"jane@" <app@example.com>'),
        (b"\xc4rger", "=?utf-8?b?w4RyZ2Vy?= <app@example.com>"),
    ],
)  # fmt: skip
def test_broken_from(given: bytes, expected: str) -> None:
    """Somebody to answer to, and the name that the client gave."""
    result = mended(a_letter(From=given))
    assert value_of(result, "From") == expected
    assert result.repairs == (Repair.FROM_BROKEN,)


def test_from_of_a_letter_from_nobody() -> None:
    """The null reverse-path has no address to stand in; ours does."""
    assert value_of(mended(a_letter(From=None), reverse_path=None), "From") == (
        "MAILER-DAEMON@gw.example.com"
    )


@pytest.mark.parametrize(
    ("fields", "name", "expected"),
    [
        ({"From": "Жук <a@example.com>"}, "From", "=?utf-8?b?0JbRg9C6?= <a@example.com>"),
        ({"Subject": "Счёт"}, "Subject", "=?utf-8?b?0KHRh9GR0YI=?="),
        ({"To": "Ä <b@x.example>, c@d"}, "To", "=?utf-8?b?w4Q=?= <b@x.example>, c@d"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("charset", ["utf-8", "windows-1251"])
def test_raw_octets_in_the_header(
    fields: dict[str, str], name: str, expected: str, charset: str
) -> None:
    """T26: encoded words in place of octets above 127, whatever charset they were in."""
    if "Ä" in str(fields) and charset != "utf-8":
        charset = "windows-1252"
    raw = {key: value.encode(charset) for key, value in fields.items()}
    result = mended(a_letter(**raw))
    if charset == "utf-8":
        assert value_of(result, name) == expected
    assert decode_field(value_of(result, name)) == decode_field(raw[name])
    assert result.repairs == (Repair.EIGHT_BIT_HEADER,)
    assert (result.added + result.content).isascii()


def test_header_in_utf8_with_smtputf8() -> None:
    """RFC 6532: where the client declares it, its header stays as it wrote it."""
    letter = a_letter(From="Жук <жук@example.com>".encode(), Subject="Счёт".encode())
    result = mended(letter, smtputf8=True)
    assert result.content == letter
    assert result.repairs == ()


def test_raw_octets_in_the_header_of_a_part() -> None:
    """T26: the name of a file, as old programs write it."""
    letter = a_letter(
        b"--B\r\nContent-Type: a/b\r\n"
        b'Content-Disposition: attachment; filename="\xd1\x8f.pdf"\r\n\r\nx\r\n--B--\r\n',
        MIME_Version=b"1.0",
        Content_Type=b"multipart/mixed; boundary=B",
    )
    result = mended(letter)
    assert result.repairs == (Repair.EIGHT_BIT_HEADER,)
    assert parse_letter(result.content).attachments[0].filename == "я.pdf"
    assert b"filename*=utf-8''%D1%8F.pdf" in result.content


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"text", "text/plain"),
        (b"", "text/plain"),
        (b"text/plain; charset", "text/plain"),
        (b"text/html charset=utf-8", "text/html; charset=utf-8"),
        (b"text/plain; charset = utf-8", "text/plain; charset=utf-8"),
        (b"application/pdf; name=my file.pdf", 'application/pdf; name="my file.pdf"'),
        (b"html; charset=koi8-r", "text/plain; charset=koi8-r"),
    ],
)
def test_broken_content_type(given: bytes, expected: str) -> None:
    """What it says, in the syntax of RFC 2045 5.1; what says nothing is plain text (5.2)."""
    result = mended(a_letter(MIME_Version=b"1.0", Content_Type=given))
    assert value_of(result, "Content-Type") == expected
    assert result.repairs == (Repair.CONTENT_TYPE_BROKEN,)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(b"8-bit", "8bit"), (b"quoted_printable", "quoted-printable"), (b"Base 64", "base64")],
)
def test_broken_encoding(given: bytes, expected: str) -> None:
    """A word that everybody understands but no program."""
    result = mended(a_letter(Content_Transfer_Encoding=given))
    assert value_of(result, "Content-Transfer-Encoding") == expected
    assert result.repairs == (Repair.ENCODING_BROKEN,)


def test_encoding_that_is_none() -> None:
    """An encoding nobody knows is none, and is told apart."""
    result = mended(a_letter(Content_Transfer_Encoding=b"us-ascii"))
    assert value_of(result, "X-Original-Content-Transfer-Encoding") == "us-ascii"
    with pytest.raises(KeyError, match="0 fields"):
        value_of(result, "Content-Transfer-Encoding")


@pytest.mark.parametrize(
    ("text", "charset"),
    [("Счёт", "utf-8"), ("Привет, как дела", "windows-1251"), ("Grüße aus Köln", "windows-1252")],
)
@pytest.mark.parametrize("declared", [None, b"text/plain", b"text/plain; format=flowed"])
def test_text_that_names_no_charset(text: str, charset: str, declared: bytes | None) -> None:
    """A reader would show question marks; ours is the better guess, and the text is the same."""
    body = text.encode(charset) + b"\r\n"
    letter = a_letter(body, Content_Type=declared, MIME_Version=declared and b"1.0")
    result = mended(letter)
    assert Repair.CHARSET_MISSING in result.repairs
    whole = result.added + result.content
    assert whole.endswith(b"\r\n\r\n" + body)
    assert f"charset={charset}" in value_of(result, "Content-Type")
    assert value_of(result, "Content-Transfer-Encoding") == "8bit"
    assert value_of(result, "MIME-Version") == "1.0"
    assert parse_letter(whole).text == parse_letter(letter).text == f"{text}\n"


def test_charset_is_added_to_nothing_else() -> None:
    """HTML says it in its own way, a file has none, and an encoded text is ASCII here."""
    for fields in (
        {"Content_Type": b"text/html"},
        {"Content_Type": b"image/png"},
        {"Content_Transfer_Encoding": b"base64", "Content_Type": b"text/plain"},
    ):
        letter = a_letter(b"\xff\r\n", MIME_Version=b"1.0", **fields)
        assert mended(letter).repairs == ()


def test_addresses_in_several_fields_are_joined() -> None:
    """Old programs write a To for each recipient; RFC 5322 3.6 allows one."""
    letter = b"To: a@example.org\r\nTO: B <b@example.org>,\r\nTo:\r\n" + a_letter()
    result = mended(letter)
    assert value_of(result, "To") == "a@example.org, B <b@example.org>"
    assert result.repairs == (Repair.REPEATED_FIELD,)
    assert parse_letter(result.content).to == parse_letter(letter).to


def test_other_fields_that_stand_twice() -> None:
    """The first one counts, as it does for readers of mail; the others are kept by another name."""
    result = mended(b"Subject: first\r\nMessage-ID: <first@x>\r\n" + a_letter(Subject=b"second"))
    assert (value_of(result, "Subject"), result.message_id) == ("first", "<first@x>")
    assert value_of(result, "X-Repeated-Subject") == "second"
    assert value_of(result, "X-Repeated-Message-ID") == "<a@example.com>"


def test_line_that_is_no_field_ends_the_header() -> None:
    """The empty line was forgotten: nothing of the text is taken for a header or lost."""
    letter = a_letter()[: -len(b"\r\nhi\r\n")] + b"Dear customer\r\nBcc: not a field\r\n"
    result = mended(letter)
    assert result.repairs == (Repair.HEADER_END,)
    assert result.content.endswith(b"\r\n\r\nDear customer\r\nBcc: not a field\r\n")


@pytest.mark.parametrize(
    ("letter", "repair"),
    [
        (a_letter(b"x" * 999 + b"\r\n"), Repair.LONG_LINE),
        (a_letter(X_Any=b"x " * 600), Repair.LONG_HEADER_LINE),
        (a_letter(b"a\0b\r\n"), Repair.NUL),
        (a_letter(X_Any=b"a\0b"), Repair.NUL),
    ],
)
def test_what_no_line_may_hold(letter: bytes, repair: Repair) -> None:
    """T15: nothing of it goes on, and the operator hears what this client needs."""
    result = mended(letter)
    assert repair in result.repairs
    whole = result.added + result.content
    assert max(map(len, whole.split(b"\r\n"))) <= 998
    assert b"\0" not in whole


def test_line_of_just_the_limit() -> None:
    """998 octets and a CRLF are in order (RFC 5322 2.1.1)."""
    assert mended(a_letter(b"x" * 998 + b"\r\n")).repairs == ()


def test_signed_letter_with_a_long_line() -> None:
    """A seal is not broken, by nobody: whoever asks must refuse."""
    letter = a_letter(
        b"--B\r\n\r\n" + b"x" * 999 + b"\r\n--B\r\n\r\nsig\r\n--B--\r\n",
        MIME_Version=b"1.0",
        Content_Type=b"multipart/signed; boundary=B",
    )
    with pytest.raises(SealedPart):
        mended(letter)


@pytest.mark.parametrize("path", LETTERS, ids=lambda path: path.stem)
def test_corpus_is_in_order_and_means_the_same(path: Path) -> None:
    """T26: whatever comes in, what goes on is valid, and says what it said."""
    content = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    result = mended(content)
    whole = result.added + result.content
    before, after = parse_letter(content), parse_letter(whole)
    for what in ("subject", "text", "html", "attachments", "inline_parts", "to", "cc", "reply_to"):
        assert getattr(after, what) == getattr(before, what)
    parsed = message_from_bytes(whole, policy=SMTP)
    assert parsed["From"].addresses
    assert parsed["Date"].datetime is not None
    assert whole.partition(b"\r\n\r\n")[0].isascii()
    assert mended(whole).content is whole


def test_every_repair_has_its_words() -> None:
    """The story says what was done, in one line."""
    line = told(Repair)
    assert line.startswith("this client needed ")
    assert all(repair.deed in line for repair in Repair)
    assert len({repair.deed for repair in Repair}) == len(Repair)
    assert line.isprintable()


def test_hostile_header_takes_linear_time() -> None:
    """No pattern here needs its square, or this test would take minutes."""
    for filler in (b" \r\n\t", b",", b'"', b"a ", b"(", b"<", b";", b"=?", b"a@b,", b'"a" '):
        run = filler * (60_000 // len(filler))
        for name in (b"From", b"Date", b"Message-ID", b"Content-Type"):
            letter = name + b": x" + run + b"\x01!\r\n" + a_letter()
            assert mended(letter).repairs


def test_nul_that_hid_a_part() -> None:
    """Found by fuzzing: what becomes a part once a NUL has gone is mended as well."""
    letter = a_letter(
        b"--\0B\r\nContent-Type: a/b; name=\xd1\x8f\r\n\r\nx\r\n--B--\r\n",
        MIME_Version=b"1.0",
        Content_Type=b"multipart/mixed; boundary=B",
    )
    result = mended(letter)
    assert set(result.repairs) == {Repair.NUL, Repair.EIGHT_BIT_HEADER}
    assert mended(result.content).repairs == ()


@pytest.mark.parametrize("smtputf8", [False, True])
def test_nul_behind_a_backslash(smtputf8: bool) -> None:
    """Found by fuzzing: once the NUL has gone, the backslash quotes what follows; judged so."""
    first = mended(a_letter(From=b'" \x85\\\x00<a@b>'), smtputf8=smtputf8)
    assert first.repairs == (Repair.FROM_BROKEN,)
    assert value_of(first, "From").endswith("<app@example.com>")
    again = mended(first.added + first.content, smtputf8=smtputf8)
    assert (again.content, again.repairs) == (first.content, ())


@pytest.mark.parametrize("text", [b"a\x00b\nc\n", b"a\x00b\r", b"a\x00\r\nb\rc\r\n"])
def test_bare_line_ends_out_of_an_encoding(text: bytes) -> None:
    """T18, found by fuzzing: base64 may hide bare CR and LF, which never stand in the letter."""
    letter = a_letter(b64encode(text) + b"\0\r\n", Content_Transfer_Encoding=b"base64")
    whole = mended(letter).content
    assert whole.count(b"\r") == whole.count(b"\n") == whole.count(b"\r\n")
    assert message_from_bytes(whole).get_payload(decode=True) == text
