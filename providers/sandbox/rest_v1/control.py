"""
The imitated v1's own control interface under `/_sandbox/v1`, for other processes.

* `GET`, `PATCH /_sandbox/v1/dialect` – show or change habits (`dialect`).
* `POST /_sandbox/v1/advance` – one step for letters, imports and campaigns, or `{"steps": 3}`.
* `POST /_sandbox/v1/events` – `{"id": 5000000001, "event": "clicked", "url": "…"}`: something
  happens to a letter, and webhooks tell it; words that no document knows are told as they are.
* `GET /_sandbox/v1/webhooks` – what was sent and what was answered.
* `PATCH /_sandbox/v1/webhooks` – `copies`, `lost` and `held` of what is sent from now on.
* `POST /_sandbox/v1/webhooks/release` – send what was held; `{"order": "reversed", "seed": 0}`.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.sandbox.forms import UnreadableRequest, read_json
from providers.sandbox.rest_v1.dialect import Dialect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from providers.sandbox.rest_v1.account import SandboxRestV1

_MOST = 10_000
_DIALECT = TypeAdapter(Dialect)


@with_config(ConfigDict(extra="forbid"))
class _Steps(TypedDict, total=False):
    steps: int


@with_config(ConfigDict(extra="forbid"))
class _Event(TypedDict, total=False):
    id: int
    event: str
    url: str


@with_config(ConfigDict(extra="forbid"))
class _Sending(TypedDict, total=False):
    copies: int
    lost: int
    held: bool


@with_config(ConfigDict(extra="forbid"))
class _Release(TypedDict, total=False):
    order: Literal["kept", "reversed", "shuffled"]
    seed: int


@dataclasses.dataclass(slots=True)
class Control:
    """The control interface to one account."""

    account: SandboxRestV1

    def routes(self) -> list[Route]:
        """The methods, relative to `/_sandbox/v1`."""
        return [
            Route("/dialect", self._dialect, methods=["GET"]),
            Route("/dialect", _guarded(self._change_dialect), methods=["PATCH"]),
            Route("/advance", _guarded(self._advance), methods=["POST"]),
            Route("/events", _guarded(self._event), methods=["POST"]),
            Route("/webhooks", self._webhooks, methods=["GET"]),
            Route("/webhooks", _guarded(self._sending), methods=["PATCH"]),
            Route("/webhooks/release", _guarded(self._release), methods=["POST"]),
        ]

    async def _dialect(self, _request: Request) -> Response:
        return JSONResponse(dataclasses.asdict(self.account.dialect))

    async def _change_dialect(self, request: Request) -> Response:
        dialect = self.account.dialect
        habits = dataclasses.asdict(dialect)
        given = await read_json(request)
        if unknown := given.keys() - habits.keys():
            raise UnreadableRequest(f"there is no habit {', '.join(sorted(unknown))}")
        changed = _DIALECT.validate_python(habits | given)
        for name in habits:
            setattr(dialect, name, getattr(changed, name))
        return await self._dialect(request)

    async def _advance(self, request: Request) -> Response:
        given = await read_json(request) if await request.body() else {}
        steps = TypeAdapter(_Steps).validate_python(given).get("steps", 1)
        moved = [self.account.advance() for _ in range(min(steps, _MOST))]
        return JSONResponse({"moved": moved})

    async def _event(self, request: Request) -> Response:
        given = TypeAdapter(_Event).validate_python(await read_json(request))
        if "event" not in given or given.get("id") not in self.account.messages.found:
            raise UnreadableRequest("an event needs the id of a letter and a name")
        self.account.messages.happen(given["id"], given["event"], given.get("url", ""))
        return Response(status_code=204)

    async def _webhooks(self, _request: Request) -> Response:
        return JSONResponse([dataclasses.asdict(call) for call in self.account.sender.sent])

    async def _sending(self, request: Request) -> Response:
        given = TypeAdapter(_Sending).validate_python(await read_json(request))
        for name, value in given.items():
            setattr(self.account.sender, name, value)
        return Response(status_code=204)

    async def _release(self, request: Request) -> Response:
        body: dict[str, Any] = await read_json(request) if await request.body() else {}
        given = TypeAdapter(_Release).validate_python(body)
        count = self.account.sender.release(given.get("order", "kept"), given.get("seed", 0))
        return JSONResponse({"sent": count})


def _guarded(
    handler: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """What cannot be understood is a bad request, in one line."""

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            return JSONResponse({"error": f"{where}: {first['msg']}"}, 400)
        except UnreadableRequest as error:
            return JSONResponse({"error": str(error)}, 400)

    return endpoint
