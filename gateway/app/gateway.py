"""
The gateway as a whole: starts, reloads, drains, stops.

Order is the promise's: what keeps letters starts before what takes them, and stops after it.
What few configurations ask for is imported when one does: a gateway that waits shall be small.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog
from starlette.routing import BaseRoute

from gateway.app.applications import Applications
from gateway.app.front_door import (
    front_door_gaps,
    front_door_rules,
    limit_rules,
    listener_specs,
    load_security,
)
from gateway.app.parts import (
    accounts_in_step,
    aftermath_rules,
    build_providers,
    circuit_rules,
    report_gaps,
    report_rules,
    slow_after,
    suppression_rules,
    timeouts,
)
from gateway.app.route_gaps import route_gaps
from gateway.app.sessions import SessionCounts
from gateway.app.spool import open_spool, spool_folder
from gateway.app.tracing import build_tracer
from gateway.app.tracking import Tracking, forget_old
from gateway.clock import SystemClock
from gateway.config import Settings
from gateway.delivery.aftermath import Aftermath
from gateway.delivery.dispatcher import Dispatcher, DispatcherLimits
from gateway.delivery.feeder import cut_short_event
from gateway.delivery.reporter import Reporter
from gateway.delivery.subscriptions import SubscriptionSync
from gateway.domain.duplicates import MOST_MARKS
from gateway.domain.events import Event
from gateway.errors import SpoolError
from gateway.ingress import replies
from gateway.ingress.intake import SpoolingIntake, as_named
from gateway.ingress.limits import Limits
from gateway.ingress.maildrop import LISTENER as MAILDROP
from gateway.ingress.maildrop import Maildrop
from gateway.ingress.server import FrontDoor, Security
from gateway.ingress.submission import API
from gateway.observe.log import EventLog
from gateway.observe.metrics import Metrics
from gateway.observe.status import Status
from gateway.planner import Planner
from gateway.spool.store import SqlSpool
from gateway.suppression import SuppressionList
from gateway.web.server import WebServer, build_app
from gateway.web.webhooks import webhook_routes
from providers.contract.capabilities import ProviderCapabilities
from providers.contract.provider import Provider

if TYPE_CHECKING:
    from gateway.observe.tracing.tracer import Tracer
    from gateway.web.api import Api, Guard

log = structlog.get_logger("gateway")

_DRAIN_WITHIN_S = 20.0
_PURGE_EVERY_S = 600.0
_FORGET_EVERY_S = 60.0
_RELOADED_OF_SMTP = ("users_file", "certificate", "private_key")


class Gateway:
    """
    One gateway, from its settings to its end.

    `start` returns when the first client can be greeted; `stop` when everything is on disk.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._events = EventLog()
        self._background: list[asyncio.Task[None]] = []
        self._tracer: Tracer | None = None
        self._tracking: Tracking | None = None
        self._stack = contextlib.AsyncExitStack()
        self.metrics = Metrics(
            providers={name: given.kind for name, given in settings.providers.items()},
            listeners=[*(listener.name for listener in settings.smtp.listeners), MAILDROP, API],
            reply_reasons=replies.REASONS,
        )
        self.metrics.add_routes(route.name for route in settings.effective_routes())
        self._providers: dict[str, Provider] = {}
        self._api: tuple[Api, Guard] | None = None
        self.smtp_ports: dict[str, int] = {}
        self.http_port = 0

    async def start(self) -> None:
        """
        Start everything, what keeps letters first.

        Raises:
            ConfigError: Users file or certificate cannot be used.
            SpoolError: The spool cannot be opened.
            ProviderConfigError: A provider cannot be built.
            OSError: An address to listen on is taken or not ours.
        """
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start(self) -> None:
        settings, stack = self._settings, self._stack
        security = await asyncio.to_thread(load_security, settings)
        self._tracer = build_tracer(settings, self.metrics, self._clock)
        if self._tracer is not None:
            self._tracer.start()
            stack.push_async_callback(self._tracer.stop)
        spool = await open_spool(
            settings, exclusive=True, on_commit=self.metrics.committed, on_health=_tell_health
        )
        stack.push_async_callback(spool.aclose)
        await self._recover(spool)
        self._providers = build_providers(settings)
        stack.push_async_callback(self._close_providers)
        status = Status(
            spool=spool,
            metrics=self.metrics,
            clock=self._clock,
            stuck_after=settings.delivery.stuck_after,
            folder=spool_folder(settings),
        )
        self._tracking = tracking = Tracking(
            settings, spool, self._providers, self._clock, self._see
        )
        web = WebServer(
            build_app(
                self.metrics, status, [*webhook_routes(tracking.desk), *self._api_routes(spool)]
            ),
            host=settings.http.host,
            port=settings.http.port,
        )
        await web.start()
        stack.push_async_callback(web.stop)
        self.http_port = web.port
        self._planner = Planner(settings.effective_routes(), self._capabilities())
        self._reporter = Reporter(
            report_rules(settings), self._planner, spool.new_queue_id, self._clock
        )
        self._suppressions = SuppressionList(
            spool.suppressions, self._planner, self._clock, suppression_rules(settings)
        )
        await self._suppressions.start()
        self._dispatcher = dispatcher = self._build_dispatcher(spool)
        await dispatcher.start()
        stack.push_async_callback(dispatcher.drain, _DRAIN_WITHIN_S)
        self._background.append(asyncio.create_task(self._purge(spool), name="purge"))
        self._background.append(asyncio.create_task(self._forget_marks(spool), name="marks"))
        self._follow_suppressions(spool)
        stack.push_async_callback(self._stop_background)
        self._applications = Applications(spool, self._clock, self.metrics)
        self._applications.start(settings)
        stack.push_async_callback(self._applications.stop)
        tracking.start()
        stack.push_async_callback(tracking.stop)
        intake = self._build_intake(spool, dispatcher)
        if self._api is not None:
            self._api[0].intake = intake
        self._front_door = front_door = self._build_front_door(intake, security)
        self._tell_of(security)
        await front_door.start()
        stack.push_async_callback(front_door.stop)
        stack.push_async_callback(front_door.drain, _DRAIN_WITHIN_S)
        stack.callback(dispatcher.end_waits)
        stack.callback(status.drain)
        self.smtp_ports = dict(front_door.ports)
        self._collect_maildrop(intake)

    def _api_routes(self, spool: SqlSpool) -> Sequence[BaseRoute]:
        """The HTTP API, where somebody may use it; it takes letters once there is an intake."""
        settings, clock = self._settings, self._clock
        if settings.http.token is None:
            return ()
        from gateway.web.api import Api, Guard, api_routes  # noqa: PLC0415 (pydantic's models)

        api = Api(
            spool=spool,
            clock=clock,
            limits=Limits(limit_rules(settings), clock.monotonic),
            max_octets=settings.smtp.max_message_size,
            max_recipients=settings.smtp.max_recipients,
            accounts=accounts_in_step(settings),
        )
        guard = Guard(settings.http.token, clock.monotonic)
        self._api = api, guard
        return api_routes(api, guard)

    def _follow_suppressions(self, spool: SqlSpool) -> None:
        """See changes of the suppression list, have accounts told, act on what providers tell."""
        sync = SubscriptionSync(
            spool.suppressions, lambda: self._providers, self._clock, random.random
        )
        aftermath = Aftermath(
            spool,
            self._reporter,
            lambda: aftermath_rules(self._settings),
            clock=self._clock,
            emit=self._see,
            expect=self._dispatcher.expect,
        )
        for coroutine, name in (
            (self._suppressions.run(), "suppressions"),
            (sync.run(), "subscriptions"),
            (aftermath.run(), "aftermath"),
        ):
            self._background.append(asyncio.create_task(coroutine, name=name))

    async def stop(self) -> None:
        """Take no more letters, end what is under way, write everything down, close."""
        await self._stack.aclose()

    async def reload(self, settings: Settings) -> None:
        """
        Go on with other providers, routes, retries, bounces, users and certificates.

        So it does with tracking, suppression, webhooks of applications and the API's token.

        Letters on their way and sessions stay as they are.

        Providers whose settings are the same keep their connections and their pace. What else has
        changed needs a restart; the log says so.

        Raises:
            ConfigError: Users file or certificate cannot be used.
            ProviderConfigError: A provider cannot be built. Everything stays as it was, as it does
                after the other.
        """
        before = self._settings
        security = await asyncio.to_thread(load_security, settings)
        kept = {
            name: provider
            for name, provider in self._providers.items()
            if settings.providers.get(name) == before.providers[name]
        }
        self._providers = build_providers(settings, kept)
        self._settings = settings
        self.metrics.add_providers({n: given.kind for n, given in settings.providers.items()})
        self.metrics.add_routes(route.name for route in settings.effective_routes())
        self._planner.reconfigure(settings.effective_routes(), self._capabilities())
        self._reporter.reconfigure(report_rules(settings))
        self._suppressions.reconfigure(suppression_rules(settings))
        await self._dispatcher.reconfigure(
            self._providers,
            settings.retry.schedule(),
            timeouts(settings),
            slow_after(settings),
        )
        if self._tracking is not None:
            await self._tracking.reconfigure(settings, self._providers)
        self._applications.reconfigure(settings)
        if self._api is not None:
            api, guard = self._api
            api.accounts = accounts_in_step(settings)
            guard.reconfigure(settings.http.token)
        await self._front_door.secure(security)
        self._tell_of(security)
        restart = _in_need_of_restart(before, settings, has_api=self._api is not None)
        log.info("reloaded", providers=list(self._providers), kept=list(kept))
        if restart:
            log.warning("needs_restart", settings=restart)

    async def _close_providers(self) -> None:
        await asyncio.gather(*(provider.aclose() for provider in self._providers.values()))

    def _capabilities(self) -> dict[str, ProviderCapabilities]:
        return {name: provider.capabilities for name, provider in self._providers.items()}

    def _tell_of(self, security: Security) -> None:
        """Show until when the certificate holds, and what else is to be looked at."""
        self.metrics.set_certificate(security.tls.expires_at if security.tls else None)
        for gap in front_door_gaps(self._settings, security, self._clock.now()):
            log.warning("front_door_gap", reason=gap)
        for gap in route_gaps(self._settings, self._providers, security):
            log.warning("route_gap", reason=gap)
        for gap in report_gaps(self._settings, self._providers):
            log.warning("senders_not_told", reason=gap)

    async def _recover(self, spool: SqlSpool) -> None:
        now = self._clock.now()
        recovery = await spool.recover(now)
        for cut_short in recovery.cut_short:
            self._see(cut_short_event(cut_short, now))
        log.info("recovered", released=recovery.released, uncertain=len(recovery.cut_short))

    def _build_dispatcher(self, spool: SqlSpool) -> Dispatcher:
        settings = self._settings
        return Dispatcher(
            spool=spool,
            providers=self._providers,
            planner=self._planner,
            reporter=self._reporter,
            schedule=settings.retry.schedule(),
            timeouts=timeouts(settings),
            slow_after=slow_after(settings),
            clock=self._clock,
            chance=random.random,
            emit=self._see,
            throttled=self._throttled,
            circuit=circuit_rules(settings),
            suppressions=self._suppressions,
            limits=DispatcherLimits(
                window=settings.delivery.window,
                hand_off_octets=settings.delivery.hand_off_memory,
                renew_every_s=settings.spool.lease.total_seconds() / 5,
                # Whoever waits holds a connection; half of them are left to those who do not.
                verdicts=max(1, settings.smtp.max_connections // 2),
            ),
        )

    def _build_intake(self, spool: SqlSpool, dispatcher: Dispatcher) -> SpoolingIntake:
        return SpoolingIntake(
            spool=spool,
            planner=self._planner,
            hand_off=dispatcher,
            hostname=self._settings.hostname,
            clock=self._clock,
            emit=self._see,
            schedule_ahead=self._settings.delivery.schedule_ahead,
            duplicates_window=self._settings.duplicates.window,
            begin_trace=as_named if self._tracer is None else self._tracer.begin,
        )

    def _collect_maildrop(self, intake: SpoolingIntake) -> None:
        """Take what local programs left while nobody listened; ends with what runs beside."""
        settings = self._settings
        folder = settings.maildrop.place(settings.spool.url)
        if folder is None:
            return
        maildrop = Maildrop(
            folder=folder,
            intake=intake,
            max_octets=settings.smtp.max_message_size,
            max_recipients=settings.smtp.max_recipients,
            clock=self._clock,
            replied=SessionCounts(self.metrics).replied,
        )
        maildrop.make_ready()
        self._background.append(asyncio.create_task(maildrop.run(), name="maildrop"))

    def _build_front_door(self, intake: SpoolingIntake, security: Security) -> FrontDoor:
        return FrontDoor(
            front_door_rules(self._settings),
            intake,
            listener_specs(self._settings),
            SessionCounts(self.metrics),
            limits=limit_rules(self._settings),
            security=security,
            suppressions=self._suppressions,
        )

    def _see(self, event: Event) -> None:
        self.metrics.see(event)
        self._events.see(event)
        if self._tracking is not None:
            self._tracking.see(event)
        if self._tracer is not None:
            self._tracer.see(event)

    def _throttled(self, provider: str, seconds: float) -> None:
        self.metrics.throttled_seconds.labels(provider).inc(seconds)

    async def _purge(self, spool: SqlSpool) -> None:
        while True:
            try:
                forgotten = await spool.purge(self._clock.now() - self._settings.spool.retention)
                await forget_old(self._settings, spool, self._clock)
                log.debug("purged", letters=forgotten)
            except SpoolError as error:
                log.warning("not_purged", reason=error.reason)
            await self._clock.sleep(_PURGE_EVERY_S)

    async def _forget_marks(self, spool: SqlSpool) -> None:
        window = self._settings.duplicates.window
        while True:
            await self._clock.sleep(_FORGET_EVERY_S)
            try:
                await spool.forget_marks(self._clock.now() - window, MOST_MARKS)
            except SpoolError as error:
                log.warning("not_purged", reason=error.reason)

    async def _stop_background(self) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)


def _in_need_of_restart(before: Settings, after: Settings, *, has_api: bool) -> list[str]:
    """The sections whose changes a reload leaves out; an API that is not there needs a start."""
    reloaded = {
        "smtp": _RELOADED_OF_SMTP,
        "http": ("public_url", "token") if has_api else ("public_url",),
    }
    old = before.model_copy(
        update={
            section: getattr(before, section).model_copy(
                update={name: getattr(getattr(after, section), name) for name in names}
            )
            for section, names in reloaded.items()
        }
    )
    sections = (
        "hostname",
        "smtp",
        "http",
        "spool",
        "delivery",
        "duplicates",
        "maildrop",
        "log",
        "tracing",
    )
    return [name for name in sections if getattr(after, name) != getattr(old, name)]


def _tell_health(reason: str | None) -> None:
    if reason is None:
        log.info("spool_healthy")
    else:
        log.error("spool_unhealthy", reason=reason)
