"""
Every reply that a client can get, in one place: code, enhanced status code, text, reason.

Codes are RFC 5321's, status codes RFC 3463's. Texts tell the client's people what to do and nothing
about our inside; limits come from the configuration. What a client sent is never repeated to it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from gateway.domain.verdict import Answer
from gateway.ingress.submission import Reply

_MAX_REASON = 300  # octets of a reply line are 512 at most (RFC 5321 4.5.3.1.5)


class Reason(StrEnum):
    """The closed list of reasons, a label of `smtp_replies_total`."""

    GREETING = "greeting"
    HELLO = "hello"
    OK = "ok"
    SEND_DATA = "send_data"
    CHUNK = "chunk"
    HELP = "help"
    NOT_VERIFIED = "not_verified"
    BYE = "bye"
    QUEUED = "queued"
    HANDED_OVER = "handed_over"

    UNKNOWN_COMMAND = "unknown_command"
    NOT_IMPLEMENTED = "not_implemented"
    LINE_TOO_LONG = "line_too_long"
    BARE_LF = "bare_lf"
    NOT_SMTP = "not_smtp"
    BAD_SYNTAX = "bad_syntax"
    BAD_SEQUENCE = "bad_sequence"
    BAD_PARAMETER = "bad_parameter"
    UNKNOWN_PARAMETER = "unknown_parameter"
    BAD_REVERSE_PATH = "bad_reverse_path"
    BAD_FORWARD_PATH = "bad_forward_path"
    TOO_MANY_ERRORS = "too_many_errors"
    TOO_MANY_COMMANDS = "too_many_commands"
    TOO_MANY_LETTERS = "too_many_letters"

    START_TLS = "start_tls"
    NEED_STARTTLS = "need_starttls"
    NO_TLS = "no_tls"
    CHALLENGE = "challenge"
    AUTHENTICATED = "authenticated"
    AUTH_REQUIRED = "auth_required"
    AUTH_NEEDS_TLS = "auth_needs_tls"
    AUTH_FAILED = "auth_failed"
    AUTH_BUSY = "auth_busy"
    AUTH_SHUT_OUT = "auth_shut_out"
    SENDER_DENIED = "sender_denied"

    RELAY_DENIED = "relay_denied"
    MESSAGE_TOO_BIG = "message_too_big"
    TOO_MANY_RECIPIENTS = "too_many_recipients"
    NO_ROUTE = "no_route"
    CANNOT_BE_CARRIED = "cannot_be_carried"
    BAD_INSTRUCTION = "bad_instruction"
    REFUSED = "refused"
    SUPPRESSED = "suppressed"

    TOO_MANY_CONNECTIONS = "too_many_connections"
    TOO_MANY_CONNECTIONS_OF_ADDRESS = "too_many_connections_of_address"
    TOO_MANY_LETTERS_OF_ADDRESS = "too_many_letters_of_address"
    TOO_MANY_LETTERS_OF_USER = "too_many_letters_of_user"
    TOO_MANY_RECIPIENTS_OF_ADDRESS = "too_many_recipients_of_address"
    TOO_MANY_RECIPIENTS_OF_USER = "too_many_recipients_of_user"
    SHUTTING_DOWN = "shutting_down"
    IDLE = "idle"
    DATA_STALLED = "data_stalled"
    NO_MEMORY = "no_memory"
    SPOOL_FULL = "spool_full"
    SPOOL_UNHEALTHY = "spool_unhealthy"
    SPOOL_UNAVAILABLE = "spool_unavailable"
    INTERNAL_ERROR = "internal_error"


REASONS: tuple[str, ...] = tuple(Reason)

LAST_CODES = frozenset({221, 421, 521})
"""After a reply with one of these we close (RFC 5321 3.8, 4.2.3; RFC 7504 for 521)."""

ERROR_CODES = frozenset({500, 501, 502, 503, 550})
"""
What counts against a session's budget of errors.

