"""
Settings of letters left in a folder while no daemon ran: `maildrop`.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from gateway.spool.url import parse_spool_url
from providers.settings import StrictModel


class MaildropSettings(StrictModel):
    """Where `mailquay sendmail` leaves letters that it cannot hand to the daemon."""

    enabled: bool = Field(default=True, description="Whether letters may be left, and are taken.")
    folder: Path | None = Field(
        default=None,
        description="Default: `maildrop` beside a SQLite spool, none beside PostgreSQL. The daemon "
        "makes it for its own user alone; for others give it a group and mode 2730, or 3733 for "
        "everybody, and the files get the folder's group.",
    )

    def place(self, spool_url: str) -> Path | None:
        """The folder in force; `None`: letters are left nowhere."""
        if not self.enabled:
            return None
        if self.folder is not None:
            return self.folder
        url = parse_spool_url(spool_url)
        return Path(url.path).absolute().parent / "maildrop" if url.engine == "sqlite" else None
