"""
A gateway's day in a few minutes: mail that comes and goes in waves, and what goes wrong beside it.

Made so that nearly every panel of the boards has something to show. Load and faults only; who looks
at the metrics is somebody else's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import random
import smtplib
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.ports import free_port
from gateway.ingress.credentials import HASHER
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.server import Sandbox
from tests.e2e.gateway_process import GatewayProcess, form_v2, rest_v1, smarthost
from tests.support.certificates import Certificate, make_certificate

_CLIENTS = 6
_PEOPLE = 500
_SUSPICIOUS = ssl.create_default_context()  # trusts no certificate of ours
_PASSWORD = "not-a-password"
_SECRET = "not-to-be-guessed-0123456789"
_SENDERS = ("shop@example.com", "alerts@example.com", "news@example.com")
_SIZES = (600, 2_000, 4_000, 30_000, 200_000)
_LIVES = (
    ("delivered",),
    ("delivered", "opened"),
    ("delivered", "opened", "clicked"),
    ("soft_bounced", "delivered"),
    ("hard_bounced",),
    ("delivered", "complined"),
)
_LIKELY = (10, 6, 3, 2, 1, 1)

TROUBLE: tuple[tuple[float, Fault], ...] = (
    (0.15, Fault(FaultKind.THROTTLE, "rest_v1", times=6, retry_after_s=2.0)),
    (0.30, Fault(FaultKind.DEFER, "smarthost", times=30)),
    (0.40, Fault(FaultKind.UNAUTHORISED, "form_v2", times=4)),
    (0.50, Fault(FaultKind.DROP_AFTER, "smarthost", times=3)),
    (0.60, Fault(FaultKind.ERROR, "rest_v1", times=15)),
)
"""When in the day, as a part of it, which fault begins."""


@dataclass
class Day:
    """A gateway with three providers, and its clients."""

    gateway: GatewayProcess
    sandbox: Sandbox
    certificate: Certificate
    chance: random.Random

    async def pass_in(self, seconds: float) -> None:
        """Live through it; every client has its last reply when it is over."""
        began = time.monotonic()
        self.sandbox.faults.add(Fault(FaultKind.REFUSE, recipient="nobody", times=None))
        numbers = itertools.count(1)
        async with asyncio.TaskGroup() as group:
            for _ in range(_CLIENTS):
                group.create_task(self._client(began, seconds, numbers))
            group.create_task(self._trouble(seconds))
            group.create_task(self._platform(began, seconds))

    async def _client(self, began: float, seconds: float, numbers: itertools.count[int]) -> None:
        while (gone := time.monotonic() - began) < seconds:
            with contextlib.suppress(smtplib.SMTPException, ssl.SSLError):
                await asyncio.to_thread(self._send, next(numbers))
            busy = 0.55 + 0.45 * math.sin(gone / seconds * 3 * math.pi)
            await asyncio.sleep(self.chance.uniform(0.05, 0.15) / max(0.1, busy))

    def _send(self, number: int) -> None:
        sender = self.chance.choice(_SENDERS)
        to = (
            f"nobody{number}@example.org"
            if number % 40 == 0
            else f"r{number % _PEOPLE}@example.org"
        )
        body = "x" * 70 + "\r\n"
        lines = self.chance.choices(_SIZES, (8, 8, 4, 2, 1))[0] // len(body)
        # Now and then one that needs repair: no Date, a line that is too long.
        long = "y" * 1200 + "\r\n" if number % 25 == 0 else ""
        date = "" if number % 15 == 0 else "Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
        priority = "X-Mailquay-Priority: high\r\n" if number % 9 == 0 else ""
        letter = (
            f"From: {sender}\r\nTo: {to}\r\nSubject: Order {number}\r\n{date}"
            f"Message-ID: <{number}@shop.example.com>\r\n{priority}\r\n"
            f"{long}{body * lines}"
        )
        listener = "office" if number % 3 == 0 else "app"
        with smtplib.SMTP("127.0.0.1", self.gateway.smtp_ports[listener], timeout=30) as client:
            if listener == "office":
                trusts = number % 75 != 0
                client.starttls(
                    context=self.certificate.client_context() if trusts else _SUSPICIOUS
                )
                client.login("shop", "wrong" if number % 60 == 0 else _PASSWORD)
            if number % 50 == 0:
                client.docmd("MAIL", "FROM:<not an address")
            client.sendmail(sender, to, letter)
            if number % 70 == 0:
                client.sendmail(sender, to, letter)  # an application that is not sure

    async def _trouble(self, seconds: float) -> None:
        before = 0.0
        for when, fault in TROUBLE:
            await asyncio.sleep((when - before) * seconds)
            before = when
            self.sandbox.faults.add(fault)

    async def _platform(self, began: float, seconds: float) -> None:
        """What the platforms learn of letters after they took them."""
        account, lived = self.sandbox.rest_v1, 0
        while time.monotonic() - began < seconds:
            await asyncio.sleep(1.0)
            found = list(account.messages.found)
            for message_id in found[lived:]:
                for word in self.chance.choices(_LIVES, _LIKELY)[0]:
                    account.messages.happen(message_id, word)
            lived = len(found)


@asynccontextmanager
async def a_day(folder: Path) -> AsyncIterator[Day]:
    """A sandbox and a gateway before it, both at work."""
    certificate = make_certificate(folder)
    users = folder / "users"
    users.write_text(f"shop:{HASHER.hash(_PASSWORD)}:@example.com\n", encoding="utf-8")
    port = free_port()
    sandbox = Sandbox()
    await sandbox.start()
    try:
        webhooks = {"webhook_secret": _SECRET, "poll": "2s"}
        gateway = GatewayProcess(
            folder,
            {
                "main": smarthost(sandbox),
                "rest": rest_v1(sandbox, rate="40/s", **webhooks),
                "bulk": form_v2(sandbox, rate="10/s", poll="2s"),
            },
            routes=[
                {"name": "shop", "when": {"sender": _SENDERS[0]}, "providers": ["main", "rest"]},
                {"name": "alerts", "when": {"sender": _SENDERS[1]}, "providers": ["rest", "main"]},
                {"name": "news", "providers": ["bulk"]},
            ],
            smtp={
                "listeners": [
                    {"name": "app", "host": "127.0.0.1", "port": 0},
                    {"name": "office", "host": "127.0.0.1", "port": 0, "auth": "required"}
                    | {"tls": "required"},
                ],
                "certificate": str(certificate.certificate),
                "private_key": str(certificate.key),
                "users_file": str(users),
                "auth_delay": "10ms",
                "auth_failures": 1000,  # they all come from one address
            },
            http={"host": "127.0.0.1", "port": port, "public_url": f"http://127.0.0.1:{port}"},
            tracking={"poll_longest": "5s", "look_up_after": "1s"},
            bounces={"from": "postmaster@example.com"},
            retry={"first": "2s", "longest": "10s", "uncertain_after": "10s"},
        )
        await gateway.start()
        try:
            yield Day(gateway, sandbox, certificate, random.Random(7))
        finally:
            await gateway.stop()
    finally:
        await sandbox.stop()
