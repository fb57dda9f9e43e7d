"""
The sandbox's own interface under `/_sandbox`: what arrived, what shall go wrong.

For tests and the demonstration in other processes; in the same process one uses the `Letterbox` and
the `FaultPlan` themselves.

* `GET /_sandbox/letters` – the letters as JSON, octets in base64. `provider` and `recipient` choose
  some (the recipient by a piece of the address); `wait=N` waits until there are N of them, for at
  most `timeout` seconds (10), then answers 408 with those there are.
* `DELETE /_sandbox/letters` – forget them.
* `GET /_sandbox/calls` – number of calls by provider.
* `GET`, `POST`, `DELETE /_sandbox/faults` – show the plan; add one `Fault` as a JSON object; clear.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.sandbox.faults import Fault, FaultPlan
from providers.sandbox.forms import UnreadableRequest, read_json
from providers.sandbox.letterbox import Letterbox, ReceivedLetter

_FAULT = TypeAdapter(Fault)
_FAULT_KEYS = {field.name for field in dataclasses.fields(Fault)}


@dataclasses.dataclass(slots=True)
class Control:
    """The control interface to one letterbox and one plan of faults."""

    letterbox: Letterbox
    faults: FaultPlan

    def routes(self) -> list[Route]:
        """The methods, relative to `/_sandbox`."""
        return [
            Route("/letters", self._letters, methods=["GET"]),
            Route("/letters", self._forget, methods=["DELETE"]),
            Route("/calls", self._calls, methods=["GET"]),
            Route("/faults", self._plan, methods=["GET"]),
            Route("/faults", self._add_fault, methods=["POST"]),
            Route("/faults", self._clear_faults, methods=["DELETE"]),
        ]

    async def _letters(self, request: Request) -> Response:
        try:
            wanted = int(request.query_params.get("wait", "0"))
            timeout_s = float(request.query_params.get("timeout", "10"))
        except ValueError:
            return _bad_request("wait and timeout are numbers")
        status = 200
        if not await self._arrived(request, wanted, timeout_s):
            status = 408
        return JSONResponse([_as_json(letter) for letter in self._matching(request)], status)

    async def _arrived(self, request: Request, wanted: int, timeout_s: float) -> bool:
        """Whether so many letters came in time; stops waiting when the client leaves."""

        async def letters() -> None:
            await self.letterbox.wait_until(
                lambda _: len(self._matching(request)) >= wanted, timeout_s
            )

        async def departure() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass

        tasks = [asyncio.create_task(letters()), asyncio.create_task(departure())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        arrived, _ = await asyncio.gather(*tasks, return_exceptions=True)
        return arrived is None

    def _matching(self, request: Request) -> list[ReceivedLetter]:
        provider = request.query_params.get("provider", "")
        recipient = request.query_params.get("recipient", "").lower()
        return [
            letter
            for letter in self.letterbox.letters
            if provider in ("", letter.provider) and recipient in letter.recipient.lower()
        ]

    async def _forget(self, _request: Request) -> Response:
        self.letterbox.letters.clear()
        return Response(status_code=204)

    async def _calls(self, _request: Request) -> Response:
        return JSONResponse(self.letterbox.calls)

    async def _plan(self, _request: Request) -> Response:
        return JSONResponse([dataclasses.asdict(fault) for fault in self.faults.faults])

    async def _add_fault(self, request: Request) -> Response:
        try:
            values = await read_json(request)
            if unknown := values.keys() - _FAULT_KEYS:
                return _bad_request(f"a fault has no {', '.join(sorted(unknown))}")
            fault = _FAULT.validate_python(values)
        except (UnreadableRequest, ValidationError) as error:
            return _bad_request(str(error))
        self.faults.add(fault)
        return Response(status_code=201)

    async def _clear_faults(self, _request: Request) -> Response:
        self.faults.clear()
        return Response(status_code=204)


def _bad_request(text: str) -> Response:
    return JSONResponse({"error": text}, 400)


def _as_json(letter: ReceivedLetter) -> dict[str, Any]:
    values = dataclasses.asdict(letter)
    values["content"] = base64.b64encode(letter.content).decode("ascii")
    for attachment in values["attachments"]:
        attachment["content"] = base64.b64encode(attachment["content"]).decode("ascii")
    return values
