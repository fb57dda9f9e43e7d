"""
How the imitated v1 looks at what it is given: addresses, ids, texts, flags and pages.

Each check raises the error that the platform would answer. Pure but for the request it reads from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from starlette.requests import Request

from providers.contract.address import InvalidAddress, parse_address
from providers.sandbox.answers import ApiError
from providers.sandbox.rest_v1.dialect import Dialect

T = TypeVar("T")

LARGEST_PAGE = 100

_MAX_TITLE = 255


def not_found() -> ApiError:
    """Nothing has this id, or it belongs to another account."""
    return ApiError(404, "Not found")


def address(fields: Mapping[str, Any], name: str) -> str:
    """A required field with one plain address."""
    value = required(fields, name)
    if not is_one_address(value):
        raise ApiError(422, f"{name} is invalid")
    return value


def required(fields: Mapping[str, Any], name: str) -> str:
    """A required text that is not blank."""
    value = fields.get(name)
    if value is None or value == "":
        raise ApiError(422, f"{name} can't be blank")
    if not isinstance(value, str):
        raise ApiError(422, f"{name} is invalid")
    if not value.strip():
        raise ApiError(422, f"{name} can't be blank")
    return value


def optional(fields: Mapping[str, Any], name: str) -> str:
    """A text that may be missing."""
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise ApiError(422, f"{name} is invalid")
    return value


def title(fields: Mapping[str, Any], taken: Sequence[str]) -> str:
    """A title, required and unique."""
    value = required(fields, "title")
    if len(value) > _MAX_TITLE:
        raise ApiError(422, f"title is too long (maximum is {_MAX_TITLE} characters)")
    if value in taken:
        raise ApiError(422, "title has already been taken")
    return value


def one_of(fields: Mapping[str, Any], name: str, allowed: Sequence[str], default: str) -> str:
    """One word of an enumeration."""
    value = fields.get(name, default)
    if value not in allowed:
        raise ApiError(422, f"{name} is not included in the list")
    return str(value)


def id_in(value: object, name: str) -> int:
    """An id, which clients write as a number or as a string (B.1)."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ApiError(422, f"{name} is invalid")
    text = str(value)
    if not (text.isascii() and text.isdigit()):
        raise ApiError(422, f"{name} is invalid")
    return int(text)


def flag(fields: Mapping[str, Any], name: str) -> bool:
    """A flag that any value turns on (B.1)."""
    return fields.get(name) not in (None, False)


def is_one_address(text: str) -> bool:
    """Whether it is one address, without a display-name or blanks around it."""
    try:
        parse_address(text)
    except InvalidAddress:
        return False
    return True


def page_of(
    request: Request,
    items: Sequence[T],
    dialect: Dialect,
    largest: int = LARGEST_PAGE,
    render: Callable[[T], object] = lambda item: item,
) -> dict[str, Any]:
    """
    The page of a collection that the request asks for (B.2).

    Args:
        request: With `page_number` and `page_size` in its query.
        items: All of the collection.
        dialect: What is told of the whole.
        largest: The largest page that is given.
        render: Makes of an item what the answer holds.

    Raises:
        ApiError: 400 for what is no page, 412 for one too big.
    """
    number, size = _page(request, largest)
    pages = -(-len(items) // size)
    if dialect.pages == "ignored":
        number = 1
    wanted = min(number, max(pages, 1)) if dialect.past_end == "last" else number
    found = [render(item) for item in items[(wanted - 1) * size : wanted * size]]
    answer: dict[str, Any] = {"page_number": number, "page_size": size, "collection": found}
    if dialect.totals == "missing":
        return answer
    lie = {"true": 0, "low": -len(items), "high": 3 * size}[dialect.totals]
    return {"total_count": len(items) + lie, "total_pages": pages + lie // size, **answer}


def _page(request: Request, largest: int) -> tuple[int, int]:
    numbers = []
    for name, default in (("page_number", "1"), ("page_size", "25")):
        text = request.query_params.get(name, default)
        if not (text.isascii() and text.isdigit() and int(text) > 0):
            raise ApiError(400, f"{name} is invalid")
        numbers.append(int(text))
    if numbers[1] > largest:
        raise ApiError(412, f"Page size is too big. Max value is {largest}")
    return numbers[0], numbers[1]
