"""What a client asked for, kept beside its letter."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Step up."""
    op.add_column("message", sa.Column("instructions", sa.Text()))


def downgrade() -> None:
    """There is no way back: an older program refuses a newer store."""
    raise NotImplementedError
