"""
Recipient lists and their parameters (provider reference, B.5 and B.6).

Pure: each function makes one operation.
"""

from __future__ import annotations

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

PARAMETER_KINDS = ("string", "numeric", "date", "boolean", "geo")
"""What a parameter can hold; dates as `DD.MM.YYYY HH:MM`, places as `latitude,longitude`."""

_LISTS = "/email/lists"


@dataclass(frozen=True, slots=True)
class RecipientList:
    """A list; titles are unique within an account."""

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something that a list knows of each recipient; `kind` is one of `PARAMETER_KINDS`, so far."""

    id: str
    title: str
    kind: str


def create_list(title: str) -> Operation[RecipientList]:
    """Make a list."""
    return post(_LISTS, {"title": title}, _list)


def all_lists() -> Collection[RecipientList]:
    """All lists of the account."""
    return Collection(_LISTS, _list)


def one_list(list_id: str) -> Operation[RecipientList]:
    """One list."""
    return get(path_of(_LISTS + "/{}", list_id), _list)


def rename_list(list_id: str, title: str) -> Operation[RecipientList]:
    """Give a list another title."""
    return patch(path_of(_LISTS + "/{}", list_id), {"title": title}, _list)


def delete_list(list_id: str) -> Operation[None]:
    """Remove a list with its recipients."""
    return delete(path_of(_LISTS + "/{}", list_id))


def create_parameter(list_id: str, title: str, kind: str | None = None) -> Operation[Parameter]:
    """Add a parameter to a list; without a kind it is a string."""
    fields = given(title=title, kind=kind)
    return post(path_of(_LISTS + "/{}/parameters", list_id), fields, _parameter)


def all_parameters(list_id: str) -> Collection[Parameter]:
    """All parameters of a list."""
    return Collection(path_of(_LISTS + "/{}/parameters", list_id), _parameter)


def change_parameter(
    list_id: str, parameter_id: str, *, title: str | None = None, kind: str | None = None
) -> Operation[Parameter]:
    """Change a parameter; another kind clears what is stored under it."""
    path = path_of(_LISTS + "/{}/parameters/{}", list_id, parameter_id)
    return patch(path, given(title=title, kind=kind), _parameter)


def delete_parameter(list_id: str, parameter_id: str) -> Operation[None]:
    """Remove a parameter with what is stored under it."""
    return delete(path_of(_LISTS + "/{}/parameters/{}", list_id, parameter_id))


def _list(record: Record) -> RecipientList:
    return RecipientList(record.id(), record.text("title"))


def _parameter(record: Record) -> Parameter:
    return Parameter(record.id(), record.text("title"), record.text("kind"))
