"""
The v1 API as a program uses it: operations in, values out, errors typed.

I/O through the account's one `HttpClient` and its one pace: calls that are not GET wait for their
place beside the letters of the same process. Another process (the command line beside the daemon)
has a pace of its own; there the platform's 429 is what slows both, and it is waited for here.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from providers.contract.clock import Clock
from providers.contract.provider import Pace
from providers.http.client import HttpClient
from providers.http.exchange import HttpAnswer, HttpRequest, NoAnswer
from providers.rest_v1.api import account, imports
from providers.rest_v1.api.errors import (
    AnswerTooLarge,
    NotFound,
    PageTooBig,
    RestV1Error,
    ServerTrouble,
    Throttled,
    error_from_answer,
    error_from_no_answer,
)
from providers.rest_v1.api.operation import LARGEST_PAGE, Collection, Operation
from providers.rest_v1.api.paging import EndlessCollection, Walk
from providers.rest_v1.api.record import Record

T = TypeVar("T")

PATIENCE_S = 300.0  # how long a call is held back for the sake of the platform's limits
_SMALLER_PAGES = (250, 50, 10, 1)
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0  # where a 429 names none (D 13)


@dataclass(frozen=True, slots=True)
class ImportPart:
    """One import that was queued, how many recipients it holds, and the last of them."""

    queued: imports.Import
    count: int
    last_email: str


class RestV1Api:
    """
    The API for one account.

    Every method raises `RestV1Error`; on cancellation a call that was under way may have been
    carried out.
    """

    def __init__(
        self,
        client: HttpClient,
        pace: Pace,
        clock: Clock,
        *,
        timeout_s: float = 60.0,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """
        Connects nothing.

        Args:
            client: Of the account.
            pace: Of the account.
            clock: For waits and deadlines.
            timeout_s: How long one call may take once its turn has come.
            patience_s: How long a call waits for its turn, all 429 together.
        """
        self._client = client
        self._pace = pace
        self._clock = clock
        self._timeout_s = timeout_s
        self._patience_s = patience_s

    async def call(self, operation: Operation[T], *, deadline: float = math.inf) -> T:
        """
        Make one call.

        A 429 is waited for and the call made again, which is safe: nothing was done. Nothing else
        is tried again.

        Args:
            operation: What to ask or to do.
            deadline: Monotonic seconds after which neither turn nor answer is waited for, where
                the client's own patience lasts longer.

        Raises:
            RestV1Error: It failed; `done` tells whether it may have been carried out all the same.
        """
        give_up = min(self._clock.monotonic() + self._patience_s, deadline)
        wait_s = _FIRST_WAIT_S
        while True:
            await self._turn(operation.request, give_up)
            answer_by = min(self._clock.monotonic() + self._timeout_s, deadline)
            answer = await self._client.call(operation.request, deadline=answer_by)
            record = self._read(operation, answer)
            if isinstance(record, Record):
                return operation.read(record)
            error = record
            if not isinstance(error, Throttled):
                raise error
            named = error.retry_after
            held_s = wait_s if named is None else named.total_seconds()
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            now = self._clock.monotonic()
            self._pace.hold_off(now, held_s)
            if now + held_s > give_up:
                raise error
            await self._clock.sleep(held_s)

    async def walk(
        self, collection: Collection[T], *, page_size: int | None = None
    ) -> AsyncGenerator[T, None]:
        """
        All items of a collection, page by page as they are asked for.

        Args:
            collection: Which.
            page_size: How many at once; the method's largest if none is given. Where an
                installation takes less (412), or an answer is more than we read, less is asked
                for from there on.
        """
        walk = Walk(min(page_size or collection.largest, collection.largest))
        while not walk.over:
            try:
                page = await self.call(collection.page(walk.number, walk.size))
            except PageTooBig:
                if not walk.shrink(LARGEST_PAGE):
                    raise
                continue
            except AnswerTooLarge:
                if not walk.shrink(*_SMALLER_PAGES):
                    raise
                continue
            if "collection" not in page:
                raise ServerTrouble("there is no collection in the answer")
            try:
                records = walk.take(page)
            except EndlessCollection:
                raise ServerTrouble("the collection has no end") from None
            for record in records:
                yield collection.read(record)

    async def count(self, collection: Collection[T]) -> int | None:
        """How many items a collection says it has; `None` where it does not say."""
        return (await self.call(collection.page(1, 1))).number("total_count")

    async def import_recipients(
        self,
        list_id: str,
        rows: Iterable[imports.Row],
        *,
        run_triggers: bool = False,
        tags: Sequence[str] = (),
        callback_url: str | None = None,
        part_size: int = imports.MAX_RECIPIENTS,
    ) -> AsyncGenerator[ImportPart, None]:
        """
        Queue as many imports as the rows need, and tell of each once it is queued.

        Rows are read as they are needed. Where a part fails, those before it are queued.
        """
        for part in imports.cut(rows, part_size):
            operation = imports.start_import(
                list_id, part, run_triggers=run_triggers, tags=tags, callback_url=callback_url
            )
            yield ImportPart(await self.call(operation), len(part), part[-1].email)

    async def webhook(self) -> str:
        """The URL that events go to; empty where none is set, however that is told."""
        try:
            return await self.call(account.webhook())
        except NotFound:
            return ""

    async def replace_webhook(self, url: str) -> str:
        """
        Have events go to this URL and to no other: remove, set, look (D 20).

        Returns:
            What the platform says afterwards.

        Raises:
            RestV1Error: A call failed, or the platform keeps another URL.
        """
        await self.remove_webhook()
        await self.call(account.set_webhook(url))
        stands = await self.webhook()
        if stands != url:
            raise RestV1Error(f"the platform keeps {stands or 'no webhook'} instead")
        return stands

    async def remove_webhook(self) -> tuple[str, ...]:
        """Remove every URL that events go to; which they were."""
        removed: list[str] = []
        while (url := await self.webhook()) and url not in removed:
            await self.call(account.remove_webhook(url))
            removed.append(url)
        return tuple(removed)

    def _read(self, operation: Operation[T], answer: HttpAnswer | NoAnswer) -> Record | RestV1Error:
        """What came back, or what is wrong; a question changes nothing, however it ends."""
        asks = operation.request.method == "GET"
        if isinstance(answer, NoAnswer):
            error = error_from_no_answer(answer)
        else:
            found = error_from_answer(answer, extra=operation.extra, now=self._clock.now())
            body = answer.json_object()
            if found is None and (body is not None or operation.request.method == "DELETE"):
                return Record(body)
            error = found or _unreadable(operation.request, answer)
        error.done = error.done and not asks
        return error

    async def _turn(self, request: HttpRequest, give_up: float) -> None:
        """Wait for a place in the pace; questions need none (B.1)."""
        if request.method == "GET":
            return
        while (wait_s := self._pace.take(self._clock.monotonic())) > 0:
            if self._clock.monotonic() + wait_s > give_up:
                raise Throttled("the account's pace has no place in time")
            await self._clock.sleep(wait_s)


def _unreadable(request: HttpRequest, answer: HttpAnswer) -> RestV1Error:
    if len(answer.body) >= request.answer_octets:
        return AnswerTooLarge(f"HTTP {answer.status}, and an endless answer", answer.status)
    return ServerTrouble(f"HTTP {answer.status}, and no JSON object in the answer", answer.status)
