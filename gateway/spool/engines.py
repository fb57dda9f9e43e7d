"""
Which database carries a spool: the engine for a URL.

The one place that knows both. Sits on `sqlite` and
`postgresql`; the store asks it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from gateway.errors import SpoolIncompatible
from gateway.spool.engine import Engine
from gateway.spool.sqlite import SqliteEngine
from gateway.spool.url import parse_spool_url


def open_engine(
    url: str,
    password: SecretStr | None,
    *,
    exclusive: bool,
    patience: timedelta,
    lease: timedelta,
    marks_since: Callable[[], int],
) -> Engine:
    """
    Open the engine for a URL; blocks. `SqlSpool.open` tells what the arguments mean.

    Raises:
        SpoolIncompatible: No engine of ours can have it.
    """
    try:
        parsed = parse_spool_url(url)
    except ValueError as error:
        raise SpoolIncompatible(str(error)) from None
    if parsed.engine == "sqlite":
        return SqliteEngine.open(
            Path(parsed.path), exclusive=exclusive, patience=patience, marks_since=marks_since
        )
    from gateway.spool.postgresql import PostgresqlEngine  # noqa: PLC0415 (psycopg takes 14 MiB)

    if password is None and parsed.password is not None:
        password = SecretStr(parsed.password)
    return PostgresqlEngine.open(
        parsed.text, password=password, exclusive=exclusive, patience=patience, lease=lease
    )
