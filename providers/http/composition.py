"""
A letter as APIs with fields take it: sender, subject, text, html, files.

What both APIs need of a letter before either's own rules begin; what had to be changed is told as
losses. Pure; sits on `providers.mime`. It must not know field names or limits of an API.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from providers.contract.address import Address, InvalidAddress, parse_address
from providers.contract.capabilities import Part, ProviderCapabilities, Shortfall
from providers.contract.message import Needs
from providers.contract.outcome import DeliveryRequest
from providers.http.exchange import HttpRequest
from providers.mime import Mailbox, ParsedLetter, needs_from_parsed, parse_letter

# What both APIs demand and a letter may lack. Readers show a missing subject in such words, and a
# paragraph of one no-break space is blank to the eye and to no validator.
NO_SUBJECT = "(no subject)"
BLANK_HTML = "<p>&nbsp;</p>"

# What a provider refuses or breaks outright. Other shortfalls cost a piece of the letter, and
# whether to pay was the gateway's to decide before it asked for delivery.
_FORBIDDING = frozenset({Part.SIZE, Part.SMTPUTF8, Part.SEAL, Part.ATTACHMENT})


@dataclass(frozen=True, slots=True)
class Composition:
    """
    The parts of one letter, ready to become fields.

    All but `text` and `html` are single lines. Those two have LF line ends, as JSON and forms carry
    text, and are empty where the letter has none; one of them is not blank. `letter` is what all
    was taken from.
    """

    from_email: str
    from_name: str
    subject: str
    text: str
    html: str
    letter: ParsedLetter
    losses: tuple[Shortfall, ...] = ()


@dataclass(frozen=True, slots=True)
class Submission:
    """
    A letter as one request.

    `filenames` are those sent, to compare with the answer; `losses` is what could not be put in.
    """

    request: HttpRequest
    filenames: tuple[str, ...] = ()
    losses: tuple[Shortfall, ...] = ()


T = TypeVar("T")
Build = Callable[[Composition, DeliveryRequest], Submission]


def prepare(
    request: DeliveryRequest,
    capabilities: ProviderCapabilities,
    build: Callable[[Composition, DeliveryRequest], T],
) -> T | Shortfall:
    """
    Make a request, or what a request is made of, from a letter for one recipient.

    Args:
        request: The letter. Needs that are not complete are completed.
        capabilities: What the provider takes.
        build: Writes down the parts as the API wants them.

    Returns:
        What `build` made; or why the letter cannot be carried at all, at whatever loss.
    """
    content, needs = request.message.content, request.message.needs
    found = _obstacle(capabilities, needs)
    if found:
        return found
    letter = parse_letter(content)
    if not needs.complete:
        found = _obstacle(capabilities, needs_from_parsed(letter, content, request.envelope))
        if found:
            return found
    composition = compose(letter, request.envelope.reverse_path)
    return composition if isinstance(composition, Shortfall) else build(composition, request)


def compose(letter: ParsedLetter, reverse_path: Address | None) -> Composition | Shortfall:
    """
    Take from a letter what every API asks for.

    Args:
        letter: The letter.
        reverse_path: Stands in where the header's From names no usable address.

    Returns:
        Its parts; or what is missing when there is no sender to name.
    """
    sender = _sender(letter.from_, reverse_path)
    if sender is None:
        return Shortfall(Part.HEADER_FIELD, "neither From nor the envelope names a sender")
    # That a subject is missing, or a sender too many, is among the letter's needs.
    subject = letter.subject if letter.subject.strip() else NO_SUBJECT
    losses: tuple[Shortfall, ...] = ()
    if letter.from_ is None or sender.folded != _folded(letter.from_):
        reason = "From names no address that can be given: the envelope's sender stands in"
        losses = (Shortfall(Part.FROM, reason),)
    text, html = letter.text or "", letter.html or ""
    if not text.strip() and not html.strip():
        html = BLANK_HTML
    return Composition(
        sender.addr_spec,
        letter.from_.display_name if letter.from_ else "",
        subject,
        text,
        html,
        letter,
        losses,
    )


def _obstacle(capabilities: ProviderCapabilities, needs: Needs) -> Shortfall | None:
    return next((s for s in capabilities.shortfalls(needs) if s.part in _FORBIDDING), None)


def _folded(mailbox: Mailbox) -> str:
    try:
        return parse_address(mailbox.address).folded
    except InvalidAddress:
        return ""


def _sender(mailbox: Mailbox | None, reverse_path: Address | None) -> Address | None:
    try:
        return parse_address(mailbox.address) if mailbox else reverse_path
    except InvalidAddress:
        return reverse_path
