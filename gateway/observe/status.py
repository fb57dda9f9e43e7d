"""
Whether the gateway is well: live while its loop turns, ready while mail can come in and leaves.

Liveness is progress, not existence: a due recipient that nobody touches for too long makes
readiness fail (trap T22). Keeps the last look at the spool for metrics and health alike.
"""

from __future__ import annotations

import asyncio
import math
import shutil
from datetime import timedelta
from pathlib import Path

from gateway.errors import SpoolError
from gateway.observe.metrics import Metrics
from gateway.spool.protocol import Spool
from gateway.spool.values import SpoolStats
from providers.contract.clock import Clock

_FRESH_S = 1.0  # looks at the spool are shared by all who ask within this time


class Status:
    """
    What `/readyz` and `/metrics` tell of the whole.

    Args:
        spool: Looked at when asked, at most once a second.
        metrics: Shown what was seen.
        clock: Time.
        stuck_after: How long a recipient may be due and untouched.
        folder: Where the spool lies, `None` where that is a server's business.
    """

    def __init__(
        self,
        *,
        spool: Spool,
        metrics: Metrics,
        clock: Clock,
        stuck_after: timedelta,
        folder: Path | None = None,
    ) -> None:
        self._spool = spool
        self._metrics = metrics
        self._clock = clock
        self._stuck_after = stuck_after
        self._folder = folder
        self._stats: SpoolStats | None = None
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()
        self._unreadable = ""
        self._draining = False

    def drain(self) -> None:
        """From now on the gateway is stopping and takes no more letters."""
        self._draining = True

    async def refresh(self) -> None:
        """Look at the spool, unless somebody just has; trouble is kept as a reason."""
        async with self._looking:
            if self._clock.monotonic() - self._looked_at >= _FRESH_S:
                await self._look()
            # What waits grows older between two looks, for the gauges as for readiness.
            if self._stats is not None:
                self._metrics.set_stats(self._stats, self._clock.now())
            self._metrics.ready.set(0 if self._reasons() else 1)

    async def unready_reasons(self) -> tuple[str, ...]:
        """Why no mail should be sent here now; empty when all is well."""
        await self.refresh()
        return self._reasons()

    async def _look(self) -> None:
        try:
            self._stats = await self._spool.stats(self._clock.now())
        except SpoolError as error:
            self._unreadable = error.reason
        else:
            self._unreadable = ""
        self._metrics.spool_free_bytes.set(_free_octets(self._folder))
        self._looked_at = self._clock.monotonic()

    def _reasons(self) -> tuple[str, ...]:
        reasons = []
        if self._draining:
            reasons.append("draining")
        if trouble := self._spool.trouble():
            reasons.append(f"spool: {trouble.reason}")
        elif self._unreadable:
            reasons.append(f"spool: {self._unreadable}")
        if self._stats is not None:
            now = self._clock.now()
            for provider, since in self._stats.oldest_due.items():
                if now - since > self._stuck_after:
                    waited = int((now - since).total_seconds())
                    reasons.append(f"stuck: mail for {provider} is due since {waited} s, untouched")
        return tuple(reasons)


def _free_octets(folder: Path | None) -> float:
    """Room on a folder's disk for those who are not root; NaN where it cannot be told."""
    try:
        return shutil.disk_usage(folder).free if folder is not None else math.nan
    except OSError:
        return math.nan
