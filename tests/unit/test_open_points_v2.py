"""The page on the v2 API: every command is told, every open point has its tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from gateway.cli.v2.commands import app

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "v2.md").read_text(encoding="utf-8")
LIST = PAGE.partition("<!-- open points -->")[2].partition("<!-- /open points -->")[0]
ROWS = [line for line in LIST.splitlines() if re.match(r"\| \d", line)]


def test_every_command_is_told() -> None:
    """A reader of the page knows what there is, and which method each command calls."""
    group: Any = typer.main.get_command(app)
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    for name, command in group.commands.items():
        (row,) = [row for row in rows if f"`{name}`" in row]
        (method,) = re.findall(r"\((\w+)\)", command.help.replace("\n", " "))[:1]
        assert f"`{method}`" in row


def test_every_point_is_there() -> None:
    """Points 24 to 36 of the provider reference's part D, once each."""
    numbers = [int(row.split()[1]) for row in ROWS]
    assert numbers == list(range(24, 37))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row).split()[1])
def test_its_tests_exist(row: str) -> None:
    """A renamed test takes its row along."""
    named = re.findall(r"`([a-z0-9_/]+\.py)::(\w+)`", row)
    assert named
    for path, name in named:
        tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
        found = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in found, f"{path} has no {name}"
