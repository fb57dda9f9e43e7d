"""The points of the smarthost in providers/README.md: all there, each with a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
README = TESTS.parent / "providers" / "README.md"
_ROWS = re.compile(r"<!-- points -->\n(.*?)<!-- /points -->", re.DOTALL)
_TEST = re.compile(r"`([\w/]+\.py)::([\w:]+)`")


def rows() -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Point, deed and tests of each row."""
    found = _ROWS.search(README.read_text(encoding="utf-8"))
    assert found is not None
    cells = [line.strip("| ").split(" | ") for line in found[1].splitlines()[2:]]
    return [(point, deed, _TEST.findall(tests)) for point, deed, tests in cells]


def names_in(path: Path) -> set[str]:
    """The tests of a module, those of classes with the class before them."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, functions):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{x.name}" for x in node.body if isinstance(x, functions)}
    return names


@pytest.mark.parametrize(("point", "deed", "tests"), rows(), ids=[row[0] for row in rows()])
def test_each_point_has_its_test(point: str, deed: str, tests: list[tuple[str, str]]) -> None:
    """A row without a test is a rumour, and a renamed test is found here."""
    assert point
    assert deed
    assert tests
    for module, name in tests:
        assert name in names_in(TESTS / module), f"{module} has no {name}"


def test_no_point_of_the_reference_is_left_out() -> None:
    """Parts A, A.1 and A.2, and the five cautions about SMTP of part D."""
    points = [point for point, _, _ in rows()]
    assert {f"D {number}" for number in range(1, 6)} <= {p.split(":")[0] for p in points}
    for section in ("A:", "A.1:", "A.2:"):
        assert any(point.startswith(section) for point in points)
