"""What a command says when it cannot be done as it was asked: one line, and a sysexits code."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

import pytest

from gateway.cli import main

CONFIG = """
hostname: gateway.example.com
spool: {url: "sqlite:///%s/spool.db"}
providers:
  main: {kind: smarthost, host: smtp.example.com}
  other: {kind: smarthost, host: smtp.example.org, weight: 3}
  bulk: {kind: form_v2, base_url: "https://api.example.com/v2", token: dummy-token-0001}
routes:
  - name: news
    when: {sender_domain: [b.example, a.example], header: {List-Id: "*"}, has_attachments: false}
    providers: [bulk]
  - {name: large, when: {size_over: 5MiB}, providers: [[main, other], bulk]}
  - {name: default, providers: [main]}
"""


class Command:
    """`mailquay` with some words, in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def run(self, *words: str) -> tuple[object, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["mailquay", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capsys.readouterr()
        return ended.value.code, out, err


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG % tmp_path)
    return str(path)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("queue", "Missing command (see mailquay queue -h)"),
        ("queue lst", "No such command 'lst'. Did you mean 'list'? (see mailquay queue -h)"),
        ("trace", "Missing argument 'what' (see mailquay trace -h)"),
        ("send --bogus", "No such option: --bogus (see mailquay send -h)"),
        ("v2 bogus", "No such command 'bogus' (see mailquay v2 -h)"),
        (
            "queue pause",
            "Invalid value: name either a provider or a route (see mailquay queue pause -h)",
        ),
        ("erase bob", "Invalid value: bob is no address (see mailquay erase -h)"),
    ],
)
def test_wrong_words_are_told_in_one_line(
    command: Command, config: str, monkeypatch: pytest.MonkeyPatch, words: str, line: str
) -> None:
    """With the code that sysexits has for them, and where the right ones are."""
    monkeypatch.setenv("MAILQUAY_CONFIG", config)
    assert command.run(*words.split()) == (os.EX_USAGE, "", f"mailquay: {line}\n")


def test_a_state_that_is_none_is_told_with_those_that_are(command: Command) -> None:
    """No word of the library that checked it."""
    code, _, err = command.run("queue", "list", "--state", "bogus")
    assert code == os.EX_USAGE
    assert err.startswith("mailquay: Invalid value for '--state': 'bogus' is not one of 'waiting',")
    assert err.count("\n") == 1


def test_without_words_there_is_help(command: Command) -> None:
    """And a code that a script takes for a mistake."""
    code, out, err = command.run()
    assert code == os.EX_USAGE
    assert "Usage: mailquay" in out + err


def test_help_is_no_mistake(command: Command) -> None:
    """It is what was asked for."""
    code, out, err = command.run("queue", "-h")
    assert (code, err) == (0, "")
    assert "Usage: mailquay queue" in out


def test_a_file_that_is_not_there(command: Command, config: str, tmp_path: Path) -> None:
    """By its name and the system's reason."""
    letter = tmp_path / "letter.eml"
    words = ("explain", str(letter), "--from", "a@example.com", "--to", "b@example.org")
    code, _, err = command.run(*words, "-c", config)
    assert (code, err) == (os.EX_NOINPUT, f"mailquay: {letter}: No such file or directory\n")


def test_check_tells_when_a_route_is_taken(command: Command, config: str) -> None:
    """In the words of the configuration; and every value as one would write it."""
    code, out, _ = command.run("check", "-c", config)
    assert code is None
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines() if line}
    asked = "sender_domain: a.example | b.example, header list-id: *, has_attachments: false"
    assert rows["news"].endswith(asked)
    assert rows["large"].startswith("main (1) | other (3) → bulk")
    assert rows["large"].endswith("size_over: 5242880")
    assert rows["default"].endswith("always")
    assert rows["smtp.listeners[0].auth_without_tls"] == "false"
    assert rows["smtp.users_file"] == "none"


def test_the_version_is_told(command: Command) -> None:
    """What a report names, and what an upgrade is looked at by; needs no configuration."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert command.run("--version") == (0, f"mailquay {project['version']}\n", "")
