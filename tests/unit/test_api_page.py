"""The OpenAPI page, and what strangers may throw at the routes that it describes."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.applications import Starlette

from gateway.clock import SystemClock
from gateway.ingress.limits import LimitRules, Limits
from gateway.spool.store import SqlSpool
from gateway.web.api import Api, Guard, api_routes
from tests.support.fake_intake import FakeIntake

TOKEN = "dummy-token-for-tests-only"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
MEMBERS = st.sampled_from(
    ["from", "to", "cc", "subject", "text", "html", "attachments", "headers", "address", "reason"]
)


async def call(folder: Path, requests: list[dict[str, Any]]) -> list[httpx.Response]:
    """Answers of the API over an empty spool."""
    clock = SystemClock()
    spool = await SqlSpool.open(
        f"sqlite:///{folder}/spool.db",
        clock=clock,
        uncertain_after=timedelta(minutes=1),
        exclusive=True,
    )
    api = Api(
        spool=spool,
        clock=clock,
        limits=Limits(LimitRules(), clock.monotonic),
        max_octets=10_000,
        max_recipients=5,
        intake=FakeIntake(),
    )
    app = Starlette(routes=api_routes(api, Guard(SecretStr(TOKEN), clock.monotonic)))
    transport = httpx.ASGITransport(app=app)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    try:
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", headers=headers
        ) as http:
            return [await http.request(**request) for request in requests]
    finally:
        await spool.aclose()


async def test_every_reference_on_the_page_leads_somewhere(tmp_path: Path) -> None:
    """OpenAPI 3.1; each operation has an id of its own and tells what it answers."""
    (answer,) = await call(tmp_path, [{"method": "GET", "url": "/api/openapi.json"}])
    page = answer.json()
    assert page["openapi"] == "3.1.0"
    schemas = page["components"]["schemas"]
    text = json.dumps(page)
    references = {piece.split('"')[0] for piece in text.split('"#/components/schemas/')[1:]}
    assert references <= set(schemas)
    operations = [o for path in page["paths"].values() for o in path.values()]
    assert len({o["operationId"] for o in operations}) == len(operations) == 13
    assert all("401" in o["responses"] and "422" in o["responses"] for o in operations)


async def test_the_page_tells_both_ways_to_send(tmp_path: Path) -> None:
    """Mailboxes as text or as an object; a raw letter's envelope in the query, and a key."""
    (answer,) = await call(tmp_path, [{"method": "GET", "url": "/api/openapi.json"}])
    page = answer.json()
    send = page["paths"]["/api/letters"]["post"]
    assert {"message/rfc822", "application/json"} == set(send["requestBody"]["content"])
    told = {(p["in"], p["name"], p.get("required", False)) for p in send["parameters"]}
    assert told == {
        ("query", "from", False),
        ("query", "to", False),
        ("header", "Idempotency-Key", False),
        ("header", "traceparent", False),
    }
    to = page["components"]["schemas"]["LetterIn"]["properties"]["to"]
    assert {one.get("format") for one in to["items"]["anyOf"]} == {"idn-email", None}


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    bodies=st.lists(JSON | st.dictionaries(MEMBERS, JSON, max_size=5), min_size=1, max_size=4),
    text=st.text(st.characters(exclude_characters="/?#", min_codepoint=33), min_size=1, max_size=9),
)
@pytest.mark.parametrize("_", [0])
async def test_whatever_comes_is_answered_as_described(
    tmp_path: Path, bodies: list[Any], text: str, _: int
) -> None:
    """No 500, no answer in another form than the page tells, from any operation."""
    (answer,) = await call(tmp_path, [{"method": "GET", "url": "/api/openapi.json"}])
    requests: list[dict[str, Any]] = []
    described: list[dict[str, Any]] = []
    for path, methods in answer.json()["paths"].items():
        for method, operation in methods.items():
            url = httpx.URL("http://test").copy_with(
                path=path.replace("{queue_id}", text).replace("{address}", text)
            )
            query = {p["name"]: text for p in operation["parameters"] if p["in"] == "query"}
            for body in bodies if "requestBody" in operation else [None]:
                requests.append({"method": method, "url": url, "params": query, "json": body})
                described.append(operation["responses"])
    for request, responses, got in zip(
        requests, described, await call(tmp_path, requests), strict=True
    ):
        status = str(got.status_code)
        assert status in responses and status != "500", (request, got.text)  # noqa: PT018
        kind = "application/problem+json" if got.status_code >= 400 else "application/json"
        assert got.headers["content-type"] == kind
        assert got.json()
