"""
A letter to a whole list of the account: a campaign, made as a draft and then delivered (B.11).

Two calls, and only the second sends anything: whatever becomes of the first, nobody got the letter,
and a draft may remain. Where the second has no clear answer the campaign itself is asked, for it
tells its state. Sits on `wire` and the account's client.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from providers.contract.capabilities import Part, Shortfall
from providers.contract.clock import Clock
from providers.contract.outcome import Cause, DeliveryOutcome, Kind, Scope, accepted
from providers.contract.provider import Pace
from providers.http.client import HttpClient
from providers.http.composition import Composition, Submission
from providers.http.exchange import HttpAnswer, HttpRequest
from providers.http.verdict import one_line, outcome_from_no_answer
from providers.rest_v1.api import campaigns
from providers.rest_v1.api.messages import File
from providers.rest_v1.api.record import Record
from providers.rest_v1.smtp_headers import not_carried_from
from providers.rest_v1.wire import read_answer

CAMPAIGN = "campaign:"
"""What stands before a campaign's id, so that nobody takes it for a letter's."""

_MOST_DRAFTS = 1000  # beyond them the oldest is forgotten, and may stay behind as a draft
_SENT_STATES = frozenset(("pending", "sending", "completed", "archived"))


def build_draft(composition: Composition, list_id: str) -> Submission:
    """
    The request that makes the draft; header fields have no place in a campaign, and are losses.

    Args:
        composition: The letter.
        list_id: The list that gets it.
    """
    letter = composition.letter
    operation = campaigns.create_campaign(
        from_email=composition.from_email,
        from_name=composition.from_name or None,
        subject=composition.subject,
        text=composition.text or None,
        html=composition.html or None,
        list_ids=(list_id,),
        files=[File(f.filename, f.content, f.content_type) for f in letter.attachments],
    )
    losses = (*composition.losses, *not_carried_from(letter))
    return Submission(operation.request, (), losses)


class ListDelivery:
    """
    The way of letters to lists, for one account.

    Remembers the drafts it made until they are on their way, so that a letter that is tried again
    leaves no second draft, and is not sent a second time where the first try went out unseen.
    """

    def __init__(self, client: HttpClient, pace: Pace, clock: Clock) -> None:
        """All of it the account's."""
        self._client = client
        self._pace = pace
        self._clock = clock
        self._drafts: OrderedDict[str, str] = OrderedDict()  # campaign ids by letter

    async def deliver(self, letter: str, draft: Submission, *, deadline: float) -> DeliveryOutcome:
        """
        Make the draft, unless there is one of an earlier try, and deliver it.

        Args:
            letter: Our name for the letter. The caller has taken the place for the first call.
            draft: What `build_draft` made.
            deadline: Monotonic seconds, for all calls and the wait between them.

        Returns:
            `uncertain` only where the platform will not say whether the campaign went out.
        """
        campaign_id = self._drafts.get(letter, "")
        if campaign_id and await self._went_out(campaign_id, deadline):
            outcome = accepted()
        else:
            if not campaign_id:
                made = await self._ask(draft.request, deadline)
                if made.kind is not Kind.ACCEPTED:
                    return _nothing_sent(made)
                campaign_id = made.provider_message_id
                if not campaign_id:
                    return _put_off("the platform made a campaign and did not name it")
                self._remember(letter, campaign_id)
                if not await self._place(deadline):
                    return _put_off(f"no time was left to deliver campaign {campaign_id}")
            outcome = await self._send(campaign_id, deadline)
        if outcome.kind in (Kind.ACCEPTED, Kind.REJECTED):
            self._drafts.pop(letter, None)
        if outcome.kind is not Kind.ACCEPTED:
            return outcome
        return replace(accepted(CAMPAIGN + campaign_id), losses=draft.losses)

    async def _send(self, campaign_id: str, deadline: float) -> DeliveryOutcome:
        outcome = await self._ask(campaigns.deliver_campaign(campaign_id).request, deadline)
        if outcome.kind is Kind.UNCERTAIN and await self._went_out(campaign_id, deadline):
            return accepted()
        return outcome

    def _remember(self, letter: str, campaign_id: str) -> None:
        self._drafts[letter] = campaign_id
        if len(self._drafts) > _MOST_DRAFTS:
            self._drafts.popitem(last=False)

    async def _ask(self, request: HttpRequest, deadline: float) -> DeliveryOutcome:
        answer = await self._client.call(request, deadline=deadline)
        if not isinstance(answer, HttpAnswer):
            return outcome_from_no_answer(answer)
        outcome = read_answer(answer, self._clock.now())
        if outcome.retry_after is not None:
            now = self._clock.monotonic()
            self._pace.hold_off(now, outcome.retry_after.total_seconds())
        return outcome

    async def _place(self, deadline: float) -> bool:
        while (wait_s := self._pace.take(self._clock.monotonic())) > 0:
            if self._clock.monotonic() + wait_s > deadline:
                return False
            await self._clock.sleep(wait_s)
        return True

    async def _went_out(self, campaign_id: str, deadline: float) -> bool:
        """Whether the campaign says so; a draft may be on its way yet, and proves nothing."""
        request = campaigns.one_campaign(campaign_id).request
        answer = await self._client.call(request, deadline=deadline)
        if not isinstance(answer, HttpAnswer) or answer.status != 200:
            return False
        return Record(answer.json_object()).text("state") in _SENT_STATES


def _nothing_sent(outcome: DeliveryOutcome) -> DeliveryOutcome:
    if outcome.kind is not Kind.UNCERTAIN:
        return outcome
    return _put_off(f"{outcome.diagnostic}; at most a draft was made")


def _put_off(why: str) -> DeliveryOutcome:
    return DeliveryOutcome(Kind.DEFERRED, Scope.PROVIDER, "4.3.0", one_line(why), cause=Cause.OTHER)


def no_such_list(list_id: str) -> Shortfall | None:
    """An id that cannot be one, before it reaches a request."""
    if list_id.isascii() and list_id.isdigit():
        return None
    return Shortfall(Part.MAILING_LIST, one_line(f"a list has a number, not {list_id!r}"))
