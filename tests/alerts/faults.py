"""
What is done to a gateway so that an alert has to fire: a scene for each.

A scene is prepared up to its `yield`; behind that comes the trouble, which lasts until the scene's
place is left. Each has a gateway and a sandbox of its own, so that all of them run at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import smtplib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench.ports import free_port
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.server import Sandbox
from tests.crash.disk import filled, small_disk
from tests.e2e.clients import by_smtplib
from tests.e2e.gateway_process import GatewayProcess, rest_v1, smarthost
from tests.support.certificates import make_certificate

_MIB = 1 << 20
_SECRET = "not-to-be-guessed-0123456789"
_SENDER = "app@example.com"


@dataclass
class Place:
    """Where a scene plays; `port` is its gateway's HTTP side, which Prometheus scrapes."""

    folder: Path
    stack: AsyncExitStack
    sandbox: Sandbox
    port: int = field(default_factory=free_port)
    made: GatewayProcess | None = None

    @property
    def started(self) -> bool:
        """Whether its gateway runs already."""
        return self.made is not None and self.made.started

    def gateway(self, providers: dict[str, dict[str, Any]], **config: Any) -> GatewayProcess:
        """One that is not started yet; it ends with the scene."""
        http = {"host": "127.0.0.1", "port": self.port} | config.pop("http", {})
        made = self.made = GatewayProcess(self.folder, providers, http=http, **config)

        async def end() -> None:
            if made.started:
                await made.stop()

        self.stack.push_async_callback(end)
        return made


Play = Callable[[Place], AsyncIterator[None]]


@dataclass(frozen=True, slots=True)
class Scene:
    """The alerts that it raises, what is done in the words of the page, and how."""

    alerts: tuple[str, ...]
    words: str
    play: Play


SCENES: list[Scene] = []


def _raises(*alerts: str, by: str) -> Callable[[Play], Play]:
    def scene(play: Play) -> Play:
        SCENES.append(Scene(alerts, by, play))
        return play

    return scene


async def _send(gateway: GatewayProcess, count: int) -> None:
    for number in range(count):
        letter = f"From: {_SENDER}\r\nSubject: Letter {number}\r\n\r\nHello\r\n".encode()
        await by_smtplib(gateway.smtp_port, _SENDER, [f"r{number}@example.org"], letter)


@_raises("MailquayDown", by="the gateway is stopped")
async def _down(place: Place) -> AsyncIterator[None]:
    gateway = place.gateway({"main": smarthost(place.sandbox)})
    await gateway.start()
    yield
    await gateway.stop()


@_raises("MailquaySpoolNearlyFull", by="its disk of 600 MiB is filled up to 450 MiB")
async def _nearly_full(place: Place) -> AsyncIterator[None]:
    disk = place.stack.enter_context(small_disk(place.folder, 600 * _MIB))
    spool = {"url": f"sqlite:///{disk}/spool.db"}
    await place.gateway({"main": smarthost(place.sandbox)}, spool=spool).start()
    yield
    with (disk / "ballast").open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, 150 * _MIB)


@_raises("MailquayNotReady", by="its disk is filled to the last octet")
async def _full(place: Place) -> AsyncIterator[None]:
    disk = place.stack.enter_context(small_disk(place.folder, 16 * _MIB))
    spool = {"url": f"sqlite:///{disk}/spool.db"}
    gateway = place.gateway({"main": smarthost(place.sandbox)}, spool=spool)
    await gateway.start()
    yield
    place.stack.enter_context(filled(disk))
    while (await gateway.get("/readyz")).status_code == httpx.codes.OK:
        with contextlib.suppress(AssertionError, smtplib.SMTPException):
            await _send(gateway, 1)  # refused from some moment on, which is what is waited for


@_raises(
    "MailquayNothingFlows",
    "MailquayOldestDueTooOld",
    by="its only provider reads letters and never answers, with a window of two letters",
)
async def _hung(place: Place) -> AsyncIterator[None]:
    provider = smarthost(place.sandbox, connections=1, timeout="10m")
    gateway = place.gateway({"main": provider}, delivery={"window": 2})
    await gateway.start()
    yield
    place.sandbox.faults.add(Fault(FaultKind.HANG, "smarthost", times=None))
    await _send(gateway, 20)


@_raises(
    "MailquayProviderDown",
    "MailquayProviderCircuitOpen",
    by="nobody listens where its provider should be",
)
async def _unreachable(place: Place) -> AsyncIterator[None]:
    provider = smarthost(place.sandbox) | {"port": free_port()}
    gateway = place.gateway({"main": provider})
    await gateway.start()
    yield
    await _send(gateway, 10)


@_raises("MailquayThrottledLong", by="200 letters for an account of one a second")
async def _throttled(place: Place) -> AsyncIterator[None]:
    gateway = place.gateway({"rest": rest_v1(place.sandbox, rate="1/s")})
    await gateway.start()
    yield
    await _send(gateway, 200)


