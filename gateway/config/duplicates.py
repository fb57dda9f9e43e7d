"""
Settings of letters that come again: `duplicates`.
"""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from gateway.domain.duplicates import MOST_MARKS
from providers.settings import Duration, StrictModel


class DuplicatesSettings(StrictModel):
    """The duplicate guard."""

    window: Duration = Field(
        default=timedelta(hours=1),
        description="A letter with a Message-ID of its own that comes again within this time, "
        "octet for octet and from the same client, is answered with the first queue id and not "
        "sent again to recipients that have it; likewise one with the same "
        f"`X-Mailquay-Idempotency-Key`. `0s`: never. Of more than {MOST_MARKS:,} letters the "
        "latest are known.",
    )
