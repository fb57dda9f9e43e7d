"""
Tracking put together: accounts from the configuration, and the tasks that follow letters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any
from urllib.parse import quote

import structlog

from gateway.config import Settings
from gateway.domain.events import Emit, Event
from gateway.spool.store import SqlSpool
from gateway.tracking.accounts import Account, Accounts
from gateway.tracking.adoption import adopt_always
from gateway.tracking.lookup import Lookup
from gateway.tracking.poller import Poller
from gateway.tracking.registration import keep_registered
from gateway.tracking.schedule import PollSchedule
from gateway.tracking.webhooks import WebhookDesk
from providers.contract.clock import Clock
from providers.contract.provider import Provider
from providers.contract.tracking import (
    LetterSource,
    StatusSource,
    WebhookRegistry,
    WebhookSource,
)
from providers.settings import ProviderSettings

log = structlog.get_logger("gateway")

_LONG_ENOUGH = 16  # characters; nothing else tells a provider's call from a stranger's


class Tracking:
    """
    Everything that follows letters after the hand-over.

    Built before letters flow, so that it sees all of them; `start` begins to ask.
    """

    def __init__(
        self,
        settings: Settings,
        spool: SqlSpool,
        providers: Mapping[str, Provider],
        clock: Clock,
        emit: Emit,
    ) -> None:
        self._spool = spool
        self._clock = clock
        self._emit = emit
        self._accounts = accounts_from(settings, providers)
        self.desk = WebhookDesk(
            spool.tracking,
            self._accounts,
            clock,
            emit,
            look_up_after=settings.tracking.look_up_after,
        )
        self._pollers = self._pollers_for(settings)
        self._tasks: list[asyncio.Task[None]] = []

    def see(self, event: Event) -> None:
        """Learn of letters that were handed over."""
        for poller in self._pollers:
            poller.see(event)

    def start(self) -> None:
        """Ask, register and look from now on."""
        for poller in self._pollers:
            self._begin(poller.run(), "poll")
        records, accounts = self._spool.tracking, self._accounts
        if accounts:
            self._begin(adopt_always(records, accounts, self._clock, self._emit), "adopt")
        for account in accounts.values():
            if 0 < len(account.secret) < _LONG_ENOUGH:
                log.warning("webhook_secret_short", provider=account.name, characters=_LONG_ENOUGH)
            if account.url and account.registry is not None:
                registering = keep_registered(account, account.registry, self._clock, self._emit)
                self._begin(registering, "register")

    async def stop(self) -> None:
        """Stop asking; what is not written down is found at the next start. May be called twice."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def reconfigure(self, settings: Settings, providers: Mapping[str, Provider]) -> None:
        """Go on with other accounts and intervals."""
        await self.stop()
        self._accounts = accounts_from(settings, providers)
        self.desk.reconfigure(self._accounts, look_up_after=settings.tracking.look_up_after)
        self._pollers = self._pollers_for(settings)
        self.start()

    def _begin(self, doing: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.append(asyncio.create_task(doing, name=f"tracking {name}"))

    def _pollers_for(self, settings: Settings) -> tuple[Poller, ...]:
        rules = settings.tracking
        lookup = Lookup(self._spool, self._clock, lasting=rules.poll_for)
        return tuple(
            Poller(
                account,
                records=self._spool.tracking,
                lookup=lookup,
                schedule=PollSchedule(rules.poll_longest, rules.poll_for),
                clock=self._clock,
                emit=self._emit,
            )
            for account in self._accounts.values()
            if account.asks or account.letters is not None
        )


async def forget_old(settings: Settings, spool: SqlSpool, clock: Clock) -> int:
    """
    Forget inquiries and events of unknown letters that are past their age; how many.

    Raises:
        SpoolError: They cannot be forgotten now.
    """
    return await spool.tracking.forget(clock.now() - settings.tracking.poll_for)


def accounts_from(settings: Settings, providers: Mapping[str, Provider]) -> Accounts:
    """The accounts that tell of letters, by name."""
    return {
        name: _account(name, settings, provider)
        for name, provider in providers.items()
        if isinstance(provider, WebhookSource | StatusSource)
    }


def _account(name: str, settings: Settings, provider: Provider) -> Account:
    given = settings.providers[name]
    secret = getattr(given, "webhook_secret", None)
    spelled = "" if secret is None else secret.get_secret_value()
    base = settings.http.public_url
    registered = base is not None and spelled and isinstance(provider, WebhookRegistry)
    path = f"/webhooks/{quote(name, safe='')}/{quote(spelled, safe='')}"
    others = _smarthosts_of(name, settings)
    first = getattr(given, "poll", None)
    return Account(
        name,
        frozenset({name, *others}),
        # Ids of a smarthost are looked for among those of an account only where it is said to be
        # the same one: another platform's would be somebody else's letters.
        asks={n: first for n in (name, *(n for n, sure in others.items() if sure)) if first},
        webhooks=provider if isinstance(provider, WebhookSource) else None,
        statuses=provider if isinstance(provider, StatusSource) else None,
        letters=provider if isinstance(provider, LetterSource) else None,
        registry=provider if isinstance(provider, WebhookRegistry) else None,
        secret=spelled,
        url=f"{base}{path}" if registered else "",
    )


def _smarthosts_of(name: str, settings: Settings) -> dict[str, bool]:
    """Smarthosts whose letters an account's webhooks tell of, and whether the operator says so."""
    kinds = [given.kind for given in settings.providers.values()]
    is_only_one = settings.providers[name].kind == "rest_v1" and kinds.count("rest_v1") == 1
    found = {}
    for other, given in settings.providers.items():
        tracked_by = _tracked_by(given)
        if tracked_by == name or (tracked_by == "" and is_only_one):
            found[other] = tracked_by == name
    return found


def _tracked_by(given: ProviderSettings) -> str | None:
    """Who tracks a smarthost's letters, empty where nobody said; `None` where it is none."""
    return (getattr(given, "tracked_by", None) or "") if given.kind == "smarthost" else None
