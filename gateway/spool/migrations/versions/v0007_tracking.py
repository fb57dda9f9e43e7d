"""What providers tell of letters, and which they are asked about."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXTS = ("recipient", "reason", "mta_response", "click_url", "raw")


def upgrade() -> None:
    """Step up."""
    op.create_table(
        "tracking_event",
        sa.Column("id", _NUMBER, nullable=False, autoincrement=True),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Integer(), nullable=False),
        *_told(),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("tracking_event_message", "tracking_event", ["message_id"])
    op.create_table(
        "stray_event",
        sa.Column("id", _NUMBER, nullable=False, autoincrement=True),
        sa.Column("provider_message_id", sa.Text(), nullable=False),
        *_told(),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("stray_event_provider_message_id", "stray_event", ["provider_message_id"])
    op.create_table(
        "inquiry",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_message_id", sa.Text(), nullable=False),
        sa.Column("unknown", sa.Integer(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("provider", "provider_message_id"),
        sqlite_with_rowid=False,
    )
    is_due = sa.text("due_at IS NOT NULL")
    op.create_index(
        "inquiry_due", "inquiry", ["due_at"], sqlite_where=is_due, postgresql_where=is_due
    )


def downgrade() -> None:
    """There is no way back: an older program refuses a newer store."""
    raise NotImplementedError


def _told() -> list[sa.Column[Any]]:
    return [
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.Column("told_by", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in _TEXTS),
    ]
