"""
What the gateway raises: surprises, never the expected troubles of delivering.

Lies under everything in `gateway`. Context sits in attributes: logs get fields and no prose.
"""

from __future__ import annotations


class GatewayError(Exception):
    """Something went wrong in the gateway."""


class ConfigError(GatewayError):
    """
    The configuration cannot work.

    `problems` holds a line for each thing to mend: where it stands (file and key, or environment
    variable) and why, without secrets.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class SpoolError(GatewayError):
    """The spool could not do what was asked; nothing of it was done."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SpoolFull(SpoolError):
    """There is no room, on the disk or in memory; to an SMTP client 452 4.3.1."""


class SpoolUnavailable(SpoolError):
    """The spool cannot be written or read now; to an SMTP client 451 4.3.0."""


class SpoolInDoubt(SpoolUnavailable):
    """
    The disk failed under a commit: nothing of it is seen now, but the next start may find it whole.
    """


class SpoolIncompatible(SpoolError):
    """The store is not a spool, or one of a newer version than this program knows."""


class UnknownQueueId(SpoolError):
    """No letter has this queue id."""
