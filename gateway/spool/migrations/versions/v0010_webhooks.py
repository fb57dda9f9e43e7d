"""Calls to the webhooks of applications, until they are answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Step up."""
    op.create_table(
        "webhook_call",
        sa.Column("id", _NUMBER, nullable=False, autoincrement=True),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("tracking_event", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    is_due = sa.text("due_at IS NOT NULL")
    op.create_index(
        "webhook_call_due", "webhook_call", ["due_at"], sqlite_where=is_due, postgresql_where=is_due
    )
    op.create_index("webhook_call_message", "webhook_call", ["message_id"])


def downgrade() -> None:
    """There is no way back: an older program refuses a newer store."""
    raise NotImplementedError
