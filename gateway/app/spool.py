"""
The configured spool, opened; for the daemon, and for commands beside it.

Apart from `parts`, so that a command which looks in loads no more than that takes.
"""

from __future__ import annotations

from pathlib import Path

from gateway.clock import SystemClock
from gateway.config import Settings
from gateway.spool.batcher import OnCommit, OnHealth
from gateway.spool.store import SqlSpool
from gateway.spool.url import parse_spool_url


def spool_folder(settings: Settings) -> Path | None:
    """Where the spool lies on our disks, if it does."""
    url = parse_spool_url(settings.spool.url)
    return Path(url.path).absolute().parent if url.engine == "sqlite" else None


def webhook_events(settings: Settings) -> dict[str, frozenset[str]]:
    """The events that each webhook of an application is told of, by its name."""
    return {name: frozenset(given.events) for name, given in settings.webhooks.items()}


async def open_spool(
    settings: Settings,
    *,
    exclusive: bool,
    on_commit: OnCommit | None = None,
    on_health: OnHealth | None = None,
) -> SqlSpool:
    """
    The configured spool; `exclusive` is for the daemon, commands look in beside it.

    Raises:
        SpoolError: It cannot be opened, is not ours, or another daemon has it.
    """
    return await SqlSpool.open(
        settings.spool.url,
        password=settings.spool.password,
        clock=SystemClock(),
        uncertain_after=settings.retry.uncertain_after,
        lease=settings.spool.lease,
        duplicates_window=settings.duplicates.window,
        exclusive=exclusive,
        outbox=webhook_events(settings),
        on_commit=on_commit,
        on_health=on_health,
    )
