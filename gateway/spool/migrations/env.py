"""Alembic's entry: runs the steps on the connection that `gateway.spool.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from gateway.spool.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite alters a table by building it anew
)
with context.begin_transaction():
    context.run_migrations()
