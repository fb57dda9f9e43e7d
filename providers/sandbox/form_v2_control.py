"""
The control of the imitated v2 account, under `/_sandbox/v2`.

* `GET /_sandbox/v2` – lists, unsubscriptions, batches and quirks as they stand, and the calls by
  method.
* `PUT /_sandbox/v2/lists/{id}` – the addresses of a stored list, as a JSON object with `emails`.
* `POST /_sandbox/v2/statuses` – set the status of the letters to `recipient` to `status`, with an
  `error` if there is one.
* `PUT /_sandbox/v2/quirks` – the `quirks` in force from now on, as a list of names.
* `PUT /_sandbox/v2/pace` – `queued_s`, for how long a batch has no report; `stages`, pairs of
  seconds and status.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.sandbox.form_v2 import SandboxFormV2
from providers.sandbox.form_v2_answers import Quirk
from providers.sandbox.forms import UnreadableRequest, read_json


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _List(_Body):
    emails: list[str]


class _Status(_Body):
    recipient: str
    status: str
    error: str = ""


class _Quirks(_Body):
    quirks: set[Quirk]


class _Pace(_Body):
    queued_s: float | None = None
    stages: tuple[tuple[float, str], ...] | None = None


@dataclass(slots=True)
class V2Control:
    """The control interface to one account."""

    sandbox: SandboxFormV2

    def routes(self) -> list[Route]:
        """The methods, relative to `/_sandbox/v2`."""
        return [
            Route("/", self._show, methods=["GET"]),
            Route("/lists/{id:int}", self._put_list, methods=["PUT"]),
            Route("/statuses", self._set_status, methods=["POST"]),
            Route("/quirks", self._put_quirks, methods=["PUT"]),
            Route("/pace", self._put_pace, methods=["PUT"]),
        ]

    async def _show(self, _request: Request) -> Response:
        account = self.sandbox.account
        return JSONResponse(
            {
                "lists": account.lists,
                "unsubscribed": {email: sorted(x) for email, x in account.unsubscribed.items()},
                "batches": account.batches,
                "quirks": sorted(self.sandbox.quirks),
                "methods": self.sandbox.methods,
            }
        )

    async def _put_list(self, request: Request) -> Response:
        body = await _read(request, _List)
        if isinstance(body, Response):
            return body
        self.sandbox.account.lists[request.path_params["id"]] = body.emails
        return Response(status_code=204)

    async def _set_status(self, request: Request) -> Response:
        body = await _read(request, _Status)
        if isinstance(body, Response):
            return body
        found = self.sandbox.account.set_status(body.recipient, body.status, body.error)
        return JSONResponse({"letters": found}, 200 if found else 404)

    async def _put_quirks(self, request: Request) -> Response:
        body = await _read(request, _Quirks)
        if isinstance(body, Response):
            return body
        self.sandbox.quirks.clear()
        self.sandbox.quirks.update(body.quirks)
        return Response(status_code=204)

    async def _put_pace(self, request: Request) -> Response:
        body = await _read(request, _Pace)
        if isinstance(body, Response):
            return body
        account = self.sandbox.account
        if body.queued_s is not None:
            account.queued_s = body.queued_s
        if body.stages:
            account.stages = body.stages
        return Response(status_code=204)


async def _read(request: Request, model: type[Any]) -> Any:  # noqa: ANN401 - of the model's type
    """The body as a value of the model, or the answer that says what is wrong with it."""
    try:
        return model.model_validate(await read_json(request))
    except (UnreadableRequest, ValidationError) as error:
        return JSONResponse({"error": str(error)}, 400)
