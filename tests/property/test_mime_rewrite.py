"""Rewritten letters: always in order, the same once decoded, and the same when rewritten again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from providers.mime import parse_letter
from providers.mime.header import decode_field
from providers.mime.parameter import parse_parameters
from providers.mime.rewrite import SealedPart, rewrite
from providers.mime.write import encoded_words, parameters_value

LINES = st.sampled_from(
    [
        *(b"", b"a", b".", b"..", b"=", b"= ", b"a b\t", b"a\0b", b"From a", b"Subject: b"),
        *(b"x" * 998, b"x" * 999, b"y " * 1500, b"\xe4" * 1200, "я".encode() * 600, b"z" * 5000),
        *(b"--B", b"--B--"),
    ]
)
BODIES = st.lists(LINES, max_size=6).map(lambda lines: b"".join(line + b"\r\n" for line in lines))
FIELDS = st.sampled_from(
    [
        b"Content-Type: text/plain",
        b"Content-Type: text/html; charset=utf-8",
        b"Content-Type: image/png",
        b"Content-Type: multipart/mixed; boundary=B",
        b"Content-Type: multipart/alternative; boundary=C",
        b"Content-Type: multipart/signed; boundary=B",
        b"Content-Type: message/rfc822",
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: quoted-printable",
        b"Content-Transfer-Encoding: x-unknown",
        b'Content-Disposition: attachment; filename="\xd1\x8f"',
        b"Subject: \xff\xe4",
        b"Subject: " + b"m " * 700,
        b"To: \xd1\x8f <a@example.com>",
        b"To: " + b",".join([b"a@example.com"] * 90),
        b"X-Long: " + b"l" * 1500,
        b"X: a\0b",
    ]
)
PARTS = st.builds(
    lambda fields, body: b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body,
    st.lists(FIELDS, max_size=4),
    BODIES,
)
LETTERS = PARTS | st.builds(
    lambda head, parts: (
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n"
        + head
        + b"".join(b"--B\r\n" + part for part in parts)
        + b"--B--\r\n"
    ),
    BODIES,
    st.lists(PARTS, max_size=4),
)


@given(LETTERS, st.booleans())
def test_result_is_always_in_order(content: bytes, utf8: bool) -> None:
    """T15, T18: no long line, no NUL, no bare CR or LF, and nothing left for a second time."""
    try:
        rewritten = rewrite(content, utf8=utf8)
    except SealedPart:
        return
    octets = rewritten.content
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    assert b"\0" not in octets
    assert octets.count(b"\r") == octets.count(b"\n") == octets.count(b"\r\n")
    again = rewrite(octets, utf8=utf8)
    assert again.content == octets
    troubles = (again.long_lines, again.long_header_lines, again.nuls, again.eight_bit_fields)
    assert not any(troubles)


TEXTS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40)
    | st.just("w" * 1200),
    max_size=5,
).map("\r\n".join)


@given(TEXTS, TEXTS, st.binary(max_size=50), st.sampled_from(["", "я", "long " * 300]))
def test_letter_decodes_to_what_it_was(text: str, html: str, file: bytes, subject: str) -> None:
    """Bodies, files and header are equal after decoding, whatever had to be encoded."""
    file = file.replace(b"\r", b"").replace(b"\n", b"") * 60
    lines = (
        *(
            "MIME-Version: 1.0",
            f"Subject: {subject}",
            "Content-Type: multipart/mixed; boundary=B-out",
        ),
        *("", "--B-out", "Content-Type: multipart/alternative; boundary=B-in"),
        *("", "--B-in", "Content-Type: text/plain; charset=utf-8", "", text),
        *("--B-in", "Content-Type: text/html; charset=utf-8", "", html, "--B-in--"),
        *("--B-out", "Content-Type: image/png; name=a.png", "Content-Transfer-Encoding: binary"),
    )
    head = "".join(f"{line}\r\n" for line in lines).encode()
    content = head + b"\r\n" + file + b"\r\n--B-out--\r\n"
    assert parse_letter(rewrite(content).content) == parse_letter(content)


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_encoded_words_there_and_back(text: str) -> None:
    """RFC 2047: words are short, whole characters, and are read as the text they were made of."""
    written = encoded_words(text)
    assert all(len(word) <= 75 for word in written.split(b"\r\n "))
    one_line = decode_field(text)
    if "=?" not in text:
        assert decode_field(written) == one_line


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=90)
)
def test_parameters_there_and_back(value: str) -> None:
    """RFC 2231: whatever a file is called."""
    value = value.strip()
    if "=?" in value:
        return
    assert parse_parameters(parameters_value("a/b", {"name": value}))[1].get("name", "") == value
