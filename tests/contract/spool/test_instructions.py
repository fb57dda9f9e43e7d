"""What a client asked for stays with its letter, and a letter with a time is due at that time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from gateway.domain.instructions import Instructions
from gateway.domain.lifecycle import State
from gateway.domain.window import Priority
from gateway.spool.schema import message
from gateway.spool.store import SqlSpool
from gateway.spool.values import Filter
from providers.contract.options import SendOptions
from tests.contract.spool.conftest import Admit, OpenSpool
from tests.contract.spool.engines import SpoolEngine
from tests.support.letters import a_letter
from tests.support.manual_clock import ManualClock

WISHES = Instructions(
    SendOptions(template="42", params={"имя": "Боб", "nul": "\0"}, track_opens=False),
    provider="main",
    priority=Priority.HIGH,
)
DAY = timedelta(days=1)


async def test_instructions_survive_a_restart(open_spool: OpenSpool, clock: ManualClock) -> None:
    """T13: what was promised for a letter is promised for its wishes."""
    first = await open_spool()
    await first.admit(a_letter(first, clock.now(), instructions=WISHES))
    await first.aclose()
    second = await open_spool()
    (claimed,) = (await second.claim("main", clock.now(), 10)).letters
    assert claimed.instructions == WISHES


async def test_a_letter_with_a_time_waits_for_it(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Not claimed before, shown as waiting until then, claimed from then on; its age begins."""
    now, later = clock.now(), clock.now() + DAY
    await admit(instructions=Instructions(send_at=later), due_at=[later])
    (row,) = await spool.list(Filter(), 10)
    assert (row.state, row.due_at) == (State.WAITING, later)
    assert not (await spool.stats(clock.now() + DAY / 2)).oldest_due
    assert not (await spool.claim("main", later - timedelta(seconds=1), 10)).letters
    (claimed,) = (await spool.claim("main", later, 10)).letters
    assert (claimed.arrival, claimed.wanted_at) == (now, later)


async def test_each_recipient_has_its_moment(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Of one letter one recipient is kept here, the other by its provider."""
    now, later = clock.now(), clock.now() + DAY
    await admit("a@x.example", "b@x.example", due_at=[later, now])
    (claimed,) = (await spool.claim("main", now, 10)).letters
    assert [queued.recipient.key for queued in claimed.recipients] == [1]


async def test_moments_that_do_not_fit_are_refused(spool: SqlSpool, clock: ManualClock) -> None:
    """A recipient without a row would be lost."""
    now = clock.now()
    with pytest.raises(ValueError, match="shorter"):
        await spool.admit(a_letter(spool, now, "a@x.example", "b@x.example", due_at=[now]))


async def test_damaged_instructions_hold_their_letter(
    store: SpoolEngine, spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """It is not sent as if nothing had been asked; others flow."""
    await admit(instructions=WISHES)
    other = await admit()
    with store.connect() as connection:
        connection.execute(
            update(message)
            .where(message.c.instructions.is_not(None))
            .values(instructions='{"options": {"tagg": "x"}}')
        )
    claimed = await spool.claim("main", clock.now(), 10)
    assert [letter.queue_id for letter in claimed.letters] == [other.queue_id]
    (corrupt,) = claimed.corrupt
    assert "damaged" in corrupt.reason
