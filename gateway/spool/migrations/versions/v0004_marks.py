"""Marks by which a letter that comes again is known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Step up."""
    op.create_table(
        "mark",
        sa.Column("key", _NUMBER, nullable=False, autoincrement=False),
        sa.Column("proof", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("mark_message", "mark", ["message_id"])
    op.add_column("message", sa.Column("mark", sa.BigInteger()))
    op.add_column("message", sa.Column("proof", sa.BigInteger()))


def downgrade() -> None:
    """There is no way back: an older program refuses a newer store."""
    raise NotImplementedError
