"""Every query of every board, against a real Prometheus that scraped a real gateway at work."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.ingress.replies import REASONS
from gateway.observe.metrics import Metrics
from grafana.render import BOARDS as BUILDERS
from grafana.render import FOLDER, rendered
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.server import Sandbox
from tests.e2e.clients import by_smtplib
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import form_v2, rest_v1, smarthost
from tests.support.prometheus import Prometheus

BOARDS = sorted(FOLDER.glob("*.json"))
LABEL_VALUES = re.compile(r"label_values\((?P<selector>.+), (?P<label>\w+)\)")


def boards() -> list[dict[str, Any]]:
    """The committed files."""
    return [json.loads(path.read_text()) for path in BOARDS]


def bound(expression: str) -> str:
    """A query with its variables as Grafana would fill them in."""
    for name, value in (
        ("$__rate_interval", "60s"),
        ("$__range", "60s"),
        ("$instance", ".*"),
        ("$provider", ".*"),
    ):
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


async def test_every_query_of_every_board_gives_series(
    sandbox: Sandbox, make_gateway: MakeGateway, tmp_path: Path
) -> None:
    """No panel is empty, none asks for what is not there, no variable has nothing to choose."""
    gateway = make_gateway(
        {
            "main": smarthost(sandbox),
            "rest": rest_v1(sandbox, rate="50/s"),
            "bulk": form_v2(sandbox, rate="50/s"),
        },
        routes=[
            {"name": "a", "when": {"sender": "a@example.com"}, "providers": ["main"]},
            {"name": "b", "when": {"sender": "b@example.com"}, "providers": ["rest"]},
            {"name": "c", "providers": ["bulk"]},
        ],
    )
    await gateway.start()
    prometheus = Prometheus(tmp_path, [f"127.0.0.1:{gateway.http_port}"])
    await prometheus.start()
    try:
        await prometheus.wait_for("up == 1")
        sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", times=2))
        sandbox.faults.add(Fault(FaultKind.THROTTLE, "rest_v1", times=1))
        for number in range(30):
            sender = f"{'abc'[number % 3]}@example.com"
            letter = f"From: {sender}\r\nSubject: {number}\r\n\r\nHello\r\n".encode()
            await by_smtplib(gateway.smtp_port, sender, ["bob@example.com"], letter)
        await prometheus.wait_for(
            'sum(mailquay_attempts_total{outcome="accepted"}) > 10 '
            "and sum(increase(mailquay_attempts_total[60s])) > 0"
        )
        queries = {
            f"{board['title']}, {panel['title']}: {target['expr']}": bound(target["expr"])
            for board in boards()
            for panel in board["panels"]
            for target in panel.get("targets", ())
        }
        assert await without_series(prometheus, queries) == {}
        for variable in boards()[0]["templating"]["list"]:
            asked = LABEL_VALUES.fullmatch(bound(variable["query"]))
            assert asked is not None
            assert await prometheus.label_values(asked["selector"], asked["label"])
    finally:
        await prometheus.stop()


async def without_series(prometheus: Prometheus, queries: dict[str, str]) -> dict[str, str]:
    """
    Which queries give nothing, however often they are asked.

    A scrape that comes too late takes all series away until the next one.
    """
    for _ in range(20):
        queries = {name: one for name, one in queries.items() if not await prometheus.query(one)}
        if not queries:
            break
        await prometheus.wait_for("up == 1")
        await asyncio.sleep(1)  # the time between two scrapes
    return queries


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_every_panel_says_what_it_tells(path: Path) -> None:
    """Title, description and unit on each; ids of their own; bound to the chosen instances."""
    board = json.loads(path.read_text())
    assert {variable["name"] for variable in board["templating"]["list"]} == {
        "instance",
        "provider",
    }
    assert board["links"][0]["tags"] == board["tags"] == ["mailquay"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in board["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["title"]
        assert len(panel["description"]) > 5
        assert panel["fieldConfig"]["defaults"].get("unit") or panel["type"] == "heatmap"
        for target in panel["targets"]:
            assert "$instance" in target["expr"]


def test_every_metric_is_on_a_board() -> None:
    """What is worth counting is worth seeing; and an alert can be looked into."""
    metrics = Metrics(providers={"main": "smarthost"}, listeners=["app"], reply_reasons=REASONS)
    families = text_string_to_metric_families(metrics.render().decode())
    ours = {
        family.name
        for family in families
        if family.name.startswith("mailquay_") and not family.name.endswith("_created")
    }
    shown = set(re.findall(r"mailquay_\w+", json.dumps(boards())))
    bases = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in shown}
    assert {re.sub(r"_total$", "", name) for name in ours} - bases == set()


def test_the_boards_are_those_of_the_code() -> None:
    """`make docs` was run after the last change."""
    assert {path.name for path in BOARDS} == set(BUILDERS)
    for name, build in BUILDERS.items():
        assert (FOLDER / name).read_text() == rendered(build()), f"{name}: run make docs"
