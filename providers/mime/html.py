"""
Plain text as HTML that looks the same, for platforms that take nothing else.

By escaping alone: nothing is guessed at but web addresses. Sits on nothing.
"""

from __future__ import annotations

import re
from html import escape

_DOCUMENT = '<!DOCTYPE html>\n<html><head><meta charset="utf-8"></head><body>\n{}\n</body></html>\n'
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SPECIAL = re.compile(
    r"""(?P<link>\bhttps?://[^\s<>"]++)|(?P<indent>^[ ]++)|[ ]{2,}""", re.MULTILINE | re.IGNORECASE
)
_AFTER_LINK = ".,;:!?'*…»”’"  # punctuation of the sentence that a link ends
_BRACKETS = {")": "(", "]": "[", "}": "{"}
# What web mail itself writes for a tab: kept in width where styles are, a blank elsewhere.
_TAB = '<span style="white-space:pre">\t</span>'


def html_from_text(text: str) -> str:
    """
    A complete small document that shows a plain text as it was meant.

    Line breaks, indents, runs of blanks and tabs keep their look, and web addresses (http and https
    only) become links to themselves. Nothing of the text can act as markup. Without its tags, with
    `<br>` and the line end after it read as a line break and `&nbsp;` as a blank, it is the text
    again, all but control characters, which HTML cannot hold. Time is linear.
    """
    clean = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    shown: list[str] = []
    end = 0
    # Most of a text is neither link nor blanks in a row, and is escaped as a whole.
    for match in _SPECIAL.finditer(clean):
        shown += (_plain(clean[end : match.start()]), _special(match))
        end = match.end()
    shown.append(_plain(clean[end:]))
    return _DOCUMENT.format("".join(shown))


def _plain(piece: str) -> str:
    return escape(piece).replace("\n", "<br>\n").replace("\t", _TAB)


def _special(match: re.Match[str]) -> str:
    found = match[0]
    if match["link"]:
        return _link(found)
    if match["indent"]:
        return "&nbsp;" * len(found)
    return "&nbsp;" * (len(found) - 1) + " "  # a line may still wrap here


def _link(found: str) -> str:
    """The web address as a link, without the punctuation and brackets around it."""
    surplus = {close: found.count(close) - found.count(open_) for close, open_ in _BRACKETS.items()}
    end = len(found)
    while found[end - 1] in _AFTER_LINK or surplus.get(found[end - 1], 0) > 0:
        end -= 1
        if found[end] in surplus:
            surplus[found[end]] -= 1
    if found[:end].endswith("/") and found[:end].count("/") == 2:  # no host was left
        return escape(found)
    address = escape(found[:end])
    return f'<a href="{address}">{address}</a>{escape(found[end:])}'