Refusals of single recipients and parameters do not: a letter to many, some of them misspelt, must
get through.
"""

# What goes well.

MAIL_OK = Reply(250, "2.1.0", "Ok", Reason.OK)
RCPT_OK = Reply(250, "2.1.5", "Ok", Reason.OK)
RESET_OK = Reply(250, "2.0.0", "Ok", Reason.OK)
NOOP_OK = Reply(250, "2.0.0", "Ok", Reason.OK)
SEND_DATA = Reply(354, "", "End data with <CR><LF>.<CR><LF>", Reason.SEND_DATA)
CHUNK_OK = Reply(250, "2.0.0", "Ok, chunk taken", Reason.CHUNK)
HELP = Reply(
    214, "2.0.0", "Commands: HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT", Reason.HELP
)
NOT_VERIFIED = Reply(
    252, "2.0.0", "Addresses are not verified here, try to send", Reason.NOT_VERIFIED
)
BYE = Reply(221, "2.0.0", "Bye", Reason.BYE)
START_TLS = Reply(220, "2.0.0", "Ready to start TLS", Reason.START_TLS)
AUTHENTICATED = Reply(235, "2.7.0", "Authentication successful", Reason.AUTHENTICATED)

# What the client does wrong.

UNKNOWN_COMMAND = Reply(500, "5.5.1", "Command not recognised", Reason.UNKNOWN_COMMAND)
NOT_IMPLEMENTED = Reply(502, "5.5.1", "Command not implemented", Reason.NOT_IMPLEMENTED)
EMPTY_LINE = Reply(500, "5.5.2", "A command is missing", Reason.BAD_SYNTAX)
BARE_LF = Reply(521, "5.5.2", "Lines must end with <CR><LF>", Reason.BARE_LF)
NOT_SMTP = Reply(521, "5.5.2", "This is an SMTP server", Reason.NOT_SMTP)
SYNTAX_HELO = Reply(501, "5.5.4", "Syntax: HELO hostname", Reason.BAD_SYNTAX)
SYNTAX_EHLO = Reply(501, "5.5.4", "Syntax: EHLO hostname", Reason.BAD_SYNTAX)
SYNTAX_MAIL = Reply(501, "5.5.4", "Syntax: MAIL FROM:<address>", Reason.BAD_SYNTAX)
SYNTAX_RCPT = Reply(501, "5.5.4", "Syntax: RCPT TO:<address>", Reason.BAD_SYNTAX)
SYNTAX_DATA = Reply(501, "5.5.4", "Syntax: DATA", Reason.BAD_SYNTAX)
# Its octets cannot be told from commands, so that the session ends.
SYNTAX_BDAT = Reply(521, "5.5.4", "Syntax: BDAT octets [LAST]", Reason.BAD_SYNTAX)
SYNTAX_RSET = Reply(501, "5.5.4", "Syntax: RSET", Reason.BAD_SYNTAX)
SYNTAX_VRFY = Reply(501, "5.5.4", "Syntax: VRFY address", Reason.BAD_SYNTAX)
NEED_HELLO = Reply(503, "5.5.1", "Send HELO or EHLO first", Reason.BAD_SEQUENCE)
NEED_MAIL = Reply(503, "5.5.1", "Send MAIL first", Reason.BAD_SEQUENCE)
NEED_RCPT = Reply(503, "5.5.1", "No recipient was accepted", Reason.BAD_SEQUENCE)
NESTED_MAIL = Reply(503, "5.5.1", "A letter is under way, send RSET first", Reason.BAD_SEQUENCE)
WITHIN_CHUNKS = Reply(503, "5.5.1", "Send BDAT or RSET, a chunk was taken", Reason.BAD_SEQUENCE)
UNKNOWN_PARAMETER = Reply(
    555, "5.5.4", "Parameter not recognised or not implemented", Reason.UNKNOWN_PARAMETER
)
BAD_REVERSE_PATH = Reply(553, "5.1.7", "The sender's address is malformed", Reason.BAD_REVERSE_PATH)
BAD_FORWARD_PATH = Reply(
    553, "5.1.3", "The recipient's address is malformed", Reason.BAD_FORWARD_PATH
)
SUPPRESSED = Reply(550, "5.7.1", "The recipient is on the suppression list here", Reason.SUPPRESSED)
# Never said: whether the recipient may have letters is to be looked up first.
LOOKED_UP = Reply(250, "2.1.5", "Ok", Reason.OK)
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors, closing", Reason.TOO_MANY_ERRORS)
TOO_MANY_COMMANDS = Reply(
    421, "4.7.0", "Too many commands without a letter, closing", Reason.TOO_MANY_COMMANDS
)
TOO_MANY_LETTERS = Reply(
    421, "4.7.0", "Too many letters in one session, connect again", Reason.TOO_MANY_LETTERS
)
RELAY_DENIED = Reply(550, "5.7.1", "Relaying denied", Reason.RELAY_DENIED)
# RFC 3463 3.7: conversion required, and prohibited.
SEALED = Reply(
    554,
    "5.6.2",
    "A signed part has lines over 998 octets or NUL, and must not be changed",
    Reason.CANNOT_BE_CARRIED,
)
SENDER_DENIED = Reply(553, "5.7.1", "You may not send from this address", Reason.SENDER_DENIED)
NO_ROUTE = Reply(554, "5.4.4", "No route takes this letter", Reason.NO_ROUTE)

# TLS (RFC 3207) and AUTH (RFC 4954).

SYNTAX_STARTTLS = Reply(501, "5.5.4", "Syntax: STARTTLS", Reason.BAD_SYNTAX)
SYNTAX_AUTH = Reply(501, "5.5.4", "Syntax: AUTH mechanism", Reason.BAD_SYNTAX)
TLS_ALREADY = Reply(503, "5.5.1", "TLS is active already", Reason.BAD_SEQUENCE)
TLS_WITHIN_LETTER = Reply(503, "5.5.1", "A letter is under way", Reason.BAD_SEQUENCE)
NO_TLS = Reply(454, "4.7.0", "TLS not available due to a temporary reason", Reason.NO_TLS)
NEED_STARTTLS = Reply(530, "5.7.0", "Must issue a STARTTLS command first", Reason.NEED_STARTTLS)
ALREADY_AUTHENTICATED = Reply(503, "5.5.1", "Already authenticated", Reason.BAD_SEQUENCE)
AUTH_WITHIN_LETTER = Reply(503, "5.5.1", "A letter is under way", Reason.BAD_SEQUENCE)
AUTH_REQUIRED = Reply(530, "5.7.0", "Authentication required", Reason.AUTH_REQUIRED)
AUTH_NEEDS_TLS = Reply(
    538, "5.7.11", "Encryption required for authentication", Reason.AUTH_NEEDS_TLS
)
AUTH_UNKNOWN_MECHANISM = Reply(504, "5.5.4", "Mechanisms are PLAIN and LOGIN", Reason.BAD_PARAMETER)
AUTH_CANCELLED = Reply(501, "5.7.0", "Authentication cancelled", Reason.BAD_SYNTAX)
AUTH_NOT_BASE64 = Reply(501, "5.5.2", "Cannot decode the response", Reason.BAD_SYNTAX)
AUTH_MALFORMED = Reply(501, "5.5.2", "Malformed response", Reason.BAD_SYNTAX)
AUTH_FAILED = Reply(535, "5.7.8", "Authentication credentials invalid", Reason.AUTH_FAILED)
AUTH_BUSY = Reply(454, "4.7.0", "Too many logins at once, try again later", Reason.AUTH_BUSY)
AUTH_SHUT_OUT = Reply(
    421, "4.7.0", "Too many failed logins from your address, try again later", Reason.AUTH_SHUT_OUT
)

# What is too much for the moment.

TOO_MANY_CONNECTIONS_OF_ADDRESS = Reply(
    421,
    "4.7.0",
    "Too many connections from your address",
    Reason.TOO_MANY_CONNECTIONS_OF_ADDRESS,
)
TOO_MANY_LETTERS_OF_ADDRESS = Reply(
    450, "4.7.1", "Too many letters from your address, later", Reason.TOO_MANY_LETTERS_OF_ADDRESS
)
TOO_MANY_LETTERS_OF_USER = Reply(
    450, "4.7.1", "Too many letters from this user, later", Reason.TOO_MANY_LETTERS_OF_USER
)
TOO_MANY_RECIPIENTS_OF_ADDRESS = Reply(
    450,
    "4.7.1",
    "Too many recipients from your address, later",
    Reason.TOO_MANY_RECIPIENTS_OF_ADDRESS,
)
TOO_MANY_RECIPIENTS_OF_USER = Reply(
    450, "4.7.1", "Too many recipients from this user, later", Reason.TOO_MANY_RECIPIENTS_OF_USER
)

# What is our own trouble: temporary, always.

TOO_MANY_CONNECTIONS = Reply(
    421, "4.3.2", "Too many connections, try again later", Reason.TOO_MANY_CONNECTIONS
)
SHUTTING_DOWN = Reply(421, "4.3.2", "Shutting down, try again later", Reason.SHUTTING_DOWN)
IDLE = Reply(421, "4.4.2", "Waited too long for a command, closing", Reason.IDLE)
DATA_STALLED = Reply(421, "4.4.2", "Waited too long for data, closing", Reason.DATA_STALLED)
NO_MEMORY = Reply(452, "4.3.1", "Too many letters at once, try again later", Reason.NO_MEMORY)
SPOOL_FULL = Reply(452, "4.3.1", "The queue is full, try again later", Reason.SPOOL_FULL)


@lru_cache(maxsize=8)
def greeting(hostname: str) -> Reply:
    """The first line of a session."""
    return Reply(220, "", f"{hostname} ESMTP Mailquay", Reason.GREETING)


@lru_cache(maxsize=8)
def hello(hostname: str) -> Reply:
    """To HELO."""
    return Reply(250, "", hostname, Reason.HELLO)


@lru_cache(maxsize=64)
def extended_hello(hostname: str, max_message_size: int, offers: tuple[str, ...] = ()) -> Reply:
    """To EHLO: our name, then what we offer, a line for each (RFC 5321 4.1.1.1)."""
    lines = (
        hostname,
        "PIPELINING",
        f"SIZE {max_message_size}",
        "8BITMIME",
        "CHUNKING",
        "SMTPUTF8",
        "ENHANCEDSTATUSCODES",
        "DSN",
        *offers,
        "HELP",
    )
    return _LinesReply(250, "", hostname, Reason.HELLO, _wire(250, lines))


@lru_cache(maxsize=64)
def offers(
    mechanisms: tuple[str, ...], *, starttls: bool, max_recipients: int, max_letters: int
) -> tuple[str, ...]:
    """The lines of EHLO that not every client gets, and the limits of RFC 9422."""
    lines = ["STARTTLS"] if starttls else []
    if mechanisms:
        words = " ".join(mechanisms)
        # The second is how drafts before RFC 2554 had it; clients of their time read no other.
        lines += [f"AUTH {words}", f"AUTH={words}"]
    mailmax = f" MAILMAX={max_letters}" if max_letters else ""
    return (*lines, f"LIMITS RCPTMAX={max_recipients}{mailmax}")


@dataclass(frozen=True, slots=True)
class _LinesReply(Reply):
    """A reply of several lines; `text` is the first of them."""

    wire: bytes

    def line(self) -> bytes:
        return self.wire


def _wire(code: int, lines: tuple[str, ...]) -> bytes:
    *before, last = lines
    return "".join((*(f"{code}-{line}\r\n" for line in before), f"{code} {last}\r\n")).encode()


def challenge(octets: bytes) -> Reply:
    """What AUTH asks next (RFC 4954 4); empty is a blank alone, which clients insist on."""
    return Reply(334, "", base64.b64encode(octets).decode(), Reason.CHALLENGE)


def bad_parameter(keyword: str) -> Reply:
    """A parameter that we know has no value, or a wrong one; `keyword` is our spelling of it."""
    return Reply(501, "5.5.4", f"Bad value of parameter {keyword}", Reason.BAD_PARAMETER)


def line_too_long(max_octets: int) -> Reply:
    """A command line of more octets than we read."""
    return Reply(
        500, "5.5.2", f"Line too long, the limit is {max_octets} octets", Reason.LINE_TOO_LONG
    )


def message_too_big(max_octets: int) -> Reply:
    """At MAIL, when the client declares it, or after its data."""
    return Reply(
        552, "5.3.4", f"Message too big, the limit is {max_octets} octets", Reason.MESSAGE_TOO_BIG
    )


def too_many_recipients(limit: int) -> Reply:
    """The client sends what was accepted and the others in another letter."""
    return Reply(
        452, "4.5.3", f"Too many recipients, the limit is {limit}", Reason.TOO_MANY_RECIPIENTS
    )


def queued_as(queue_id: str) -> Reply:
    """The letter is durable."""
    return Reply(250, "2.0.0", f"Ok: queued as {queue_id}", Reason.QUEUED)


def handed_over(pairs: Sequence[tuple[str, str]], queue_id: str, others: int) -> Reply:
    """
    Providers have the letter, in the form of smtp.msndr.net: `<address:id>`, joined by commas.

    Args:
        pairs: Addresses, and the ids that providers gave for them; one without stands alone.
        queue_id: Ours; told where no id is, or where not all recipients are meant.
        others: How many recipients are still with us, or were refused.
    """
    if not any(identity for _, identity in pairs):
        return Reply(250, "2.0.0", f"Ok: handed over as {queue_id}", Reason.HANDED_OVER)
    words = [
        f"<{address}:{identity}>" if identity else f"<{address}>" for address, identity in pairs
    ]
    lines = _lines_of(words)
    lines[0] = f"Ok: {lines[0]}"
    lines[-1] += f"; {queue_id} tells of the others" if others else ""
    wire = _wire(250, tuple(f"2.0.0 {line}" for line in lines))
    return _LinesReply(250, "2.0.0", lines[0], Reason.HANDED_OVER, wire)


def _lines_of(words: Sequence[str]) -> list[str]:
    """Words joined by commas, on as many lines as RFC 5321 4.5.3.1.5 makes of them."""
    lines = [""]
    for place, word in enumerate(words):
        piece = word if place == len(words) - 1 else f"{word},"
        if lines[-1] and len((lines[-1] + piece).encode()) > _MAX_REASON:
            lines.append("")
        lines[-1] += piece
    return lines


def refused(answers: Sequence[Answer], queue_id: str) -> Reply:
    """Providers have refused the letter for all recipients, for good; the first one's words."""
    first = answers[0]
    statuses = {answer.status for answer in answers}
    status = first.status if len(statuses) == 1 and first.status.startswith("5") else "5.0.0"
    about = "Refused" if len(answers) == 1 else f"Refused for all {len(answers)} recipients"
    said = _one_line(first.diagnostic) if first.diagnostic else "no reason given"
    # RFC 3463 3.2: what is wrong is the mailbox; else the letter as a whole.
    code = 550 if status.startswith("5.1.") else 554
    return Reply(code, status, f"{about}: {said} ({queue_id})", Reason.REFUSED)


