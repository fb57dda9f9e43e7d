"""
What belongs to the account as a whole: balance, organizations, webhooks.

Pure: each function makes one operation. Source: provider reference, B.10, B.12 and B.13.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from providers.rest_v1.api.operation import (
    Collection,
    Operation,
    delete,
    get,
    given,
    patch,
    path_of,
    post,
)
from providers.rest_v1.api.record import Record

ORGANIZATION_FIELDS = ("name", "address", "country", "city", "phone", "zip")

_ORGANIZATIONS = "/email/organizations"
_ONE = _ORGANIZATIONS + "/{}"
_WEBHOOK = "/email/webhook"
_WEBHOOKS = "/email/messages_webhooks"


@dataclass(frozen=True, slots=True)
class Balance:
    """What the account has left; `None` for what the installation does not tell."""

    balance: str
    credits: int | None
    expires_at: str
    subscribers_available: int | None
    subscribers_total: int | None


@dataclass(frozen=True, slots=True)
class Organization:
    """Who sends; `current` is the default of the account."""

    id: str
    name: str
    address: str
    country: str
    city: str
    phone: str
    zip: str
    current: bool | None


@dataclass(frozen=True, slots=True)
class Webhook:
    """One of several webhooks of a newer installation."""

    id: str
    title: str
    url: str
    kinds: tuple[str, ...]
    events: tuple[str, ...]
    status: str


def balance() -> Operation[Balance]:
    """What the account has left."""
    return get("/email/balance", _balance, extra=True)


def create_organization(
    *, name: str, address: str, country: str, city: str, phone: str, zip_code: str
) -> Operation[Organization]:
    """Make an organization; all of it is demanded."""
    fields = given(name=name, address=address, country=country, city=city, phone=phone)
    return post(_ORGANIZATIONS, {**fields, "zip": zip_code}, _organization)


def all_organizations() -> Collection[Organization]:
    """All organizations of the account."""
    return Collection(_ORGANIZATIONS, _organization)


def one_organization(organization_id: str) -> Operation[Organization]:
    """One organization."""
    return get(path_of(_ONE, organization_id), _organization)


def current_organization() -> Operation[Organization]:
    """The default organization; not found where there is none."""
    return get(f"{_ORGANIZATIONS}/current", _organization)


def make_organization_current(organization_id: str) -> Operation[Organization]:
    """Make an organization the default."""
    return patch(path_of(_ONE + "/current", organization_id), {}, _organization)


def change_organization(organization_id: str, **changes: str) -> Operation[Organization]:
    """
    Change any of `ORGANIZATION_FIELDS`.

    Raises:
        ValueError: A field of another name.
    """
    if unknown := changes.keys() - set(ORGANIZATION_FIELDS):
        raise ValueError(f"an organization has no {', '.join(sorted(unknown))}")
    return patch(path_of(_ONE, organization_id), changes, _organization)


def delete_organization(organization_id: str) -> Operation[None]:
    """Remove an organization."""
    return delete(path_of(_ONE, organization_id))


def webhook() -> Operation[str]:
    """The URL that events go to; empty, or not found, where none is set."""
    return get(_WEBHOOK, _url)


def set_webhook(url: str) -> Operation[str]:
    """
    Set the URL that events go to.

    Whether it takes the place of the one before is not documented (D 20): remove that first, and
    look afterwards (`client.RestV1Api.replace_webhook`).
    """
    return post(_WEBHOOK, {"url": url}, _url)


def remove_webhook(url: str) -> Operation[None]:
    """Remove a URL; it goes along in the body, for there may be several (D 20)."""
    return delete(_WEBHOOK, {"url": url})


def create_webhook(
    title: str, url: str, *, kinds: Sequence[str] = (), events: Sequence[str] = ()
) -> Operation[Webhook]:
    """Add one of several webhooks."""
    fields = given(title=title, url=url, kinds=list(kinds) or None, events=list(events) or None)
    return post(_WEBHOOKS, fields, _one_webhook, extra=True)


def all_webhooks() -> Collection[Webhook]:
    """All of several webhooks."""
    return Collection(_WEBHOOKS, _one_webhook, extra=True)


def one_webhook(webhook_id: str) -> Operation[Webhook]:
    """One of several webhooks."""
    return get(path_of(_WEBHOOKS + "/{}", webhook_id), _one_webhook)


def change_webhook(
    webhook_id: str,
    *,
    title: str | None = None,
    url: str | None = None,
    kinds: Sequence[str] = (),
    events: Sequence[str] = (),
) -> Operation[Webhook]:
    """Change one of several webhooks."""
    fields = given(title=title, url=url, kinds=list(kinds) or None, events=list(events) or None)
    return patch(path_of(_WEBHOOKS + "/{}", webhook_id), fields, _one_webhook)


def delete_webhook(webhook_id: str) -> Operation[None]:
    """Remove one of several webhooks."""
    return delete(path_of(_WEBHOOKS + "/{}", webhook_id))


def webhook_events() -> Operation[tuple[str, ...]]:
    """The names of events that a webhook can ask for."""
    return get(f"{_WEBHOOKS}/events", lambda record: record.texts("events"), extra=True)


def webhook_kinds() -> Operation[tuple[str, ...]]:
    """The kinds of letters that a webhook can ask for."""
    return get(f"{_WEBHOOKS}/kinds", lambda record: record.texts("kinds"), extra=True)


def _balance(record: Record) -> Balance:
    tariff = record.record("tariff")
    subscribers = tariff.record("subscribers")
    return Balance(
        record.text("balance"),
        tariff.number("credits"),
        tariff.text("expires_at"),
        subscribers.number("available"),
        subscribers.number("total"),
    )


def _organization(record: Record) -> Organization:
    return Organization(
        record.id(),
        record.text("name"),
        record.text("address"),
        record.text("country"),
        record.text("city"),
        record.text("phone"),
        record.text("zip"),
        record.flag("current"),
    )


def _url(record: Record) -> str:
    return record.text("url")


def _one_webhook(record: Record) -> Webhook:
    return Webhook(
        record.id(),
        record.text("title"),
        record.text("url"),
        record.texts("kinds"),
        record.texts("events"),
        record.text("status"),
    )
