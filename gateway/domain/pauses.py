"""
Providers and routes that a person has stopped for a while.

Pure. The spool keeps pauses (`spool.pausing`), the planner plans by them, `disposition` says what
they mean for a letter. A pause never ends by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class PauseKind(StrEnum):
    """What can be paused."""

    PROVIDER = "provider"  # it gets nothing; failover passes it over
    ROUTE = "route"  # its letters wait, whoever could carry them


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause, since when, and why: a person's words, one line."""

    kind: PauseKind
    name: str
    since: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Pauses:
    """The names of all that is paused now."""

    providers: frozenset[str] = frozenset()
    routes: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Whether anything is."""
        return bool(self.providers or self.routes)

    def concern(self, provider: str) -> bool:
        """Whether letters of this provider may have to wait: any may be of a paused route."""
        return bool(self.routes) or provider in self.providers

    def ended_since(self, before: Pauses) -> bool:
        """Whether something that was paused before is not any more."""
        return bool(before.providers - self.providers or before.routes - self.routes)


NO_PAUSES = Pauses()


def pauses_from(pauses: Iterable[Pause]) -> Pauses:
    """Their names by kind."""
    by_kind: dict[PauseKind, set[str]] = {kind: set() for kind in PauseKind}
    for pause in pauses:
        by_kind[pause.kind].add(pause.name)
    return Pauses(frozenset(by_kind[PauseKind.PROVIDER]), frozenset(by_kind[PauseKind.ROUTE]))
