"""
Address fields: From, Sender, Reply-To, To, Cc as mailboxes.

The structure is read before anything is decoded, so that a comma or an @ inside an encoded word
never makes an address (RFC 2047 5 (3)). What the addresses are worth is not judged: recipients come
from the envelope. Sits on `header`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from providers.mime.header import decode_field, unfolded

# Octets are read as Latin-1, one character each, and are turned back before decoding. So a blank is
# a blank or a tab and nothing else: `str.split` would cut the UTF-8 of `Р` in two.
_TOKEN = re.compile(
    r"""(?P<word>=\?[^?]{1,60}\?[bBqQ]\?[^?]*+\?=)"""
    r"""|"(?P<quoted>(?:[^"\\]++|\\.)*+)\""""
    r"""|(?P<special>[(),:;<>])"""
    r"""|(?P<text>\\.|[^"(),:;<>=\\]++|.)""",
    re.DOTALL,
)
# What most fields are, at a tenth of the time: one address, or words and one in angle brackets.
_ATOM = rb"[A-Za-z0-9!#$%&'*+/?^_`{|}~-]++"
_ADDRESS = rb"%b(?:\.%b)*+@%b(?:\.%b)*+" % (_ATOM, _ATOM, _ATOM, _ATOM)
_PLAIN = re.compile(rb"(?:(%b(?: %b)*+) <(%b)>|(%b))\Z" % (_ATOM, _ATOM, _ADDRESS, _ADDRESS))
# More than anybody is shown, and a bound on what one field can cost.
_MAX_OCTETS = 256 << 10
_MAX_MAILBOXES = 10_000
_WORD = re.compile(r"[^ \t]+")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """
    One mailbox of a header field.

    `display_name` is decoded and may be empty, as may `address`: the addr-spec as it was written,
    or a single word where the sender gave no domain (`root`).
    """

    display_name: str
    address: str


def parse_mailboxes(raw: bytes) -> tuple[Mailbox, ...]:
    """
    The mailboxes of an address field, in order.

    Groups are flattened (RFC 5322 3.4), so `undisclosed-recipients:;` gives none. A comment serves
    as the display-name where there is no other. `Doe, Jane <jane@example.com>`, with its comma
    unquoted, is one mailbox. What follows the first 256 KiB or 10,000 mailboxes is not read.
    """
    if len(raw) > _MAX_OCTETS:
        raw = raw[:_MAX_OCTETS].rpartition(b",")[0]
    line = unfolded(raw)
    if plain := _PLAIN.match(line):
        return (Mailbox((plain[1] or b"").decode("ascii"), (plain[2] or plain[3]).decode("ascii")),)
    reader = _Reader()
    for token in _TOKEN.finditer(line.decode("latin-1")):
        reader.take(token)
        if len(reader.found) + len(reader.held) >= _MAX_MAILBOXES:
            break
    reader.end_mailbox(last=True)
    return tuple(reader.found)


@dataclass(slots=True)
class _Reader:
    """The mailbox being read, and those before it."""

    found: list[Mailbox] = field(default_factory=list)
    phrase: list[str] = field(default_factory=list)  # what stands outside <>, quotes undone
    written: list[str] = field(default_factory=list)  # the same, as written
    comment: list[str] = field(default_factory=list)
    held: list[tuple[str, str]] = field(default_factory=list)  # words without an address, comments
    angle: list[str] | None = None
    in_angle: bool = False
    depth: int = 0  # of comments
    has_at: bool = False  # outside <>

    def take(self, token: re.Match[str]) -> None:
        special = token["special"]
        if self.depth:
            self._take_comment(token[0], special)
        elif self.in_angle and self.angle is not None:
            self._take_angle(token[0], special, self.angle)
        elif special == "(":
            self.depth = 1
        elif special == "<":
            self.in_angle, self.angle = True, []
        elif special == ":" and not self.has_at:
            self.written.clear()  # the name of a group
            self.phrase.clear()
        elif special in (",", ";"):
            self.end_mailbox(last=special == ";")
        elif special != ">":
            quoted, written = token["quoted"], token[0]
            if token["word"]:
                written = written.replace("@", "=40")  # it is text, however it was left
            self.phrase.append(written if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted))
            self.written.append(written)
            self.has_at = self.has_at or "@" in written

    def end_mailbox(self, *, last: bool) -> None:
        """
        Keep what was read.

        Words without an address wait for what follows their comma: they may be half a name. With a
        comment they are none.
        """
        phrase, comment = _joined(self.phrase), _joined(self.comment)
        if self.angle is not None:
            names = [held for held, _ in self.held] + ([phrase] if phrase else [])
            self._keep(", ".join(names) or comment, "".join(self.angle))
            self.held.clear()
        elif self.has_at:
            self._keep_held()
            self._keep(*_bare(phrase, _joined(self.written), comment))
        elif phrase:
            self.held.append((phrase, comment))
        if last or comment:
            self._keep_held()
        for pieces in (self.phrase, self.written, self.comment):
            pieces.clear()
        self.angle, self.in_angle, self.has_at = None, False, False

    def _take_comment(self, text: str, special: str | None) -> None:
        if special == "(":
            self.depth += 1
        elif special == ")":
            self.depth -= 1
        if self.depth:
            self.comment.append(text)

    def _take_angle(self, text: str, special: str | None, angle: list[str]) -> None:
        is_route = bool(angle) and angle[0].lstrip(" ").startswith("@")  # RFC 5322 4.4: obsolete
        if special == ">":
            self.in_angle = False
        elif special == "<" or (special == ":" and is_route):
            angle.clear()
        elif special in (",", ";") and not is_route:  # its end is missing
            self.end_mailbox(last=special == ";")
        else:
            angle.append(text)

    def _keep_held(self) -> None:
        for words, comment in self.held:
            is_name = " " in words or "=?" in words
            self._keep(words if is_name else comment, "" if is_name else words)
        self.held.clear()

    def _keep(self, name: str, address: str) -> None:
        if '"' not in address:
            address = "".join(_WORD.findall(address))
        mailbox = Mailbox(_decoded(name), _decoded(address))
        if mailbox.display_name or mailbox.address:
            self.found.append(mailbox)


def _joined(pieces: list[str]) -> str:
    return " ".join(_WORD.findall("".join(pieces)))


def _bare(phrase: str, written: str, comment: str) -> tuple[str, str]:
    """Display-name and address of a mailbox without angle brackets."""
    if '"' in written:  # a quoted local part, or an address that is quoted as a whole
        return comment, phrase if written.endswith('"') else written
    words = _WORD.findall(written.replace(" @", "@").replace("@ ", "@"))
    at = next(at for at, word in enumerate(words) if "@" in word)
    return " ".join(words[:at] + words[at + 1 :]) or comment, words[at]


def _decoded(latin: str) -> str:
    return decode_field(latin.encode("latin-1"))
