"""
What PostgreSQL's troubles mean for a spool: one table, by SQLSTATE (its manual, appendix A).

Texts are fit for the wire: no host, no statement, no class. Knows psycopg's exceptions and no
connection; `postgresql` asks it.
"""

from __future__ import annotations

import psycopg

from gateway.errors import SpoolFull, SpoolUnavailable
from gateway.spool.engine import Trouble

_UNREACHABLE = "the database cannot be reached"
_DAMAGED = "the spool is damaged"
_READ_ONLY = "the spool is read-only"
_TAKEN = "the queue id is taken"
_TOO_LARGE = "the letter is too large for the spool"

# By the whole code, or by its class, the first two characters.
_REASONS: dict[str, str] = {
    "08": _UNREACHABLE,
    "22": "the letter cannot be written into the spool",
    "23505": _TAKEN,
    "25006": _READ_ONLY,
    "25P03": _UNREACHABLE,  # idle in transaction for too long: this process stood still
    "26": _UNREACHABLE,  # a prepared statement is gone: a pooler gave us another session
    "3F": "the tables of the spool are gone",
    "40": "another gateway changed the same rows",
    "42501": "the spool may not be written",
    "42P01": "the tables of the spool are gone",
    "42703": "the tables of the spool are those of another version",
    "53100": "no room left for letters",
    "53200": "no memory left for the spool",
    "54": _TOO_LARGE,
    "55P03": "another process keeps the spool locked",
    "57014": "the database takes too long",
    "57P": _UNREACHABLE,
    "58": "the disk of the spool fails",
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
_FULL = frozenset({"53100"})
_OF_ONE_LETTER = frozenset({_REASONS["22"], _TAKEN, _TOO_LARGE})
_PASSING = frozenset({"40001", "40P01"})  # serialization failure, deadlock


def trouble_from_error(error: BaseException) -> Trouble | None:
    """What an error of psycopg means, wrapped by SQLAlchemy or not; `None` when it is none."""
    original = getattr(error, "orig", error)
    if not isinstance(original, psycopg.Error):
        return None
    code = original.sqlstate
    if code is None:
        # The server is gone or lets us not in, which psycopg tells without a code; or it is a bug.
        if not isinstance(original, (psycopg.OperationalError, psycopg.InterfaceError)):
            return None
        return Trouble(SpoolUnavailable(_UNREACHABLE), ill=True, again=True)
    reason = next((found for n in (5, 3, 2) if (found := _REASONS.get(code[:n]))), "")
    if code in _PASSING:
        return Trouble(SpoolUnavailable(reason), ill=False, again=True)
    if reason in _OF_ONE_LETTER:
        return Trouble(SpoolUnavailable(reason), ill=False)
    kind = SpoolFull if code in _FULL else SpoolUnavailable
    return Trouble(kind(reason or "the spool fails"), ill=True, again=reason == _UNREACHABLE)
