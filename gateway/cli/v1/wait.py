"""
Waiting for imports, where the platform tells nobody how they stand.

Where an installation has a method for an import, that is asked; else the part's last address is
searched for, since parts are carried out in their order. Questions cost nothing of the rate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from gateway.cli.v1.command import collect
from providers.rest_v1.api import ImportPart, RestV1Api, imports, recipients
from providers.rest_v1.api.errors import (
    AnswerLost,
    NotAvailable,
    NotFound,
    NotReached,
    ServerTrouble,
    Throttled,
)

_FIRST_S, _LONGEST_S = 0.5, 15.0


async def wait_for_imports(
    api: RestV1Api,
    list_id: str,
    parts: Sequence[ImportPart],
    patience: timedelta,
    reached: Callable[[int], None],
) -> bool:
    """
    Wait until every part is carried out.

    Args:
        api: Of the account.
        list_id: Where to.
        parts: What was queued.
        patience: How long at most.
        reached: Told how many recipients are in, part by part.

    Returns:
        Whether it was seen to end. An address that the platform does not take never shows up.
    """
    done = 0
    try:
        async with asyncio.timeout(patience.total_seconds()):
            for part in parts:
                wait_s = _FIRST_S
                while not await _is_seen_over(api, list_id, part):
                    await asyncio.sleep(wait_s)
                    wait_s = min(2 * wait_s, _LONGEST_S)
                done += part.count
                reached(done)
    except TimeoutError:
        return False
    return True


async def _is_seen_over(api: RestV1Api, list_id: str, part: ImportPart) -> bool:
    """What goes by itself is no end of waiting: the part is queued, whatever the answer is."""
    try:
        return await _is_over(api, list_id, part)
    except (ServerTrouble, AnswerLost, NotReached, Throttled):
        return False


async def _is_over(api: RestV1Api, list_id: str, part: ImportPart) -> bool:
    if part.queued.over:
        return True
    try:
        return (await api.call(imports.import_status(list_id, part.queued.id))).over
    except (NotAvailable, NotFound, ValueError):  # no such method, or no id to ask by
        pass
    found = await collect(api.walk(recipients.search(part.last_email)))
    one = recipients.exactly(part.last_email, found)
    return one is not None and any(member.list_id == list_id for member in one.memberships)
