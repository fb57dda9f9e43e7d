"""The committed pictures, and what draws them: complete, small, and from no particular place."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from grafana.render import FOLDER as BOARDS

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "boards"
PAGE = ROOT / "grafana" / "pictures"
LARGEST = 150_000
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("board", sorted(BOARDS.glob("*.json")), ids=lambda path: path.stem)
def test_every_board_has_its_picture(board: Path) -> None:
    """On the page about boards, and small enough for a repository."""
    picture = PICTURES / f"{board.stem}.png"
    assert picture.read_bytes().startswith(PNG)
    assert picture.stat().st_size < LARGEST
    assert f"(../docs/boards/{picture.name})" in (ROOT / "grafana" / "README.md").read_text()


def test_no_picture_is_left_over() -> None:
    """A board that went has taken its picture along."""
    assert {path.stem for path in PICTURES.iterdir()} == {path.stem for path in BOARDS.iterdir()}


def test_packages_are_pinned_and_come_from_wherever_npm_asks() -> None:
    """Exact versions with their hashes, and no address that one of them was fetched from."""
    wanted = json.loads((PAGE / "package.json").read_text())["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    locked = json.loads((PAGE / "package-lock.json").read_text())["packages"]
    assert set(wanted) <= {name.removeprefix("node_modules/") for name in locked}
    for name, package in locked.items():
        assert "resolved" not in package, name
        assert not name or package["integrity"], name
