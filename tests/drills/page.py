"""
What `make plots` writes: the pictures of the last drills, and their figures on docs/drills.md.

The page's own words stay; between its two marks stands what was measured. Run as
`python -m tests.drills.page RECORD PAGE`, after `make drill` has left a record.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.drills.record import Record, read_record

OPENING, CLOSING = "<!-- figures -->\n", "<!-- /figures -->"


def with_figures(page: str, record: Record) -> str:
    """A page with the figures of a record between its marks; see `between_marks`."""
    return between_marks(page, list(_lines(record)))


def between_marks(page: str, lines: Sequence[str]) -> str:
    """
    A page with other lines between its marks.

    Raises:
        ValueError: It has no such marks.
    """
    before, opening, rest = page.partition(OPENING)
    _, closing, after = rest.partition(CLOSING)
    if not (opening and closing):
        raise ValueError(f"the page has no {OPENING.strip()} and {CLOSING}")
    return before + opening + "\n".join(lines) + "\n" + closing + after


def _lines(record: Record) -> Iterator[str]:
    before, after = record.load
    yield (
        f"Taken on {record.begun[:10]} by `make drill` within {record.minutes:.0f} minutes; "
        f"load average {before:.1f} before and {after:.1f} after. {record.machine}."
    )
    yield ""
    yield "| drill | promise | measured | kept |"
    yield "|---|---|---|---|"
    for finding in record.findings:
        kept = "yes" if finding.kept else "**no**"
        yield f"| {finding.drill} | {finding.promise} | {finding.measured} | {kept} |"


def main() -> None:
    """Write both."""
    parser = argparse.ArgumentParser(prog="python -m tests.drills.page", description=__doc__)
    parser.add_argument("record", type=Path, help="what `make drill` has kept")
    parser.add_argument("page", type=Path, help="the page; pictures go into a folder of its name")
    given = parser.parse_args()
    record = read_record(given.record)
    page = with_figures(given.page.read_text(encoding="utf-8"), record)
    from tests.drills.pictures import draw  # noqa: PLC0415 - with libraries that nothing else has

    draw(record, given.page.with_suffix(""))
    given.page.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
