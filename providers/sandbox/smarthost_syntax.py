"""
What the imitated smarthost demands of commands and content, to the letter.

Pure: bytes in, values or an `Objection` out. A lenient server would forgive what is refused here;
the sandbox is strict so that a wrong client fails on this machine and not at the provider. Used by
`smarthost_session`, which does the talking.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from providers.contract.address import InvalidAddress, parse_address

MAX_TEXT_LINE = 998  # octets without CRLF, RFC 5321 4.5.3.1.6
MAX_COMMAND = 512  # octets with CRLF, RFC 5321 4.5.3.1.4

# What each extension adds to the longest MAIL and RCPT line (RFC 1870, 6152, 6531, 4954, 3461).
_MAIL_ALLOWANCE = {"SIZE": 26, "8BITMIME": 17, "SMTPUTF8": 10, "AUTH": 500, "DSN": 112}
_RCPT_ALLOWANCE = {"SMTPUTF8": 10, "DSN": 500}
_MAX_AUTH_LINE = 12288  # RFC 4954 4

# Parameter -> the extension that must have been offered, and what the value may be.
_MAIL_PARAMETERS = {
    "SIZE": ("SIZE", re.compile(r"\d{1,20}\Z")),
    "BODY": ("8BITMIME", re.compile(r"(?:7BIT|8BITMIME)\Z")),
    "SMTPUTF8": ("SMTPUTF8", None),
    "AUTH": ("AUTH", re.compile(r"\S{1,500}\Z")),
    "RET": ("DSN", re.compile(r"(?:FULL|HDRS)\Z")),
    "ENVID": ("DSN", re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2}){1,100}\Z")),
}
_RCPT_PARAMETERS = {
    "NOTIFY": (
        "DSN",
        re.compile(r"(?:NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY))*)\Z"),
    ),
    "ORCPT": ("DSN", re.compile(r"[A-Za-z0-9-]+;(?:[!-*,-<>-~]|\+[0-9A-F]{2}){1,500}\Z")),
}
_PATH = re.compile(
    r"(?P<keyword>FROM|TO):<(?P<path>(?:\"(?:[^\"\\]|\\.)*\"|[^<>\"])*)>"
    r"(?:[ ](?P<parameters>.*))?\Z",
    re.IGNORECASE,
)
_STRAY_CR_LF = re.compile(rb"(?<!\r)\n|\r(?!\n)")


class Objection(Exception):
    """
    Why something is refused, and the reply that says so.

    `violation` names the rule that the client broke; it is empty where a correct client can come to
    the same reply.
    """

    def __init__(self, code: int, status: str, text: str, violation: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.status = status
        self.text = text
        self.violation = violation


@dataclass(frozen=True, slots=True)
class PathCommand:
    """The argument of MAIL or RCPT: the path without its brackets, and the parameters by name."""

    path: str
    parameters: dict[str, str] = field(default_factory=dict)


def longest_line(verb: str, offered: frozenset[str]) -> int:
    """How many octets a command line may have, CRLF included."""
    if verb == "AUTH":
        return _MAX_AUTH_LINE
    allowance = {"MAIL": _MAIL_ALLOWANCE, "RCPT": _RCPT_ALLOWANCE}.get(verb, {})
    return MAX_COMMAND + sum(octets for name, octets in allowance.items() if name in offered)


def text_from_line(line: bytes, *, utf8: bool) -> str:
    """
    A command line without its CRLF; `utf8` says that SMTPUTF8 was offered.

    Raises:
        Objection: It holds a stray CR or LF, a control character, or octets above 127 where
            SMTPUTF8 was not offered.
    """
    if b"\r" in line or b"\n" in line:
        raise Objection(500, "5.5.2", "Bare CR or LF", "a bare CR or LF in a command")
    try:
        text = line.decode("utf-8" if utf8 else "ascii")
    except UnicodeDecodeError:
        raise Objection(500, "5.5.2", "Not ASCII", "a non-ASCII command without SMTPUTF8") from None
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise Objection(500, "5.5.2", "Control character", "a control character in a command")
    return text


def parse_mail(argument: str, offered: frozenset[str]) -> PathCommand:
    """
    Read what follows MAIL.

    Raises:
        Objection: Wrong syntax, or a parameter that was not offered.
    """
    command = _parse_path(argument, "FROM", _MAIL_PARAMETERS, offered)
    _check_address(command.path, utf8="SMTPUTF8" in command.parameters, may_be_null=True)
    return command


def parse_rcpt(argument: str, offered: frozenset[str], *, utf8: bool) -> PathCommand:
    """
    Read what follows RCPT; `utf8` says that MAIL had SMTPUTF8.

    Raises:
        Objection: Wrong syntax, or a parameter that was not offered.
    """
    command = _parse_path(argument, "TO", _RCPT_PARAMETERS, offered)
    _check_address(command.path, utf8=utf8, may_be_null=False)
    return command


def check_content(wire: bytes, *, eight_bit_declared: bool) -> None:
    """
    Check content as it came, dots still doubled, without the line that ended it.

    Raises:
        Objection: A stray CR or LF, a text line over 998 octets, a line that starts with a single
            dot, or octets above 127 that were not declared by BODY=8BITMIME.
    """
    if _STRAY_CR_LF.search(wire):
        raise Objection(554, "5.6.0", "Bare CR or LF in the content", "a bare CR or LF in content")
    if not eight_bit_declared and not wire.isascii():
        raise Objection(
            554, "5.6.3", "8-bit content was not declared", "8-bit content without BODY=8BITMIME"
        )
    for line in wire.split(b"\r\n"):
        if line.startswith(b".") and not line.startswith(b".."):
            raise Objection(
                554, "5.6.0", "A dot was not doubled", "a content line starts with a single dot"
            )
        # The doubled dot counts for transparency only (RFC 5321 4.5.3.1.6).
        if len(line) - line.startswith(b".") > MAX_TEXT_LINE:
            raise Objection(
                554, "5.6.0", "A text line is too long", f"a text line of {len(line)} octets"
            )


def stuff(content: bytes) -> bytes:
    """Content as DATA would bring it: to chunks no dots are added (RFC 3030 2)."""
    return (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]


def unstuff(wire: bytes) -> bytes:
    """Content as it was meant: the doubled dots of RFC 5321 4.5.2 undone, all else kept."""
    if wire.startswith(b"."):
        wire = wire[1:]
    return wire.replace(b"\r\n.", b"\r\n")


def _parse_path(
    argument: str,
    keyword: str,
    known: Mapping[str, tuple[str, re.Pattern[str] | None]],
    offered: frozenset[str],
) -> PathCommand:
    match = _PATH.match(argument)
    if not match or match["keyword"].upper() != keyword:
        raise Objection(501, "5.5.2", f"Syntax: {keyword}:<address>", f"not {keyword}:<address>")
    parameters: dict[str, str] = {}
    for word in (match["parameters"] or "").split(" ") if match["parameters"] else ():
        name, equals, value = word.partition("=")
        name = name.upper()
        extension, pattern = known.get(name, ("", None))
        if extension not in offered:
            raise Objection(
                555, "5.5.4", f"Parameter {name} not known", f"parameter {name} was not offered"
            )
        fits = not equals if pattern is None else bool(pattern.match(value))
        if not fits or name in parameters:
            raise Objection(501, "5.5.4", f"Bad parameter {name}", f"bad parameter {name}")
        parameters[name] = value
    return PathCommand(match["path"], parameters)


def _check_address(path: str, *, utf8: bool, may_be_null: bool) -> None:
    if not path and may_be_null:
        return
    if not path.isascii() and not utf8:
        raise Objection(
            553, "5.6.7", "Address needs SMTPUTF8", "a non-ASCII address without SMTPUTF8"
        )
    try:
        parse_address(path)
    except InvalidAddress as error:
        raise Objection(501, "5.1.3", "Bad address syntax", f"bad address: {error}") from None
