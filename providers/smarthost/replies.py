"""
What SMTP replies mean: code, enhanced status and phase become an outcome, by table.

Pure. Decides from codes and phases, never from words in a text. A reply says how far its verdict
reaches only together with the phase it came in, and a lost reply is harmless in every phase but the
last. Also reads the ids that a final reply names (provider reference, part A.1). Sits on
`providers.contract`; `session` asks it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from providers.contract.capabilities import Shortfall
from providers.contract.envelope import Recipient
from providers.contract.outcome import Cause, DeliveryOutcome, Kind, Scope

MAX_DIAGNOSTIC = 500  # characters of a server's text that are kept

_ENHANCED = re.compile(r"([245])(\.\d{1,3}\.\d{1,3})(?![\d.])")
_BETWEEN_PAIRS = re.compile(r"[\s<>,;\"']+")
_ID = re.compile(r"[0-9A-Za-z_-]+")
_MAX_PAIR = 512  # characters; the longest address has 320, no id is near the rest


class Phase(StrEnum):
    """How far a session has come; after the final dot a lost reply no longer proves anything."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "content"  # its end, the final dot or the last chunk, was handed to the network


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply: its code and the texts of its lines."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """All its lines as one."""
        return " ".join(self.lines)

    @property
    def is_positive(self) -> bool:
        """Whether it says that the command was done (2yz, RFC 5321 4.2.1)."""
        return 200 <= self.code < 300

    @property
    def enhanced(self) -> str:
        """Its enhanced status code (RFC 2034); empty when there is none of the reply's class."""
        match = _ENHANCED.match(self.lines[0])
        return match[0] if match and match[1] == str(self.code)[0] else ""

    def __str__(self) -> str:
        return one_line(f"{self.code} {self.text}")


def one_line(text: str) -> str:
    """A server's text as a diagnostic: one printable line of bounded length."""
    text = text[: MAX_DIAGNOSTIC + 1]
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return text if len(text) <= MAX_DIAGNOSTIC else text[: MAX_DIAGNOSTIC - 1] + "…"


@dataclass(frozen=True, slots=True)
class _Verdict:
    kind: Kind
    scope: Scope
    status: str  # where the reply names none
    cause: Cause = Cause.OTHER


@dataclass(frozen=True, slots=True)
class _Row:
    """`enhanced` is a prefix; `None` fits any reply, the empty one those without."""

    phases: frozenset[Phase]
    codes: tuple[str, ...]
    enhanced: str | None
    verdict: _Verdict

    def fits(self, phase: Phase, code: str, enhanced: str) -> bool:
        if phase not in self.phases or not code.startswith(self.codes):
            return False
        if not self.enhanced:
            return self.enhanced is None or not enhanced
        return enhanced.startswith(self.enhanced)


_OPENING = frozenset({Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.STARTTLS, Phase.AUTH})
_ALL = frozenset(Phase)
_STARTTLS, _AUTH = frozenset({Phase.STARTTLS}), frozenset({Phase.AUTH})
_MAIL, _RCPT = frozenset({Phase.MAIL}), frozenset({Phase.RCPT})
_DATA, _CONTENT = frozenset({Phase.DATA}), frozenset({Phase.CONTENT})

_THROTTLED = _Verdict(Kind.DEFERRED, Scope.PROVIDER, "4.7.0", Cause.THROTTLED)
_ACCOUNT = _Verdict(Kind.DEFERRED, Scope.PROVIDER, "4.7.8", Cause.ACCOUNT)
_UNREACHABLE = _Verdict(Kind.DEFERRED, Scope.PROVIDER, "4.4.1", Cause.UNREACHABLE)
_OUT_OF_STEP = _Verdict(Kind.DEFERRED, Scope.PROVIDER, "4.5.1")
_TOO_LARGE = _Verdict(Kind.UNSUPPORTED, Scope.MESSAGE, "5.3.4")
_NOT_CARRIED = _Verdict(Kind.UNSUPPORTED, Scope.MESSAGE, "5.6.3")
_PARAMETER_UNKNOWN = _Verdict(Kind.UNSUPPORTED, Scope.MESSAGE, "5.5.4")
_LETTER_LATER = _Verdict(Kind.DEFERRED, Scope.MESSAGE, "4.0.0")
_LETTER_REFUSED = _Verdict(Kind.REJECTED, Scope.MESSAGE, "5.0.0")
_RECIPIENT_LATER = _Verdict(Kind.DEFERRED, Scope.RECIPIENT, "4.0.0")
_TOO_MANY = _Verdict(Kind.DEFERRED, Scope.RECIPIENT, "4.5.3")
_RECIPIENT_REFUSED = _Verdict(Kind.REJECTED, Scope.RECIPIENT, "5.0.0")

