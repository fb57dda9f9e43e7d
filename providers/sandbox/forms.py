"""
Request bodies as the imitated HTTP providers read them: JSON and forms, capped and strict.

What cannot be read is an `UnreadableRequest`, which each provider words in its own way. It must not
know what the fields mean.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

MAX_BODY_OCTETS = 64 << 20

# How HTML forms write what cannot stand in a quoted file name (HTML, section 4.10.21.8).
_FILENAME_ESCAPES = (("%22", '"'), ("%0D", "\r"), ("%0A", "\n"))


class UnreadableRequest(Exception):
    """The body is not what its Content-Type says."""


@dataclass(frozen=True, slots=True)
class FormFile:
    """One file part of a form."""

    name: str
    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Form:
    """The fields and files of a form, in the order they came."""

    fields: tuple[tuple[str, str], ...]
    files: tuple[FormFile, ...] = ()


def media_type(request: Request) -> str:
    """The request's media type in lower case, without parameters; empty where none is given."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json(request: Request) -> dict[str, Any]:
    """
    The JSON object of a request.

    Raises:
        UnreadableRequest: It is not UTF-8, not JSON, not an object, or names a key twice.
    """
    body = b"".join([chunk async for chunk in _capped(request)])
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise UnreadableRequest(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UnreadableRequest("the body is not a JSON object")
    return value


async def read_form(request: Request) -> Form:
    """
    The form of a request, urlencoded or multipart.

    Raises:
        UnreadableRequest: Another media type, bad percent-encoding, UTF-8 or multipart framing.
    """
    match media_type(request):
        case "application/x-www-form-urlencoded":
            body = b"".join([chunk async for chunk in _capped(request)])
            return Form(tuple(_urlencoded(body)))
        case "multipart/form-data":
            return await _multipart(request)
        case other:
            raise UnreadableRequest(f"a form is expected, not {other or 'a body of no type'}")


async def _capped(request: Request) -> AsyncGenerator[bytes, None]:
    octets = 0
    async for chunk in request.stream():
        octets += len(chunk)
        if octets > MAX_BODY_OCTETS:
            raise UnreadableRequest("the body is too large")
        yield chunk


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _urlencoded(body: bytes) -> list[tuple[str, str]]:
    if not body:
        return []
    try:
        return parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict"
        )
    except ValueError as error:
        raise UnreadableRequest(f"the form cannot be decoded: {error}") from error


async def _multipart(request: Request) -> Form:
    parser = MultiPartParser(
        request.headers,
        _capped(request),
        max_fields=100_000,
        max_part_size=MAX_BODY_OCTETS,
    )
    try:
        data = await parser.parse()
    except (MultiPartException, KeyError) as error:
        raise UnreadableRequest("the multipart form cannot be read") from error
    fields: list[tuple[str, str]] = []
    files: list[FormFile] = []
    try:
        for name, value in data.multi_items():
            if isinstance(value, str):
                fields.append((name, value))
            else:
                content_type = value.content_type or ""
                filename = _plain_filename(value.filename or "")
                files.append(FormFile(name, filename, content_type, await value.read()))
    finally:
        await data.close()
    return Form(tuple(fields), tuple(files))


def _plain_filename(filename: str) -> str:
    for escaped, plain in _FILENAME_ESCAPES:
        filename = filename.replace(escaped, plain)
    return filename
