"""The trace that a letter belongs to, as its application or its reception named it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Step up."""
    op.add_column("message", sa.Column("traceparent", sa.Text()))


def downgrade() -> None:
    """There is no way back: an older program refuses a newer store."""
    raise NotImplementedError
