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
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.sandbox.forms import UnreadableRequest, read_json
from providers.sandbox.rest_v1.dialect import Dialect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from providers.sandbox.rest_v1.account import SandboxRestV1

_DIALECT = TypeAdapter(Dialect)


class _Command(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Steps(_Command):
    steps: int = Field(default=1, ge=1, le=10_000)


class _Event(_Command):
    id: int
    event: str
    url: str = ""


class _Sending(_Command):
    copies: int = Field(default=1, ge=1, le=100)
    lost: int = Field(default=0, ge=0)
    held: bool = False


class _Release(_Command):
    order: Literal["kept", "reversed", "shuffled"] = "kept"
    seed: int = 0


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
        given = _Steps.model_validate(await _body(request))
        moved = [self.account.advance() for _ in range(given.steps)]
        return JSONResponse({"moved": moved})

    async def _event(self, request: Request) -> Response:
        given = _Event.model_validate(await _body(request))
        if given.id not in self.account.messages.found:
            raise UnreadableRequest(f"there is no letter {given.id}")
        self.account.messages.happen(given.id, given.event, given.url)
        return Response(status_code=204)

    async def _webhooks(self, _request: Request) -> Response:
        return JSONResponse([dataclasses.asdict(call) for call in self.account.sender.sent])

    async def _sending(self, request: Request) -> Response:
        given = _Sending.model_validate(await _body(request))
        for name in given.model_fields_set:
            setattr(self.account.sender, name, getattr(given, name))
        return Response(status_code=204)

    async def _release(self, request: Request) -> Response:
        given = _Release.model_validate(await _body(request))
        count = self.account.sender.release(given.order, given.seed)
        return JSONResponse({"sent": count})


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request; an empty one where there is no body."""
    return await read_json(request) if await request.body() else {}


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
