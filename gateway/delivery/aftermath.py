"""
What follows from what providers tell later: addresses that are suppressed, senders that are told.

Follows the stored tracking events, wherever they came from; each step and all that it brings is one
record, so that of several gateways one acts, once, whatever crashes. Sits on the spool and the
reporter; `tracking` stores the events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from gateway.delivery.reporter import REPORTED_LATER, Reporter
from gateway.domain.events import Emit, LetterTracked, SenderTold
from gateway.domain.suppression import SUPPRESSING, Suppression, SuppressionReason
from gateway.domain.trace_context import letter_ids
from gateway.errors import SpoolError
from gateway.spool.following import FollowStep
from gateway.spool.rows import UnreadableRow
from gateway.spool.store import SqlSpool
from gateway.spool.values import NewLetter
from providers.contract.address import InvalidAddress, parse_address
from providers.contract.clock import Clock

log = structlog.get_logger("gateway.delivery")

FOLLOWER = "aftermath"
_AT_ONCE = 100
_LOOK_EVERY_S = 1.0
# Where several gateways write, one that commits late has lower numbers than are seen already.
_OVERTAKEN_WITHIN = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class AftermathRules:
    """
    What is to follow.

    Attributes:
        reasons: Those that put an address on the suppression list.
        accounts: Who is told of complaints.
        reports: Whether senders are told of later failures and of complaints.
    """

    reasons: frozenset[SuppressionReason]
    accounts: tuple[str, ...]
    reports: bool = True


@dataclass(slots=True)
class _Effects:
    """What a step brings."""

    suppressions: list[Suppression] = field(default_factory=list)
    letters: list[NewLetter] = field(default_factory=list)
    notes: list[tuple[str, int, str]] = field(default_factory=list)
    told: list[SenderTold] = field(default_factory=list)


class Aftermath:
    """
    Follows tracking events.

    Args:
        spool: Where they are.
        reporter: Makes reports.
        rules: What follows, as it stands at the moment.
        clock: Time.
        emit: Told of senders that were told.
        expect: Told who has a report due.
    """

    def __init__(
        self,
        spool: SqlSpool,
        reporter: Reporter,
        rules: Callable[[], AftermathRules],
        *,
        clock: Clock,
        emit: Emit,
        expect: Callable[[str, datetime], None],
    ) -> None:
        self._spool = spool
        self._reporter = reporter
        self._rules = rules
        self._clock = clock
        self._emit = emit
        self._expect = expect

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                went_on = await self.step()
            except SpoolError as error:
                log.warning("aftermath_waits", reason=error.reason)
                went_on = False
            if not went_on:
                await self._clock.sleep(_LOOK_EVERY_S)

    async def step(self) -> bool:
        """
        Take the next step; whether there was one.

        Raises:
            SpoolError: The spool cannot be had; nothing was done.
        """
        position = await self._spool.position(FOLLOWER)
        events = self._ripe(await self._spool.tracking.after(position, _AT_ONCE))
        if not events:
            return False
        rules, effects = self._rules(), _Effects()
        for event in events:
            await self._weigh(event, rules, effects)
        step = FollowStep(
            FOLLOWER,
            position,
            events[-1].number,
            tuple(effects.suppressions),
            rules.accounts,
            tuple(events),
        )
        if await self._spool.follow(step, effects.notes, effects.letters):
            for told in effects.told:
                self._emit(told)
            for letter in effects.letters:
                self._expect(letter.providers[0], letter.arrival)
        return True

    def _ripe(self, events: Sequence[LetterTracked]) -> Sequence[LetterTracked]:
        """Those before which no other can turn up."""
        if not self._spool.shared:
            return events
        until = self._clock.now() - _OVERTAKEN_WITHIN
        for place, event in enumerate(events):
            if event.at > until:
                return events[:place]
        return events

    async def _weigh(
        self, tracked: LetterTracked, rules: AftermathRules, effects: _Effects
    ) -> None:
        event, now = tracked.event, self._clock.now()
        reason = SUPPRESSING.get(event.event_type)
        # Where the letter went to a list, it is the reader who is meant.
        address = _folded(event.recipient or tracked.forward_path)
        if reason is not None and reason in rules.reasons and address:
            effects.suppressions.append(
                Suppression(address, reason, now, tracked.told_by, f"letter {tracked.queue_id}")
            )
        if not rules.reports or event.event_type not in REPORTED_LATER:
            return
        try:
            letter = await self._spool.letter_of(tracked.queue_id, tracked.recipient_key)
        except UnreadableRow as error:
            ids = letter_ids(tracked.queue_id, tracked.message_id, tracked.trace)
            log.warning("sender_not_told", **ids, reason=str(error))
            return
        told = None if letter is None else self._reporter.later(letter, event, now)
        if told is not None:
            letters, sender_told = told
            effects.letters += letters
            effects.told.append(sender_told)
            what = f"{sender_told.action.value} later"
            line = f"report {sender_told.report_id} to {sender_told.reverse_path}: {what}"
            if not letters:
                line = f"no report ({what}): {sender_told.result.value}"
            effects.notes.append((tracked.queue_id, tracked.recipient_key, line))


def _folded(text: str) -> str:
    """An address in folded form; empty where it is none."""
    try:
        return parse_address(text).folded
    except InvalidAddress:
        return ""
