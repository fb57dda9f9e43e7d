"""AUTH's exchanges, as clients write them."""

from __future__ import annotations

import base64

import pytest

from gateway.ingress import replies, sasl
from gateway.ingress.sasl import Credentials
from gateway.ingress.submission import Reply


def b64(octets: bytes) -> bytes:
    return base64.b64encode(octets)


@pytest.mark.parametrize("name", [b"PLAIN", b"plain", b"Plain", b"LOGIN", b"login", b"LoGiN"])
def test_mechanism_in_any_case(name: bytes) -> None:
    """T17: clients write it as they like."""
    assert sasl.exchange(name) is not None


@pytest.mark.parametrize("name", [b"", b"CRAM-MD5", b"XOAUTH2", b"PLAIN\xff"])
def test_mechanism_that_is_not_offered(name: bytes) -> None:
    """They get 504 and can try another."""
    assert sasl.exchange(name) is None


@pytest.mark.parametrize(
    "line",
    [b64(b"secret"), b64(b"secret").rstrip(b"="), b" " + b64(b"secret") + b"\t", b"c2VjcmV0"],
)
def test_base64_as_devices_write_it(line: bytes) -> None:
    """Without padding, with blanks around."""
    assert sasl.decode(line) == b"secret"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"*", replies.AUTH_CANCELLED),
        (b"=", b""),
        (b"", b""),
        (b"c2Vj!mV0", replies.AUTH_NOT_BASE64),
        (b"c", replies.AUTH_NOT_BASE64),
        (b"\xff\xfe", replies.AUTH_NOT_BASE64),
    ],
)
def test_what_is_no_base64(line: bytes, expected: object) -> None:
    """RFC 4954 4: `*` cancels, `=` is an empty initial response, the rest is 501."""
    assert sasl.decode(line) == expected


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (b"\0app\0secret", Credentials("app", "secret")),
        (b"app\0app\0secret", Credentials("app", "secret")),
        (b"\0app\0p\xc3\xa4ss", Credentials("app", "päss")),
        (b"\0app\0p\xe4ss", Credentials("app", "päss")),
        (b"boss\0app\0secret", replies.AUTH_FAILED),
        (b"\0app", replies.AUTH_MALFORMED),
        (b"\0\0secret", replies.AUTH_MALFORMED),
        (b"\0app\0", replies.AUTH_MALFORMED),
        (b"\0app\0" + b"x" * 513, replies.AUTH_MALFORMED),
        (b"", replies.AUTH_MALFORMED),
    ],
)
def test_plain(response: bytes, expected: Credentials | Reply) -> None:
    """RFC 4616: who acts for another is not let in; passwords from before UTF-8 are."""
    exchange = sasl.exchange(b"PLAIN")
    assert exchange is not None
    assert exchange.begin().line() == b"334 \r\n"
    assert exchange.respond(response) == expected


def test_login() -> None:
    """T17: name, then password, by the two words that clients wait for."""
    exchange = sasl.exchange(b"LOGIN")
    assert exchange is not None
    assert exchange.begin() == replies.challenge(b"Username:")
    assert exchange.respond(b"app") == replies.challenge(b"Password:")
    assert exchange.respond(b"secret") == Credentials("app", "secret")


def test_password_shows_nowhere() -> None:
    """T25: nor does a traceback with its locals tell it."""
    assert "secret" not in repr(Credentials("app", "secret"))
