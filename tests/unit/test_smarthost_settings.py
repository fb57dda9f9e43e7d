"""A smarthost's settings: defaults that depend on one another, and contradictions told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from providers.contract.errors import ProviderConfigError
from providers.settings import render_duration
from providers.smarthost.provider import Smarthost
from providers.smarthost.settings import SmarthostSettings, Tls
from tests.support.manual_clock import ManualClock

CREDENTIALS = {"username": "account@example.com", "password": "dummy-key-0001"}


@pytest.mark.parametrize(
    ("given", "host", "port", "tls", "verifies"),
    [
        ({"preset": "msndr", **CREDENTIALS}, "smtp.msndr.net", 587, Tls.REQUIRED, True),
        ({"preset": "msndr", "port": 465, **CREDENTIALS}, "smtp.msndr.net", 465, "implicit", True),
        ({"preset": "msndr", "port": 25, **CREDENTIALS}, "smtp.msndr.net", 25, "required", True),
        (
            {"preset": "msndr", "tls": "implicit", **CREDENTIALS},
            "smtp.msndr.net",
            465,
            "implicit",
            1,
        ),
        ({"preset": "msndr", "host": "127.0.0.1", **CREDENTIALS}, "127.0.0.1", 587, "required", 1),
        ({"host": "mx.example.com"}, "mx.example.com", 25, Tls.STARTTLS, False),
        ({"host": "mx.example.com", **CREDENTIALS}, "mx.example.com", 587, Tls.REQUIRED, True),
        ({"host": "mx.example.com", "tls": "required"}, "mx.example.com", 25, "required", True),
        (
            {"host": "mx.example.com", "tls": "starttls", **CREDENTIALS},
            "mx.example.com",
            587,
            "starttls",
            True,
        ),
        ({"host": "mx.example.com", "tls": "implicit"}, "mx.example.com", 465, "implicit", True),
        ({"host": "mx.example.com", "port": "465"}, "mx.example.com", 465, "implicit", True),
        ({"host": "mx.example.com", "tls": False}, "mx.example.com", 25, Tls.OFF, True),
        (
            {"host": "mx.example.com", "verify_certificate": True},
            "mx.example.com",
            25,
            "starttls",
            True,
        ),
        (
            {"host": "mx.example.com", "tls": "required", "verify_certificate": False},
            "mx.example.com",
            25,
            "required",
            False,
        ),
    ],
)
def test_effective_values(given: dict[str, Any], host: str, port: int, tls: str, verifies: bool):
    """What is not said follows from what is; what is said wins over the preset."""
    settings = SmarthostSettings(**given)
    assert (settings.host, settings.port, settings.tls) == (host, port, tls)
    assert settings.verifies_certificate == bool(verifies)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "give a host, or a preset"),
        ({"preset": "msndr"}, "needs username and password"),
        ({"preset": "other", **CREDENTIALS}, "preset"),
        ({"host": "h", "username": "u"}, "go together"),
        ({"host": "h", "password": "p"}, "go together"),
        ({"host": "h", "tls": "off", **CREDENTIALS}, "allow_plain_auth"),
        ({"host": "h", "tls": "maybe"}, "tls"),
        ({"host": "h", "port": 0}, "port"),
        ({"host": "h", "connections": 0}, "connections"),
        ({"host": "h\n"}, "holds no blank"),
        ({"host": "h", "hostname": "a b"}, "host name"),
        ({"host": "h", "hostname": "a\r\nRSET"}, "host name"),
        ({"host": "h", "idle_timeout": 30}, "a duration is written like"),
        ({"host": "h", "usrname": "u"}, "usrname"),
        ({"kind": "rest_v1", "host": "h"}, "kind"),
    ],
)
def test_contradictions_are_told(given: dict[str, Any], words: str):
    """A configuration that cannot work is an error that says which key, and no secret (T25)."""
    with pytest.raises(ValidationError) as caught:
        SmarthostSettings(**given)
    assert words in str(caught.value)
    assert CREDENTIALS["password"] not in str(caught.value)


def test_plain_auth_only_when_allowed():
    """The operator may insist."""
    settings = SmarthostSettings(host="h", tls="off", allow_plain_auth=True, **CREDENTIALS)
    assert settings.tls is Tls.OFF


def test_password_from_a_file(tmp_path: Path):
    """`password_file` counts as the password, and neither shows in the model's repr."""
    (tmp_path / "key").write_text("dummy-key-0002\n")
    settings = SmarthostSettings(
        preset="msndr", username="account@example.com", password_file=tmp_path / "key"
    )
    assert settings.password is not None
    assert settings.password.get_secret_value() == "dummy-key-0002"
    assert "dummy-key-0002" not in repr(settings)


def test_defaults():
    """What an operator gets without asking."""
    settings = SmarthostSettings(host="h")
    assert settings.connections == 8
    assert render_duration(settings.idle_timeout) == "30s"
    assert settings.rate is None
    assert settings.hostname


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_private_ca_that_cannot_be_used(tmp_path: Path, content: str | None):
    """It is told at start, with the file's name."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    settings = SmarthostSettings(host="h", ca_file=path)
    with pytest.raises(ProviderConfigError, match=r"ca_file: cannot use .*ca\.pem"):
        Smarthost("main", settings, ManualClock())


def test_capabilities_follow_the_settings():
    """What is declared is what was configured."""
    given = {"host": "h", "connections": 7, "rate": "5/s", "max_message_size": "1MiB"}
    provider = Smarthost("main", SmarthostSettings(**given), ManualClock())
    capabilities = provider.capabilities
    assert (capabilities.connections, capabilities.max_message_octets) == (7, 1 << 20)
    assert capabilities.rate is not None
    assert capabilities.raw_mime
    assert provider.pace.take(0.0) == 0.0
    assert provider.pace.take(0.0) == pytest.approx(0.2)
    assert (provider.name, provider.kind) == ("main", "smarthost")
