"""
Spans on their way to a collector: gathered, sent by a task of its own, lost where it must be.

Nothing waits for it. What waits for a collector that is away is bounded, and what is too much is
counted and gone. Sits on `otlp`; `tracer` feeds it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

import httpx
import structlog

from gateway.observe.tracing.otlp import CONTENT_TYPE, Answer, Envelope, Verdict, read_answer
from providers.contract.clock import Clock

log = structlog.get_logger("gateway")

MOST_WAITING = 4096  # spans, of some 700 octets each
MOST_AT_ONCE = 256
_GATHER_S = 0.5
_WAITS_S = (1.0, 2.0, 4.0)  # between tries of one request
_LONGEST_WAIT_S = 30.0
_MOST_OF_AN_ANSWER = 1 << 16
_LAST_WORDS_S = 3.0


class Fate(StrEnum):
    """What becomes of spans."""

    SENT = "sent"
    REFUSED = "refused"  # the collector does not want them
    UNREACHABLE = "unreachable"  # it did not answer, or wanted to be asked later, too often
    OVERFLOW = "overflow"  # too many were waiting


@dataclass(frozen=True, slots=True)
class Collector:
    """Where spans go: address, the header fields it asks for, seconds it may take."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    timeout_s: float


class Exporter:
    """
    Sends spans.

    Args:
        collector: Where to.
        envelope: Who we are.
        clock: For waits.
        count: Told what became of how many spans.
    """

    def __init__(
        self,
        collector: Collector,
        envelope: Envelope,
        clock: Clock,
        count: Callable[[str, int], None],
    ) -> None:
        self._collector = collector
        self._envelope = envelope
        self._clock = clock
        self._count = count
        self._waiting: deque[str] = deque()
        self._in_hand = 0
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._stopping = False
        self._taken = True
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Send from now on."""
        self._task = asyncio.create_task(self._run(), name="traces")

    def add(self, span: str) -> None:
        """Have an encoded span sent; never waits."""
        if len(self._waiting) >= MOST_WAITING:
            self._count(Fate.OVERFLOW, 1)
            return
        self._waiting.append(span)
        self._some.set()
        if len(self._waiting) >= MOST_AT_ONCE:
            self._enough.set()

    async def stop(self) -> None:
        """Send what waits, for a few seconds at most; the rest is counted as lost."""
        task, self._task = self._task, None
        if task is None:
            return
        self._stopping = True
        self._some.set()
        self._enough.set()
        await asyncio.wait((task,), timeout=_LAST_WORDS_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if lost := self._in_hand + len(self._waiting):
            self._lose(lost)

    async def _run(self) -> None:
        async with httpx.AsyncClient(
            trust_env=False,
            follow_redirects=False,
            timeout=self._collector.timeout_s,
            limits=httpx.Limits(max_connections=1),
        ) as client:
            while self._waiting or not self._stopping:
                await self._some.wait()
                await self._gather()
                batch = [self._waiting.popleft() for _ in range(self._room())]
                if not self._waiting and not self._stopping:
                    self._some.clear()
                if len(self._waiting) < MOST_AT_ONCE and not self._stopping:
                    self._enough.clear()
                if batch:
                    self._in_hand = len(batch)
                    await self._send(client, batch)
                    self._in_hand = 0

    def _room(self) -> int:
        return min(len(self._waiting), MOST_AT_ONCE)

    async def _gather(self) -> None:
        """Wait a little for more, unless there are enough."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_GATHER_S):
                await self._enough.wait()

    async def _send(self, client: httpx.AsyncClient, batch: list[str]) -> None:
        body = self._envelope.body(batch)
        for wait_s in (*_WAITS_S, None):
            answer, said = await self._post(client, body)
            if answer.verdict is Verdict.TAKEN:
                rejected = min(answer.rejected, len(batch))
                self._count(Fate.SENT, len(batch) - rejected)
                self._count(Fate.REFUSED, rejected)
                self._tell(taken=not rejected, said=f"{rejected} spans rejected")
                return
            self._tell(taken=False, said=said)
            if answer.verdict is Verdict.REFUSED:
                self._count(Fate.REFUSED, len(batch))
                return
            if wait_s is None or self._stopping:
                break
            await self._clock.sleep(min(max(wait_s, answer.wait_s), _LONGEST_WAIT_S))
        self._lose(len(batch))

    def _lose(self, spans: int) -> None:
        self._count(Fate.UNREACHABLE, spans)
        log.warning("spans_lost", spans=spans)

    async def _post(self, client: httpx.AsyncClient, body: bytes) -> tuple[Answer, str]:
        """The answer, and a line for people."""
        collector = self._collector
        # Not compressed: a few octets could become more than we keep.
        ours = {"content-type": CONTENT_TYPE, "accept-encoding": "identity"}
        headers = {**collector.headers, **ours}
        try:
            request = client.build_request("POST", collector.url, content=body, headers=headers)
            async with asyncio.timeout(collector.timeout_s):
                answer = await client.send(request, stream=True)
                try:
                    said = await _beginning(answer)
                finally:
                    await answer.aclose()
        except TimeoutError:
            return Answer(Verdict.AGAIN), "no answer in time"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Answer(Verdict.AGAIN), type(error).__name__
        retry_after = answer.headers.get("retry-after", "")
        return read_answer(answer.status_code, retry_after, said), f"HTTP {answer.status_code}"

    def _tell(self, *, taken: bool, said: str) -> None:
        """A line when it changes, not for each request."""
        if taken == self._taken:
            return
        self._taken = taken
        if taken:
            log.info("traces_taken")
        else:
            log.warning("traces_not_taken", said=said)


async def _beginning(answer: httpx.Response) -> bytes:
    read = b""
    async for chunk in answer.aiter_raw():
        read += chunk
        if len(read) > _MOST_OF_AN_ANSWER:
            break
    return read
