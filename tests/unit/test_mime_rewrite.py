"""Letters that SMTP cannot carry as they stand, and what is made of them."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path

import pytest

from providers.mime import parse_letter
from providers.mime.rewrite import SealedPart, ascii_field, has_long_line, rewrite
from providers.mime.write import parameters_value

LETTERS = sorted((Path(__file__).parents[1] / "data" / "letters").glob("*.eml"))
LONG = b"x" * 2000
HEADER = b"From: a@example.com\r\nSubject: a\r\n"


def longest_line(content: bytes) -> int:
    return max(map(len, content.split(b"\r\n")))


def multipart(*parts: bytes, kind: bytes = b"mixed", tail: bytes = b"") -> bytes:
    """A letter of parts, each with its header and empty line."""
    body = b"".join(b"--B\r\n" + part + b"\r\n" for part in parts)
    start = b"MIME-Version: 1.0\r\nContent-Type: multipart/" + kind + b"; boundary=B\r\n\r\n"
    return HEADER + start + body + b"--B--\r\n" + tail


@pytest.mark.parametrize("length", [0, 1, 997, 998, 999, 1000, 1001, 5000])
@pytest.mark.parametrize("before", [b"", b"a\r\n", b"a\r\n" * 400, b"y" * 998 + b"\r\n"])
@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\nb\r\n"])
def test_line_over_the_limit_is_found(length: int, before: bytes, end: bytes) -> None:
    """T15: 998 octets without the CRLF, and not one more, wherever the line stands."""
    assert has_long_line(before + b"x" * length + end) == (length > 998)


def test_lines_are_looked_at_from_an_offset() -> None:
    """A header may be judged apart from a body."""
    assert has_long_line(LONG + b"\r\nb\r\n")
    assert not has_long_line(LONG + b"\r\nb\r\n", 2002)


@pytest.mark.parametrize("path", LETTERS, ids=lambda path: path.stem)
def test_corpus_means_the_same(path: Path) -> None:
    """T26: what was rewritten decodes to what it was, and is ASCII in its header fields."""
    content = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    rewritten = rewrite(content)
    assert parse_letter(rewritten.content) == parse_letter(content)
    assert rewrite(rewritten.content).content == rewritten.content
    header = rewritten.content.partition(b"\r\n\r\n")[0]
    assert header.isascii()
    assert not any((rewritten.long_lines, rewritten.long_header_lines, rewritten.nuls))


def test_sound_letter_keeps_every_octet() -> None:
    """What needs nothing is not touched."""
    content = multipart(b"Content-Type: text/plain\r\n\r\n\xe4\r\n", b"\r\nb", tail=b"after\r\n")
    assert rewrite(content).content == content


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (LONG + b"\r\nshort = line \r\n.\r\n", "quoted-printable"),
        ("я".encode() * 1000 + b"\r\n", "base64"),
        (b"readable\0text\r\n", "quoted-printable"),
    ],
)
def test_text_without_mime(body: bytes, encoding: str) -> None:
    """T15: an old program's letter of one endless line becomes MIME and reads the same."""
    rewritten = rewrite(HEADER + b"\r\n" + body)
    assert rewritten.content.startswith(HEADER + b"MIME-Version: 1.0\r\n")
    parsed = message_from_bytes(rewritten.content, policy=SMTP)
    assert parsed["Content-Transfer-Encoding"] == encoding
    assert parsed.get_payload(decode=True) == body
    assert longest_line(rewritten.content) <= 76
    assert b"\0" not in rewritten.content


@pytest.mark.parametrize("encoding", ["7bit", "8bit", "base64", "quoted-printable"])
def test_only_the_part_in_need_is_encoded(encoding: str) -> None:
    """The other parts stay octet for octet, and the decoded content is the same."""
    good = b"Content-Type: text/plain\r\n\r\nkept \xe4 = as it is\r\n"
    coded = {"base64": b"eHh4" * 500, "quoted-printable": b"x=3D" * 500}.get(encoding, LONG)
    bad = (
        b"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: "
        + encoding.encode() + b"\r\n\r\n" + coded
    )  # fmt: skip
    content = multipart(good, bad)
    rewritten = rewrite(content)
    assert rewritten.long_lines
    assert good in rewritten.content
    assert longest_line(rewritten.content) <= 76
    before, after = parse_letter(content), parse_letter(rewritten.content)
    assert [file.content for file in after.attachments] == [f.content for f in before.attachments]
    assert after == before
    assert rewritten.content.count(b"Content-Transfer-Encoding") == 1


