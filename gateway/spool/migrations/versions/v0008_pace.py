"""The pace of accounts, which gateways on one spool share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Step up."""
    op.create_table(
        "pace",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("next_free", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("provider"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """There is no way back: an older program refuses a newer store."""
    raise NotImplementedError
