"""Transfer encodings as they arrive: wrapped, cut, padded, mixed."""

from __future__ import annotations

import pytest

from providers.mime.transfer import decoded


@pytest.mark.parametrize(
    ("octets", "meant"),
    [
        (b"SGVsbG8=", b"Hello"),
        (b"SGVs\r\nbG8=\r\n", b"Hello"),
        (b"SGVsbG8", b"Hello"),
        (b"*S G-V!s#bG8", b"Hello"),
        (b"SGVsbG8=\r\nSGVsbG8=\r\n", b"HelloHello"),
        (b"SGVsbG8=\r\n____\r\nlist footer\r\n", b"Hello"),
        (b"SGVsbG8====", b"Hello"),
        (b"SGVsb", b"Hel"),
        (b"S", b""),
        (b"====", b""),
        (b"", b""),
    ],
)
def test_base64(octets: bytes, meant: bytes) -> None:
    """No digit that was sent is lost; what is no code is passed over."""
    assert decoded(octets, "base64") == meant


@pytest.mark.parametrize(
    ("octets", "meant"),
    [
        (b"a=3Db=3db", b"a=b=b"),
        (b"soft=\r\n break=\nend", b"soft breakend"),
        (b"blanks=  \t\r\nafter", b"blanksafter"),
        (b"=zz =4 =", b"=zz =4 "),
        (b"bare=\rcr stays\n", b"bare=\rcr stays\n"),
        (b"raw \xff octets  \r\n", b"raw \xff octets  \r\n"),
        (b"under_score", b"under_score"),
    ],
)
def test_quoted_printable(octets: bytes, meant: bytes) -> None:
    """Escapes in either case, soft breaks in either style, and nothing swallowed."""
    assert decoded(octets, "quoted-printable") == meant


@pytest.mark.parametrize(
    ("octets", "meant"),
    [
        (b"begin 644 a\r\n%:&5L;&\\\r\n`\r\nend\r\n", b"hello"),
        (b"words before\nbegin 644 a\n%:&5L;&\\\nend\nwords after\n", b"hello"),
        (b"begin 644 a\n%:&5L;&\\!!!!\n\nend\n", b"hello"),
        (b"begin 644 a\n%:&5L;&\\", b"hello"),
        (b"begin 644 a\n\xff\xff\nend", b""),
        (b"no code at all", b"no code at all"),
    ],
)
@pytest.mark.parametrize("name", ["x-uuencode", "uuencode"])
def test_uuencode(octets: bytes, meant: bytes, name: str) -> None:
    """The lines between begin and end, padded ones too; without them the octets stay."""
    assert decoded(octets, name) == meant


@pytest.mark.parametrize("encoding", ["", "7bit", "8bit", "binary", "x-unknown"])
def test_other_encodings_are_none(encoding: str) -> None:
    """RFC 2045 6: what is not encoded is left alone."""
    assert decoded(b"=41 QQ==\r\n", encoding) == b"=41 QQ==\r\n"
