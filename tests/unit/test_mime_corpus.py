"""
Every letter of the corpus against the values it must become (trap T26).

`tests/data/letters/README.md` says what each letter is for, `tests/support/letter_files.py` what it
becomes.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from providers.mime import ParsedLetter, parse_letter
from tests.support.letter_files import FOLDER, content_of, expected, names


@pytest.mark.parametrize("name", names())
def test_letter_becomes_the_expected_values(name: str) -> None:
    """T26: names, texts, files and fields of a letter come out whole, however it was written."""
    assert parse_letter(content_of(name)) == expected(name)


def test_every_letter_of_the_corpus_is_expected() -> None:
    """A letter added to the corpus is not forgotten here, and none is missing."""
    assert sorted(path.stem for path in FOLDER.glob("*.eml")) == names()


@pytest.mark.parametrize("name", names())
def test_line_ends_do_not_matter(name: str) -> None:
    """A file with LF line ends, as `mailquay explain` may read it, is the same letter."""
    parsed = parse_letter(content_of(name).replace(b"\r\n", b"\n"))
    assert _without_line_ends(parsed) == _without_line_ends(expected(name))


def _without_line_ends(letter: ParsedLetter) -> ParsedLetter:
    """The letter with the octets of files in LF: those that were sent as they are changed too."""
    return replace(
        letter,
        attachments=tuple(
            replace(file, content=file.content.replace(b"\r\n", b"\n"))
            for file in letter.attachments
        ),
        calendar=letter.calendar and letter.calendar.replace(b"\r\n", b"\n"),
    )
