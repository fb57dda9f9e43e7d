"""
One account of the imitated v1 platform, put together, and the time that passes in it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from providers.contract.capabilities import Rate
from providers.sandbox.answers import ApiError
from providers.sandbox.faults import FaultPlan
from providers.sandbox.letterbox import Letterbox
from providers.sandbox.rest_v1 import checks
from providers.sandbox.rest_v1.campaigns import Campaigns
from providers.sandbox.rest_v1.control import Control
from providers.sandbox.rest_v1.dialect import Dialect
from providers.sandbox.rest_v1.entrance import Answer, Entrance
from providers.sandbox.rest_v1.hooks import Hooks
from providers.sandbox.rest_v1.imports import Imports
from providers.sandbox.rest_v1.lists import Lists
from providers.sandbox.rest_v1.messages import Messages
from providers.sandbox.rest_v1.organizations import Organizations
from providers.sandbox.rest_v1.recipients import Recipients
from providers.sandbox.rest_v1.templates import Templates
from providers.sandbox.rest_v1.webhooks import WebhookSender


class SandboxRestV1:
    """
    One account of the v1 platform.

    Attributes:
        balance: What GET /email/balance tells; `None`: this installation has no such method.
        hooks, messages, templates, lists, recipients, imports, organizations, campaigns: What the
            account holds, for whoever runs in the same process.
        sender: Sends what the webhooks tell.
    """

    def __init__(
        self,
        letterbox: Letterbox,
        faults: FaultPlan,
        api_key: str,
        rate: Rate | None = None,
        *,
        dialect: Dialect | None = None,
        step_s: float | None = None,
    ) -> None:
        """
        Nothing happens by itself yet.

        Args:
            letterbox: Where accepted letters go.
            faults: What goes wrong; for the styles see `Entrance`.
            api_key: The one key it takes.
            rate: The limit of calls that are not GET; `None`: no limit.
            dialect: Its habits.
            step_s: How long letters, imports and campaigns stay in one state, in seconds, once
                `start` was called; `None`: until `advance`.
        """
        self.entrance = Entrance(letterbox, faults, api_key, rate, dialect or Dialect())
        self.sender = WebhookSender()
        self.hooks = Hooks(self.entrance, self.sender)
        self.templates = Templates(self.entrance)
        self.messages = Messages(self.entrance, self.hooks, self.templates)
        self.lists = Lists(self.entrance)
        self.recipients = Recipients(self.entrance, self.lists)
        self.imports = Imports(self.entrance, self.recipients, self.sender)
        self.organizations = Organizations(self.entrance)
        self.campaigns = Campaigns(self.entrance, self.lists)
        self.balance: int | None = None
        self._step_s = step_s
        self._steps: asyncio.Task[None] | None = None

    @property
    def letterbox(self) -> Letterbox:
        """Where accepted letters go."""
        return self.entrance.letterbox

    @property
    def faults(self) -> FaultPlan:
        """What goes wrong."""
        return self.entrance.faults

    @property
    def dialect(self) -> Dialect:
        """Its habits."""
        return self.entrance.dialect

    def limit(self, rate: Rate | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Hold callers to another limit from now on, by that clock."""
        self.entrance.rate = rate
        self.entrance.monotonic = monotonic

    def routes(self) -> list[Route]:
        """The methods, relative to the base URL."""
        parts = (self.messages, self.templates, self.imports, self.recipients, self.lists)
        more = (self.organizations, self.campaigns, self.hooks)
        routes = [route for part in (*parts, *more) for route in part.routes()]
        routes.append(self.entrance.route("GET", "/email/balance", self._balance))
        methods = ("GET", "POST", "PUT", "PATCH", "DELETE")
        everything = "/{path:path}"
        return routes + [
            self.entrance.route(method, everything, self._unknown, strikes=False)
            for method in methods
        ]

    def control(self) -> list[Route]:
        """The methods of its own control interface, relative to `/_sandbox/v1`."""
        return Control(self).routes()

    def advance(self) -> int:
        """Let one step of time pass; how many letters, imports and campaigns it moved."""
        return self.messages.advance() + self.imports.advance() + self.campaigns.advance()

    async def start(self) -> None:
        """Let time pass by itself, where steps have a length."""
        if self._step_s is not None:
            self._steps = asyncio.create_task(self._pass(self._step_s), name="sandbox v1 steps")

    async def stop(self) -> None:
        """Stop time, and forget webhooks that wait; may be called twice, and without a start."""
        if self._steps is not None:
            self._steps.cancel()
            await asyncio.wait((self._steps,))
        await self.sender.aclose()

    async def _pass(self, step_s: float) -> None:
        while True:
            await asyncio.sleep(step_s)
            self.advance()

    async def _balance(self, _request: Request) -> Answer:
        if self.balance is None:
            raise checks.not_found()
        tariff: dict[str, Any] = {"credits": self.campaigns.credits or 0, "expires_at": None}
        tariff["subscribers"] = {"available": 0, "total": 0}
        return Answer({"balance": self.balance, "tariff": tariff})

    async def _unknown(self, _request: Request) -> Answer:
        raise ApiError(404, "Not found")
