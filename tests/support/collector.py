"""
An OpenTelemetry collector for tests: OTLP over HTTP on a real socket, answering by a script.

What comes is read by OTLP's own definition, strictly: an unknown field or a number where text
belongs fails the test that sent it.
"""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Script = Callable[[], Response]
_IDS = ("traceId", "spanId", "parentSpanId")


@dataclass
class Collector:
    """
    Takes spans; `script` holds answers for the requests to come, taken and `{}` after it.

    `held` is set while it answers; clear it, and requests hang.
    """

    script: deque[Script] = field(default_factory=deque)
    spans: list[Span] = field(default_factory=list)
    resources: list[dict[str, str]] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def take(self, request: Request) -> Response:
        document = await request.json()
        self.requests.append(dict(request.headers))
        self._changed.set()
        await self.held.wait()
        answer = self.script.popleft()() if self.script else Response("{}")
        if answer.status_code == 200:
            self._read(document)
        self._changed.set()
        return answer

    def _read(self, document: dict[str, Any]) -> None:
        for resource in document["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    # Of OTLP's JSON, ids alone differ from protobuf's: they are hexadecimal.
                    span |= {n: b64encode(bytes.fromhex(span[n])) for n in _IDS if n in span}
        for resource_spans in ParseDict(document, ExportTraceServiceRequest()).resource_spans:
            self.resources.append(attributes(resource_spans.resource))
            for scope_spans in resource_spans.scope_spans:
                self.spans += scope_spans.spans

    async def wait_until(
        self, enough: Callable[[Collector], bool], timeout_s: float = 60.0
    ) -> None:
        """Wait until what came is enough."""
        async with asyncio.timeout(timeout_s):
            while not enough(self):
                self._changed.clear()
                await self._changed.wait()


def attributes(of: Any) -> dict[str, Any]:
    """Attributes of a span or resource, by name."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in of.attributes}


@contextlib.asynccontextmanager
async def a_collector() -> AsyncIterator[Collector]:
    """A collector that listens, and takes all until told otherwise."""
    collector = Collector()
    collector.held.set()
    routes = [Route("/v1/traces", collector.take, methods=["POST"])]
    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=routes),
            port=0,
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=1,
        )
    )
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(60):
        while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)
    collector.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield collector
    finally:
        collector.held.set()
        server.should_exit = True
        await task
