"""How urgent a letter is: what is due is claimed by that first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Step up; what waits is as urgent as most letters are."""
    op.add_column(
        "recipient", sa.Column("priority", sa.Integer(), nullable=False, server_default="1")
    )
    op.drop_index("recipient_due", "recipient")
    unsettled = sa.text("settled = 0")
    op.create_index(
        "recipient_due",
        "recipient",
        ["provider", "priority", "due_at"],
        sqlite_where=unsettled,
        postgresql_where=unsettled,
    )


def downgrade() -> None:
    """There is no way back: an older program refuses a newer store."""
    raise NotImplementedError