# The first row that fits decides.
_TABLE = (
    # The account (RFC 4954 6). In AUTH every refusal concerns it, whatever the code.
    _Row(_ALL, ("530", "534", "535", "538", "432"), None, _ACCOUNT),
    _Row(_AUTH, ("5",), None, _ACCOUNT),
    # Too fast or busy, in any phase. Some servers word greylisting as 4.7.1: slower is right there
    # too. A 4yz to MAIL is said before any recipient is known, so it concerns us all, but for 4.1:
    # that is about the sender's address, and so about this letter.
    _Row(_ALL, ("421",), None, _THROTTLED),
    _Row(_STARTTLS, ("4", "5"), None, _UNREACHABLE),  # "454 4.7.0" says that TLS is out of order
    _Row(_ALL, ("4",), "4.7.", _THROTTLED),
    _Row(_MAIL, ("4",), "4.1.", _LETTER_LATER),
    _Row(_MAIL, ("4",), None, _THROTTLED),
    _Row(_AUTH, ("4",), None, _OUT_OF_STEP),
    _Row(_OPENING, ("4", "5"), None, _UNREACHABLE),
    # What this server cannot carry, and another may. 552 also says "mailbox full" or "blocked"
    # (5.2.2, 5.7.0), and that is a refusal.
    _Row(_MAIL | _CONTENT, ("5",), "5.3.4", _TOO_LARGE),
    _Row(_MAIL | _CONTENT, ("552",), "", _TOO_LARGE),
    _Row(_MAIL | _RCPT | _DATA | _CONTENT, ("5",), "5.6.3", _NOT_CARRIED),
    _Row(_MAIL | _RCPT | _DATA | _CONTENT, ("5",), "5.6.7", _NOT_CARRIED),
    _Row(_MAIL | _RCPT, ("504", "555"), None, _PARAMETER_UNKNOWN),
    # 552 to RCPT means "too many recipients" with old servers (RFC 5321 4.5.3.1.10).
    _Row(_RCPT, ("552",), "", _TOO_MANY),
    _Row(_RCPT, ("552",), "5.5.3", _TOO_MANY),
    _Row(_RCPT, ("4",), None, _RECIPIENT_LATER),
    _Row(_DATA | _CONTENT, ("4",), None, _LETTER_LATER),
    # A server that does not follow the dialogue says nothing about the letter. After the final dot
    # it does: 500 is what some answer to a text line they find too long.
    _Row(_MAIL | _RCPT | _DATA, ("500", "502", "503"), None, _OUT_OF_STEP),
    _Row(_RCPT, ("5",), None, _RECIPIENT_REFUSED),
    _Row(_MAIL | _DATA | _CONTENT, ("5",), None, _LETTER_REFUSED),
)


def outcome_from_reply(phase: Phase, reply: Reply) -> DeliveryOutcome:
    """
    What a refusal in this phase says, and about what; total over all codes.

    A code that refuses nothing (1yz, 3yz, and 2yz where another was due) cannot be understood here:
    `uncertain` after the final dot, else `deferred`.
    """
    code, enhanced = str(reply.code), reply.enhanced
    for row in _TABLE:
        if row.fits(phase, code, enhanced):
            verdict = row.verdict
            # A 5yz that only puts this attempt off keeps its detail and changes its class.
            status = verdict.status[0] + (enhanced or verdict.status)[1:]
            return DeliveryOutcome(
                verdict.kind, verdict.scope, status, str(reply), cause=verdict.cause
            )
    return outcome_from_garbage(phase, str(reply))


