"""
What none of a route's providers can carry: kinds of letters held up to the router beforehand.

Asks the very function that decides about letters, so that what is told here is what would happen.
Pure. Sits on `routing`; `app.route_gaps` puts it into words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gateway.domain.routing import Condition, Route, plan
from providers.contract.capabilities import ProviderCapabilities
from providers.contract.message import Needs

# What every letter has when it leaves the front door.
_OF_EVERY_LETTER = frozenset({"date", "message-id", "received"})
_OCTETS_OF_A_FILE = 0.73  # for each octet of its base64, line ends included
_FILES = "files"

KINDS: Mapping[str, Needs] = {
    "HTML": Needs(0, html=True),
    "HTML with a text beside it": Needs(0, text=True, html=True),
    _FILES: Needs(0, attachments=1),
    "several files": Needs(0, attachments=2),
    "inline images": Needs(0, html=True, inline_parts=1),
    "invitations": Needs(0, calendar=True),
    "signed or encrypted letters": Needs(0, sealed=True),
    "Reply-To": Needs(0, reply_to=True),
    "List-Unsubscribe": Needs(0, list_unsubscribe=True),
    "several recipients in To and Cc": Needs(0, other_recipients=True),
    "answers (References, In-Reply-To)": Needs(
        0, header_fields=frozenset({"references", "in-reply-to"})
    ),
    "addresses beyond ASCII": Needs(0, smtputf8=True),
    "letters from <>": Needs(0, null_reverse_path=True),
}
"""Kinds of letters that people send, by the words for them; what each needs beyond a plain text."""


@dataclass(frozen=True, slots=True)
class Carriage:
    """
    How far the providers of a route carry what comes to it.

    Attributes:
        unable: Providers that carry no letter of the route at all, and why.
        refused: Of `KINDS`, those that no provider takes; empty where no letter leaves at all.
        max_octets: Larger letters are refused; `None` where no limit is known.
        max_file_octets: Letters with more octets of files are refused; likewise.
    """

    unable: Mapping[str, str]
    refused: tuple[str, ...] = ()
    max_octets: int | None = None
    max_file_octets: int | None = None


def carriage(
    route: Route, capabilities: Mapping[str, ProviderCapabilities], largest: int
) -> Carriage:
    """
    Hold every kind of letter up to a route.

    Args:
        route: The route.
        capabilities: By provider name.
        largest: Octets of the largest letter that can come to it.
    """
    plainest = _plainest(route.condition)
    able = plan(route, capabilities, plainest)
    unable = {
        name: "; ".join(shortfall.reason for shortfall in shortfalls)
        for name, shortfalls in able.passed_over.items()
    }
    if not able.candidates:
        return Carriage(unable)
    carriers = {
        name: plan(route, capabilities, needs).candidates
        for name, wanted in KINDS.items()
        if _comes(route.condition, needs := _together(plainest, wanted))
    }
    by_size = _largest(capabilities[name].max_message_octets for name in able.candidates)
    by_files = _largest(
        None if capabilities[name].raw_mime else capabilities[name].max_attachment_octets
        for name in carriers.get(_FILES, ())
    )
    return Carriage(
        unable,
        tuple(name for name, candidates in carriers.items() if not candidates),
        by_size if by_size is not None and by_size < largest else None,
        by_files if by_files is not None and by_files < largest * _OCTETS_OF_A_FILE else None,
    )


def _plainest(condition: Condition) -> Needs:
    """What the plainest letter needs that a condition can hold for."""
    files = int(bool(condition.has_attachments))
    return Needs(
        (condition.size_over or 0) + 1,
        text=True,
        attachments=files,
        attachment_octets=files,
        header_fields=_OF_EVERY_LETTER,
    )


def _together(plainest: Needs, wanted: Needs) -> Needs:
    """What such a letter needs when it is of a kind besides."""
    return replace(
        wanted,
        size=plainest.size,
        text=wanted.text or not wanted.html,
        attachments=max(plainest.attachments, wanted.attachments),
        attachment_octets=max(plainest.attachment_octets, wanted.attachments),
        header_fields=plainest.header_fields | wanted.header_fields,
    )


def _comes(condition: Condition, needs: Needs) -> bool:
    """Whether the condition can hold for such a letter."""
    if needs.null_reverse_path and (condition.senders or condition.sender_domains):
        return False
    return condition.has_attachments in {None, needs.attachments > 0}


def _largest(limits: Iterable[int | None]) -> int | None:
    """The highest of some limits; `None` where there is none, or one who has none."""
    known: list[int] = []
    for limit in limits:
        if limit is None:
            return None
        known.append(limit)
    return max(known, default=None)
