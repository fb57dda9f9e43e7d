"""
Recipients of lists, and the search for them (provider reference, B.7 and B.9).

Pure: each function makes one operation.
"""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from providers.rest_v1.api.operation import (
    Collection,
    Operation,
    delete,
    get,
    given,
    id_out,
    patch,
    path_of,
    post,
)
from providers.rest_v1.api.record import Record

LARGEST_RECIPIENTS_PAGE = 1000

_RECIPIENTS = "/email/lists/{}/recipients"
_ONE = _RECIPIENTS + "/{}"


@dataclass(frozen=True, slots=True)
class Value:
    """What a list knows of a recipient under one parameter, as text."""

    parameter_id: str
    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Recipient:
    """
    One recipient of one list.

    `list_id`, `status` and `tags` are told by newer installations only; `confirmed` is `None`
    where it is not told.
    """

    id: str
    email: str
    confirmed: bool | None
    values: tuple[Value, ...] = ()
    list_id: str = ""
    status: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Membership:
    """A list that an address is in, and its id there."""

    list_id: str
    list_title: str
    recipient_id: str


@dataclass(frozen=True, slots=True)
class Found:
    """An address that the search found, with its lists."""

    email: str
    memberships: tuple[Membership, ...]


def create_recipient(
    list_id: str,
    email: str,
    values: Mapping[str, str] | None = None,
    *,
    unconfirmed: bool = False,
    tags: Sequence[str] = (),
) -> Operation[Recipient]:
    """Add an address to a list; `values` by parameter id. An address that is there is refused."""
    fields = given(
        email=email,
        values=values_out(values) if values else None,
        unconfirmed=True if unconfirmed else None,
        tags=list(tags) or None,
    )
    return post(path_of(_RECIPIENTS, list_id), fields, _recipient)


def all_recipients(list_id: str) -> Collection[Recipient]:
    """All recipients of a list."""
    return Collection(path_of(_RECIPIENTS, list_id), _recipient, largest=LARGEST_RECIPIENTS_PAGE)


def one_recipient(list_id: str, recipient_id: str) -> Operation[Recipient]:
    """One recipient; not every installation has the method."""
    return get(path_of(_ONE, list_id, recipient_id), _recipient)


def change_recipient(
    list_id: str,
    recipient_id: str,
    *,
    email: str | None = None,
    values: Mapping[str, str] | None = None,
    destroy: Names[str] = (),
    tags: Sequence[str] | None = None,
    run_triggers: bool = False,
) -> Operation[Recipient]:
    """
    Change a recipient.

    Args:
        list_id: The list.
        recipient_id: The recipient's id in it.
        email: Another address. Newer documents demand it: give the present one for no change.
        values: New values by parameter id.
        destroy: Parameter ids whose values go.
        tags: All tags from now on.
        run_triggers: Whether the list's automations start.

    Raises:
        ValueError: A parameter is both set and destroyed.
    """
    if both := set(values or {}) & set(destroy):
        raise ValueError(f"parameters {', '.join(sorted(both))} are both set and destroyed")
    items = values_out(values or {})
    items += [{"parameter_id": id_out(one), "destroy": True} for one in destroy]
    fields = given(
        email=email,
        values=items or None,
        tags=None if tags is None else list(tags),
        run_triggers=True if run_triggers else None,
    )
    return patch(path_of(_ONE, list_id, recipient_id), fields, _recipient)


def delete_recipient(list_id: str, recipient_id: str) -> Operation[None]:
    """Take a recipient off a list."""
    return delete(path_of(_ONE, list_id, recipient_id))


def search(email: str) -> Collection[Found]:
    """
    Addresses that hold this text, with their lists.

    Whether pieces of an address match is not documented: `exactly` picks the one that was meant.
    """
    return Collection("/email/recipients/search", _found, query=(("email", email),))


def exactly(email: str, found: Sequence[Found]) -> Found | None:
    """The one with this very address, in whatever case."""
    return next((one for one in found if one.email.strip().lower() == email.lower()), None)


def values_out(values: Mapping[str, str]) -> list[dict[str, Any]]:
    """Values as requests carry them."""
    return [{"parameter_id": id_out(key), "value": value} for key, value in values.items()]


def _recipient(record: Record) -> Recipient:
    values = tuple(
        Value(value.id("parameter_id"), value.text("kind"), value.text("value"))
        for value in record.records("values")
    )
    return Recipient(
        record.id(),
        record.text("email"),
        record.flag("confirmed"),
        values,
        record.id("list_id"),
        record.text("status"),
        record.texts("tags"),
    )


def _found(record: Record) -> Found:
    memberships = tuple(
        Membership(one.id("list_id"), one.text("list_title"), one.id("recipient_id"))
        for one in record.records("recipients")
    )
    return Found(record.text("email"), memberships)
