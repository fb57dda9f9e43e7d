"""
One call to the v1 API as a value: the request, and how its answer is read.

Pure: the endpoint modules build operations, `client` makes the calls. Ids are text everywhere and
cannot leave their place in a path.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from providers.http.exchange import HttpRequest
from providers.rest_v1.api.record import Record

T = TypeVar("T")

LARGEST_PAGE = 100

_JSON = ("Content-Type", "application/json")
_encode_json = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """
    One call.

    Attributes:
        request: Without the account's credential.
        read: Makes the result of the answer's object; an empty answer is an empty object.
        extra: Older installations do not have this method (provider reference, B.13).
    """

    request: HttpRequest
    read: Callable[[Record], T]
    extra: bool = False


@dataclass(frozen=True, slots=True)
class Collection(Generic[T]):
    """
    A collection that is read page by page (B.2).

    Attributes:
        path: Of the method.
        read: Makes one item.
        query: Beyond the paging.
        largest: The largest page that the method takes.
        extra: As in `Operation`.
    """

    path: str
    read: Callable[[Record], T]
    query: tuple[tuple[str, str], ...] = ()
    largest: int = LARGEST_PAGE
    extra: bool = False

    def page(self, number: int, size: int) -> Operation[Record]:
        """The call for one page; paging stands in the query string (D 16)."""
        paging = (("page_number", str(number)), ("page_size", str(size)))
        return get(self.path, _whole, query=(*self.query, *paging), extra=self.extra)


def path_of(pattern: str, *ids: str) -> str:
    """
    A path with ids in place of each `{}`, percent-encoded.

    Raises:
        ValueError: An id is empty or a step in a path.
    """
    for one in ids:
        if one in ("", ".", ".."):
            raise ValueError(f"an id is never {one!r}")
    return pattern.format(*(quote(one, safe="") for one in ids))


def id_out(value: str) -> int | str:
    """An id for a request's body: as the number it is in the documents, where it is one."""
    return int(value) if value.isascii() and value.isdigit() else value


def get(
    path: str,
    read: Callable[[Record], T],
    *,
    query: Iterable[tuple[str, str]] = (),
    extra: bool = False,
) -> Operation[T]:
    """A question; it costs nothing of the rate."""
    encoded = urlencode(tuple(query), quote_via=quote)
    return Operation(HttpRequest("GET", path, (_JSON,), query=encoded), read, extra)


def post(
    path: str, fields: Mapping[str, Any], read: Callable[[Record], T], *, extra: bool = False
) -> Operation[T]:
    """
    Create something.

    Raises:
        ValueError: A text in the fields is no Unicode text.
    """
    return Operation(_with_body("POST", path, fields), read, extra)


def patch(
    path: str, fields: Mapping[str, Any], read: Callable[[Record], T], *, extra: bool = False
) -> Operation[T]:
    """
    Change something.

    Raises:
        ValueError: A text in the fields is no Unicode text.
    """
    return Operation(_with_body("PATCH", path, fields), read, extra)


def delete(
    path: str, fields: Mapping[str, Any] | None = None, *, extra: bool = False
) -> Operation[None]:
    """Remove something; some methods take a body all the same."""
    request = _with_body("DELETE", path, fields or {})
    return Operation(request if fields else replace(request, body=b""), _nothing, extra)


def given(**fields: object) -> dict[str, Any]:
    """The fields that are not `None`."""
    return {name: value for name, value in fields.items() if value is not None}


def _with_body(method: str, path: str, fields: Mapping[str, Any]) -> HttpRequest:
    return HttpRequest(method, path, (_JSON,), _encode_json(fields).encode())


def _whole(record: Record) -> Record:
    return record


def _nothing(_record: Record) -> None:
    return None
