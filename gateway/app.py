"""
The composition root: the only place that knows every class. Starts, drains, stops.

Order is the promise's: what keeps letters starts before what takes them, and stops after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import signal
from collections.abc import Callable, Mapping

import structlog
from prometheus_client import Counter

from gateway.clock import SystemClock
from gateway.config import Settings
from gateway.delivery.dispatcher import Dispatcher, DispatcherLimits, cut_short_event
from gateway.delivery.report_rules import ReportRules, gaps, mta_name
from gateway.delivery.reporter import Reporter
from gateway.domain.events import Event
from gateway.errors import ConfigError, SpoolError
from gateway.ingress import replies
from gateway.ingress.intake import SpoolingIntake
from gateway.ingress.policy import FrontDoorRules
from gateway.ingress.server import FrontDoor, ListenerSpec
from gateway.ingress.submission import Reply
from gateway.observe.log import EventLog
from gateway.observe.metrics import Metrics
from gateway.observe.status import Status
from gateway.planner import Planner
from gateway.spool.batcher import OnCommit, OnHealth
from gateway.spool.store import SqlSpool
from gateway.web.server import WebServer, build_app
from providers.contract.address import parse_address
from providers.contract.capabilities import ProviderCapabilities
from providers.contract.errors import ProviderConfigError
from providers.contract.provider import ProbeResult, Provider
from providers.registry import PROVIDERS
from providers.settings import ProviderSettings

log = structlog.get_logger("gateway")

_DRAIN_WITHIN_S = 20.0
_PURGE_EVERY_S = 600.0


def build_providers(
    settings: Settings, kept: Mapping[str, Provider] | None = None
) -> dict[str, Provider]:
    """
    The configured providers by name, in the order written; no connection is made.

    Args:
        settings: The configuration.
        kept: Providers that run already and whose settings are the same: they are taken over.

    Raises:
        ProviderConfigError: Settings that only turn out wrong when used, as a missing CA file.
    """
    clock, running = SystemClock(), kept or {}
    return {
        name: running.get(name)
        or PROVIDERS[given.kind].build(name, _introduced(given, settings.hostname), clock)
        for name, given in settings.providers.items()
    }


def _introduced(given: ProviderSettings, hostname: str) -> ProviderSettings:
    """The same settings, with our name where they ask for one and the operator gave none."""
    if "hostname" in type(given).model_fields and "hostname" not in given.model_fields_set:
        return given.model_copy(update={"hostname": hostname})
    return given


async def probe_all(settings: Settings) -> dict[str, ProbeResult]:
    """Ask every provider whether it is there and takes our credentials; nothing is sent."""
    providers = build_providers(settings)
    try:
        results = await asyncio.gather(*(provider.probe() for provider in providers.values()))
    finally:
        await asyncio.gather(*(provider.aclose() for provider in providers.values()))
    return dict(zip(providers, results, strict=True))


def report_rules(settings: Settings) -> ReportRules:
    """How senders are told, as plain values."""
    bounces = settings.bounces
    hosts = {name: getattr(given, "host", "") for name, given in settings.providers.items()}
    return ReportRules(
        hostname=settings.hostname,
        from_=parse_address(bounces.from_) if bounces.from_ else None,
        delay_warning=bounces.delay_warning,
        return_octets=bounces.return_content,
        postmaster=parse_address(bounces.postmaster) if bounces.postmaster else None,
        per_sender=bounces.per_sender,
        total=bounces.total,
        remote_mtas={name: mta_name(host) for name, host in hosts.items() if host},
    )


def report_gaps(settings: Settings, providers: Mapping[str, Provider]) -> tuple[str, ...]:
    """Why reports may never reach their senders, a line for each thing to mend."""
    capabilities = {name: provider.capabilities for name, provider in providers.items()}
    return gaps(settings.effective_routes(), capabilities, report_rules(settings))


async def open_spool(
    settings: Settings,
    *,
    exclusive: bool,
    on_commit: OnCommit | None = None,
    on_health: OnHealth | None = None,
) -> SqlSpool:
    """
    The configured spool; `exclusive` is for the daemon, commands look in beside it.

    Raises:
        SpoolError: It cannot be opened, is not ours, or another daemon has it.
    """
    return await SqlSpool.open(
        settings.spool.url,
        password=settings.spool.password,
        clock=SystemClock(),
        uncertain_after=settings.retry.uncertain_after,
        lease=settings.spool.lease,
        exclusive=exclusive,
        on_commit=on_commit,
        on_health=on_health,
    )


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
        self._stack = contextlib.AsyncExitStack()
        self.metrics = Metrics(
            providers={name: given.kind for name, given in settings.providers.items()},
            listeners=[listener.name for listener in settings.smtp.listeners],
            reply_reasons=replies.REASONS,
        )
        self._providers: dict[str, Provider] = {}
        self.smtp_ports: dict[str, int] = {}
        self.http_port = 0

    async def start(self) -> None:
        """
        Start everything, what keeps letters first.

        Raises:
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
        )
        web = WebServer(
            build_app(self.metrics, status), host=settings.http.host, port=settings.http.port
        )
        await web.start()
        stack.push_async_callback(web.stop)
        self.http_port = web.port
        self._planner = Planner(settings.effective_routes(), self._capabilities())
        self._reporter = Reporter(
            report_rules(settings), self._planner, spool.new_queue_id, self._clock
        )
        self._warn_of_report_gaps()
        self._dispatcher = dispatcher = self._build_dispatcher(spool)
        await dispatcher.start()
        stack.push_async_callback(dispatcher.drain, _DRAIN_WITHIN_S)
        self._background.append(asyncio.create_task(self._purge(spool), name="purge"))
        stack.push_async_callback(self._stop_background)
        front_door = self._front_door(spool, dispatcher)
        await front_door.start()
        stack.push_async_callback(front_door.stop)
        stack.push_async_callback(front_door.drain, _DRAIN_WITHIN_S)
        stack.callback(status.drain)
        self.smtp_ports = dict(front_door.ports)

    async def stop(self) -> None:
        """Take no more letters, end what is under way, write everything down, close."""
        await self._stack.aclose()

    async def reload(self, settings: Settings) -> None:
        """
        Go on with other providers, routes, retries and bounces; letters on their way stay there.

        Providers whose settings are the same keep their connections and their pace. What else has
        changed needs a restart; the log says so.

        Raises:
            ProviderConfigError: A provider cannot be built; everything stays as it was.
        """
        before = self._settings
        kept = {
            name: provider
            for name, provider in self._providers.items()
            if settings.providers.get(name) == before.providers[name]
        }
        self._providers = build_providers(settings, kept)
        self._settings = settings
        self.metrics.add_providers({n: given.kind for n, given in settings.providers.items()})
        self._planner.reconfigure(settings.effective_routes(), self._capabilities())
        self._reporter.reconfigure(report_rules(settings))
        await self._dispatcher.reconfigure(
            self._providers, settings.retry.schedule(), _timeouts(settings)
        )
        restart = [
            name
            for name in ("hostname", "smtp", "http", "spool", "delivery", "log")
            if getattr(settings, name) != getattr(before, name)
        ]
        log.info("reloaded", providers=list(self._providers), kept=list(kept))
        self._warn_of_report_gaps()
        if restart:
            log.warning("needs_restart", settings=restart)

    async def _close_providers(self) -> None:
        await asyncio.gather(*(provider.aclose() for provider in self._providers.values()))

    def _capabilities(self) -> dict[str, ProviderCapabilities]:
        return {name: provider.capabilities for name, provider in self._providers.items()}

    def _warn_of_report_gaps(self) -> None:
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
            timeouts=_timeouts(settings),
            clock=self._clock,
            chance=random.random,
            emit=self._see,
            throttled=self._throttled,
            limits=DispatcherLimits(
                window=settings.delivery.window,
                hand_off_octets=settings.delivery.hand_off_memory,
                renew_every_s=settings.spool.lease.total_seconds() / 5,
            ),
        )

    def _front_door(self, spool: SqlSpool, dispatcher: Dispatcher) -> FrontDoor:
        smtp = self._settings.smtp
        intake = SpoolingIntake(
            spool=spool,
            planner=self._planner,
            hand_off=dispatcher,
            hostname=self._settings.hostname,
            clock=self._clock,
            emit=self._see,
        )
        rules = FrontDoorRules(
            hostname=self._settings.hostname,
            networks=tuple(ipaddress.ip_network(text) for text in smtp.networks),
            max_message_size=smtp.max_message_size,
            max_recipients=smtp.max_recipients,
            max_connections=smtp.max_connections,
            max_memory=smtp.max_memory,
            command_timeout_s=smtp.command_timeout.total_seconds(),
            data_timeout_s=smtp.data_timeout.total_seconds(),
        )
        specs = tuple(ListenerSpec(x.name, x.host, x.port) for x in smtp.listeners)
        return FrontDoor(rules, intake, specs, _SessionCounts(self.metrics))

    def _see(self, event: Event) -> None:
        self.metrics.see(event)
        self._events.see(event)

    def _throttled(self, provider: str, seconds: float) -> None:
        self.metrics.throttled_seconds.labels(provider).inc(seconds)

    async def _purge(self, spool: SqlSpool) -> None:
        while True:
            try:
                forgotten = await spool.purge(self._clock.now() - self._settings.spool.retention)
                log.debug("purged", letters=forgotten)
            except SpoolError as error:
                log.warning("not_purged", reason=error.reason)
            await self._clock.sleep(_PURGE_EVERY_S)

    async def _stop_background(self) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)


