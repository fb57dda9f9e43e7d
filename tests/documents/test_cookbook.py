"""Each recipe of the cookbook, asked by `mailquay explain` what the page says of it."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from tests.documents.pages import ROOT, Block, blocks_of
from tests.documents.test_configurations import loaded
from tests.support import letter_files

PAGE = ROOT / "docs" / "routing.md"
_ROW = re.compile(r"^\| `([\w-]+\.eml [^`]+)` \| ([\w-]*) ?\| (.+) \|$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Question:
    """A letter that a recipe is asked about, and what the page answers."""

    recipe: Block
    words: str
    route: str
    answer: str

    def __str__(self) -> str:
        return f"{self.recipe.line}: {self.words}"


def questions() -> Iterator[Question]:
    """The rows of each table, with the configuration above it."""
    text = PAGE.read_text(encoding="utf-8")
    recipes = [block for block in blocks_of(PAGE) if block.language == "yaml"]
    for recipe in recipes:
        section = text.split(recipe.text, 1)[1].split("\n## ", 1)[0]
        for words, route, answer in _ROW.findall(section):
            yield Question(recipe, words, route, answer)


QUESTIONS = tuple(questions())


def letter(**fields: str) -> EmailMessage:
    """A letter of plain text."""
    made = EmailMessage()
    headers = {"From": "shop@example.com", "To": "bob@example.org", "Subject": "Hello"} | fields
    for name, value in headers.items():
        made[name] = value
    made.set_content("Hello\n")
    return made


def with_file(octets: int) -> EmailMessage:
    """A letter with a file of this size."""
    made = letter()
    made.add_attachment(b"%" * octets, "application", "pdf", filename="invoice.pdf")
    return made


def kept(name: str) -> bytes:
    """A letter of the test data."""
    return (letter_files.FOLDER / f"{name}.eml").read_bytes()


LETTERS: dict[str, Callable[[], bytes]] = {
    "letter.eml": lambda: letter().as_bytes(),
    "invoice.eml": lambda: with_file(40_000).as_bytes(),
    "large.eml": lambda: with_file(8_000_000).as_bytes(),
    "list.eml": lambda: letter(**{"List-Id": "<news.example.com>"}).as_bytes(),
    "password.eml": lambda: letter(**{"X-Kind": "password"}).as_bytes(),
    "signed.eml": lambda: kept("smime-signed"),
    "invitation.eml": lambda: kept("calendar-invitation"),
}


def test_every_recipe_is_asked() -> None:
    """A recipe without a question is a claim without a proof."""
    text = PAGE.read_text(encoding="utf-8")
    recipes = text.count("\n## ")
    assert recipes >= 10
    assert len({question.recipe for question in QUESTIONS}) == recipes
    assert len(QUESTIONS) == text.count("| `") - text.count("| `mailquay explain")


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_a_letter_goes_the_way_that_the_page_says(
    question: Question, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Route, providers in their order, or the reply that refuses it."""
    for name in [name for name in os.environ if name.startswith("MAILQUAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    name = question.words.split()[0]
    Path(name).write_bytes(LETTERS[name]())
    loaded(question.recipe.text, tmp_path, rest={})
    words = ["explain", *shlex.split(question.words), "-c", "gateway.yaml", "--json"]
    result = CliRunner().invoke(app, words)
    (told,) = json.loads(result.stdout)["recipients"]
    assert (told["route"] or "") == question.route
    if question.answer.startswith("554"):
        assert result.exit_code == 69
        assert told["refusal"].startswith(question.answer)
        return
    assert result.exit_code == 0
    taken = [view["name"] for view in told["providers"] if view["standing"] != "passed over"]
    assert ", ".join(taken) == question.answer
