"""
The imitated v2 API on a loopback port, and a plain client that helps with nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount

from providers.sandbox.faults import Fault, FaultKind, FaultPlan
from providers.sandbox.form_v2 import SandboxFormV2
from providers.sandbox.form_v2_account import V2Account
from providers.sandbox.form_v2_control import V2Control
from providers.sandbox.letterbox import Letterbox
from tests.support.http_sandbox import serving

TOKEN = "eyJpdiI6dummy+token/=="
LETTER = {
    "token": TOKEN,
    "sender_email": "news@example.com",
    "sender_name": "Example Shop",
    "subject": "Order 77",
    "message": "<p>Thank you</p>",
    "email": "bob@example.org",
}
LIST_ID = 7


@dataclass
class Hand:
    """A clock that is turned by hand."""

    time: float = 1000.0

    def __call__(self) -> float:
        return self.time


@dataclass
class V2Api:
    """The emulator, and ways to call it."""

    client: httpx.AsyncClient
    sandbox: SandboxFormV2
    clock: Hand

    @property
    def letters(self) -> list[Any]:
        return self.sandbox.letterbox.letters

    async def call(self, method: str, **options: Any) -> httpx.Response:
        return await self.client.post(f"/api/v2/{method}", **options)

    async def ask(self, method: str, **fields: str) -> Any:
        """The result of a call that goes well."""
        response = await self.call(method, data={"token": TOKEN, **fields})
        assert response.status_code == 200, response.text
        assert response.json()["status"] == "OK"
        return response.json().get("result")

    async def send(self, *, files: Any = None, **fields: str | None) -> httpx.Response:
        """SendEmail with these fields changed, or left out where they are `None`."""
        letter = {k: v for k, v in (LETTER | fields).items() if v is not None}
        return await self.call("sendEmail", data=letter, files=files)

    async def bulk(self, *emails: str, **fields: str) -> str:
        """The uuid of a batch of the same letter to these."""
        listed = {f"delivery_list[{n}]": email for n, email in enumerate(emails)}
        letter = {k: v for k, v in LETTER.items() if k != "email"}
        result = await self.ask("sendBulkEmail", **(letter | listed | fields))
        return str(result["uuid"])

    async def report(self, uuid: str) -> Any:
        """The mailings of a batch."""
        return await self.ask("statusBulkEmail", uuid=uuid)

    def strike(self, kind: FaultKind, **options: Any) -> None:
        self.sandbox.faults.add(Fault(kind, **options))


@asynccontextmanager
async def v2_api(
    emails: Sequence[str] = ("bob@example.org", "eve@example.org"),
) -> AsyncIterator[V2Api]:
    """An account with one stored list of these addresses."""
    clock = Hand()
    account = V2Account({LIST_ID: list(emails)}, monotonic=clock)
    sandbox = SandboxFormV2(Letterbox(), FaultPlan(), TOKEN, account=account)
    routes = [
        Mount("/api/v2", routes=sandbox.routes()),
        Mount("/_sandbox/v2", routes=V2Control(sandbox).routes()),
    ]
    async with serving(Starlette(routes=routes)) as client:
        yield V2Api(client, sandbox, clock)


def error(response: httpx.Response) -> str:
    """The text of the error in the answer, in the sandbox's default dress (C.1)."""
    body = response.json()
    assert body["status"] == "ERROR"
    return str(body["error"])