class _SessionCounts:
    """What SMTP sessions do, as metrics; a letter has five replies, so their series are kept."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._series: dict[tuple[str, int, str], Counter] = {}

    def connected(self, listener: str) -> None:
        self._metrics.smtp_sessions.labels(listener).inc()
        self._metrics.smtp_connections.labels(listener).inc()

    def disconnected(self, listener: str) -> None:
        self._metrics.smtp_connections.labels(listener).dec()

    def replied(self, listener: str, reply: Reply) -> None:
        key = (listener, reply.code // 100, reply.reason)
        series = self._series.get(key)
        if series is None:
            labels = (listener, f"{key[1]}xx", reply.reason)
            series = self._series[key] = self._metrics.smtp_replies.labels(*labels)
        series.inc()


def _tell_health(reason: str | None) -> None:
    if reason is None:
        log.info("spool_healthy")
    else:
        log.error("spool_unhealthy", reason=reason)


def _timeouts(settings: Settings) -> dict[str, float]:
    return {name: given.timeout.total_seconds() for name, given in settings.providers.items()}


async def run_until_stopped(
    settings: Settings,
    *,
    started: Callable[[Gateway], None] | None = None,
    read_again: Callable[[], Settings] | None = None,
) -> None:
    """
    Run a gateway in this loop until SIGTERM or SIGINT, then drain; SIGHUP reloads.

    Args:
        settings: Its configuration.
        started: Called when letters can come in.
        read_again: Reads the configuration anew; may raise `ConfigError`, and nothing changes then.

    Raises:
        SpoolError, ProviderConfigError, OSError: It cannot start; see `Gateway.start`.
    """
    stop, hang_up = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hang_up.set)
    gateway = Gateway(settings)
    await gateway.start()
    log.info("started", smtp=gateway.smtp_ports, http=gateway.http_port)
    if started is not None:
        started(gateway)
    reloading = asyncio.create_task(_reload_on(hang_up, gateway, read_again), name="reload")
    await stop.wait()
    reloading.cancel()
    log.info("draining")
    await gateway.stop()
    log.info("stopped")


async def _reload_on(
    hang_up: asyncio.Event, gateway: Gateway, read_again: Callable[[], Settings] | None
) -> None:
    while True:
        await hang_up.wait()
        hang_up.clear()
        if read_again is None:
            continue
        try:
            await gateway.reload(await asyncio.to_thread(read_again))
        except ConfigError as error:
            log.warning("not_reloaded", problems=list(error.problems))
        except ProviderConfigError as error:
            log.warning("not_reloaded", problems=[str(error)])
