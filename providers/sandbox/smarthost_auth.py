"""
The AUTH exchanges that the imitated smarthost takes part in (RFC 4954, 4616, 2195).

Pure: each mechanism is a generator that yields challenges, is sent responses (both base64 text) and
returns whether the credentials were right. Used by `smarthost_session`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Generator

from providers.sandbox.smarthost_syntax import Objection

Exchange = Generator[str, str, bool]

_USERNAME = base64.b64encode(b"Username:").decode()
_PASSWORD = base64.b64encode(b"Password:").decode()
_CRAM_CHALLENGE = b"<1896.697170952@smarthost.sandbox.example>"


def begin_exchange(
    mechanism: str, initial: str | None, username: str, password: str
) -> Exchange | None:
    """
    The exchange of a mechanism; `None` when there is none of that name.

    `initial` is the initial response of the AUTH command, `None` without one.
    """
    match mechanism:
        case "PLAIN":
            return _plain(initial, username, password)
        case "LOGIN":
            return _login(initial, username, password)
        case "CRAM-MD5":
            return _cram_md5(username, password)
    return None


def _plain(initial: str | None, username: str, password: str) -> Exchange:
    response = initial if initial is not None else (yield "")
    words = _decoded(response).split("\0")
    if len(words) != 3:
        raise Objection(501, "5.5.2", "Malformed response", "AUTH PLAIN without its three parts")
    return words[1:] == [username, password]


def _login(initial: str | None, username: str, password: str) -> Exchange:
    name = _decoded(initial if initial is not None else (yield _USERNAME))
    return [name, _decoded((yield _PASSWORD))] == [username, password]


def _cram_md5(username: str, password: str) -> Exchange:
    response = _decoded((yield base64.b64encode(_CRAM_CHALLENGE).decode()))
    name, _, digest = response.partition(" ")
    expected = hmac.new(password.encode(), _CRAM_CHALLENGE, "md5").hexdigest()
    return [name, digest] == [username, expected]


def _decoded(response: str) -> str:
    if response == "=":  # an empty initial response, RFC 4954 4
        return ""
    try:
        return base64.b64decode(response, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Objection(501, "5.5.2", "Malformed base64", "malformed base64 in AUTH") from None
