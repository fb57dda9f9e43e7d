"""The name that a letter's client logged in with: routes ask for it at every attempt."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Step up."""
    op.add_column("message", sa.Column("user", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    """There is no way back: an older program refuses a newer store."""
    raise NotImplementedError
