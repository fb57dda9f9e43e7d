"""
Handing one letter over to an API with fields: what both adapters do, in its order.

Sits on `composition`, `client` and `verdict`; the API's own rules come in as two functions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from providers.contract.capabilities import ProviderCapabilities, Shortfall
from providers.contract.clock import Clock
from providers.contract.outcome import (
    DeliveryOutcome,
    DeliveryReport,
    DeliveryRequest,
    Kind,
    all_same,
)
from providers.contract.provider import Pace
from providers.http.client import HttpClient
from providers.http.composition import Build, Submission, prepare
from providers.http.exchange import HttpAnswer, NoAnswer
from providers.http.verdict import not_carried, outcome_from_no_answer

# From here on, taking a letter apart holds the others up for longer than a thread costs.
_LARGE_OCTETS = 256 << 10

Read = Callable[[HttpAnswer, datetime, Submission], DeliveryOutcome]


async def hand_over(
    request: DeliveryRequest,
    *,
    capabilities: ProviderCapabilities,
    client: HttpClient,
    pace: Pace,
    clock: Clock,
    build: Build,
    read: Read,
    deadline: float,
) -> DeliveryReport:
    """
    Make one attempt for one recipient.

    Args:
        request: With a single recipient.
        capabilities: What cannot be carried at all causes no traffic.
        client: Makes the call.
        pace: Told of the wait that the provider asks for.
        clock: For dates in answers, and for `pace`.
        build: Makes a request of the letter's parts. Pure: it may run in a thread.
        read: The answer as an outcome, given the moment it came.
        deadline: Monotonic seconds.
    """
    if request.message.size < _LARGE_OCTETS:
        submission = prepare(request, capabilities, build)
    else:
        submission = await asyncio.to_thread(prepare, request, capabilities, build)
    if isinstance(submission, Shortfall):
        return all_same(request, not_carried(submission))
    answer = await client.call(submission.request, deadline=deadline)
    if isinstance(answer, NoAnswer):
        return all_same(request, outcome_from_no_answer(answer))
    outcome = read(answer, clock.now(), submission)
    if outcome.retry_after is not None:
        pace.hold_off(clock.monotonic(), outcome.retry_after.total_seconds())
    if submission.losses and outcome.kind is Kind.ACCEPTED:
        outcome = replace(outcome, losses=(*submission.losses, *outcome.losses))
    return all_same(request, outcome)
