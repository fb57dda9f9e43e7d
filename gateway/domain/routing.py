"""
Which route a recipient takes, and which of its providers can carry the letter.

Pure: facts and capabilities in, a plan with reasons out. Knows neither configuration files nor
the health of providers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

from gateway.domain.pauses import NO_PAUSES, Pauses
from providers.contract.address import Address
from providers.contract.capabilities import Part, ProviderCapabilities, Shortfall
from providers.contract.message import Needs
from providers.contract.options import NO_OPTIONS, SendOptions


class Fidelity(StrEnum):
    """How much of a letter a route guards; see `GUARDED`."""

    STRICT = "strict"  # everything, down to the last header field
    FAITHFUL = "faithful"  # what a reader would miss
    TOLERANT = "tolerant"  # only what no hand-over is possible without


class OnUncertain(StrEnum):
    """What a route does with a letter whose answer was lost."""

    RETRY = "retry"  # prefers a second copy to a loss
    HOLD = "hold"  # waits for a person, or a sign of the provider


class OnThrottled(StrEnum):
    """What a route does when a provider is too busy for a letter."""

    WAIT = "wait"  # the letter leaves by the same provider as soon as its pace allows
    FAIL_OVER = "failover"  # the next provider gets it at once


class Mode(StrEnum):
    """What a client waits for."""

    QUEUE = "queue"  # that its letter is kept
    DIRECT = "direct"  # what a provider says of it, for a while


class Suppression(StrEnum):
    """Whether letters go to addresses that are on the suppression list."""

    OBEY = "obey"
    IGNORE = "ignore"  # what a person asked for a moment ago: a password, an order's receipt


class Schedule(StrEnum):
    """Who keeps a letter that is to be sent later."""

    GATEWAY = "gateway"
    PROVIDER = "provider"  # where it can; else the gateway does


# Without template, list or time it would be another letter, to others, or now.
_INDISPENSABLE = frozenset(
    {Part.SIZE, Part.SMTPUTF8, Part.TEMPLATE, Part.MAILING_LIST, Part.SCHEDULE}
)
_MAY_GO_WHEN_FAITHFUL = frozenset(
    {
        Part.FROM,
        Part.SUBJECT,
        Part.MESSAGE_ID,
        Part.DATE,
        Part.TRACE,
        Part.HEADER_FIELD,
        Part.THREADING,
        Part.TEXT_ALTERNATIVE,
        Part.OTHER_RECIPIENTS,
        Part.LIST_UNSUBSCRIBE,
        Part.TRACKING_SWITCH,
        Part.PAYMENT,
        Part.TAG,
    }
)

GUARDED: Mapping[Fidelity, frozenset[Part]] = {
    Fidelity.STRICT: frozenset(Part),
    Fidelity.FAITHFUL: frozenset(Part) - _MAY_GO_WHEN_FAITHFUL,
    # A signature or encryption is never broken, whatever the route tolerates: the letter would
    # arrive as a forgery or as nothing.
    Fidelity.TOLERANT: _INDISPENSABLE | {Part.SEAL},
}
"""What a provider must not lose, by level: it is passed over when it would."""


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """
    What a route's conditions can ask of one recipient's letter.

    `reverse_path` is `None` for the null one, `user` empty without AUTH. `header` holds the first
    value of each field that a condition asks for and the letter has, by its name in lower case.
    """

    reverse_path: Address | None
    forward_path: Address
    listener: str
    size: int
    has_attachments: bool
    user: str = ""
    header: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Condition:
    """
    When a route applies: every condition given must hold, one of its values suffices.

    Addresses, domains and names of header fields are in lower case. `header` gives for each field
    name patterns of its value, of which one must match: `*` stands for anything, in any case.
    `size_over` is in octets.
    """

    senders: frozenset[str] = frozenset()
    sender_domains: frozenset[str] = frozenset()
    recipient_domains: frozenset[str] = frozenset()
    listeners: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    header: tuple[tuple[str, tuple[str, ...]], ...] = ()
    size_over: int | None = None
    has_attachments: bool | None = None

    def holds(self, facts: RouteFacts) -> bool:
        """Whether the route applies to this recipient."""
        sender = facts.reverse_path
        if self.senders and (sender is None or sender.folded not in self.senders):
            return False
        if self.sender_domains and (sender is None or sender.domain not in self.sender_domains):
            return False
        if self.recipient_domains and facts.forward_path.domain not in self.recipient_domains:
            return False
        if self.listeners and facts.listener not in self.listeners:
            return False
        if self.users and facts.user not in self.users:
            return False
        if not all(_matches(facts.header.get(name), among) for name, among in self.header):
            return False
        if self.size_over is not None and facts.size <= self.size_over:
            return False
        return self.has_attachments is None or self.has_attachments == facts.has_attachments

    @property
    def asks_content(self) -> bool:
        """Whether more than the envelope decides."""
        return bool(self.header) or self.size_over is not None or self.has_attachments is not None

    def may_hold(self, facts: RouteFacts) -> bool:
        """Whether the route may apply, by what is known before the content."""
        return replace(self, header=(), size_over=None, has_attachments=None).holds(facts)

    @property
    def is_catch_all(self) -> bool:
        """Whether it holds for every letter."""
        return self == Condition()


@dataclass(frozen=True, slots=True)
class Route:
    """
    A way for letters: who may carry them, in order of preference, and under which rules.

    `direct_timeout` is how long a client waits for a verdict in direct mode. `equals` has, for
    neighbours in `providers` that are equal to each other, their names and weights.
    """

    name: str
    providers: tuple[str, ...]
    condition: Condition = field(default_factory=Condition)
    fidelity: Fidelity = Fidelity.FAITHFUL
    on_uncertain: OnUncertain = OnUncertain.RETRY
    on_throttled: OnThrottled = OnThrottled.WAIT
    mode: Mode = Mode.QUEUE
    direct_timeout: timedelta = timedelta(seconds=30)
    schedule: Schedule = Schedule.GATEWAY
    suppression: Suppression = Suppression.OBEY
    equals: tuple[tuple[tuple[str, int], ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.providers or len(set(self.providers)) != len(self.providers):
            raise ValueError(f"route {self.name}: name each of its providers once")

    def by(self, provider: str) -> Route:
        """The same way with one provider alone, which need not be one of its own."""
        return replace(self, providers=(provider,), equals=())

    def order(self, letter: str) -> tuple[str, ...]:
        """
        Its providers as one letter has them: equal ones by lot, the heavier more often first.

        Args:
            letter: What is the letter's own and stays: the lot falls the same way each time, on
                every gateway, whoever of the others is excluded. Empty: the order as written.
        """
        if not self.equals or not letter:
            return self.providers
        order = list(self.providers)
        for group in self.equals:
            place = order.index(group[0][0])
            drawn = sorted(group, key=lambda one: _lot(letter, *one))
            order[place : place + len(group)] = [name for name, _ in drawn]
        return tuple(order)

    def equal_to(self, provider: str) -> frozenset[str]:
        """Who stands in the same place of the order, itself left out."""
        for group in self.equals:
            names = frozenset(name for name, _ in group)
            if provider in names:
                return names - {provider}
        return frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """
    Which providers may carry one recipient's letter, in order.

    `passed_over` tells of each provider left out, what it would have lost of what is guarded;
    `losses` of each candidate, what it loses with the route's consent. `options` are the client's
    wishes as they stand on this route. `away` names candidates that are given no letters at the
    moment; they stand last. `pauses` may name candidates, which keep their place, or the route.
    """

    route: Route
    candidates: tuple[str, ...]
    passed_over: Mapping[str, tuple[Shortfall, ...]]
    losses: Mapping[str, tuple[Shortfall, ...]]
    options: SendOptions = NO_OPTIONS
    away: frozenset[str] = frozenset()
    pauses: Pauses = NO_PAUSES

    @property
    def first(self) -> str | None:
        """Who a round begins with: a candidate that is not paused, where there is one."""
        return next(iter((*self._at_work(self.candidates), *self.candidates)), None)

    def next_after(self, provider: str) -> str | None:
        """The next candidate of this round that is not paused; `None` when the round is over."""
        if provider not in self.candidates:
            return self.first
        following = self._at_work(self.candidates[self.candidates.index(provider) + 1 :])
        return following[0] if following and following[0] not in self.away else None

    def instead_of(self, provider: str) -> str | None:
        """Who has it in place of a paused provider: who follows it, or anybody not paused."""
        return self.next_after(provider) or next(iter(self._at_work(self.candidates)), None)

    def _at_work(self, names: tuple[str, ...]) -> tuple[str, ...]:
        paused = self.pauses.providers
        return tuple(name for name in names if name not in paused) if paused else names


def _lot(letter: str, provider: str, weight: int) -> float:
    """The lower comes first; first is each with a chance as its weight (exponential race)."""
    drawn = hashlib.blake2b(f"{letter} {provider}".encode(), digest_size=8).digest()
    return -math.log((int.from_bytes(drawn) + 1) / 2**64) / weight


def _matches(value: str | None, patterns: tuple[str, ...]) -> bool:
    """Whether a header field is there and one of the patterns fits its value."""
    if value is None:
        return False
    lowered = value.lower()
    return any(fnmatchcase(lowered, pattern.lower()) for pattern in patterns)


def choose_route(routes: Iterable[Route], facts: RouteFacts) -> Route | None:
    """The first route whose condition holds."""
    return next((route for route in routes if route.condition.holds(facts)), None)


def plan(
    route: Route,
    capabilities: Mapping[str, ProviderCapabilities],
    needs: Needs,
    excluded: Iterable[str] = (),
    options: SendOptions = NO_OPTIONS,
    *,
    away: Collection[str] = (),
    letter: str = "",
) -> Plan:
    """
    Who of the route can carry a letter with these needs and wishes.

    Args:
        route: The recipient's route.
        capabilities: By provider name; a name that is missing is passed over.
        needs: Of the letter.
        excluded: Providers that have found out that they cannot carry it.
        options: The client's wishes.
        away: Providers that are given no letters at the moment.
        letter: By which the lot falls among equal providers, as in `Route.order`.

    Returns:
        The candidates in the route's order; a tolerant route puts those first that lose least, and
        every route those last that are away: the letter can still wait for them.
    """
    guarded = GUARDED[route.fidelity]
    candidates: list[str] = []
    passed_over: dict[str, tuple[Shortfall, ...]] = {}
    losses: dict[str, tuple[Shortfall, ...]] = {}
    barred = set(excluded)
    for name in route.order(letter):
        if name in barred or name not in capabilities:
            passed_over[name] = ()
            continue
        shortfalls = capabilities[name].shortfalls(needs, options)
        if broken := tuple(s for s in shortfalls if s.part in guarded):
            passed_over[name] = broken
        else:
            candidates.append(name)
            losses[name] = shortfalls
    if route.fidelity is Fidelity.TOLERANT:
        candidates.sort(key=lambda name: len(losses[name]))
    gone = frozenset(name for name in candidates if name in away)
    if gone:
        candidates.sort(key=gone.__contains__)
    return Plan(route, tuple(candidates), passed_over, losses, options, gone)
