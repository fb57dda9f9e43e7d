"""
Calls of providers: who may call, what a call tells, and what it is answered.

A call is answered well only when all it tells is on disk, for nobody promises that a provider tells
it again; our own trouble is told as such, so that those who do come again. Knows nothing of HTTP
but header fields and a body: `web.webhooks` reads calls and writes answers. What letters have an
event is found in the spool.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from gateway.domain.events import Emit, WebhookCalled, WebhookResult
from gateway.domain.tracking import Source, Told
from gateway.errors import SpoolError
from gateway.spool.tracking_records import TrackingRecords
from gateway.tracking.accounts import Accounts
from providers.contract.clock import Clock
from providers.contract.tracking import InvalidWebhook


class WebhookDesk:
    """
    Takes the calls of all accounts.

    Args:
        records: Where events are kept.
        accounts: Who may call.
        clock: Time.
        emit: Told of calls, and of what was new.
        look_up_after: How long an event waits for its letter before the provider is asked.
    """

    def __init__(
        self,
        records: TrackingRecords,
        accounts: Accounts,
        clock: Clock,
        emit: Emit,
        *,
        look_up_after: timedelta,
    ) -> None:
        self._records = records
        self._accounts = accounts
        self._clock = clock
        self._emit = emit
        self._look_up_after = look_up_after

    def reconfigure(self, accounts: Accounts, *, look_up_after: timedelta) -> None:
        """Go on with other accounts; calls under way end as they began."""
        self._accounts = accounts
        self._look_up_after = look_up_after

    def admits(self, name: str, secret: str) -> bool:
        """Whether this is an account's webhook; asked before a body is read."""
        account = self._accounts.get(name)
        return account is not None and account.admits(secret)

    def refuse(self, name: str, result: WebhookResult) -> None:
        """Tell of a call whose body was not read, or not to its end."""
        known = name if name in self._accounts else ""
        self._emit(WebhookCalled(self._clock.now(), known, result))

    async def take(self, name: str, headers: Mapping[str, str], body: bytes) -> WebhookResult:
        """
        Take a call that was admitted.

        Args:
            name: The account.
            headers: Names in lower case.
            body: Whole; as large as the caller of this lets it be.

        Returns:
            `ACCEPTED` once everything is stored; `MALFORMED` where it never can be;
            `UNAVAILABLE` where nothing is and the caller should come again.

        Cancelled, what was told may be stored or not; told again, it is stored once.
        """
        account = self._accounts.get(name)
        if account is None or account.webhooks is None:  # gone by a reload just now
            return self._over(name, WebhookResult.FORGED)
        try:
            events = account.webhooks.events_from_webhook(headers, body)
        except InvalidWebhook:
            return self._over(name, WebhookResult.MALFORMED)
        now = self._clock.now()
        try:
            news = await self._records.track(
                name,
                account.carriers,
                [Told(event, Source.WEBHOOK) for event in events],
                at=now,
                look_up_at=now + self._look_up_after if account.letters is not None else None,
            )
        except SpoolError:
            return self._over(name, WebhookResult.UNAVAILABLE)
        for event in news:
            self._emit(event)
        return self._over(name, WebhookResult.ACCEPTED, len(events))

    def _over(self, name: str, result: WebhookResult, events: int = 0) -> WebhookResult:
        known = name if name in self._accounts else ""
        self._emit(WebhookCalled(self._clock.now(), known, result, events))
        return result
