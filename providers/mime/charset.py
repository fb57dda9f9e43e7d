"""
Octets to text, by a charset label or in spite of it.

Labels lie: they are missing, misspelt, or name what the sender's machine was set to and not what it
wrote. No octet is ever a reason to fail here. Knows nothing of MIME; everything else in
`providers.mime` that makes text comes here.
"""

from __future__ import annotations

import re
from encodings.aliases import aliases

# Codecs of the standard library that make no text of octets.
_NO_CHARSETS = frozenset(
    (
        "base64_codec",
        "bz2_codec",
        "hex_codec",
        "mbcs",
        "quopri_codec",
        "rot_13",
        "uu_codec",
        "zlib_codec",
    )
)
# Known to Python, but not in its table of aliases.
_UNLISTED = ("cp720", "cp737", "cp874", "iso8859_1", "koi8_t", "koi8_u")
# A closed table: looking up any name that a letter makes up would search the disk each time.
_CODECS = {
    **{alias: codec for alias, codec in aliases.items() if codec not in _NO_CHARSETS},
    **{codec: codec for codec in aliases.values() if codec not in _NO_CHARSETS},
    **{codec: codec for codec in _UNLISTED},
    "iso8859_1": "latin_1",
    "iso_8859_8_i": "iso8859_8",
    "koi8": "koi8_r",
    "koi8_ru": "koi8_u",
    "utf8mb4": "utf_8",  # a database's word for it
    "win_1251": "cp1251",
    "windows1251": "cp1251",
    "windows_874": "cp874",
}
# What senders write under a narrower name; tried when the narrow one does not fit.
_WIDER = {
    "big5": ("cp950", "big5hkscs"),
    "cp1252": ("latin_1",),
    "euc_kr": ("cp949",),
    "gb2312": ("gb18030",),
    "gbk": ("gb18030",),
    "iso2022_jp": ("iso2022_jp_ext",),
    "iso8859_11": ("cp874",),
    "iso8859_8": ("cp1255",),
    "iso8859_9": ("cp1254",),
    "koi8_r": ("koi8_u",),
    "shift_jis": ("cp932",),
    "tis_620": ("cp874",),
}
_NOT_WORD = re.compile(r"[^a-z0-9]+")
_WORD = re.compile(rb"[A-Za-z\x80-\xff]+")
_LATIN_LETTERS = bytes(range(65, 91)) + bytes(range(97, 123))
_FREQUENT = "оеаинтсрвл"  # two thirds of any Russian text
_CASE_SLIP = re.compile("[а-яё][А-ЯЁ]")
_SAMPLE_OCTETS = 4096
_MIME_NAMES = {
    "ascii": "us-ascii",
    "cp1251": "windows-1251",
    "cp1252": "windows-1252",
    "iso2022_jp": "iso-2022-jp",
    "koi8_r": "koi8-r",
    "utf_8": "utf-8",
}
_MAX_LABEL = 40


def text_from(octets: bytes, label: str | None) -> str:
    """
    Decode octets; what cannot be read becomes U+FFFD.

    Args:
        octets: Of one text, whole characters.
        label: The charset's name as the letter gives it, in any spelling; `None` for none.

    Returns:
        Text that UTF-8 can encode (no lone surrogates).

    Three rules go beyond the label. Without one that we know, and under `us-ascii`, valid UTF-8 is
    UTF-8 and the rest is guessed. Under a Latin label (`iso-8859-1`, `windows-1252`) octets above
    127 that are valid UTF-8 are UTF-8: as Latin text they would read `Ã©`, which nobody writes.
    All other labels are believed as long as they fit, with the wider charset that senders mean
    (`gb2312` for what is GB 18030) tried next. `iso-8859-1` is read as windows-1252, its superset
    in practice.
    """
    if label is None:
        return _guess(octets)
    codec = _codec(label)
    if codec is None or codec == "ascii":
        return _guess(octets)
    if codec in ("latin_1", "cp1252"):
        if (text := _strictly(octets, "utf_8")) is not None:
            return text
        codec = "cp1252"
    for candidate in (codec, *_WIDER.get(codec, ())):
        if (text := _strictly(octets, candidate)) is not None:
            return text
    return _salvage(octets, codec)


def _codec(label: str) -> str | None:
    name = _NOT_WORD.sub("_", label[:_MAX_LABEL].lower()).strip("_")
    return _CODECS.get(name) or _CODECS.get(name.removeprefix("x_"))


def _strictly(octets: bytes, codec: str) -> str | None:
    try:
        text = octets.decode(codec)
    except UnicodeError:
        return None
    return text if codec == "utf_8" else _encodable(text)


def _salvage(octets: bytes, codec: str) -> str:
    """The best of a text that its label does not fit: a few spoilt octets, or a wrong label."""
    if codec != "utf_8" and (text := _strictly(octets, "utf_8")) is not None:
        return text
    text = _encodable(octets.decode(codec, "replace"))
    spoilt = text.count("\ufffd")
    readable = len(text) - len(text.encode("ascii", "ignore")) - spoilt
    return text if readable >= spoilt else _guess(octets)


def guess_charset(octets: bytes) -> str:
    """The MIME name of the charset in which `text_from` reads octets without a label."""
    return _MIME_NAMES[_guessed_codec(octets)]


def _guess(octets: bytes) -> str:
    return octets.decode(_guessed_codec(octets), "replace")


def _guessed_codec(octets: bytes) -> str:
    """Read octets of which nobody says what they are: UTF-8, else Cyrillic or Western."""
    if octets.isascii():
        is_japanese = b"\x1b$" in octets and _strictly(octets, "iso2022_jp") is not None
        return "iso2022_jp" if is_japanese else "ascii"
    if _strictly(octets, "utf_8") is not None:
        return "utf_8"
    sample = octets[:_SAMPLE_OCTETS]
    if _is_western(sample):
        return "cp1252"
    return max(("cp1251", "koi8_r"), key=lambda codec: _likeness(sample.decode(codec, "replace")))


def _is_western(octets: bytes) -> bool:
    """Whether most octets above 127 stand in one word with Latin letters: `café`, `Grüße`."""
    mixed = alone = 0
    for word in _WORD.findall(octets):
        high = len(word.translate(None, _LATIN_LETTERS))
        if high < len(word):
            mixed += high
        else:
            alone += high
    return mixed > alone


def _likeness(text: str) -> tuple[int, int]:
    """
    How much a text looks like Russian.

    Read by the wrong one of the two charsets, frequent letters become rare ones, small letters
    capitals, and words go on in capitals after a small letter.
    """
    lower = text.lower()
    frequent = sum(lower.count(letter) for letter in _FREQUENT)
    return frequent - len(_CASE_SLIP.findall(text)), sum(map(str.islower, text))


def _encodable(text: str) -> str:
    """UTF-7 and its like can spell lone surrogates, which no wire takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
