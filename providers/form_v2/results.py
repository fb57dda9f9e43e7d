"""
What became of each recipient of a batch, by the answers of statusBulkEmail. Pure.

An OK means that the batch was taken; which addresses were not shows later (provider reference, C.5
and C.6). Who is in no report is still on the way (D 32).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from providers.contract.outcome import DeliveryOutcome, Kind, Scope, accepted
from providers.contract.tracking import EventType
from providers.form_v2.wire.forms import folded
from providers.form_v2.wire.values import Mailing, RecipientStatus, RefusedAddress
from providers.form_v2.wire.words import event_type_from
from providers.http.verdict import one_line


def outcomes_from(mailings: Iterable[Mailing], uuid: str) -> Mapping[str, DeliveryOutcome]:
    """
    The outcome of every address that the mailings of a batch name, by the folded address.

    An address that one mailing refused and another took was taken.
    """
    told = list(mailings)
    refused = {
        folded(entry.email): _refused(entry, uuid) for mailing in told for entry in mailing.errors
    }
    taken = {
        folded(entry.email): _taken(entry, uuid) for mailing in told for entry in mailing.success
    }
    return refused | taken


def not_reported(uuid: str) -> DeliveryOutcome:
    """The outcome of an address that the batch took and no report names yet."""
    if not uuid:
        return accepted("", "taken in a batch without a uuid: its status cannot be asked for")
    return accepted(uuid, "taken in a batch, no result yet")


def apart(outcome: DeliveryOutcome) -> DeliveryOutcome:
    """The outcome of each letter of a batch that was refused as a whole."""
    return DeliveryOutcome(
        Kind.DEFERRED,
        Scope.RECIPIENT,
        "4.3.0",
        one_line(f"the batch was refused, the letter goes alone next: {outcome.diagnostic}"),
        retry_after=timedelta(seconds=1),
    )


def _refused(entry: RefusedAddress, uuid: str) -> DeliveryOutcome:
    words = entry.error or "the address was refused"
    return DeliveryOutcome(Kind.REJECTED, Scope.RECIPIENT, "5.1.0", one_line(words), uuid)


def _taken(entry: RecipientStatus, uuid: str) -> DeliveryOutcome:
    if event_type_from(entry.status) is EventType.BOUNCED:
        words = one_line(f"{entry.status} {entry.error}")
        return DeliveryOutcome(Kind.REJECTED, Scope.RECIPIENT, "5.0.0", words, uuid)
    return accepted(uuid, one_line(f"{entry.status} as {entry.email_id or 'no id'}"))
