"""
Events that were faster than our own record: given to their letters as soon as those have their ids.
"""

from __future__ import annotations

import itertools
from datetime import timedelta

import structlog

from gateway.domain.events import Emit
from gateway.errors import SpoolError
from gateway.spool.tracking_records import TrackingRecords
from gateway.tracking.accounts import Accounts
from providers.contract.clock import Clock

log = structlog.get_logger("gateway")

_EVERY_S = 1.0
# Most are late by milliseconds. Old ones are looked at now and then alone: there may be many.
_RECENT = timedelta(minutes=10)
_ALL = timedelta(days=10_000)
_ALL_EVERY = 60


async def adopt_always(
    records: TrackingRecords, accounts: Accounts, clock: Clock, emit: Emit
) -> None:
    """
    Look once a second, until cancelled; an empty look costs next to nothing.

    Args:
        records: Where events are kept.
        accounts: Who told them, and whose letters they may be.
        clock: Time.
        emit: Told of what was new.
    """
    carriers = {account.name: account.carriers for account in accounts.values()}
    for look in itertools.count():
        await clock.sleep(_EVERY_S)
        within = _RECENT if look % _ALL_EVERY else _ALL
        try:
            news = await records.adopt(carriers, clock.now(), within=within)
        except SpoolError as error:
            log.warning("not_tracked", reason=error.reason)
            continue
        for event in news:
            emit(event)
