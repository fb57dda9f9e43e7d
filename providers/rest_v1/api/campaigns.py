"""
Campaigns: one letter to whole lists (provider reference, B.11 and B.13).

Pure: each function makes one operation. A campaign is a draft until `deliver`; until then nobody
gets anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from providers.rest_v1.api.messages import File, form_request
from providers.rest_v1.api.operation import (
    Collection,
    Operation,
    get,
    given,
    id_out,
    patch,
    path_of,
    post,
)
from providers.rest_v1.api.record import Record

STATES = (
    *("draft", "pending", "delayed", "sending"),
    *("canceled", "stopped", "completed", "archived"),
)

_CAMPAIGNS = "/email/campaigns"


@dataclass(frozen=True, slots=True)
class Purchase:
    """What a campaign costs; `enable` is false while `deficit` is missing."""

    enable: bool | None
    subscribers: int | None
    credits: int | None
    deficit: int | None


@dataclass(frozen=True, slots=True)
class Statistics:
    """How many letters of a campaign fared how; `None` for what is not told."""

    delivered: int | None
    bounced: int | None
    delivering: int | None
    uniq_open: int | None
    uniq_click: int | None
    unsubscription: int | None
    spam: int | None


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign; `state` is one of `STATES`, so far."""

    id: str
    state: str
    subject: str
    from_email: str
    from_name: str
    html: str
    text: str
    recipients_count: int | None
    purchase: Purchase
    statistics: Statistics
    start_at: str = ""
    time_zone: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the account's recipients that a newer installation can be asked for."""

    id: str
    title: str


def create_campaign(
    *,
    from_email: str,
    subject: str,
    list_ids: Sequence[str] = (),
    segment_id: str | None = None,
    from_name: str | None = None,
    text: str | None = None,
    html: str | None = None,
    files: Sequence[File] = (),
) -> Operation[Campaign]:
    """
    Make a draft.

    Raises:
        ValueError: Neither a list nor a segment.
    """
    if not list_ids and segment_id is None:
        raise ValueError("a campaign goes to lists or to a segment")
    fields = given(from_email=from_email, from_name=from_name, subject=subject)
    fields |= given(text=text, html=html)
    if files:
        parts = [*fields.items(), *(("lists[][id]", list_id) for list_id in list_ids)]
        if segment_id is not None:
            parts.append(("segment_id", segment_id))
        return Operation(form_request(_CAMPAIGNS, parts, files), _campaign)
    if list_ids:
        fields["lists"] = [{"id": id_out(list_id)} for list_id in list_ids]
    if segment_id is not None:
        fields["segment_id"] = id_out(segment_id)
    return post(_CAMPAIGNS, fields, _campaign)


def deliver_campaign(campaign_id: str) -> Operation[Campaign]:
    """Send a draft on its way."""
    return patch(path_of(_CAMPAIGNS + "/{}/deliver", campaign_id), {}, _campaign)


def one_campaign(campaign_id: str) -> Operation[Campaign]:
    """A campaign with its state and statistics."""
    return get(path_of(_CAMPAIGNS + "/{}", campaign_id), _campaign)


def all_campaigns(*, statistics: bool = True) -> Collection[Campaign]:
    """All campaigns of the account."""
    query = (("statistic", "true"),) if statistics else ()
    return Collection(_CAMPAIGNS, _campaign, query=query, extra=True)


def schedule_campaign(campaign_id: str, start_at: datetime, time_zone: str) -> Operation[Campaign]:
    """
    Have a draft sent later.

    Args:
        campaign_id: The draft.
        start_at: The wall-clock time there; its own zone is not looked at.
        time_zone: In the platform's word, such as `Moscow`.
    """
    fields = {"start_at": start_at.strftime("%d.%m.%Y %H:%M"), "time_zone": time_zone}
    return patch(path_of(_CAMPAIGNS + "/{}/schedule", campaign_id), fields, _campaign)


def all_segments() -> Collection[Segment]:
    """All segments of the account."""
    return Collection(
        "/email/segments", lambda record: Segment(record.id(), record.text("title")), extra=True
    )


def _campaign(record: Record) -> Campaign:
    purchase, statistics = record.record("purchase"), record.record("statistics")
    return Campaign(
        record.id(),
        record.text("state"),
        record.text("subject"),
        record.text("from_email"),
        record.text("from_name"),
        record.text("html"),
        record.text("text"),
        record.number("recipients_count"),
        Purchase(
            purchase.flag("enable"),
            purchase.number("subscribers"),
            purchase.number("credits"),
            purchase.number("deficit"),
        ),
        Statistics(*(statistics.number(name) for name in Statistics.__slots__)),
        record.text("start_at"),
        record.text("time_zone"),
    )
