"""
What an operation of the API is: the row that both the routes and the OpenAPI page are built from.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel
from starlette.requests import Request

from gateway.web.api.models import NoQuery

_USUAL = (400, 401, 404, 408, 413, 415, 422, 429, 500, 503)


@dataclass(frozen=True, slots=True)
class Operation:
    """
    One method of one path.

    Attributes:
        method: Of HTTP.
        path: Below `/api`, with parameters in braces.
        name: Its id on the page.
        summary: One line.
        do: Does it, given the request and the checked query; returns the answer.
        answer: What it returns.
        query: What stands behind the question mark.
        body: The JSON it takes.
        raw: What stands behind the question mark where it takes a letter as it is, too.
        headers: Fields of the request that it heeds, with what they are for.
        status: When it is done.
        problems: What it may answer else.
    """

    method: str
    path: str
    name: str
    summary: str
    do: Callable[[Request, BaseModel], Awaitable[BaseModel]]
    answer: type[BaseModel]
    query: type[BaseModel] = NoQuery
    body: type[BaseModel] | None = None
    raw: type[BaseModel] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    problems: tuple[int, ...] = _USUAL
