"""
`python -m bench.http`: requests a second of the HTTP providers, on one core.

    call      the client alone: a request of 4 KiB and its answer
    rest_v1   a letter of 4 KiB through the v1 adapter: taken apart, JSON, call, outcome
    form_v2   the same through the v2 adapter, one letter in a request

All against a bare server in a process of its own, over as many connections as there are requests
under way. What counts is the processor time of this process alone: requests a second that one core
can do. The best of the rounds is told: whatever else runs only makes it slower. The bar is 1,500.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from asyncio.subprocess import PIPE, create_subprocess_exec
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from email.message import EmailMessage
from email.policy import SMTP

import uvloop

from bench.workloads import KIB
from gateway.clock import SystemClock
from providers.contract.address import parse_address
from providers.contract.envelope import Envelope, Recipient
from providers.contract.message import Message
from providers.contract.outcome import DeliveryRequest, Kind
from providers.http.client import HttpClient
from providers.http.exchange import HttpAnswer, HttpRequest
from providers.mime import needs_from
from providers.registry import PROVIDERS

BAR = 1500
AT_ONCE = (1, 16, 64)
_WITHIN_S = 60.0

Ask = Callable[[], Awaitable[bool]]
"""Makes one request; whether it succeeded."""


def main() -> int:
    """Run the rounds and print a table; 1 when a request failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.http", description=__doc__)
    parser.add_argument("--reps", type=int, default=3, help="rounds of each (default: 3)")
    parser.add_argument("--requests", type=int, default=2000, help="in a round (default: 2000)")
    parser.add_argument("--only", action="append", choices=KINDS, help="only this one")
    options = parser.parse_args()
    return uvloop.run(_compare(options.only or tuple(KINDS), options.reps, options.requests))


async def _compare(kinds: tuple[str, ...], reps: int, requests: int) -> int:
    server = await create_subprocess_exec(sys.executable, "-m", "bench.http_server", stdout=PIPE)
    try:
        assert server.stdout is not None
        port = int(await server.stdout.readline())
        failed = 0
        print(f"{'':10}{'at once':>8}{'requests/s':>12}{'per core':>10}{'us':>8}   bar {BAR}")
        for kind in kinds:
            for at_once in AT_ONCE:
                rounds = [await _round(kind, port, at_once, requests) for _ in range(reps)]
                failed += sum(lost for *_, lost in rounds)
                took = min(took for took, *_ in rounds)
                cpu = min(cpu for _, cpu, _ in rounds)
                met = "met" if requests / cpu >= BAR else "MISSED"
                print(
                    f"{kind:10}{at_once:8}{requests / took:12.0f}{requests / cpu:10.0f}"
                    f"{1e6 * cpu / requests:8.0f}   {met}"
                )
        if failed:
            print(f"{failed} requests failed")
        return int(bool(failed))
    finally:
        server.terminate()
        await server.wait()


async def _round(kind: str, port: int, at_once: int, requests: int) -> tuple[float, float, int]:
    """Seconds, processor seconds and failures of so many requests, the connections made before."""
    async with AsyncExitStack() as stack:
        ask = KINDS[kind](f"http://127.0.0.1:{port}", at_once, stack)
        await asyncio.gather(*(ask() for _ in range(at_once)))
        numbers = iter(range(requests))
        failed = 0

        async def one_after_the_other() -> None:
            nonlocal failed
            for _ in numbers:
                failed += not await ask()

        began, before = time.perf_counter(), time.process_time()
        await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
        return time.perf_counter() - began, time.process_time() - before, failed


def _call(url: str, at_once: int, stack: AsyncExitStack) -> Ask:
    """The client, which every adapter has."""
    clock = SystemClock()
    client = HttpClient((url,), connections=at_once, clock=clock, secret="not-a-real-secret")
    stack.push_async_callback(client.aclose)
    request = HttpRequest("POST", "/", (("Content-Type", "text/plain"),), b"x" * 4 * KIB)

    async def ask() -> bool:
        answer = await client.call(request, deadline=clock.monotonic() + _WITHIN_S)
        return isinstance(answer, HttpAnswer) and answer.status == 200

    return ask


def _letters(kind: str) -> Callable[[str, int, AsyncExitStack], Ask]:
    """A provider of a kind, asked to deliver one letter again and again."""

    def build(url: str, at_once: int, stack: AsyncExitStack) -> Ask:
        adapter, clock = PROVIDERS[kind], SystemClock()
        settings = adapter.settings(
            **dict(adapter.example) | {"base_url": url, "connections": at_once, "rate": "100000/s"}
        )
        provider = adapter.build(kind, settings, clock)
        stack.push_async_callback(provider.aclose)
        request = _letter()

        async def ask() -> bool:
            deadline = clock.monotonic() + _WITHIN_S
            report = await provider.deliver(request, deadline=deadline)
            return all(outcome.kind is Kind.ACCEPTED for outcome in report.outcomes.values())

        return ask

    return build


def _letter() -> DeliveryRequest:
    """Text and HTML, 4 KiB in all, as shops and forums send them."""
    letter = EmailMessage(policy=SMTP)
    letter["From"] = "Shop <shop@example.com>"
    letter["To"] = "bob@example.org"
    letter["Subject"] = "Order 77"
    letter["Message-ID"] = "<order-77@example.com>"
    letter.set_content("Thank you for your order.\n" * 50)
    letter.add_alternative("<p>Thank you for your order.</p>\n" * 50, subtype="html")
    sender, recipient = parse_address("shop@example.com"), parse_address("bob@example.org")
    envelope = Envelope(sender, (Recipient(0, recipient),))
    content = letter.as_bytes()
    return DeliveryRequest("Q0001", envelope, Message(content, needs_from(content, envelope)))


KINDS: dict[str, Callable[[str, int, AsyncExitStack], Ask]] = {
    "call": _call,
    "rest_v1": _letters("rest_v1"),
    "form_v2": _letters("form_v2"),
}

if __name__ == "__main__":
    sys.exit(main())
