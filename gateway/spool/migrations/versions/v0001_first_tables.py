"""The first tables; what they mean is told in `gateway.spool.schema`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Step up."""
    _letters()
    _recipients()
    _story()
    op.create_table(
        "tally",
        sa.Column("shard", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", "name"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """There is no way back: an older program refuses a newer store."""
    raise NotImplementedError


def _letters() -> None:
    op.create_table(
        "message",
        sa.Column("id", _NUMBER, nullable=False, autoincrement=False),
        sa.Column("arrival", sa.BigInteger(), nullable=False),
        sa.Column("reverse_path", sa.Text()),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("smtputf8", sa.Integer(), nullable=False),
        sa.Column("ret", sa.Text()),
        sa.Column("envid", sa.Text()),
        sa.Column("listener", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "content",
        sa.Column("message_id", _NUMBER, nullable=False, autoincrement=False),
        sa.Column("body", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("message_id"),
    )
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE content ALTER COLUMN body SET STORAGE EXTERNAL")


def _recipients() -> None:
    op.create_table(
        "recipient",
        sa.Column("message_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("key", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("forward_path", sa.Text(), nullable=False),
        sa.Column("orcpt", sa.Text()),
        sa.Column("notify", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("settled", sa.Integer(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("excluded", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger()),
        sa.Column("was_due", sa.BigInteger()),
        sa.Column("lease", sa.BigInteger()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("diagnostic", sa.Text(), nullable=False),
        sa.Column("provider_message_id", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("warned", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "key"),
        sqlite_with_rowid=False,
    )
    unsettled = sa.text("settled = 0")
    op.create_index(
        "recipient_due",
        "recipient",
        ["provider", "due_at"],
        sqlite_where=unsettled,
        postgresql_where=unsettled,
    )
    has_provider_id = sa.text("provider_message_id != ''")
    op.create_index(
        "recipient_provider_message_id",
        "recipient",
        ["provider_message_id"],
        sqlite_where=has_provider_id,
        postgresql_where=has_provider_id,
    )


def _story() -> None:
    op.create_table(
        "attempt",
        sa.Column("message_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("key", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("attempt", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("diagnostic", sa.Text(), nullable=False),
        sa.Column("provider_message_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "key", "attempt"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "note",
        sa.Column("id", _NUMBER, nullable=False, autoincrement=True),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Integer()),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("note_message", "note", ["message_id"])