@_raises(
    "MailquayUncertainLetters", by="its provider takes letters and answers what nobody can read"
)
async def _uncertain(place: Place) -> AsyncIterator[None]:
    routes = [{"name": "default", "providers": ["rest"], "on_uncertain": "hold"}]
    gateway = place.gateway({"rest": rest_v1(place.sandbox, rate="200/s")}, routes=routes)
    await gateway.start()
    yield
    place.sandbox.faults.add(Fault(FaultKind.GARBAGE, "rest_v1", times=None))
    await _send(gateway, 40)


@_raises("MailquayFailuresHigh", by="its provider refuses every recipient for good")
async def _failures(place: Place) -> AsyncIterator[None]:
    gateway = place.gateway({"main": smarthost(place.sandbox)})
    await gateway.start()
    yield
    place.sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", times=None))
    await _send(gateway, 40)


@_raises(
    "MailquayBouncesHigh",
    "MailquayComplaintsHigh",
    by="webhooks tell of 25 bounces and 35 deliveries, and 5 complaints among these",
)
async def _aftermath(place: Place) -> AsyncIterator[None]:
    provider = rest_v1(place.sandbox, rate="1000/s", webhook_secret=_SECRET, poll="0s")
    gateway = place.gateway({"rest": provider})
    await gateway.start()
    await _send(gateway, 60)
    await place.sandbox.letterbox.wait_until(lambda box: len(box.letters) == 60, timeout_s=60)
    yield
    url = f"http://127.0.0.1:{place.port}/webhooks/rest/{_SECRET}"
    words = ["hard_bounced"] * 25 + ["delivered"] * 35
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        for number, letter in enumerate(place.sandbox.letterbox.letters):
            told = [words[number], *(["complained"] if number >= 55 else [])]
            for word in told:
                event = {"message_id": letter.provider_message_id, "event": word, "timestamp": 1}
                (await client.post(url, json=event)).raise_for_status()


@_raises("MailquayWebhooksMissing", by="the account at which a webhook is to be registered is away")
async def _webhooks(place: Place) -> AsyncIterator[None]:
    away = {"base_url": f"http://127.0.0.1:{free_port()}/v1", "webhook_secret": _SECRET}
    public = {"public_url": f"http://127.0.0.1:{place.port}"}
    gateway = place.gateway({"rest": rest_v1(place.sandbox) | away}, http=public)
    yield
    await gateway.start()


@_raises(
    "MailquayLedgerOutOfBalance", by="one more accepted recipient is written into its database"
)
async def _ledger(place: Place) -> AsyncIterator[None]:
    gateway = place.gateway({"main": smarthost(place.sandbox)})
    await gateway.start()
    await _send(gateway, 3)
    await gateway.wait_for_metric(3, "mailquay_recipients", state="handed_over")
    yield
    await gateway.stop()
    _write(place, "UPDATE tally SET n = n + 1 WHERE name = 'accepted'")
    await gateway.start()


@_raises("MailquayLetterCorrupt", by="a waiting letter's record is damaged in its database")
async def _corrupt(place: Place) -> AsyncIterator[None]:
    gateway = place.gateway({"main": smarthost(place.sandbox) | {"port": free_port()}})
    await gateway.start()
    await _send(gateway, 1)
    await gateway.wait_for_metric(1, "mailquay_recipients", state="waiting")
    yield
    await gateway.stop()
    _write(place, "UPDATE recipient SET forward_path = '@'")
    await gateway.start()


@_raises("MailquayRestarts", by="the gateway is killed and started three times")
async def _restarts(place: Place) -> AsyncIterator[None]:
    gateway = place.gateway({"main": smarthost(place.sandbox)})
    await gateway.start()
    yield
    for _ in range(3):
        await gateway.kill()
        await gateway.start()
        await asyncio.sleep(2.5)  # the trouble's own rhythm: each is seen by two scrapes


@_raises("MailquayCertificateExpiring", by="its certificate is good for two days")
async def _certificate(place: Place) -> AsyncIterator[None]:
    made = make_certificate(place.folder)
    listener = {"name": "app", "host": "127.0.0.1", "port": 0, "tls": "starttls"}
    smtp = {
        "listeners": [listener],
        "certificate": str(made.certificate),
        "private_key": str(made.key),
    }
    gateway = place.gateway({"main": smarthost(place.sandbox)}, smtp=smtp)
    yield
    await gateway.start()


def _write(place: Place, statement: str) -> None:
    """Into the database of a gateway that is stopped."""
    with contextlib.closing(sqlite3.connect(place.folder / "spool.db")) as connection:
        changed = connection.execute(statement).rowcount
        connection.commit()
    assert changed >= 1