def test_letter_within_a_letter() -> None:
    """RFC 2046 5.2.1: message/rfc822 takes no encoding, so its own parts get it."""
    inner = b"Subject: inner\r\n\r\n" + LONG
    content = multipart(b"Content-Type: message/rfc822\r\n\r\n" + inner)
    rewritten = rewrite(content).content
    assert longest_line(rewritten) <= 998
    (part,) = message_from_bytes(rewritten, policy=SMTP).iter_parts()
    (attached,) = part.iter_parts()
    assert attached.get_payload(decode=True) == LONG
    assert part["Content-Transfer-Encoding"] is None


@pytest.mark.parametrize("trouble", [LONG, b"a\0b"])
def test_sealed_part_is_refused(trouble: bytes) -> None:
    """What is signed must not be changed: whoever asks is told, and decides."""
    signed = multipart(b"\r\n" + trouble, b"Content-Type: a/b\r\n\r\nsig", kind=b"signed")
    with pytest.raises(SealedPart):
        rewrite(signed)
    inner = signed[len(HEADER) :].replace(b"boundary=B", b"boundary=C").replace(b"--B", b"--C")
    with pytest.raises(SealedPart):
        rewrite(multipart(b"Content-Type: text/plain\r\n\r\na", inner))


def test_around_a_sealed_part_letters_are_mended() -> None:
    """The seal is over its part, not over the header above and the parts beside it."""
    signed = (
        b"Content-Type: multipart/signed; boundary=C\r\n\r\n"
        b"--C\r\n\r\nsigned \xe4\r\n--C\r\nContent-Type: a/b\r\n\r\nsig\r\n--C--"
    )
    content = multipart(signed, b"\r\n" + LONG).replace(b"Subject: a", b"Subject: \xd1\x8f")
    rewritten = rewrite(content)
    assert signed in rewritten.content
    assert longest_line(rewritten.content) <= 998
    assert parse_letter(rewritten.content).subject == "я"


def test_text_around_the_parts_is_cut() -> None:
    """Nobody reads a preamble, and nothing can encode it; no line is long all the same."""
    content = multipart(b"\r\na", tail=LONG + b"\r\n").replace(b"--B\r\n", LONG + b"\r\n--B\r\n", 1)
    rewritten = rewrite(content)
    assert rewritten.long_lines
    assert longest_line(rewritten.content) == 998
    assert rewritten.content.partition(b"\r\n\r\n")[2].count(b"x") == 4000


def test_multipart_without_parts_is_cut() -> None:
    """A multipart takes no encoding; where it has no parts its lines are cut."""
    content = HEADER + b"Content-Type: multipart/mixed\r\n\r\n" + LONG + b"\0\r\n"
    rewritten = rewrite(content)
    assert longest_line(rewritten.content) == 998
    assert b"\0" not in rewritten.content


def test_encoding_nobody_knows() -> None:
    """What is encoded in a way of its own is cut, not encoded once more."""
    content = HEADER + b"Content-Transfer-Encoding: x-own\r\n\r\n" + LONG + b"\r\n"
    assert longest_line(rewrite(content).content) == 998


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"To: " + b", ".join(b"user%d@example.com" % n for n in range(100)), b"user99@"),
        (b"To: " + b",".join(b"user%d@example.com" % n for n in range(100)), b"user99@"),
        (b"References: " + b" ".join(b"<%d@example.com>" % n for n in range(100)), b"<99@"),
        (b"X-Token: " + b"t" * 3000, b"t"),
    ],
)
def test_long_header_lines_are_folded(field: bytes, expected: bytes) -> None:
    """RFC 5322 2.1.1: folded where blanks or commas are; unfolded, it says the same."""
    content = HEADER + field + b"\r\n\r\nb\r\n"
    rewritten = rewrite(content)
    assert rewritten.long_header_lines
    assert longest_line(rewritten.content) <= 998
    assert expected in rewritten.content
    if b"<" in field or b"@" in field:
        before, after = parse_letter(content), parse_letter(rewritten.content)
        assert (after.to, after.header_fields) == (before.to, before.header_fields)
    assert rewrite(rewritten.content).content == rewritten.content


