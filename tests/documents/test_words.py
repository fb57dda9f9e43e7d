"""What pages name in passing is there: commands, options, settings, metrics, words of the log."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import typer.main
from pydantic import BaseModel
from typer.testing import CliRunner

from gateway.cli import app
from gateway.config import Settings
from gateway.ingress.replies import REASONS
from gateway.observe.metrics import Metrics
from tests.documents.pages import PAGES, ROOT, blocks_of, name_of

IN_LINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PAGE_NAMES = [name_of(page) for page in PAGES]


def words_of(page: str) -> list[str]:
    """What stands in a page as code in a line, fenced blocks left out."""
    path = ROOT / page
    text = path.read_text(encoding="utf-8")
    for block in blocks_of(path):
        text = text.replace(block.text, "\n")
    return [match.replace("\\|", "|") for match in IN_LINE.findall(text)]


def commands(command: Any, *path: str) -> list[tuple[str, ...]]:
    """All commands below one, by their words."""
    below = getattr(command, "commands", None)
    names = command.list_commands(None) if hasattr(command, "list_commands") else below or ()
    found = [path] if path else []
    for name in names:
        found += commands(command.get_command(None, name), *path, name)
    return found


@cache
def root() -> Any:
    return typer.main.get_command(app)


def lookup(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words lead to, and what is left of them."""
    command = root()
    while words and hasattr(command, "get_command"):
        found = command.get_command(None, words[0])
        if found is None:
            break
        command, words = found, words[1:]
    return command, words


def test_every_command_explains_itself() -> None:
    """What renders `--help` takes brackets for its own marks, and once fell over them."""
    paths = commands(root())
    assert len(paths) > 60
    for path in paths:
        if path != ("sendmail",):  # its options are sendmail's
            result = CliRunner().invoke(app, [*path, "--help"])
            assert result.exit_code == 0, (path, result.exception)
            assert "Usage" in result.output


@pytest.mark.parametrize("page", PAGE_NAMES)
def test_commands_named_in_passing_are_there(page: str) -> None:
    """`mailquay queue list --state held` in a sentence is typed by somebody in trouble."""
    for code in words_of(page):
        if not code.startswith("mailquay "):
            continue
        words = shlex.split(code.replace("…", " ").replace("|", " "))[1:]
        options = [word.split("=")[0] for word in words if word.startswith("-")]
        words = [word for word in words if not word.startswith("-")]
        command, left = lookup(words)
        if command is root():
            raise AssertionError(f"{page}: {code}")
        if hasattr(command, "get_command"):  # a group; it may be named with several of its own
            for name in left:
                known = name == "/" or command.get_command(None, name) is not None
                assert known or name.isupper(), f"{page}: {code}: {name}"
            continue
        if command.name == "sendmail":
            continue
        known_options = {word for given in command.params for word in given.opts}
        for option in options:
            assert option in known_options | {"--help"}, f"{page}: {code}: {option}"


def metric_names() -> set[str]:
    """All metrics, with the names of their series, and without `mailquay_`."""
    metrics = Metrics(providers={"main": "smarthost"}, listeners=["app"], reply_reasons=REASONS)
    lines = metrics.render().decode().splitlines()
    return {re.split(r"[{ ]", line)[0] for line in lines if not line.startswith("#")} | {
        line.split()[2] for line in lines if line.startswith("# TYPE")
    }


@pytest.mark.parametrize("page", PAGE_NAMES)
def test_metrics_named_in_passing_are_there(page: str) -> None:
    """A query for a metric that was renamed finds nothing, and nothing looks like peace."""
    known = metric_names()
    for code in words_of(page):
        for name in re.findall(r"\b(?:mailquay|process)_[a-z_]+", code):
            assert name in known or name.startswith("mailquay_test"), f"{page}: {code}"


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """All settings below a model, as pages write them: `smtp.max_connections`."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        yield key
        if "SecretStr" in repr(field.annotation):
            yield f"{key}_file"
        for inner in models_in(field.annotation):
            yield from keys_of(inner, f"{key}.")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a field holds: itself one, or several in a tuple, a mapping, an optional."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


@pytest.mark.parametrize("page", sorted({*PAGE_NAMES} - {"providers/README.md"}))
def test_settings_named_in_passing_are_there(page: str) -> None:
    """`section.key` in a sentence is a setting; of the adapters' page it is a module."""
    known = set(keys_of(Settings))
    sections = {key for key in known if "." not in key}
    for code in words_of(page):
        match = re.fullmatch(r"([a-z_]+)\.([a-z_.\[\]]+)(: .*| = .*)?", code)
        files = (".yaml", ".md", ".db", ".db.large")
        if match and match[1] in sections - {"providers"} and not code.endswith(files):
            key = f"{match[1]}.{match[2]}".replace("[]", "")
            assert key in known, f"{page}: {code}"


def test_links_lead_to_headings() -> None:
    """A link to a part of a page finds it; the page itself is looked for elsewhere."""
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
            path = page.parent / target if target else page
            assert path.exists(), f"{name_of(page)}: {target}"
            assert anchor in anchors_of(path), f"{name_of(page)}: {target}#{anchor}"


def test_the_index_knows_every_page() -> None:
    """A page that nothing leads to is read by nobody."""
    index = ROOT / "docs" / "README.md"
    linked = {
        (index.parent / target.split("#")[0]).resolve()
        for target in re.findall(r"\]\(([^):]+)\)", index.read_text(encoding="utf-8"))
    }
    for page in {*PAGES, ROOT / "CHANGELOG.md"} - {index}:
        assert page.resolve() in linked, name_of(page)


def anchors_of(path: Path) -> set[str]:
    """A page's headings in the form of links to them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
