"""
Asking the v2 service what became of letters: right after a batch, and later.

Each question takes a place in the account's pace. Trouble in asking changes nothing about what was
taken. Sits on `client`, `results` and `tracking`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta

from providers.contract.batch import Place
from providers.contract.clock import Clock
from providers.contract.outcome import DeliveryOutcome
from providers.contract.tracking import LetterStatus, TrackingEvent
from providers.form_v2.client import FormV2Client
from providers.form_v2.results import outcomes_from
from providers.form_v2.tracking import (
    NO_STATUS,
    events_from_list,
    events_from_mailings,
    question_from,
    status_from,
)
from providers.form_v2.wire.answers import read_delivery_list, read_mailings
from providers.form_v2.wire.forms import BULK_STATUS, Form, build_bulk_status

_FIRST_S = 1.0  # after the batch; each wait after it is three times as long
_LONGER = 3.0


class Inquiry:
    """
    Questions about one account's letters.

    Args:
        client: Makes the calls.
        clock: For waits and deadlines.
        within: How long after a batch was taken its results are asked for.
    """

    def __init__(self, client: FormV2Client, clock: Clock, within: timedelta) -> None:
        self._client = client
        self._clock = clock
        self._within = within

    async def results(
        self, uuid: str, emails: Sequence[str], *, deadline: float, place: Place
    ) -> Mapping[str, DeliveryOutcome]:
        """
        Ask about a batch that was just taken, until all are known or time is over (C.6, D 32).

        Args:
            uuid: Of the batch; nobody can be asked without one.
            emails: Who is on it, folded.
            deadline: Monotonic seconds, where it comes before the end of asking.
            place: Takes a place in the pace.

        Returns:
            What is known by then, by folded address.
        """
        found: Mapping[str, DeliveryOutcome] = {}
        until = min(self._clock.monotonic() + self._within.total_seconds(), deadline)
        wait_s = _FIRST_S
        while uuid and await self._turn(wait_s, until, place):
            told = await self._client.ask(build_bulk_status(uuid), read_mailings, deadline=until)
            if not isinstance(told, DeliveryOutcome):
                found = outcomes_from(told, uuid)
                if all(email in found for email in emails):
                    break
            wait_s *= _LONGER
        return found

    async def statuses(
        self, provider_message_ids: Sequence[str], *, deadline: float, place: Place
    ) -> Mapping[str, LetterStatus]:
        """Ask about batches and list letters; see `StatusSource.statuses`."""
        found: dict[str, LetterStatus] = {}
        for name in provider_message_ids:
            form = question_from(name)
            if form is None:
                found[name] = NO_STATUS
            elif not await self._turn(0.0, deadline, place):
                break
            elif (events := await self._events(form, name, deadline)) is not None:
                found[name] = status_from(events)
        return found

    async def _events(
        self, form: Form, name: str, deadline: float
    ) -> tuple[TrackingEvent, ...] | None:
        if form.method == BULK_STATUS:
            told = await self._client.ask(form, read_mailings, deadline=deadline)
            if isinstance(told, DeliveryOutcome):
                return None
            return events_from_mailings(told, name, self._clock.now())
        listed = await self._client.ask(form, read_delivery_list, deadline=deadline)
        if isinstance(listed, DeliveryOutcome):
            return None
        return events_from_list(listed, name, self._clock.now())

    async def _turn(self, wait_s: float, until: float, place: Place) -> bool:
        """After a wait take a place in the pace; whether there was one in time."""
        left = until - self._clock.monotonic()
        if wait_s >= left:
            return False
        try:
            async with asyncio.timeout(left):
                await self._clock.sleep(wait_s)
                await place()
        except TimeoutError:
            return False
        return True
