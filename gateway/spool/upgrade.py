"""
Whether a database is a spool, and of which version; makes a fresh one and brings an old one up.

A fresh store gets today's tables at once, an older one takes the steps in `migrations`; a test
holds the two ways together. Alembic is loaded only for those steps: it takes a quarter of a second
and 12 MiB that a daemon would keep for good. Sits on `schema`; knows no engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    insert,
    inspect,
    select,
)

from gateway.errors import SpoolIncompatible
from gateway.spool.schema import VERSION, VERSION_TABLE, metadata

if TYPE_CHECKING:
    from alembic.config import Config

# As Alembic makes it, under our name; kept out of `metadata`, which holds what steps may change.
_version = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32)),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)


def prepare_store(connection: Connection, *, may_change: bool) -> None:
    """
    Make sure that the store has exactly the tables this program knows.

    Args:
        connection: In a transaction, which the caller commits.
        may_change: An empty or older store is made ready; else it is refused.

    Raises:
        SpoolIncompatible: Not a spool, of a newer version, or not ready and not to be changed.
    """
    tables = set(inspect(connection).get_table_names())
    if not tables and may_change:
        metadata.create_all(connection, checkfirst=False)
        _version.create(connection)
        connection.execute(insert(_version).values(version_num=VERSION))
        return
    if VERSION_TABLE not in tables:
        raise SpoolIncompatible(
            "the database holds tables of something else; give the spool one of its own"
            if tables
            else "the database is empty; the gateway makes it a spool when it starts"
        )
    found = connection.execute(select(_version.c.version_num)).scalar()
    if found != VERSION:
        _leave_behind(connection, found, may_change=may_change)


def take_steps(connection: Connection) -> None:
    """Run all migrations that the store lacks."""
    from alembic import command  # noqa: PLC0415 (see the module's docstring)

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def known_versions() -> tuple[str, ...]:
    """Every version that there is a step to, the newest first."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 (see the module's docstring)

    return tuple(step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions())


def _leave_behind(connection: Connection, found: str | None, *, may_change: bool) -> None:
    if found not in known_versions():
        raise SpoolIncompatible(
            f"the spool is of version {found}, this program knows up to {VERSION}:"
            " run the program that wrote it, or a newer one"
        )
    if not may_change:
        raise SpoolIncompatible(
            f"the spool is of version {found} and needs {VERSION}: restart the gateway, it migrates"
        )
    take_steps(connection)


def _config() -> Config:
    from alembic.config import Config  # noqa: PLC0415 (see the module's docstring)

    config = Config()
    config.set_main_option("script_location", "gateway.spool:migrations")
    return config
