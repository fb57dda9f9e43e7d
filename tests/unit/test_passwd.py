"""`mailquay passwd`: the file it writes lets the user in, and nobody else reads it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.ingress.credentials import HASHER
from gateway.ingress.users import parse_users

PASSWORD = "secret"


def passwd(*words: str, password: str = PASSWORD) -> tuple[int, str]:
    """Run the command with a password on standard input: exit code and all output."""
    result = CliRunner().invoke(app, ["passwd", *words], input=f"{password}\n")
    return result.exit_code, result.output


def test_new_file(tmp_path: Path) -> None:
    """Made with a hash that holds, for its owner's eyes only; the password is nowhere in it."""
    path = tmp_path / "users"
    code, out = passwd("app", "--file", str(path))
    assert code == 0
    assert "secret" not in out + path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert HASHER.verify(parse_users(path.read_text())["app"].hash, "secret")
    assert list(tmp_path.iterdir()) == [path]


def test_other_lines_stay(tmp_path: Path) -> None:
    """Another password for one user; comments, others, allowed senders and the link stay."""
    real, path = tmp_path / "real", tmp_path / "users"
    path.symlink_to(real)
    passwd("app", "-f", str(path))
    passwd("other", "-f", str(path))
    real.write_text("# ours\n" + real.read_text().replace("\nother", ":@example.com\nother"))
    before = parse_users(real.read_text())
    assert passwd("app", "-f", str(path), password="new")[0] == 0
    after = parse_users(real.read_text())
    assert path.is_symlink()
    assert real.read_text().startswith("# ours\n")
    assert after["other"] == before["other"]
    assert after["app"].senders == {"@example.com"}
    assert HASHER.verify(after["app"].hash, "new")


@pytest.mark.parametrize(
    ("name", "password"), [("a:b", "secret"), ("app", ""), ("app", "x" * 600), ("", "secret")]
)
def test_what_is_refused_leaves_the_file(tmp_path: Path, name: str, password: str) -> None:
    """Exit 64, in one line, and the file as it was."""
    path = tmp_path / "users"
    path.write_text("# ours\n")
    code, _ = passwd(name, "--file", str(path), password=password)
    assert code == 64
    assert path.read_text() == "# ours\n"


def test_file_of_the_configuration(tmp_path: Path) -> None:
    """Without --file it is smtp.users_file; where that is not set, exit 78 says so."""
    config = tmp_path / "gateway.yaml"
    text = "providers: {main: {kind: smarthost, host: smtp.example.com, tls: 'off'}}\n"
    config.write_text(text)
    assert passwd("app", "--config", str(config))[0] == 78
    config.write_text(f"{text}smtp: {{users_file: {tmp_path}/users}}\n")
    assert passwd("app", "--config", str(config))[0] == 0
    assert "app" in parse_users((tmp_path / "users").read_text())
