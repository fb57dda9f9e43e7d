"""
The OpenAPI 3.1 page, built from the operations and the models themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.web.api.models import ProblemOut
from gateway.web.api.problems import MEDIA_TYPE
from gateway.web.api.table import Operation

_REFERENCE = "#/components/schemas/{model}"


def build_page(operations: Iterable[Operation]) -> dict[str, Any]:
    """The document."""
    table = tuple(operations)
    models: set[type[BaseModel]] = {ProblemOut}
    for operation in table:
        models |= {m for m in (operation.body, operation.answer) if m is not None}
    _, definitions = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda m: m.__name__)],
        ref_template=_REFERENCE,
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in table:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Mailquay", "version": version("mailquay")},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*_parameters(operation)],
        "responses": {
            str(operation.status): {
                "description": (operation.answer.__doc__ or "").strip().splitlines()[0],
                "content": {"application/json": {"schema": _reference(operation.answer)}},
            },
            **{str(status): _problem() for status in operation.problems},
        },
    }
    contents: dict[str, Any] = {}
    if operation.body is not None:
        contents["application/json"] = {"schema": _reference(operation.body)}
    if operation.raw is not None:
        contents["message/rfc822"] = {"schema": {"type": "string", "format": "binary"}}
    if contents:
        described["requestBody"] = {"required": True, "content": contents}
    return described


def _parameters(operation: Operation) -> Iterable[dict[str, Any]]:
    yield from _path_parameters(operation.path)
    yield from _query_parameters(operation.query)
    if operation.raw is not None:
        for parameter in _query_parameters(operation.raw):
            # Needed by one of two kinds of body, which a page of OpenAPI cannot tell otherwise.
            yield parameter | {"required": False, "description": "With message/rfc822 only."}
    for name, text in operation.headers.items():
        schema = {"type": "string", "pattern": "^[!-~]{1,200}$"}
        yield {"name": name, "in": "header", "description": text, "schema": schema}


def _path_parameters(path: str) -> Iterable[dict[str, Any]]:
    for piece in path.split("/"):
        if piece.startswith("{"):
            name = piece.strip("{}")
            yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(query: type[BaseModel]) -> Iterable[dict[str, Any]]:
    schema = query.model_json_schema(ref_template=_REFERENCE)
    inlined = schema.get("$defs", {})
    required = schema.get("required", ())
    for name, given in schema.get("properties", {}).items():
        yield {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": _inline(given, inlined),
        }


def _inline(given: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON holds anything
    if isinstance(given, dict):
        if "$ref" in given:
            return definitions[given["$ref"].rpartition("/")[2]]
        return {key: _inline(value, definitions) for key, value in given.items()}
    return [_inline(value, definitions) for value in given] if isinstance(given, list) else given


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model.__name__)}


def _problem() -> dict[str, Any]:
    return {
        "description": "Not done.",
        "content": {MEDIA_TYPE: {"schema": _reference(ProblemOut)}},
    }
