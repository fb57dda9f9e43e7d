"""
Which way a letter would take, and why: the front door's own steps, with nothing stored or sent.

Instructions are read, the letter is mended and completed, routes and providers are weighed by the
very functions that the daemon uses. What only the moment knows (a provider that is away, the limits
a smarthost tells at EHLO) is not known here. `cli.explain` shows it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gateway.app.parts import build_providers
from gateway.clock import SystemClock
from gateway.config import Settings
from gateway.domain.instructions import (
    NO_INSTRUCTIONS,
    BadInstruction,
    Instructions,
    parse_instructions,
    passed_options,
)
from gateway.domain.repair import Repair
from gateway.domain.routing import Plan
from gateway.ingress import replies, trace
from gateway.ingress.instruction_fields import take_out
from gateway.ingress.submission import Client, Reply, Submission
from gateway.planner import Planner, parsed_message
from providers.contract.address import Address
from providers.contract.capabilities import Shortfall
from providers.contract.envelope import Envelope, Recipient
from providers.contract.message import Message, Needs
from providers.contract.outcome import DeliveryRequest
from providers.contract.provider import Provider, Rehearsing
from providers.mime.rewrite import SealedPart

_LINE_END = re.compile(rb"\r\n|\r|\n")
_QUEUE_ID = "EXPLAINED"


class Standing(StrEnum):
    """What a provider of the route is to this letter."""

    FIRST = "first"
    BY_WEIGHT = "by weight"  # first for some letters, as equal providers are for the others
    NEXT = "next"  # gets it when those before it cannot
    PASSED_OVER = "passed over"


@dataclass(frozen=True, slots=True)
class ProviderView:
    """
    One provider of the route.

    `shortfalls` is why it is passed over, or else what would be lost on the way.
    """

    name: str
    kind: str
    standing: Standing
    shortfalls: tuple[Shortfall, ...]


@dataclass(frozen=True, slots=True)
class RecipientView:
    """
    The way of one recipient's letter.

    `not_taken` names the routes before it whose condition does not hold; `refusal` is the reply
    that the client would get, empty when somebody carries the letter. `due_at` is set where the
    gateway keeps it until then.
    """

    forward_path: str
    route: str
    fidelity: str
    mode: str
    not_taken: tuple[str, ...]
    providers: tuple[ProviderView, ...]
    refusal: str = ""
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    All that is known of a letter's way.

    `refusal` concerns the whole letter: an instruction that cannot be obeyed, a signed part that
    SMTP cannot carry; then nothing is known of recipients. `repairs` is what would be mended.
    """

    reverse_path: str
    listener: str
    size: int
    needs: Needs | None
    repairs: tuple[Repair, ...]
    instructions: tuple[tuple[str, str], ...]
    recipients: tuple[RecipientView, ...]
    refusal: str = ""

    @property
    def is_carried(self) -> bool:
        """Whether the client would be told 250."""
        return not self.refusal and not any(recipient.refusal for recipient in self.recipients)


def explain(
    settings: Settings, content: bytes, envelope: Envelope, listener: str, user: str = ""
) -> Explanation:
    """
    Tell the way of a letter, were it submitted now.

    Args:
        settings: The configuration.
        content: The letter, with any line ends.
        envelope: From whom, and for whom.
        listener: The listener's name at which it would come in.
        user: The name that its client logged in with, empty without AUTH.

    Raises:
        ProviderConfigError: A provider cannot be built.
    """
    return asyncio.run(_explain(settings, content, envelope, listener, user))


async def _explain(
    settings: Settings, content: bytes, envelope: Envelope, listener: str, user: str
) -> Explanation:
    providers = build_providers(settings)
    try:
        return _Explainer(settings, providers, envelope, listener, user).tell(content)
    finally:
        await asyncio.gather(*(provider.aclose() for provider in providers.values()))


