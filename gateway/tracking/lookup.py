"""
Ids that providers tell of and no letter has: what they belong to is asked, and letters are found.

A letter whose answer was lost is `uncertain` and has no id. When the provider then tells of an id
that nobody knows, it is asked for that letter's sender, recipient and subject; the uncertain
attempt that agrees in all three is proven by it, and the letter is not sent a second time.
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from gateway.errors import SpoolError, UnknownQueueId
from gateway.spool.inquiries import Inquiry
from gateway.spool.protocol import Spool
from gateway.spool.values import Listed
from gateway.tracking.accounts import Account
from providers.contract.address import InvalidAddress, parse_address
from providers.contract.clock import Clock
from providers.contract.outcome import accepted
from providers.contract.tracking import LetterFound
from providers.mime import decode_field, find_field, header_block
from providers.mime.mailbox import parse_mailboxes

log = structlog.get_logger("gateway")

# A clock of the provider's that is slow makes its letters look older than our attempts.
_AHEAD = timedelta(minutes=5)


class Lookup:
    """
    Finds letters for ids.

    Args:
        spool: Where uncertain letters are.
        clock: Time.
        lasting: How old an attempt may be that is proven.
    """

    def __init__(self, spool: Spool, clock: Clock, *, lasting: timedelta) -> None:
        self._spool = spool
        self._clock = clock
        self._lasting = lasting

    async def look_up(self, account: Account, inquiry: Inquiry, *, deadline: float) -> str:
        """
        Ask what an id belongs to, and settle the letter that is found.

        Returns:
            Who carried the letter that was settled, and has its id from now on; empty where there
            is none.

        Raises:
            SpoolError: Its record cannot be read or written.
        """
        if account.letters is None:
            return ""
        found = await account.letters.look_up(inquiry.provider_message_id, deadline=deadline)
        if found is None:
            return ""
        for carrier in sorted(account.carriers):
            for candidate in await self._candidates(carrier, found, inquiry):
                if await self._agrees(candidate, found) and await self._settle(candidate, inquiry):
                    return carrier
        return ""

    async def _candidates(
        self, carrier: str, found: LetterFound, inquiry: Inquiry
    ) -> tuple[Listed, ...]:
        """Uncertain letters to the recipient; of some that are alike, the longest ago first."""
        return await self._spool.find_uncertain(
            carrier,
            found.recipient.strip(),
            self._clock.now() - self._lasting,
            inquiry.since + _AHEAD,
        )

    async def _agrees(self, candidate: Listed, found: LetterFound) -> bool:
        try:
            content = await self._spool.content(candidate.queue_id)
        except UnknownQueueId:  # settled meanwhile
            return False
        return is_the_same(content, candidate.reverse_path, found)

    async def _settle(self, candidate: Listed, inquiry: Inquiry) -> bool:
        outcome = accepted(
            inquiry.provider_message_id, "found by its sender, recipient and subject"
        )
        try:
            settled = await self._spool.settle(
                candidate.queue_id, candidate.key, outcome, self._clock.now()
            )
        except SpoolError as error:
            log.warning("not_settled", **candidate.ids, reason=error.reason)
            raise
        if settled:
            log.info(
                "settled",
                **candidate.ids,
                to=candidate.forward_path,
                provider=candidate.provider,
                provider_message_id=inquiry.provider_message_id,
            )
        return settled


def is_the_same(content: bytes, reverse_path: str, found: LetterFound) -> bool:
    """
    Whether a letter of ours is one that the provider found: by sender and subject.

    Args:
        content: Ours.
        reverse_path: Ours; some applications have no other sender.
        found: Theirs; its recipient was compared before.
    """
    header = header_block(content)
    subject = decode_field(find_field(header, "Subject") or b"")
    if " ".join(subject.split()) != " ".join(found.subject.split()):
        return False
    senders = {box.address for box in parse_mailboxes(find_field(header, "From") or b"")}
    return _folded(found.sender) in {_folded(sender) for sender in (*senders, reverse_path)}


def _folded(address: str) -> str:
    try:
        return parse_address(address.strip()).folded
    except InvalidAddress:
        return address.strip().lower()
