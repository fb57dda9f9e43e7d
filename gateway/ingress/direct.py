"""
Direct mode: the client of a letter waits for what a provider says of it.

The letter is in the spool before anybody waits, so that the worst that can happen is a reply as in
queue mode. `intake` makes a `DirectVerdict`, the session waits for its reply. Knows no provider.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from gateway.domain.verdict import Answer, are_all_refused
from gateway.errors import SpoolError
from gateway.ingress import replies
from gateway.ingress.submission import Reply
from gateway.spool.protocol import Spool
from providers.contract.envelope import Recipient

log = structlog.get_logger("gateway.ingress")


class Awaited(Protocol):
    """A letter whose recipients are being tried."""

    async def wait(self, timeout_s: float) -> tuple[Answer, ...]:
        """What is known once it is known of all, or the time is over."""
        ...

    def forget(self) -> None:
        """Nobody is going to wait."""
        ...

    def leave_out(self, keys: Iterable[int]) -> None:
        """These recipients are not tried."""
        ...

    async def tell_by_report(self) -> None:
        """Have the sender told by report of what failed meanwhile; durable on return."""
        ...


@dataclass(frozen=True, slots=True)
class DirectVerdict:
    """
    A letter that is durable, and whose client waits.

    Attributes:
        queue_id: Of the letter.
        recipients: All of it.
        awaited: Told of what becomes of them.
        timeout_s: How long to wait, in seconds.
        spool: For its story.
        ids: What log lines name it by.
    """

    queue_id: str
    recipients: Sequence[Recipient]
    awaited: Awaited
    timeout_s: float
    spool: Spool
    ids: Mapping[str, str]

    async def reply(self, client_left: Callable[[], bool]) -> Reply:
        """
        Wait, then say how it stands: handed over, refused for all, or queued.

        Never 4xx or 5xx once a recipient may have been handed over (traps T7, T12). Whoever failed
        and is not told here is told by report: because others did not fail, or the client has left.
        Never raises but for cancellation, and then reports are on their way all the same.
        """
        try:
            return await self._reply(client_left)
        except asyncio.CancelledError:
            await asyncio.shield(asyncio.ensure_future(self.awaited.tell_by_report()))
            raise
        except Exception:
            # The letter is ours: an error would have its client send it again.
            log.exception("verdict_failed", **self.ids)
            return replies.queued_as(self.queue_id)

    async def _reply(self, client_left: Callable[[], bool]) -> Reply:
        answers = await self.awaited.wait(self.timeout_s)
        if are_all_refused(answers, len(self.recipients)) and not client_left():
            refusal = replies.refused(answers, self.queue_id)
            await self._note(refusal)
            return refusal
        await self.awaited.tell_by_report()
        handed_over = {answer.key: answer for answer in answers if answer.is_handed_over}
        if not handed_over:
            return replies.queued_as(self.queue_id)
        pairs = [
            (recipient.forward_path.addr_spec, handed_over[recipient.key].provider_message_id)
            for recipient in self.recipients
            if recipient.key in handed_over
        ]
        return replies.handed_over(pairs, self.queue_id, len(self.recipients) - len(pairs))

    async def _note(self, refusal: Reply) -> None:
        try:
            told = f"its client was told in the session: {refusal.code} {refusal.text}"
            await self.spool.note(self.queue_id, ((None, told),))
        except SpoolError as error:
            log.warning("verdict_not_noted", **self.ids, reason=error.reason)
