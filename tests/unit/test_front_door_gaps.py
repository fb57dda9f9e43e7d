"""What an operator is warned of about the front door, and what not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.app.front_door import front_door_gaps
from gateway.config import load
from gateway.ingress.server import Security
from gateway.ingress.tls import ServerTls

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


def gaps(tmp_path: Path, listener: str, valid_for: timedelta = timedelta(days=90)) -> list[str]:
    """The warnings about one listener with a certificate that holds for so long."""
    path = tmp_path / "gateway.yaml"
    path.write_text(
        "providers: {main: {kind: smarthost, host: smtp.example.com, tls: 'off'}}\n"
        "smtp: {users_file: u, certificate: tls.crt, private_key: k,"
        f" listeners: [{{name: app, {listener}}}]}}\n"
    )
    security = Security({}, ServerTls({}, NOW + valid_for))
    return list(front_door_gaps(load(path), security, NOW))


@pytest.mark.parametrize(
    ("days", "word"), [(90, ""), (14, ""), (13, "expires"), (0, "expired"), (-1, "expired")]
)
def test_certificate_that_ends(tmp_path: Path, days: int, word: str) -> None:
    """Two weeks before, and ever after."""
    found = gaps(tmp_path, "port: 2525", timedelta(days=days))
    assert len(found) == bool(word)
    assert all(f"tls.crt {word} 2026-" in line for line in found)


@pytest.mark.parametrize(
    ("listener", "word"),
    [
        ("host: 127.0.0.1", ""),
        ("host: localhost", ""),
        ("socket: /run/s", ""),
        ("host: 0.0.0.0", "none of them may relay"),
        ("host: 0.0.0.0, networks: 10.0.0.0/8", ""),
        ("host: 0.0.0.0, auth: required, tls: required", ""),
        ("host: 0.0.0.0, auth: optional, auth_without_tls: true", "in the clear"),
        ("host: 0.0.0.0, auth: optional, auth_without_tls: true, tls: implicit", ""),
    ],
)
def test_listener_that_may_not_be_meant_so(tmp_path: Path, listener: str, word: str) -> None:
    """One line that names it, or none."""
    found = gaps(tmp_path, listener)
    assert len(found) == bool(word)
    assert all(line.startswith("smtp.listeners.app: ") and word in line for line in found)
