"""
Which page of a collection to ask for next, and when to stop.

Pure. Nothing that a page tells of itself is trusted alone: totals may lie, a server may ignore the
page number, or give its last page again and again (provider reference, B.2 and D 16).
"""

from __future__ import annotations

import json
from typing import Any

from providers.rest_v1.api.record import Record

MAX_PAGES = 100_000


class EndlessCollection(Exception):
    """More pages than any account can have: the server makes them up."""


class Walk:
    """
    A walk through one collection from its first page on.

    It ends with an empty page; with a page that holds nothing new against the one before; and with
    a page that is not full, unless the total says that more is to come. A full page is never the
    end, whatever the totals say: one question too many costs nothing.
    """

    def __init__(self, size: int) -> None:
        """
        Stand before the first page.

        Args:
            size: How many items to ask for at once.
        """
        self.size = size
        self.number = 1
        self.over = False
        self.total: int | None = None
        self._told = 0
        self._before: frozenset[str] = frozenset()

    def take(self, page: Record) -> tuple[Record, ...]:
        """
        The new items of the page that `number` and `size` asked for; moves on to the next.

        Raises:
            EndlessCollection: The collection has no end.
        """
        items = {_key(item): item for item in page.items()}
        self.total = page.number("total_count")
        fresh = [item for key, item in items.items() if key not in self._before]
        self._told += len(fresh)
        full = len(items) >= min(self.size, page.number("page_size") or self.size)
        more = self.total is not None and self._told < self.total
        self.over = not fresh or not (full or more)
        self._before = frozenset(items)
        self.number += 1
        if self.number > MAX_PAGES and not self.over:
            raise EndlessCollection
        return tuple(map(Record, fresh))

    def shrink(self, *sizes: int) -> bool:
        """
        Ask for less at once from here on: a page was too big for the server (412) or for us.

        Args:
            sizes: What may be asked for, the largest first.

        Returns:
            Whether there was a smaller size whose pages begin where the walk stands.
        """
        offset = (self.number - 1) * self.size
        for size in sizes:
            if size < self.size and offset % size == 0:
                self.number, self.size = offset // size + 1, size
                return True
        return False


def _key(item: dict[str, Any]) -> str:
    """What tells an item from others: its id, else all of it."""
    return Record(item).id() or json.dumps(item, sort_keys=True)
