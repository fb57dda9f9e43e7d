"""What drills have found, as file, page and pictures."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.drills.ground import Finding
from tests.drills.page import CLOSING, OPENING, with_figures
from tests.drills.record import Record, read_record, write_record
from tests.drills.series import Series, rates
from tests.drills.trouble import BEGIN, CAUGHT_UP, END, PROVIDERS, TROUBLES

DOCS = Path(__file__).parents[2] / "docs"
LARGEST = 60_000
SERIES = Series(
    handed_over={"rest_v1": [0, 0, 1, 3, 5, 9]},
    throttled={"rest_v1": [0, 1, 1, 1, 2, 2]},
    waiting=[5, 9, 8, 6, 4, 0],
    circuits={"it": [(0.1, "open"), (0.3, "half_open"), (0.4, "closed")]},
    marks=[(0.1, BEGIN), (0.3, END), (0.4, CAUGHT_UP)],
)
NAMES = [
    "limit of 5/s, 1 gateway",
    "2,000 personal letters to form_v2",
    "a password reset behind 10,000 newsletters",
    "throttled with a wait of 1 s, three times",
    "one provider hangs; the other, and the intake",
    *(f"{kind}: {what}" for kind in PROVIDERS for what in TROUBLES),
]
FINDINGS = [
    Finding(name, "nothing lost", "0 lost", kept=True, figures={"lost": 0}, series=SERIES)
    for name in NAMES
]
RECORD = Record("2026-11-23T10:00:00+00:00", 9.6, "2 cores, Linux 6.1", (0.4, 1.26), FINDINGS)


def test_rates_are_taken_over_a_window() -> None:
    """Letters a second around each moment; nothing is invented beyond the ends."""
    assert rates([0, 1, 2, 3, 4], 0.5, 1.0) == [2.0] * 5
    assert rates([0, 0, 10, 10], 1.0, 2.0) == [0.0, 5.0, 5.0, 0.0]
    assert rates([7], 1.0, 2.0) == [0.0]


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Pictures can be drawn again at any time."""
    path = tmp_path / "var" / "drills.json"
    write_record(RECORD, path)
    read = read_record(path)
    assert json.dumps(asdict(read)) == json.dumps(asdict(RECORD))
    assert isinstance(read.findings[0].series, Series)


def test_figures_stand_between_the_marks() -> None:
    """The page's words stay, old figures go, and a promise that was not kept is told."""
    bad = replace(FINDINGS[0], kept=False, measured="3 lost")
    page = f"# Drills\n{OPENING}old\n{CLOSING}\nwords\n"
    written = with_figures(page, replace(RECORD, findings=[bad, *FINDINGS[1:]]))
    assert written.startswith("# Drills\n")
    assert written.endswith(f"{CLOSING}\nwords\n")
    assert "old" not in written
    assert "2026-11-23" in written
    assert "load average 0.4 before and 1.3 after. 2 cores, Linux 6.1." in written
    assert "| limit of 5/s, 1 gateway | nothing lost | 3 lost | **no** |" in written
    assert written.count("| yes |") == len(FINDINGS) - 1
    with pytest.raises(ValueError, match="no <!-- figures -->"):
        with_figures("# Drills\n", RECORD)


def test_pictures_are_small_and_all_shown() -> None:
    """A clone stays light, and no picture lies about that nobody sees."""
    shown = set(re.findall(r"\]\(drills/([\w-]+\.png)\)", (DOCS / "drills.md").read_text()))
    files = {path.name: path.stat().st_size for path in (DOCS / "drills").iterdir()}
    assert files.keys() == shown
    assert max(files.values()) < LARGEST


def test_every_drill_has_a_picture_that_the_page_shows(tmp_path: Path) -> None:
    """Drawn anew they are the same files, small, and PNG."""
    pytest.importorskip("matplotlib", reason="only `make plots` installs it")
    from tests.drills.pictures import draw  # noqa: PLC0415 - needs it

    drawn = draw(RECORD, tmp_path / "drills")
    shown = set(re.findall(r"\]\(drills/([\w-]+\.png)\)", (DOCS / "drills.md").read_text()))
    assert {path.name for path in drawn} == shown
    for path in drawn:
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) < LARGEST
    again = draw(RECORD, tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in drawn]


def test_a_drill_without_a_picture_is_told(tmp_path: Path) -> None:
    """Whoever adds a drill gives it a picture."""
    pytest.importorskip("matplotlib", reason="only `make plots` installs it")
    from tests.drills.pictures import draw  # noqa: PLC0415

    odd = replace(RECORD, findings=[replace(FINDINGS[0], drill="something new")])
    with pytest.raises(ValueError, match="no picture for something new"):
        draw(odd, tmp_path)