def cannot_be_carried(reason: str) -> Reply:
    """No provider of the route can carry the letter; `reason` names each with its shortfall."""
    return Reply(554, "5.6.3", f"Cannot be carried: {_one_line(reason)}", Reason.CANNOT_BE_CARRIED)


def bad_instruction(name: str, reason: str) -> Reply:
    """A field that instructs us cannot be obeyed; both are fit for the wire."""
    return Reply(554, "5.6.0", _one_line(f"{name} {reason}"), Reason.BAD_INSTRUCTION)


def spool_unhealthy(reason: str, *, full: bool) -> Reply:
    """
    No letter is taken now, told at MAIL.

    Args:
        reason: The spool's own word for its trouble.
        full: It lacks room, and nothing else.
    """
    code, status = (452, "4.3.1") if full else (451, "4.3.0")
    return Reply(
        code, status, f"No letters are taken now: {_one_line(reason)}", Reason.SPOOL_UNHEALTHY
    )


def spool_unavailable(queue_id: str) -> Reply:
    """The letter could not be written, and nothing is left of it; the log has the queue id."""
    return Reply(
        451, "4.3.0", f"Not queued, try again later ({queue_id})", Reason.SPOOL_UNAVAILABLE
    )


def internal_error(reference: str) -> Reply:
    """Something we did not foresee; the log has the reference (trap T11)."""
    return Reply(
        451, "4.3.0", f"Internal error, try again later ({reference})", Reason.INTERNAL_ERROR
    )


def _one_line(text: str) -> str:
    """Text from elsewhere, fit for a reply line."""
    printable = "".join(c if c.isprintable() and c.isascii() else "?" for c in text[:_MAX_REASON])
    return printable or "no reason given"