class _Explainer:
    """One letter at one listener."""

    def __init__(
        self,
        settings: Settings,
        providers: Mapping[str, Provider],
        envelope: Envelope,
        listener: str,
        user: str,
    ) -> None:
        self._user = user
        self._settings = settings
        self._providers = providers
        self._envelope = envelope
        self._listener = listener
        self._now = SystemClock().now()
        capabilities = {name: provider.capabilities for name, provider in providers.items()}
        self._planner = Planner(settings.effective_routes(), capabilities)

    def tell(self, content: bytes) -> Explanation:
        content, fields = take_out(_LINE_END.sub(b"\r\n", content))
        instructions = NO_INSTRUCTIONS
        if fields:
            vocabulary = self._planner.vocabulary(self._settings.delivery.schedule_ahead)
            found = parse_instructions(fields, vocabulary, self._now)
            if isinstance(found, BadInstruction):
                return self._refused(fields, replies.bad_instruction(found.name, found.reason))
            instructions = found
        client = Client("127.0.0.1", self._settings.hostname, esmtp=True, user=self._user)
        submission = Submission(self._envelope, content, self._listener, client)
        try:
            completed = trace.complete(
                submission,
                queue_id=_QUEUE_ID,
                hostname=self._settings.hostname,
                now=self._now,
            )
        except SealedPart:
            return self._refused(fields, replies.SEALED)
        message = parsed_message(completed.content, self._envelope)
        return Explanation(
            _path(self._envelope),
            self._listener,
            message.size,
            message.needs,
            completed.repairs,
            fields,
            tuple(self._recipient(r, message, instructions) for r in self._envelope.recipients),
        )

    def _refused(self, fields: tuple[tuple[str, str], ...], reply: Reply) -> Explanation:
        path, text = _path(self._envelope), _text(reply)
        return Explanation(path, self._listener, 0, None, (), fields, (), text)

    def _recipient(
        self, recipient: Recipient, message: Message, instructions: Instructions
    ) -> RecipientView:
        address = recipient.forward_path
        plan = self._planner.plan(
            message,
            reverse_path=self._envelope.reverse_path,
            forward_path=address,
            listener=self._listener,
            user=self._user,
            instructions=instructions,
        )
        if plan is None:
            names = tuple(route.name for route in self._planner.routes)
            refusal = _text(replies.NO_ROUTE)
            return RecipientView(str(address), "", "", "", names, (), refusal)
        views = self._providers_of(plan, recipient, message)
        kept = instructions.send_at if not plan.options.send_at else None
        return RecipientView(
            str(address),
            plan.route.name,
            plan.route.fidelity.value,
            (instructions.mode or plan.route.mode).value,
            () if instructions.route else self._not_taken(plan.route.name),
            views,
            "" if plan.candidates else _refusal(views),
            kept,
        )

    def _not_taken(self, taken: str) -> tuple[str, ...]:
        names = [route.name for route in self._planner.routes]
        return tuple(names[: names.index(taken)])

    def _providers_of(
        self, plan: Plan, recipient: Recipient, message: Message
    ) -> tuple[ProviderView, ...]:
        """Those that may carry it in their order, then those passed over."""
        views = []
        for place, name in enumerate(plan.candidates):
            losses = (*plan.losses[name], *self._rehearsed(name, plan, recipient, message))
            standing = _standing(plan, place)
            views.append(ProviderView(name, self._providers[name].kind, standing, losses))
        for name, shortfalls in plan.passed_over.items():
            kind = self._providers[name].kind
            views.append(ProviderView(name, kind, Standing.PASSED_OVER, shortfalls))
        return tuple(views)

    def _rehearsed(
        self, name: str, plan: Plan, recipient: Recipient, message: Message
    ) -> Sequence[Shortfall]:
        """What shows only when the letter is put into the provider's form."""
        provider = self._providers[name]
        if not isinstance(provider, Rehearsing):
            return ()
        envelope = Envelope(
            self._envelope.reverse_path, (recipient,), smtputf8=self._envelope.smtputf8
        )
        options = passed_options(plan.options, provider.capabilities)
        request = DeliveryRequest(_QUEUE_ID, envelope, message, options=options)
        return provider.rehearse(request)


def _standing(plan: Plan, place: int) -> Standing:
    first = plan.candidates[0]
    equal = plan.route.equal_to(first) & set(plan.candidates)
    if equal and plan.candidates[place] in {first} | equal:
        return Standing.BY_WEIGHT
    return Standing.NEXT if place else Standing.FIRST


def _path(envelope: Envelope) -> str:
    return "" if envelope.reverse_path is None else str(envelope.reverse_path)


def _text(reply: Reply) -> str:
    return f"{reply.code} {reply.status} {reply.text}"


def _refusal(views: Sequence[ProviderView]) -> str:
    reasons = "; ".join(f"{view.name}: {view.shortfalls[0].reason}" for view in views)
    return _text(replies.cannot_be_carried(reasons))


def envelope_from(reverse_path: Address | None, forward_paths: Sequence[Address]) -> Envelope:
    """The envelope that a client would send for these addresses."""
    addresses = [*forward_paths, *(() if reverse_path is None else (reverse_path,))]
    return Envelope(
        reverse_path,
        tuple(Recipient(key, address) for key, address in enumerate(forward_paths)),
        smtputf8=any(address.needs_smtputf8 for address in addresses),
    )
