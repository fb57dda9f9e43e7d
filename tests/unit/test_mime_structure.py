"""The tree of parts, whole and broken, and the bounds on what a letter can cost."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from providers.contract.address import parse_address
from providers.contract.envelope import Envelope, Recipient
from providers.mime import find_field, html_from_text, needs_from, parse_letter
from providers.mime.structure import MAX_DEPTH, MAX_PARTS, Part, read_structure

MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
ENVELOPE = Envelope(None, (Recipient(0, parse_address("bob@example.com")),), smtputf8=True)


def tree(content: bytes) -> Part:
    return read_structure(content)[1]


def bodies(content: bytes) -> list[bytes | None]:
    return [part.body for part in tree(content).parts]


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (b"--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n", [b"one", b"two"]),
        (b"preamble\r\n--b\r\n\r\none\r\n--b--\r\nepilogue", [b"one"]),
        (b"--b\r\n\r\none\r\n\r\n--b--", [b"one\r\n"]),
        (b"--b \t\r\n\r\none\r\n--b-- \r\n", [b"one"]),
        (b"--b\r\n\r\none", [b"one"]),
        (b"--b\r\n\r\none\r\n--b", [b"one", b""]),
        (b"--b\r\n\r\none\r\n--bb\r\n--b--\r\n", [b"one\r\n--bb"]),
        (b"--b\r\n\r\none --b\r\n--b--\r\n", [b"one --b"]),
        (b"--b\r\n\r\none\r\n--b--\r\n--b\r\n\r\nlate\r\n", [b"one", b"late\r\n"]),
        (b"--b\r\n--b\r\n\r\none\r\n--b--", [b"", b"one"]),
        (b"--b\n\none\n--b\r\n\r\ntwo\n--b--\n", [b"one", b"two"]),
    ],
)
def test_parts_lie_between_delimiter_lines(body: bytes, parts: list[bytes]) -> None:
    """RFC 2046 5.1.1: the line end before a delimiter is its own; broken ends lose nothing."""
    assert [part or b"" for part in bodies(MIXED + body)] == parts


def test_an_unclosed_inner_multipart_ends_with_the_outer_part() -> None:
    """What follows the outer delimiter is not swallowed by the inner multipart."""
    inner = b"Content-Type: multipart/alternative; boundary=i\r\n\r\n--i\r\n\r\ndeep\r\n"
    root = tree(MIXED + b"--b\r\n" + inner + b"--b\r\n\r\nnext\r\n--b--\r\n")
    assert [[part.body for part in child.parts] or child.body for child in root.parts] == [
        [b"deep"],
        b"next",
    ]


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Type: multipart/mixed\r\n\r\n",
        b'Content-Type: multipart/mixed; boundary=""\r\n\r\n',
        b"Content-Type: multipart/mixed; boundary=other\r\n\r\n",
    ],
)
def test_a_boundary_that_is_there_is_found_without_its_name(head: bytes) -> None:
    """A wrong or missing parameter does not turn a letter into one lump of text."""
    content = (
        head + b"--x y\r\nContent-Type: text/html\r\n\r\none\r\n--x y\r\n\r\ntwo\r\n--x y--\r\n"
    )
    assert bodies(content) == [b"one", b"two"]


def test_a_multipart_without_any_part_is_its_text() -> None:
    """What a reader would show is not lost, and blanks are nothing."""
    root = tree(MIXED + b"only words\r\n")
    assert (root.content_type, root.body) == ("text/plain", b"only words\r\n")
    assert tree(MIXED + b" \r\n").is_multipart


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"", Part("text/plain", body=b"x")),
        (b"Content-Type: nonsense\r\n", Part("text/plain", body=b"x")),
        ((b"content-type: IMAGE/Png; name=a.png\nContent-ID: <1@x>\n"
          b"Content-Transfer-Encoding: BASE64 ; x=y\n"),
         Part("image/png", {"name": "a.png"}, filename="a.png", content_id="1@x",
              encoding="base64", body=b"x")),
        (b"Content-Disposition: Inline; filename=b.txt\r\nContent-Type: text/plain; name=a\r\n",
         Part("text/plain", {"name": "a"}, disposition="inline", filename="b.txt", body=b"x")),
        (b"Content-Type: text/html\r\nContent-Type: text/plain\r\n", Part("text/html", body=b"x")),
    ],
)  # fmt: skip
def test_what_a_header_says_of_a_part(head: bytes, expected: Part) -> None:
    """Types in lower case, names safe, the first of two fields, the default for nonsense."""
    assert tree(head + b"\r\nx") == expected


def test_parts_of_a_digest_are_letters() -> None:
    """RFC 2046 5.1.5: without Content-Type a part of multipart/digest is message/rfc822."""
    head = b"Content-Type: multipart/digest; boundary=b\r\n\r\n"
    letters = tree(head + b"--b\r\n\r\nSubject: one\r\n\r\nHi\r\n--b--\r\n").parts
    assert [(part.content_type, part.body) for part in letters] == [
        ("message/rfc822", b"Subject: one\r\n\r\nHi")
    ]


def test_ten_thousand_parts_are_not_all_read() -> None:
    """Beyond the limit the rest is one other part, so that the loss is known."""
    letter = parse_letter(MIXED + b"--b\r\nContent-Type: a/b\r\n\r\nx\r\n" * 10_000 + b"--b--\r\n")
    assert len(letter.attachments) == MAX_PARTS
    assert letter.other_parts == ("multipart/mixed",)


def test_two_hundred_levels_are_not_all_entered() -> None:
    """Beyond the limit a multipart stays closed and is one other part; nothing recurses away."""
    heads = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (depth, depth)
        for depth in range(200)
    )
    letter = parse_letter(heads + b"Content-Type: text/plain\r\n\r\ndeep\r\n")
    assert letter.other_parts == ("multipart/mixed",)
    assert letter.text is None
    part, depth = tree(heads), 0
    while part.parts:
        part, depth = part.parts[0], depth + 1
    assert depth == MAX_DEPTH


def test_a_header_of_five_megabytes_is_read() -> None:
    """Neither one endless field nor endlessly many are a reason to fail."""
    line = b" <1234567890@example.com>\r\n"
    count = 5_000_000 // len(line)
    letter = parse_letter(b"References:" + line * count + b"Subject: x\r\n\r\nHi\r\n")
    assert letter.subject == "x"
    assert letter.header_fields[0][1].count("<") == count
    assert len(parse_letter(b"X-A: b\r\n" * 100_000 + b"\r\n").header_fields) == 100_000


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "encoded words never closed": lambda n: b"Subject: " + b"=?a?q?x " * (n // 8),
    "starts of encoded words": lambda n: b"Subject: " + b"=?" * (n // 2),
    "question marks": lambda n: b"Subject: =?utf-8?q?" + b"?" * n,
    "blanks in an encoded word": lambda n: b"Subject: =?" + b" " * n,
    "many encoded words": lambda n: b"Subject: " + b"=?utf-8?B?0J8=?= " * (n // 17),
    "folds": lambda n: b"Subject: a\r\n" + b" b\r\n" * (n // 4),
    "open comments": lambda n: b"To: " + b"(" * n,
    "open quotes": lambda n: b"To: " + b'"\\' * (n // 2),
    "open angles": lambda n: b"To: " + b"<" * n,
    "colons after an address": lambda n: b"To: " + b"=" * (n // 2) + b"@" + b":" * (n // 2),
    "words and commas": lambda n: b"To: " + b"a," * (n // 2),
    "semicolons": lambda n: b"Content-Type: text/plain" + b";" * n,
    "open parameters": lambda n: b"Content-Type: text/plain" + b';a="\\' * (n // 5),
    "sections": lambda n: b"Content-Type: a/b" + b"".join(b";a*%d*=b" % i for i in range(n // 9)),
    "padding": lambda n: b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=  " * (n // 3) + b"-",
    "soft breaks": lambda n: b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=" + b" " * n,
    "delimiters within lines": lambda n: MIXED + b"x--b" * (n // 4),
    "delimiters like ours": lambda n: MIXED + b"--b x\r\n" * (n // 7),
    "likely delimiters": lambda n: b"Content-Type: multipart/x\r\n\r\n" + b"--a  \r\n" * (n // 7),
    "a likely delimiter": lambda n: b"Content-Type: multipart/x\r\n\r\n--a" + b" " * n,
    "content ids": lambda n: b"Content-Type: text/html\r\n\r\n" + b"cid:&amp;" * (n // 9),
    "meta elements": lambda n: b"Content-Type: text/html\r\n\r\n" + b"<meta " * (n // 6),
    "flowed": lambda n: b"Content-Type: text/plain; format=flowed\r\n\r\n" + b"> a \r\n" * (n // 6),
    "blank parts": lambda n: MIXED + b"--b\r\n\r\n" + b" " * (n // 2) + b"\r\n--b\r\n" * (n // 14),
    "links": lambda n: b"\r\n" + b"http://x" + b")" * n,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_time_stays_linear(name: str) -> None:
    """Hundreds of kilobytes of trouble cost a second at most; by squares it would be hours."""
    content = HOSTILE[name](300_000)
    started = time.process_time()
    needs_from(content, ENVELOPE)
    find_field(content, "x-none")
    html_from_text(parse_letter(content).text or "")
    assert time.process_time() - started < 10
