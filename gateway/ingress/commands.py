"""
Command lines to values: verb, paths, parameters; or the reply that says what is wrong.

Pure. Strict about what goes on to other machines (addresses, xtext), tolerant about what old
clients write around it: blanks, case, missing angle brackets, parameters nobody offered. Knows no
session: whether a command fits its moment is not asked here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gateway.ingress import replies
from gateway.ingress.submission import Reply
from providers.contract.address import Address, InvalidAddress, parse_address
from providers.contract.envelope import BodyType, Notify, Ret

_NOT_OFFERED = frozenset({b"ETRN", b"EXPN", b"SAML", b"SEND", b"SOML", b"TURN"})
_OTHER_PROTOCOLS = frozenset(
    {
        *(b"CONNECT", b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PATCH", b"POST", b"PUT", b"TRACE"),
        # A proxy that we do not know: its clients must not be served as if they were the proxy.
        b"PROXY",
    }
)

# What nearly every client writes; the rest of the line is its parameters.
_PLAIN_PATH = {
    "FROM": re.compile(rb"[Ff][Rr][Oo][Mm]: ?<([!#-;=?-~]*)>(?: (.*))?\Z"),
    "TO": re.compile(rb"[Tt][Oo]: ?<([!#-;=?-~]*)>(?: (.*))?\Z"),
}
_KEYWORD = {
    "FROM": re.compile(r"FROM\s*:\s*", re.IGNORECASE | re.ASCII),
    "TO": re.compile(r"TO\s*:\s*", re.IGNORECASE | re.ASCII),
}
_ANGLE_PATH = re.compile(r'<((?:"(?:[^"\\]|\\.)*+"|[^<>"])*+)>')
_BARE_PATH = re.compile(r'(?:"(?:[^"\\]|\\.)*+"|[^\s<>"])++', re.ASCII)

_BDAT = re.compile(rb"([0-9]{1,20})(?:[ \t]+([Ll][Aa][Ss][Tt]))?\Z")
_SIZE = re.compile(r"[0-9]{1,20}\Z")  # RFC 1870 5
# RFC 3461 4: printable ASCII but `+` and `=`, which like all else are written in hexadecimal. What
# that stands for must be printable too (4.2, 4.4): it is shown in reports.
_XTEXT = r"(?:[!-*,-<>-~]|\+(?:[2-6][0-9A-Fa-f]|7[0-9A-Ea-e]))"
_ENVID = re.compile(rf"{_XTEXT}{{1,100}}\Z")
# RFC 6533 3: an address of the type utf-8 may be raw UTF-8.
_ORCPT = re.compile(
    rf"(?:[A-Za-z0-9-]{{1,40}};{_XTEXT}{{1,500}}"
    rf"|(?i:utf-8);(?:{_XTEXT}|[\u00a0-\ud7ff\ue000-\U0010ffff]){{1,500}})\Z"
)


# The same senders write all day, and often to the same people.
_address = lru_cache(maxsize=1024)(parse_address)


@dataclass(frozen=True, slots=True)
class MailCommand:
    """
    MAIL and what its parameters say.

    `reverse_path` is `None` for `<>`; `size` is 0 where none is declared; `envid` is xtext as
    received.
    """

    reverse_path: Address | None
    size: int = 0
    body: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None


@dataclass(frozen=True, slots=True)
class RcptCommand:
    """RCPT and what its parameters say; `orcpt` is as received, its address in xtext."""

    forward_path: Address
    notify: frozenset[Notify] | None = None
    orcpt: str | None = None


@dataclass(frozen=True, slots=True)
class BdatCommand:
    """BDAT (RFC 3030 2): so many octets follow the command line, and with `last` end the letter."""

    octets: int
    last: bool


def split_verb(line: bytes) -> tuple[bytes, bytes]:
    """The verb of a command line, in upper case, and its argument without blanks around it."""
    verb, _, argument = line.partition(b" ")
    if not verb.isalpha():
        # A tab after the verb, or blanks before it.
        verb, _, argument = line.lstrip().replace(b"\t", b" ", 1).partition(b" ")
    return verb.upper(), argument.strip()


def refuse_verb(verb: bytes) -> Reply:
    """The reply to a verb that is no command here."""
    if not verb:
        return replies.EMPTY_LINE
    if verb in _OTHER_PROTOCOLS or not verb[:1].isalpha():
        # A browser can be made to post a letter to us; no mail client begins like that.
        return replies.NOT_SMTP
    return replies.NOT_IMPLEMENTED if verb in _NOT_OFFERED else replies.UNKNOWN_COMMAND


def parse_hello(argument: bytes) -> str:
    """
    What a client calls itself, in printable ASCII without blanks; empty when it does not say.

    Not judged further: many clients give a name that is none, and RFC 5321 4.1.4 forbids to refuse
    them for it.
    """
    words = argument.split(None, 1)
    if not words:
        return ""
    return "".join(chr(octet) if 0x20 < octet < 0x7F else "?" for octet in words[0][:255])


def parse_mail(argument: bytes) -> MailCommand | Reply:
    """Read the argument of MAIL."""
    split = _split_path(argument, "FROM")
    if split is None:
        return replies.SYNTAX_MAIL
    path, rest = split
    try:
        reverse_path = _address(_mailbox(path)) if path else None
    except InvalidAddress:
        return replies.BAD_REVERSE_PATH
    if not rest:
        return MailCommand(reverse_path)
    values = _parse_parameters(rest, _MAIL_PARAMETERS)
    return values if isinstance(values, Reply) else MailCommand(reverse_path, **values)


def parse_rcpt(argument: bytes, hostname: str) -> RcptCommand | Reply:
    """
    Read the argument of RCPT.

    Args:
        argument: What follows the verb.
        hostname: Our name, the domain of a plain `<postmaster>` (RFC 5321 4.5.1).
    """
    split = _split_path(argument, "TO")
    if split is None:
        return replies.SYNTAX_RCPT
    path, rest = split
    if path.lower() == "postmaster":
        path = f"{path}@{hostname}"
    try:
        forward_path = _address(_mailbox(path))
    except InvalidAddress:
        return replies.BAD_FORWARD_PATH
    if not rest:
        return RcptCommand(forward_path)
    values = _parse_parameters(rest, _RCPT_PARAMETERS)
    return values if isinstance(values, Reply) else RcptCommand(forward_path, **values)


def parse_bdat(argument: bytes) -> BdatCommand | None:
    """Read the argument of BDAT; `None` when nobody can tell how many octets follow."""
    match = _BDAT.match(argument)
    return BdatCommand(int(match[1]), bool(match[2])) if match else None


def _split_path(argument: bytes, keyword: str) -> tuple[str, str] | None:
    """The path without its brackets, and the parameters; `None` when it cannot be told."""
    if plain := _PLAIN_PATH[keyword].match(argument):
        path, rest = plain.groups()
        return path.decode("ascii"), rest.decode("utf-8", "surrogateescape") if rest else ""
    text = argument.decode("utf-8", "surrogateescape")
    start = _KEYWORD[keyword].match(text)
    if start is None:
        return None
    if angle := _ANGLE_PATH.match(text, start.end()):
        return angle[1].strip(), text[angle.end() :].strip()
    if bare := _BARE_PATH.match(text, start.end()):
        return bare[0], text[bare.end() :].strip()
    return None


def _mailbox(path: str) -> str:
    """A path without its source route, which is to be ignored (RFC 5321 4.1.1.3, appendix C)."""
    if not path.startswith("@"):
        return path
    _, colon, mailbox = path.partition(":")
    return mailbox if colon else path


Converter = Callable[[str], object]
"""Makes a value of a parameter's text, which is empty where none is given; ValueError: bad."""