def outcome_from_garbage(phase: Phase, diagnostic: str) -> DeliveryOutcome:
    """The server answered, and what it said is no reply that fits."""
    if phase is Phase.CONTENT:
        return DeliveryOutcome(Kind.UNCERTAIN, Scope.RECIPIENT, "4.5.0", one_line(diagnostic))
    cause = Cause.UNREACHABLE if phase in _OPENING else Cause.OTHER
    return DeliveryOutcome(
        Kind.DEFERRED, Scope.PROVIDER, "4.5.0", one_line(diagnostic), cause=cause
    )


def outcome_from_silence(phase: Phase, status: str, diagnostic: str) -> DeliveryOutcome:
    """
    No reply came: the connection failed or broke, or time ran out.

    `uncertain` once the final dot was handed to the network; before it nothing can have been
    accepted (RFC 5321 4.1.1.4).
    """
    text = one_line(diagnostic)
    if phase is Phase.CONTENT:
        return DeliveryOutcome(Kind.UNCERTAIN, Scope.RECIPIENT, status, text)
    return DeliveryOutcome(Kind.DEFERRED, Scope.PROVIDER, status, text, cause=Cause.UNREACHABLE)


def outcome_from_acceptance(
    reply: Reply,
    provider_message_id: str,
    *,
    notify_passed: bool,
    losses: tuple[Shortfall, ...] = (),
) -> DeliveryOutcome:
    """The whole content was answered with 2yz: the letter is the server's."""
    return DeliveryOutcome(
        Kind.ACCEPTED,
        Scope.RECIPIENT,
        reply.enhanced or "2.0.0",
        str(reply),
        provider_message_id,
        losses=losses,
        notify_passed=notify_passed,
    )


def parse_pairs(text: str) -> tuple[tuple[str, str], ...]:
    """
    The pairs *address, id* of a final reply, in the order they stand.

    Takes every form of the provider reference, part A.1, with or without brackets: an address, a
    colon and an id of letters, digits, `_` and `-`. The split is at the last colon, so that IPv6
    domain literals stay whole. Whatever is no pair is passed over. Never raises; time is linear in
    the text.
    """
    if "@" not in text or ":" not in text:
        return ()
    pairs = []
    for word in _BETWEEN_PAIRS.split(text):
        if len(word) > _MAX_PAIR:
            continue
        address, colon, rest = word.rpartition(":")
        while colon and not _ID.match(rest):  # trailing punctuation
            address, colon, rest = address.rpartition(":")
        local_part, at, domain = address.rpartition("@")
        if colon and at and local_part and domain and (match := _ID.match(rest)):
            pairs.append((address, match[0]))
    return tuple(pairs)


@dataclass(frozen=True, slots=True)
class NamedLetters:
    """The ids of a final reply by recipient key, and the pairs that belong to no recipient."""

    ids: dict[int, str]
    leftovers: tuple[tuple[str, str], ...] = ()


def name_letters(recipients: Sequence[Recipient], text: str) -> NamedLetters:
    """
    Give each recipient the id that the final reply names for it.

    Addresses match whatever their case; a recipient without a pair has no id. Where there is one
    recipient and one pair they belong together even when the addresses disagree (provider
    reference, part A.1 and part D items 1 and 2).
    """
    pairs = parse_pairs(text)
    if not pairs:
        return NamedLetters({})
    if len(pairs) == 1 == len(recipients):
        return NamedLetters({recipients[0].key: pairs[0][1]})
    waiting: dict[str, list[int]] = {}
    for recipient in reversed(recipients):
        waiting.setdefault(recipient.forward_path.folded, []).append(recipient.key)
    ids: dict[int, str] = {}
    leftovers = []
    for address, provider_message_id in pairs:
        if keys := waiting.get(address.lower()):
            ids[keys.pop()] = provider_message_id
        else:
            leftovers.append((address, provider_message_id))
    return NamedLetters(ids, tuple(leftovers))
