"""`mailquay explain` as an operator calls it: no daemon runs, nothing is sent."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.e2e.gateway_process import run
from tests.support import letter_files

EXPLAIN = (sys.executable, "-m", "gateway", "explain")
CONFIG = """\
providers:
  rest: {kind: rest_v1, base_url: "https://a.example.com/v1", api_key: dummy-key-0001}
  main: {kind: smarthost, host: smtp.example.com, tls: off}
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return str(path)


def letter(name: str) -> str:
    return str(letter_files.FOLDER / f"{name}.eml")


async def test_table(config: str):
    """Route, order, who is passed over and why, each in a line."""
    arguments = ("--from", "alice@example.com", "--to", "bob@example.com", "-c", config)
    code, out, err = await run(*EXPLAIN, letter("smime-signed"), *arguments)
    assert (code, err) == (0, "")
    assert "to bob@example.com: route default, faithful" in out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "main smarthost first nothing is lost" in lines
    assert any(line.startswith("rest rest_v1 passed over seal a signed") for line in lines)


async def test_json(config: str):
    """The same for machines; no secret is in it (T25)."""
    arguments = ("--from", "<>", "--to", "bob@example.com", "-c", config, "--json")
    code, out, _ = await run(*EXPLAIN, letter("text-only"), *arguments)
    assert code == 0
    told = json.loads(out)
    (recipient,) = told["recipients"]
    assert [view["name"] for view in recipient["providers"]] == ["main", "rest"]
    assert recipient["providers"][1]["standing"] == "passed over"
    assert told["needs"]["null_reverse_path"] is True
    assert "dummy-key" not in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("/nonexistent.eml", "--from", "a@example.com", "--to", "b@example.com"), 66),
        ((letter("text-only"), "--from", "a b", "--to", "b@example.com"), 64),
        ((letter("text-only"), "--from", "a@b", "--to", "b@c", "--listener", "none"), 64),
    ],
    ids=["no file", "no address", "no listener"],
)
async def test_wrong_words(config: str, arguments: tuple[str, ...], expected: int):
    """One line that says what to do, and a sysexits code."""
    code, out, err = await run(*EXPLAIN, *arguments, "-c", config)
    assert (code, out) == (expected, "")
    assert err.count("\n") == 1


async def test_a_letter_that_nobody_carries(tmp_path: Path):
    """Exit 69, and the reply that a client would get."""
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG.splitlines(keepends=True)[0] + CONFIG.splitlines()[1] + "\n")
    arguments = ("--from", "a@example.com", "--to", "b@example.com", "-c", str(path))
    code, out, _ = await run(*EXPLAIN, letter("smime-signed"), *arguments)
    assert code == 69
    assert "refused: 554 5.6.3 Cannot be carried: rest" in out
