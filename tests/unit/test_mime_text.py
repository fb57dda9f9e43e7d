"""The text of a body part: charset, line ends, flowed paragraphs."""

from __future__ import annotations

import pytest

from providers.mime.structure import Part
from providers.mime.text import paragraphs, text_of

PAGE = "<html><head><meta {}></head><body>Спасибо за заказ</body></html>"


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("one \ntwo\nthree", "one two\nthree"),
        (" stuffed\n From here\n > not a quotation", "stuffed\nFrom here\n> not a quotation"),
        ("> a \n> b\n>> c \n> d", "> a b\n>> c \n> d"),
        (">a \n>b", "> a b"),
        ("> a \nb", "> a \nb"),
        ("a \n\nb", "a \n\nb"),
        ("a \n-- \nAlice", "a \n-- \nAlice"),
        ("a \n", "a \n"),
        ("never closed ", "never closed "),
        ("", ""),
        (">\n>", ">\n>"),
    ],
)
def test_flowed_lines_become_paragraphs(text: str, joined: str) -> None:
    """RFC 3676 4: soft breaks join, depths do not mix, signatures and empty lines stand alone."""
    assert paragraphs(text, delete_space=False) == joined


def test_delsp_takes_the_blank_along() -> None:
    """RFC 3676 4.3: with DelSp the blank of a soft break was never part of the text."""
    assert paragraphs("ご注 \n文 \n\n", delete_space=True) == "ご注文\n\n"


def test_only_flowed_plain_text_flows() -> None:
    """A trailing blank elsewhere is just a blank."""
    flowed = {"format": "Flowed", "charset": "utf-8"}
    assert text_of(Part("text/plain", flowed, body=b"a \r\nb")) == "a b"
    assert text_of(Part("text/plain", {"format": "fixed"}, body=b"a \r\nb")) == "a \nb"
    assert text_of(Part("text/html", flowed, body=b"a \r\nb")) == "a \nb"


def test_lines_end_in_lf() -> None:
    """CRLF, bare CR and bare LF are line ends, before the encoding or within it; NUL is nothing."""
    encoded = Part("text/plain", encoding="base64", body=b"YQ0KYg1jCmQAZQ==")
    assert text_of(encoded) == "a\nb\nc\nde"


@pytest.mark.parametrize(
    ("meta", "parameters", "codec"),
    [
        ('charset="koi8-r"', {}, "koi8-r"),
        ("http-equiv=Content-Type content='text/html; charset=windows-1251'", {}, "cp1251"),
        ("CHARSET=iso-8859-5", {}, "iso-8859-5"),
        ("charset=koi8-r", {}, "utf-8"),
        ("charset=koi8-r", {"charset": "iso-8859-5"}, "iso-8859-5"),
        ("name=viewport", {}, "cp1251"),
    ],
)
def test_html_may_name_its_charset(meta: str, parameters: dict[str, str], codec: str) -> None:
    """The header is believed first, then the octets where they are UTF-8, then the meta element."""
    page = PAGE.format(meta)
    assert text_of(Part("text/html", parameters, body=page.encode(codec))) == page
