"""A call to an application's webhook: signed as Standard Webhooks has it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from gateway.config.webhooks import WebhookSettings
from gateway.domain.webhook import build_body, build_headers, key_from_secret

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the specification's own example
OTHER = "whsec_" + base64.b64encode(b"x" * 24).decode()


def test_signature_is_that_of_the_specification() -> None:
    """Its example: id, timestamp, body and secret give this signature."""
    body = b'{"test": 2432232314}'
    now = datetime.fromtimestamp(1614265330, UTC)
    headers = build_headers(key_from_secret(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", now, body)
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_body_tells_what_and_when() -> None:
    """JSON with type, timestamp and data."""
    body = json.loads(build_body("bounced", datetime(2026, 1, 5, tzinfo=UTC), {"recipient": "ü"}))
    assert body == {
        "type": "letter.bounced",
        "timestamp": "2026-01-05T00:00:00+00:00",
        "data": {"recipient": "ü"},
    }


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!", "whsec_c2hvcnQ="])
def test_weak_secrets_are_refused_and_not_repeated(secret: str) -> None:
    """24 octets at least; the message shows nothing of it."""
    with pytest.raises(ValueError, match="secret") as caught:
        key_from_secret(secret)
    assert not secret.removeprefix("whsec_") or secret.removeprefix("whsec_") not in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("https://app.example.com/hook", True),
        ("http://127.0.0.1:8000/hook", True),
        ("http://app.example.com/hook", False),
        ("http://10.0.0.1/hook", False),
        ("ftp://app.example.com/", False),
        ("https://user@app.example.com/", False),
        ("nothing", False),
    ],
)
def test_only_safe_urls_are_called(url: str, *, right: bool) -> None:
    """TLS, or this machine."""
    if right:
        assert WebhookSettings(url=url, secret=OTHER).url == url
        return
    with pytest.raises(ValidationError):
        WebhookSettings(url=url, secret=OTHER)


def test_unknown_events_are_refused() -> None:
    """A misspelt word would wait for ever."""
    with pytest.raises(ValidationError, match="there is no delivred"):
        WebhookSettings(url="https://app.example.com", secret=OTHER, events=("delivred",))
