"""Octets to text, by a label or in spite of it."""

from __future__ import annotations

from encodings.aliases import aliases

import pytest

from providers.mime.charset import text_from


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("UTF-8", "Привет 😀"),
        ('"utf-8"', "Привет"),
        (" utf8 ", "Привет"),
        ("utf8mb4", "Привет"),
        ("KOI8-R", "Привет"),
        ("koi8-u", "Привіт"),
        ("Windows-1251", "Привет №"),
        ("cp-1251", "Привет"),
        ("win-1251", "Привет"),
        ("ISO-8859-5", "Привет"),
        ("cp866", "Привет"),
        ("x-mac-cyrillic", "Привет"),
        ("iso-8859-2", "Żółć"),
        ("ISO_8859-1", "Grüße"),
        ("iso-8859-9", "Şişe"),
        ("ISO-2022-JP", "ご注文"),
        ("Shift_JIS", "ご注文"),
        ("x-sjis", "ご注文"),
        ("EUC-JP", "ご注文"),
        ("gb2312", "订单"),
        ("GBK", "訂單"),
        ("GB18030", "订单😀"),
        ("Big5", "訂單"),
        ("ks_c_5601-1987", "안녕"),
        ("tis-620", "สวัสดี"),
        ("UTF-16", "Привет"),
        ("utf-7", "Привет"),
    ],
)
def test_known_labels_are_believed(label: str, text: str) -> None:
    """Each charset in use is known, however its name is written."""
    codecs = {"cp-1251": "cp1251", "win-1251": "cp1251", "utf8mb4": "utf-8", "x-sjis": "cp932"}
    codec = codecs.get(label, label.strip(' "').removeprefix("x-"))
    assert text_from(text.encode(codec), label) == text


@pytest.mark.parametrize(
    ("label", "octets", "text"),
    [
        ("gb2312", "朱镕基".encode("gbk"), "朱镕基"),
        ("euc-kr", "똠방".encode("cp949"), "똠방"),
        ("shift_jis", "①".encode("cp932"), "①"),
        ("iso-2022-jp", b"\x1b(I1\x1b(B", "ｱ"),
        ("iso-8859-1", b"\x93quoted\x94 \x80", "“quoted” €"),
        ("iso-8859-1", b"a\x81", "a\x81"),
        ("koi8-r", "і".encode("koi8-u"), "╕"),
    ],
)
def test_wider_charsets_stand_in_where_the_label_is_too_narrow(
    label: str, octets: bytes, text: str
) -> None:
    """Senders write the narrower name; a label that fits is never overruled."""
    assert text_from(octets, label) == text


@pytest.mark.parametrize(
    "label", [None, "", "us-ascii", "unknown-8bit", "x-unknown", "no such\0 name", "x" * 10_000]
)
@pytest.mark.parametrize(
    "octets",
    [
        "Спасибо за заказ".encode(),
        "Спасибо за заказ".encode("cp1251"),
        "Спасибо за заказ".encode("koi8-r"),
    ],
)
def test_without_a_label_that_helps_the_octets_tell(label: str | None, octets: bytes) -> None:
    """T26: valid UTF-8 is UTF-8; the rest is told by its letters."""
    assert text_from(octets, label) == "Спасибо за заказ"


@pytest.mark.parametrize("codec", ["cp1251", "koi8-r"])
@pytest.mark.parametrize("text", ["ВНИМАНИЕ", "Привет", "счёт", "От: Иванов И. И.", "ООО «Рога»"])
def test_cyrillic_charsets_are_told_apart(codec: str, text: str) -> None:
    """Short words, capitals and names do not mislead the guess."""
    if codec == "koi8-r":
        text = text.strip("«»").replace("«", '"').replace("»", '"')
    assert text_from(text.encode(codec), None) == text


@pytest.mark.parametrize("text", ["Grüße aus Köln", "déjà vu à Orléans", "mañana"])
def test_western_text_is_not_taken_for_cyrillic(text: str) -> None:
    """Octets among Latin letters are accents."""
    assert text_from(text.encode("cp1252"), None) == text


def test_latin_labels_give_way_to_utf_8() -> None:
    """UTF-8 under a Latin label would read `Ã©`, which nobody writes."""
    assert text_from("café".encode(), "iso-8859-1") == "café"
    assert text_from("café".encode(), "windows-1252") == "café"
    assert text_from("café".encode("latin-1"), "iso-8859-1") == "café"


def test_a_few_spoilt_octets_do_not_turn_the_text() -> None:
    """UTF-8 cut short stays UTF-8; another charset under that label is found out."""
    assert text_from("Привет".encode()[:-1], "utf-8") == "Приве\ufffd"
    assert text_from("Привет".encode("cp1251"), "utf-8") == "Привет"
    assert text_from("Привет".encode(), "iso-2022-jp") == "Привет"


def test_text_can_always_be_sent() -> None:
    """Lone surrogates, which UTF-7 can spell, do not come out."""
    assert text_from(b"+2AA-", "utf-7") == "?"


def test_no_label_makes_it_raise() -> None:
    """Names of codecs that are no charsets (`zip`, `rot13`, `hex`) are no labels either."""
    for label in (*aliases, *aliases.values(), "idna", "punycode", "undefined", "unicode_escape"):
        for octets in (b"", b"+-abc", b"\\u0041", bytes(range(256))):
            assert isinstance(text_from(octets, label), str)
    assert text_from(b"uryyb", "rot13") == "uryyb"
    assert text_from(b"\\u0041", "unicode_escape") == "\\u0041"
