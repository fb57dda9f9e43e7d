"""A dispatcher over a real SQLite spool, with providers that do as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.delivery.dispatcher import Dispatcher, DispatcherLimits
from gateway.delivery.report_rules import ReportRules
from gateway.delivery.reporter import Reporter
from gateway.domain.events import AttemptEnded, Event, SenderTold
from gateway.domain.health import CircuitRules
from gateway.domain.instructions import NO_INSTRUCTIONS, Instructions
from gateway.domain.lifecycle import State
from gateway.domain.notification import Action
from gateway.domain.retry import RetrySchedule
from gateway.domain.routing import Route
from gateway.domain.suppression import Suppression, SuppressionReason
from gateway.domain.window import Priority
from gateway.ingress.intake import SpoolingIntake
from gateway.ingress.submission import Client, Reply, Submission, Verdict
from gateway.planner import Planner
from gateway.spool.store import SqlSpool
from gateway.spool.values import Filter, Listed, NewLetter
from gateway.suppression import SuppressionList
from providers.contract.envelope import Envelope
from tests.support.builders import a_message, an_envelope
from tests.support.scripted_provider import ScriptedProvider

QUICK = RetrySchedule(
    first=timedelta(milliseconds=20),
    longest=timedelta(milliseconds=50),
    uncertain_after=timedelta(milliseconds=20),
)
PATIENT = RetrySchedule()
RULES = ReportRules("gateway.example.com")


@dataclass
class Delivery:
    """Everything a test of delivery looks at."""

    spool: SqlSpool
    clock: SystemClock
    url: str
    events: list[Event] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    dispatcher: Dispatcher | None = None
    planner: Planner | None = None

    def see(self, event: Event) -> None:
        self.events.append(event)
        self.changed.set()

    async def begin(
        self,
        *providers: ScriptedProvider,
        routes: tuple[Route, ...] = (),
        schedule: RetrySchedule = QUICK,
        window: int = 100,
        timeout_s: float = 10.0,
        rules: ReportRules = RULES,
        verdicts: int = 100,
        circuit: CircuitRules = CircuitRules(),  # noqa: B008 - frozen
        slow_after_s: float | None = None,
        suppressed: Sequence[str] = (),
    ) -> None:
        names = tuple(provider.name for provider in providers)
        planner = self.planner = Planner(
            routes or (Route("default", names),),
            {provider.name: provider.capabilities for provider in providers},
        )
        suppressions = SuppressionList(self.spool.suppressions, planner, self.clock)
        manual = SuppressionReason.MANUAL
        await self.spool.suppressions.add(
            [Suppression(address, manual, self.clock.now(), "test") for address in suppressed]
        )
        await suppressions.start()
        self.dispatcher = Dispatcher(
            spool=self.spool,
            providers={provider.name: provider for provider in providers},
            planner=planner,
            reporter=Reporter(rules, planner, self.spool.new_queue_id, self.clock),
            schedule=schedule,
            timeouts=dict.fromkeys(names, timeout_s),
            clock=self.clock,
            chance=lambda: 0.5,
            emit=self.see,
            throttled=lambda _name, _seconds: None,
            circuit=circuit,
            slow_after={} if slow_after_s is None else dict.fromkeys(names, slow_after_s),
            suppressions=suppressions,
            limits=DispatcherLimits(window=window, verdicts=verdicts),
        )
        await self.dispatcher.start()

    async def admit(
        self,
        *recipients: str,
        provider: str = "main",
        envelope: Envelope | None = None,
        content: bytes = b"",
        age: timedelta = timedelta(0),
        instructions: Instructions = NO_INSTRUCTIONS,
        due_at: Sequence[datetime] = (),
        priority: Priority = Priority.NORMAL,
    ) -> str:
        """Put a letter into the spool, not leased: the dispatcher finds it."""
        envelope = envelope or an_envelope(*recipients)
        now = self.clock.now() - age
        queue_id = self.spool.new_queue_id(now)
        await self.spool.admit(
            NewLetter(
                queue_id=queue_id,
                envelope=envelope,
                content=content or a_message().content,
                arrival=now,
                listener="app",
                client="127.0.0.1",
                message_id="<order-77@example.com>",
                providers=(provider,) * len(envelope.recipients),
                leased=False,
                instructions=instructions,
                due_at=tuple(due_at),
                priority=priority,
            )
        )
        return queue_id

    async def submit(
        self,
        *fields: tuple[str, str],
        to: Sequence[str] = (),
        message_id: str = "<a@example.com>",
        ahead: timedelta = timedelta(days=30),
        subject: str = "Order 77",
        address: str = "127.0.0.1",
        user: str = "",
        window: timedelta = timedelta(hours=1),
        trace: str = "",
    ) -> Reply | Verdict:
        """Bring a letter with these instructions to the front door."""
        assert self.dispatcher is not None
        assert self.planner is not None
        intake = SpoolingIntake(
            spool=self.spool,
            planner=self.planner,
            hand_off=self.dispatcher,
            hostname="gateway.example.com",
            clock=self.clock,
            emit=self.see,
            schedule_ahead=ahead,
            duplicates_window=window,
        )
        given = [("Message-ID", message_id)] if message_id else []
        given += [("traceparent", trace)] if trace else []
        message = a_message(
            subject=subject,
            header_fields=given + [(f"X-Mailquay-{name}", value) for name, value in fields],
        )
        client = Client(address, "client.example.com", esmtp=True, user=user)
        return await intake.take(Submission(an_envelope(*to), message.content, "app", client))

    async def take(self, *fields: tuple[str, str], **more: Any) -> Reply:
        """The same, with the reply that its client gets."""
        taken = await self.submit(*fields, **more)
        return taken if isinstance(taken, Reply) else await taken.reply(lambda: False)

    async def until(self, enough: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Wait until events make it so."""
        async with asyncio.timeout(timeout_s):
            while not enough():
                self.changed.clear()
                await self.changed.wait()

    def ended(self, state: State | None = None) -> list[AttemptEnded]:
        return [
            event
            for event in self.events
            if isinstance(event, AttemptEnded) and state in (None, event.state)
        ]

    def told(self, *actions: Action) -> list[SenderTold]:
        """What senders were told or not, of these actions or of any."""
        return [
            event
            for event in self.events
            if isinstance(event, SenderTold) and event.action in (actions or tuple(Action))
        ]

    async def rows(self) -> tuple[Listed, ...]:
        return await self.spool.list(Filter(states=frozenset(State)), 10_000)


@pytest.fixture
async def delivery(tmp_path: Path) -> AsyncIterator[Delivery]:
    clock = SystemClock()
    url = f"sqlite:///{tmp_path}/spool.db"
    spool = await SqlSpool.open(
        url,
        clock=clock,
        uncertain_after=QUICK.uncertain_after,
        lease=timedelta(minutes=5),
        exclusive=True,
    )
    under_test = Delivery(spool, clock, url)
    try:
        yield under_test
    finally:
        if under_test.dispatcher is not None:
            await under_test.dispatcher.drain(0.2)
        await spool.aclose()
