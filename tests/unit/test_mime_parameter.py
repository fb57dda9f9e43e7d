"""Parameters of Content-Type and Content-Disposition, and file names made safe."""

from __future__ import annotations

import pytest

from providers.mime.parameter import media_type, parse_parameters, safe_filename


@pytest.mark.parametrize(
    ("raw", "value", "parameters"),
    [
        (b"text/plain", "text/plain", {}),
        (b' TEXT/Plain;\r\n\tCharset="UTF-8"\r\n', "text/plain", {"charset": "UTF-8"}),
        (b"text/plain; charset = utf-8 ; format=flowed", "text/plain",
         {"charset": "utf-8", "format": "flowed"}),
        (b"text/plain charset=utf-8", "text/plain", {"charset": "utf-8"}),
        (b"text/html charset=utf-8; x=y", "text/html", {"charset": "utf-8", "x": "y"}),
        (b'multipart/mixed;;; boundary="a;b=c" ;', "multipart/mixed", {"boundary": "a;b=c"}),
        (b"attachment; filename=two words.pdf; size=7", "attachment",
         {"filename": "two words.pdf", "size": "7"}),
        (b'attachment; filename="a \\"b\\" \\\\c"', "attachment", {"filename": 'a "b" \\c'}),
        (b'attachment; filename="C:\\dir\\a.pdf"', "attachment", {"filename": "C:\\dir\\a.pdf"}),
        (b'attachment; filename="never closed', "attachment", {"filename": "never closed"}),
        (b"attachment; filename=a; filename=b", "attachment", {"filename": "a"}),
        (b'attachment; junk "x"; filename=a', "attachment", {"filename": "a"}),
        (b"inline; =x; ;=; filename=a", "inline", {"filename": "a"}),
        (b"", "", {}),
        (b";", "", {}),
    ],
)  # fmt: skip
def test_parameters_as_they_are_written(raw: bytes, value: str, parameters: dict[str, str]) -> None:
    """Quotes, blanks, forgotten and doubled semicolons, Windows paths."""
    assert parse_parameters(raw) == (value, parameters)


@pytest.mark.parametrize(
    ("raw", "filename"),
    [
        (b"filename*=utf-8''%D0%A1%D1%87%D1%91%D1%82.pdf", "Счёт.pdf"),
        (b"filename*=UTF-8'ru'%d0%a1.pdf", "С.pdf"),
        (b"filename*=koi8-r''%F3%DE%C5%D4.pdf", "Счет.pdf"),
        (b"filename*=''%D0%A1.pdf", "С.pdf"),
        (b"filename*=%D0%A1.pdf", "С.pdf"),
        (b"filename*=\"utf-8''%D0%A1.pdf\"", "С.pdf"),
        (b"filename*=utf-8''it's%zz", "it's%zz"),
        (b"filename=plain.pdf; filename*=utf-8''%D0%A1.pdf", "С.pdf"),
        (b"filename*0=a; filename*1=b; filename*2=c.pdf", "abc.pdf"),
        (b"filename*1=b; filename*0=a; filename*10=d; filename*9=c", "abcd"),
        (b"filename*0*=utf-8''%D0; filename*1*=%A1; filename*2=%41.pdf", "С%41.pdf"),
        (b'filename*0="=?utf-8?B?0KE="; filename*1="?=.pdf"', "С.pdf"),
        (b'filename="=?utf-8?B?0KHRh9GR0YI=?=\r\n =?utf-8?Q?_1.pdf?="', "Счёт 1.pdf"),
        (b"filename==?utf-8?Q?=D0=A1.pdf?=", "С.pdf"),
        (b'filename="' + "Счёт.pdf".encode() + b'"', "Счёт.pdf"),
        (b'filename="' + "Счёт.pdf".encode("cp1251") + b'"', "Счёт.pdf"),
        (b"filename*99999=x; filename=y", "y"),
        (b"filename*x=1; filename=y", "y"),
    ],
)
def test_filename_in_every_spelling(raw: bytes, filename: str) -> None:
    """T26: RFC 2231 whole and in sections, RFC 2047 where it does not belong, raw octets."""
    assert parse_parameters(b"attachment; " + raw)[1]["filename"] == filename


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("invoice.pdf", "invoice.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\alice\\invoice.pdf", "invoice.pdf"),
        ("a\r\nBcc: eve.pdf", "a Bcc: eve.pdf"),
        ("nul\0\x07.pdf", "nul.pdf"),
        ("  blanks .pdf ", "blanks .pdf"),
        ("..", ""),
        ("dir/", ""),
        (".profile", ".profile"),
        ("ж" * 300 + ".pdf", "ж" * 196 + ".pdf"),
        ("x" * 300, "x" * 200),
        ("." + "x" * 300, "." + "x" * 199),
    ],
)
def test_filename_stays_in_its_folder(name: str, safe: str) -> None:
    """No path, no control character, no endless name."""
    assert safe_filename(name) == safe


@pytest.mark.parametrize("value", ["text", "text/", "/plain", "text/html/x", "a b/c", "тип/x", ""])
def test_media_type_is_a_pair_of_tokens(value: str) -> None:
    """What could not stand in a header field is no media type."""
    assert media_type(value) == ""
    assert media_type("application/vnd.example+json") == "application/vnd.example+json"
