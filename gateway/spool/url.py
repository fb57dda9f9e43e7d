"""
URLs of spools: which engine one means, and the password it may hold, taken out of it.

`config` and `store` both read them here, so a URL that is shown anywhere has no password in it, and
no error repeats one. SQLite's are SQLAlchemy's, PostgreSQL's are libpq's own ("Connection URIs" in
its manual: several hosts, `sslmode`, `service` and all else), which reads them itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

# As in SQLAlchemy's URLs, a driver may be named; there is one. No @ in the path: what stands before
# it would be a password with an unescaped slash.
_POSTGRESQL = re.compile(r"postgres(?:ql)?(?:\+\w+)?://", re.IGNORECASE)
_PARTS = re.compile(
    r"(?P<authority>[^/?]*)(?P<path>[^?@]*)(?:\?(?P<query>.*))?\Z",
    re.DOTALL,
)
_PORTS = re.compile(r"(?:[^:,]*|\[[^\]]*\])(?::\d*)?\Z")
_WRITE = (
    "not an address of PostgreSQL; write postgresql://user@host/database"
    " (special characters in a password as %40 and the like)"
)


@dataclass(frozen=True, slots=True)
class SpoolUrl:
    """
    A URL that was read.

    Attributes:
        engine: Which one it means.
        text: The URL without a password; for PostgreSQL as libpq takes it.
        path: The file of a SQLite spool, else empty.
        password: The one that stood in the URL.
    """

    engine: Literal["sqlite", "postgresql"]
    text: str
    path: str = ""
    password: str | None = field(default=None, repr=False)


def parse_spool_url(url: str) -> SpoolUrl:
    """
    Read a URL; nothing is opened.

    Raises:
        ValueError: No spool can be there; the text says what to write and repeats nothing.
    """
    if scheme := _POSTGRESQL.match(url):
        return _postgresql(url[scheme.end() :])
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("not an address; write sqlite:////path/to/spool.db") from None
    engine = parsed.get_backend_name()
    if engine != "sqlite":
        raise ValueError(
            f"there is no spool on {engine}; write sqlite:////path/to/spool.db"
            " or postgresql://user@host/database"
        )
    if not parsed.database or parsed.database == ":memory:":
        raise ValueError("a spool is a file; write sqlite:////path/to/spool.db")
    return SpoolUrl("sqlite", url, path=parsed.database)


def _postgresql(after_scheme: str) -> SpoolUrl:
    match = _PARTS.match(after_scheme)
    if match is None:
        raise ValueError(_WRITE)
    # The last @ ends the credentials, so that a password with an unescaped one is not taken for a
    # host and shown.
    credentials, at, hosts = match["authority"].rpartition("@")
    if not all(map(_PORTS.match, hosts.split(","))):
        raise ValueError(_WRITE)
    user, _, given = credentials.partition(":")
    password = unquote(given) or None
    kept = []
    for parameter in (match["query"] or "").split("&"):
        name, _, value = parameter.partition("=")
        if unquote(name) == "password":
            password = unquote(value) or password
        elif parameter:
            kept.append(parameter)
    query = f"?{'&'.join(kept)}" if kept else ""
    text = f"postgresql://{user}{at}{hosts}{match['path']}{query}"
    _check_by_libpq(text)
    return SpoolUrl("postgresql", text, password=password)


def _check_by_libpq(text: str) -> None:
    """Whether libpq can read it, and that it holds no other secret, as a key's passphrase."""
    from psycopg import OperationalError, pq  # noqa: PLC0415 (a spool on SQLite needs no libpq)

    try:
        options = pq.Conninfo.parse(text.encode())
    except OperationalError:
        raise ValueError(_WRITE) from None  # libpq's own words quote the URL
    for option in options:
        if option.val and option.dispchar == b"*":  # libpq's mark of what must not be shown
            name = option.keyword.decode()
            raise ValueError(f"{name} is a secret; put it in a file that the URL names (service=…)")