def _parse_parameters(
    text: str, known: Mapping[str, tuple[str, Converter]]
) -> dict[str, Any] | Reply:
    """The values of MAIL or RCPT parameters by the names that our values have."""
    values: dict[str, Any] = {}
    for word in text.split():
        keyword, equals, value = word.partition("=")
        keyword = keyword.upper()
        if keyword == "AUTH":
            # RFC 4954 5: whom a letter is from in truth. Relays add it unasked; we trust none.
            continue
        if keyword not in known:
            return replies.UNKNOWN_PARAMETER
        name, convert = known[keyword]
        if name in values or (equals and not value):
            return replies.bad_parameter(keyword)
        try:
            values[name] = convert(value)
        except ValueError:
            return replies.bad_parameter(keyword)
    return values


def _size(text: str) -> int:
    return int(_matched(_SIZE, text))


def _flag(text: str) -> bool:
    if text:
        raise ValueError("takes no value")
    return True


def _body(text: str) -> BodyType:
    return BodyType(text.upper())


def _ret(text: str) -> Ret:
    return Ret(text.upper())


def _envid(text: str) -> str:
    return _matched(_ENVID, text)


def _notify(text: str) -> frozenset[Notify]:
    wanted = frozenset(Notify(word) for word in text.upper().split(","))
    if Notify.NEVER in wanted and len(wanted) > 1:
        raise ValueError("NEVER stands alone")
    return wanted


def _orcpt(text: str) -> str:
    return _matched(_ORCPT, text)


def _matched(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.match(text):
        raise ValueError("malformed")
    return text


# Understood whether offered or not: clients send them unasked, and 555 would cost the letter (T16).
_MAIL_PARAMETERS: dict[str, tuple[str, Converter]] = {
    "SIZE": ("size", _size),
    "BODY": ("body", _body),
    "SMTPUTF8": ("smtputf8", _flag),
    "RET": ("ret", _ret),
    "ENVID": ("envid", _envid),
}
_RCPT_PARAMETERS: dict[str, tuple[str, Converter]] = {
    "NOTIFY": ("notify", _notify),
    "ORCPT": ("orcpt", _orcpt),
}
