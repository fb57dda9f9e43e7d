"""Plain text as HTML that looks the same."""

from __future__ import annotations

import pytest

from providers.mime import html_from_text


def body(text: str) -> str:
    """What stands within the body element."""
    html = html_from_text(text)
    assert html.startswith("<!DOCTYPE html>\n<html>")
    assert html.endswith("\n</body></html>\n")
    return html.partition("<body>\n")[2].removesuffix("\n</body></html>\n")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("", ""),
        ("Thank you", "Thank you"),
        ("one\ntwo\r\nthree\rfour", "one<br>\ntwo<br>\nthree<br>\nfour"),
        ("a  b   c d", "a&nbsp; b&nbsp;&nbsp; c d"),
        (" x\n  y", "&nbsp;x<br>\n&nbsp;&nbsp;y"),
        ("a\tb", 'a<span style="white-space:pre">\t</span>b'),
        ('<b onclick="x">&\'', "&lt;b onclick=&quot;x&quot;&gt;&amp;&#x27;"),
        ("{0} {name} %s", "{0} {name} %s"),
        ("a\0b\x1bc\x85d", "abcd"),
        ("Цена\xa05 €", "Цена\xa05 €"),
    ],
)
def test_the_look_is_kept(text: str, html: str) -> None:
    """Line breaks, indents, columns and tabs stay; nothing of the text is markup."""
    assert body(text) == html


def link(address: str) -> str:
    return f'<a href="{address}">{address}</a>'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("see https://example.com/a.", f"see {link('https://example.com/a')}."),
        ("(http://example.com)", f"({link('http://example.com')})"),
        ("https://example.com/a_(b)", link("https://example.com/a_(b)")),
        ("[https://example.com/x]]", f"[{link('https://example.com/x')}]]"),
        ("HTTPS://EXAMPLE.COM", link("HTTPS://EXAMPLE.COM")),
        ("https://example.com/?a&b='2'", link("https://example.com/?a&amp;b=&#x27;2") + "&#x27;"),
        ('<https://example.com/>"', f"&lt;{link('https://example.com/')}&gt;&quot;"),
        ("«https://example.com/путь»", f"«{link('https://example.com/путь')}»"),
        ("https://example.com/a https://example.com/b",
         f"{link('https://example.com/a')} {link('https://example.com/b')}"),
        ("http://", "http://"),
        ("http://...", "http://..."),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ("xhttp://example.com", "xhttp://example.com"),
    ],
)  # fmt: skip
def test_web_addresses_become_links_to_themselves(text: str, html: str) -> None:
    """Only http and https, without the punctuation around, unable to leave the attribute."""
    assert body(text) == html
