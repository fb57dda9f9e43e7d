"""Letters made 7-bit: whatever they are, nothing raises, and what is done can be read back."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from providers.mime import Downgraded, ParsedLetter, downgrade, parse_letter

words = st.text(alphabet="abé Я😀.=_?-", max_size=30)
lines = st.lists(words, max_size=5).map("\r\n".join)
encodings = st.sampled_from(["7bit", "8bit", "binary"])
kinds = st.sampled_from(
    ["text/plain; charset=utf-8", "text/html; charset=utf-8", "image/png", "text/csv"]
)
parts = st.builds(
    "Content-Type: {}\r\nContent-Transfer-Encoding: {}\r\n\r\n{}".format, kinds, encodings, lines
)
mixed = st.builds(
    lambda subject, found: (
        f"From: a@example.com\r\nSubject: {subject}\r\n"
        "Content-Type: multipart/mixed; boundary=zz\r\n\r\n"
        + "".join(f"--zz\r\n{part}\r\n" for part in found)
        + "--zz--\r\n"
    ),
    words.map(lambda text: text.replace("=?", "")),
    st.lists(parts, min_size=1, max_size=4),
)


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode), st.booleans())
def test_any_octets(content: bytes, bodies: bool):
    """It never raises; a 7-bit letter is one, and an ASCII letter comes back as it was."""
    result = downgrade(content, bodies=bodies)
    if content.isascii():
        assert result == Downgraded(content)
    if bodies and isinstance(result, Downgraded):
        assert result.content.isascii()


@settings(max_examples=60)
@given(mixed, st.booleans())
def test_a_letter_reads_the_same(letter: str, bodies: bool):
    """T26: subject, bodies and files are equal after decoding."""
    content = letter.encode()
    result = downgrade(content, bodies=bodies)
    assert isinstance(result, Downgraded)
    assert result.losses == ()
    assert _read(result.content) == _read(content)


def _read(content: bytes) -> ParsedLetter:
    read = parse_letter(content)
    return replace(read, subject=" ".join(read.subject.split()))  # folding takes runs of blanks
