"""The HTTP side of the real daemon under all that its OpenAPI page allows, and what it does not."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from providers.sandbox.server import Sandbox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, rest_v1, smarthost

TOKEN = "dummy-token-for-tests-only"
SECRET = "not-to-be-guessed-0123456789"
TOKEN_FIELD = {"Authorization": f"Bearer {TOKEN}"}
LETTER = {"from": "a@example.com", "to": ["bob@example.org"], "text": "x"}
CASES = 12  # of each operation: allowed, not allowed, of a letter that is there
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# What providers post is not ours to describe, so no page does: both styles, and lists of anything.
_ID = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
_WORD = {"enum": ["delivered", "hard_bounced", "complained", "opened", "new_word"]}
_MOMENT = {"type": ["integer", "string", "null"]}
_FLAT = {
    "type": "object",
    "required": ["message_id", "event"],
    "properties": {"message_id": _ID, "event": _WORD, "timestamp": _MOMENT},
}
_NESTED = {
    "type": "object",
    "required": ["message", "event"],
    "properties": {
        "message": {"type": "object", "required": ["id"], "properties": {"id": _ID}},
        "event": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": _WORD, "timestamp": _MOMENT},
        },
    },
}
WEBHOOKS = {
    "/webhooks/rest/" + SECRET: {
        "post": {
            "operationId": "told_by_provider",
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": {"anyOf": [_FLAT, _NESTED, {"type": "array"}]}},
                    "text/plain": {"schema": {"type": "string"}},
                },
            },
            "responses": {
                code: {"description": "Answered.", "content": {"text/plain": {}}}
                for code in ("200", "400")
            },
        }
    }
}


async def test_whatever_is_asked_is_answered_as_described(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """
    Forged, malformed or right: no 5xx, no answer that the page does not tell, nothing lost.

    What was answered 202 is in the spool, what was not is not, and the daemon is as well as before.
    """
    gateway = make_gateway(
        {"main": smarthost(sandbox), "rest": rest_v1(sandbox, webhook_secret=SECRET)},
        routes=[{"name": "default", "providers": ["main"]}],
        http={"host": "127.0.0.1", "port": 0, "token": TOKEN},
    )
    await gateway.start()
    taken, answers = await asyncio.to_thread(_ask_everything, gateway)
    assert {200, 202, 400, 404, 422} <= set(answers), answers
    assert 429 not in answers  # nobody was shut out, so that all of it was really asked
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        ready = await http.get(f"http://127.0.0.1:{gateway.http_port}/readyz")
    assert ready.json() == {"ready": True, "reasons": []}
    await gateway.wait_for_count(len(taken), lambda line: line["event"] == "received")
    received = {line["queue_id"] for line in gateway.log if line["event"] == "received"}
    assert received == set(taken)
    assert not [line for line in gateway.log if line.get("level") in {"error", "critical"}]
    await gateway.wait_for_metric(0, "mailquay_recipients", state="waiting", timeout_s=120)
    calls = {"provider": "rest", "result": "accepted"}
    assert await gateway.metric("mailquay_webhook_calls_total", **calls) > 0
    accepted = await gateway.metric("mailquay_recipients_accepted")
    states = await gateway.series("mailquay_recipients", "state")
    assert accepted == sum(states.values())
    logged = json.dumps(gateway.log)
    assert TOKEN not in logged
    assert SECRET not in logged
    assert await gateway.stop() == 0


def _ask_everything(gateway: GatewayProcess) -> tuple[list[str], Counter[int]]:
    """Call each operation in many ways; the queue ids of letters taken, and what was answered."""
    base = f"http://127.0.0.1:{gateway.http_port}"
    answers: Counter[int] = Counter()

    def ask(cases: SearchStrategy[Case]) -> None:
        @seed(1)
        @settings(
            max_examples=CASES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(cases)
        def one(case: Case) -> None:
            answer = case.call(base_url=base, session=session, headers=TOKEN_FIELD, timeout=60)
            case.validate_response(answer, checks=CHECKS)
            answers[answer.status_code] += 1
            if answer.status_code == 202:
                taken.append(answer.json()["queue_id"])

        one()

    with requests.Session() as session:
        session.trust_env = False
        page = session.get(f"{base}/api/openapi.json", timeout=60).json()
        del page["security"], page["components"]["securitySchemes"]  # each call has our token
        page["paths"] |= WEBHOOKS
        operations = [
            found.ok() for found in schemathesis.openapi.from_dict(page).get_all_operations()
        ]
        url = f"{base}/api/letters"
        first = session.post(url, json=LETTER, headers=TOKEN_FIELD, timeout=60)
        taken = [first.json()["queue_id"]]
        for operation in operations:
            ask(operation.as_strategy())
            if operation.query or operation.body:
                ask(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
            if "{queue_id}" in operation.path:
                ask(operation.as_strategy(path_parameters={"queue_id": taken[0]}))
    return taken, answers
