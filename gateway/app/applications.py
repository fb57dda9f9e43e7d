"""
Applications put together: whom the spool notes calls for, and who makes these calls.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from gateway.app.parts import webhook_endpoints
from gateway.app.spool import webhook_events
from gateway.config import Settings
from gateway.observe.metrics import Metrics
from gateway.spool.store import SqlSpool
from providers.contract.clock import Clock

if TYPE_CHECKING:
    from gateway.delivery.webhooks import WebhookSender


class Applications:
    """
    Has the webhooks of applications called, once there are any.

    The spool was opened for those that `start` is given.
    """

    def __init__(self, spool: SqlSpool, clock: Clock, metrics: Metrics) -> None:
        self._spool = spool
        self._clock = clock
        self._metrics = metrics
        self._sender: WebhookSender | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, settings: Settings) -> None:
        """Make the calls that lie there and those to come."""
        endpoints = webhook_endpoints(settings)
        if not endpoints:
            return
        from gateway.delivery.webhooks import WebhookSender  # noqa: PLC0415 (brings httpx: 4 MiB)

        self._metrics.add_webhooks(endpoints)
        answered = self._metrics.webhook_answered
        self._sender = WebhookSender(
            self._spool.webhooks, endpoints, self._clock, random.random, answered
        )
        self._task = asyncio.create_task(self._sender.run(), name="webhooks")

    def reconfigure(self, settings: Settings) -> None:
        """
        Tell others, or of other things, from the next record on.

        What was noted for a webhook that is gone stays in the spool with its letter, and is called
        if the webhook comes back.
        """
        self._spool.announce_to(webhook_events(settings))
        if self._sender is None:
            self.start(settings)
            return
        endpoints = webhook_endpoints(settings)
        self._metrics.add_webhooks(endpoints)
        self._sender.reconfigure(endpoints)

    async def stop(self) -> None:
        """Stop calling; what is under way is called again after the next start."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
