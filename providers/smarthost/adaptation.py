"""
A letter as one server can take it: as it is, made 7-bit, or not at all.

Servers differ, and tell in EHLO what they take. Whatever they lack is made good here where MIME has
a way (`providers.mime.downgrade`), and else it is said which extension is missing. Pure. Sits on
`providers.mime`; `session` asks it before it sends anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from providers.contract.capabilities import Part, Shortfall
from providers.contract.envelope import Envelope
from providers.contract.message import Message
from providers.contract.outcome import DeliveryOutcome, Kind, Scope
from providers.mime import Undowngradable, downgrade


@dataclass(frozen=True, slots=True)
class AdaptedLetter:
    """
    Content that this server takes, and what MAIL must declare of it.

    Attributes:
        content: The same octets as came in, where the server offers all that they need.
        eight_bit: BODY=8BITMIME is due: octets above 127 (RFC 6152).
        smtputf8: SMTPUTF8 is due (RFC 6531 3.4).
        losses: What could not be kept.
    """

    content: bytes
    eight_bit: bool = False
    smtputf8: bool = False
    losses: tuple[Shortfall, ...] = ()

    @property
    def size(self) -> int:
        """Octets, as SIZE of RFC 1870 counts them."""
        return len(self.content)


def as_it_is(
    message: Message, envelope: Envelope, offered: Mapping[str, str]
) -> AdaptedLetter | None:
    """
    The letter unchanged; `None` when the server lacks an extension that it needs.

    Args:
        message: The letter.
        envelope: The recipients of this attempt.
        offered: EHLO keywords in lower case, with their parameters.
    """
    eight_bit = not message.content.isascii()
    if eight_bit and "8bitmime" not in offered:
        return None
    smtputf8 = message.needs.smtputf8 or _addresses_need_smtputf8(envelope)
    if smtputf8 and "smtputf8" not in offered:
        return None
    return AdaptedLetter(message.content, eight_bit, smtputf8)


def adapt(
    message: Message, envelope: Envelope, offered: Mapping[str, str]
) -> AdaptedLetter | DeliveryOutcome:
    """
    The letter with what the server lacks made good; takes time in proportion to its size.

    Returns:
        The letter; or an `unsupported` outcome for all recipients: an address needs SMTPUTF8
        (5.6.7), or octets above 127 stand where no encoding can take their place, such as within a
        signature (5.6.3).
    """
    if (letter := as_it_is(message, envelope, offered)) is not None:
        return letter
    if "smtputf8" not in offered and _addresses_need_smtputf8(envelope):
        return unsupported("5.6.7", "an address needs SMTPUTF8, which is not offered")
    takes_eight_bit = "8bitmime" in offered
    result = downgrade(message.content, bodies=not takes_eight_bit)
    if isinstance(result, Undowngradable):
        if result.part is Part.SMTPUTF8:
            return unsupported("5.6.7", f"{result.reason}, and SMTPUTF8 is not offered")
        return unsupported("5.6.3", f"{result.reason}, and 8BITMIME is not offered")
    eight_bit = takes_eight_bit and not result.content.isascii()
    return AdaptedLetter(result.content, eight_bit, losses=result.losses)


def find_obstacle(letter: AdaptedLetter, offered: Mapping[str, str]) -> DeliveryOutcome | None:
    """An `unsupported` outcome when the letter is larger than SIZE allows (5.3.4, RFC 1870)."""
    limit = _size_limit(offered)
    if limit is not None and letter.size > limit:
        return unsupported("5.3.4", f"{letter.size} octets, at most {limit} are taken")
    return None


def unsupported(status: str, diagnostic: str) -> DeliveryOutcome:
    """Nothing was sent: this server cannot carry the letter."""
    return DeliveryOutcome(Kind.UNSUPPORTED, Scope.MESSAGE, status, diagnostic)


def _addresses_need_smtputf8(envelope: Envelope) -> bool:
    reverse_path = envelope.reverse_path
    if reverse_path is not None and reverse_path.needs_smtputf8:
        return True
    return any(recipient.forward_path.needs_smtputf8 for recipient in envelope.recipients)


def _size_limit(offered: Mapping[str, str]) -> int | None:
    """What SIZE allows; a missing value or zero is no limit (RFC 1870 4)."""
    value = offered.get("size", "").strip()
    return int(value[:20]) or None if value.isdecimal() and value.isascii() else None
