"""
Calling applications' webhooks, until each call is answered or given up.

What is to be told lies in the spool, written with what it tells of. A call may be made twice,
always under the same id. Redirects are not followed, and of an answer nothing but its code is read.
Sits on the spool; `domain.webhook` says what a call looks like.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta

import httpx
import structlog

from gateway.domain.webhook import MOST_ATTEMPTS, SCHEDULE, Endpoint, build_body, build_headers
from gateway.errors import SpoolError
from gateway.spool.webhooks import SqlWebhooks, WebhookCall
from providers.contract.clock import Clock

log = structlog.get_logger("gateway.delivery")

_LOOK_EVERY_S = 1.0
_AT_ONCE = 16
_CALL_S = 15.0
_OURS_FOR = timedelta(seconds=_CALL_S * 4)
_GONE = 410  # the application wants no more calls


class WebhookSender:
    """
    Makes calls.

    Args:
        store: Where they lie.
        endpoints: By name.
        clock: Time.
        chance: Evenly distributed in [0, 1), for the spread of waits.
        answered: Told of each answer: the endpoint, and `taken`, `refused` or `given_up`.
    """

    def __init__(
        self,
        store: SqlWebhooks,
        endpoints: Mapping[str, Endpoint],
        clock: Clock,
        chance: Callable[[], float],
        answered: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._endpoints = dict(endpoints)
        self._clock = clock
        self._chance = chance
        self._answered = answered

    def reconfigure(self, endpoints: Mapping[str, Endpoint]) -> None:
        """Call these from now on; what is under way goes where it was meant for."""
        self._endpoints = dict(endpoints)

    async def run(self) -> None:
        """Call until cancelled; what was under way then is called again after the next start."""
        limits = httpx.Limits(max_connections=_AT_ONCE)
        async with httpx.AsyncClient(
            trust_env=False, follow_redirects=False, timeout=_CALL_S, limits=limits
        ) as client:
            while True:
                try:
                    made = await self._round(client)
                except SpoolError as error:
                    log.warning("webhooks_wait", reason=error.reason)
                    made = 0
                if not made:
                    await self._clock.sleep(_LOOK_EVERY_S)

    async def _round(self, client: httpx.AsyncClient) -> int:
        now, endpoints = self._clock.now(), self._endpoints
        if not endpoints:
            return 0
        calls = await self._store.due(endpoints.keys(), now, now + _OURS_FOR, _AT_ONCE)
        results = await asyncio.gather(
            *(self._make(client, call, endpoints[call.endpoint]) for call in calls),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return len(calls)

    async def _make(self, client: httpx.AsyncClient, call: WebhookCall, endpoint: Endpoint) -> None:
        code, said = await self._post(client, call, endpoint)
        taken = 200 <= code < 300
        attempts = call.attempts + 1
        given_up = not taken and (attempts >= MOST_ATTEMPTS or code == _GONE)
        about = {"webhook": call.endpoint, "call": call.number, **call.ids}
        if taken:
            await self._store.done(call)
            log.debug("webhook_called", **about, event_type=call.event)
        else:
            due_at = self._clock.now() + SCHEDULE.delay_after(attempts, self._chance())
            await self._store.put_off(call, None if given_up else due_at, said)
            write = log.error if given_up else log.warning
            write("webhook_given_up" if given_up else "webhook_put_off", **about, said=said)
        self._answered(call.endpoint, "taken" if taken else "given_up" if given_up else "refused")

    async def _post(
        self, client: httpx.AsyncClient, call: WebhookCall, endpoint: Endpoint
    ) -> tuple[int, str]:
        """The code of the answer, 0 without one, and a line for people."""
        data = {"queue_id": call.queue_id, **dict(call.data)}
        body = build_body(call.event, call.at, data)
        headers = build_headers(endpoint.key, f"msg_{call.number}", self._clock.now(), body)
        if call.trace is not None:
            headers["traceparent"] = str(call.trace)
        try:
            async with (
                asyncio.timeout(_CALL_S),
                client.stream("POST", endpoint.url, content=body, headers=headers) as answer,
            ):
                return answer.status_code, f"HTTP {answer.status_code}"
        except TimeoutError:
            return 0, "no answer in time"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return 0, type(error).__name__