def test_endless_subject_is_not_torn() -> None:
    """Neighbouring encoded words are read as one: no blank comes into a word without one."""
    rewritten = rewrite(b"Subject: " + b"s" * 3000 + b"\r\n\r\nb\r\n").content
    assert longest_line(rewritten) <= 998
    assert parse_letter(rewritten).subject == "s" * 3000


def test_header_in_utf8_stays_where_it_may() -> None:
    """RFC 6532: with SMTPUTF8 a header in UTF-8 is in order; one in another charset is not."""
    content = b"Subject: \xd1\x8f\r\nComments: \xff\r\n\r\nb\r\n"
    rewritten = rewrite(content, utf8=True).content
    assert rewritten.startswith(b"Subject: \xd1\x8f\r\nComments: =?utf-8?")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("To", "Имя <a@example.com>, b@example.com",
         b"=?utf-8?b?0JjQvNGP?= <a@example.com>,\r\n\tb@example.com"),
        ("To", "a@пример.рф", b"a@xn--e1afmkfd.xn--p1ai"),
        ("To", "имя@example.com", b"=?utf-8?b?0LjQvNGPQGV4YW1wbGUuY29t?=:;"),
        ("From", '"Doe, \\"J\\"" <a@example.com>, Ж <b@example.com>',
         b'"Doe, \\"J\\"" <a@example.com>,\r\n\t=?utf-8?b?0JY=?= <b@example.com>'),
        ("Content-Disposition", 'attachment; filename="я.txt"; size=5',
         b"attachment;\r\n\tfilename*=utf-8''%D1%8F.txt;\r\n\tsize=5"),
        ("X-Any", "я", b"=?utf-8?b?0Y8=?="),
    ],
)  # fmt: skip
def test_raw_octets_in_header_fields(name: str, value: str, expected: bytes) -> None:
    """T26: each kind of field has its own way to ASCII; a name is never an address."""
    written = ascii_field(name, f" {value}\r\n".encode())
    assert written == name.encode() + b": " + expected + b"\r\n"


def test_control_characters_cannot_begin_a_field() -> None:
    """No octet of a value becomes a header field of its own."""
    written = ascii_field("X-Any", " я\r\n\tBcc: evil@example.com\x0b\r\n".encode())
    assert written.count(b"\r\n") == written.count(b"\r\n ") + 1


def test_large_raw_field_takes_linear_time() -> None:
    """A header field of a megabyte is no way to hold up everybody else."""
    content = b"Subject: " + "я".encode() * 500_000 + b"\r\nTo: " + b"\xff," * 100_000
    rewritten = rewrite(content + b"\r\n\r\nb\r\n").content
    assert rewritten.count(b"=?utf-8?b?") > 20_000
    assert longest_line(rewritten) <= 998


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Content-Disposition", "дело; filename=a.txt", b"attachment;\r\n\tfilename=a.txt"),
        ("Content-Type", "текст/plain; charset=utf-8", b"text/plain;\r\n\tcharset=utf-8"),
    ],
)
def test_values_that_are_no_words_mean_the_default(name: str, value: str, expected: bytes) -> None:
    """RFC 2045 5.2, RFC 2183 2.8: what nobody knows is plain text, or a file."""
    written = ascii_field(name, f" {value}\r\n".encode())
    assert written == name.encode() + b": " + expected + b"\r\n"


def test_addresses_stay_in_a_header_that_was_not_utf8() -> None:
    """With SMTPUTF8 an address may be UTF-8, also where the rest of its field had to be mended."""
    content = b"From: \xff <" + "жук@example.com".encode() + b">\r\n\r\nb\r\n"
    written = rewrite(content, utf8=True).content
    assert rewrite(written, utf8=True).content == written
    assert b":;" not in written


def test_value_that_is_not_ascii_never_raises() -> None:
    """Found by fuzzing: nothing in a header may end the taking of a letter."""
    assert parameters_value("дело", {"name": "a"}) == b"????;\r\n\tname=a"
