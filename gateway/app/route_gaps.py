"""
What an operator may not have meant with routes and providers, a line for each thing to look at.

`domain.reach` knows which routes are ever taken, `domain.carriage` what none of their providers
carries; here both meet the configuration, and become words. `check` shows them, `gateway` logs
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gateway.app.front_door import listener_specs
from gateway.config import Settings
from gateway.domain.carriage import Carriage, carriage
from gateway.domain.reach import Entrance, contradiction, covered_by, entrances_of
from gateway.domain.routing import Condition, Route
from gateway.ingress.maildrop import LISTENER
from gateway.ingress.policy import Auth
from gateway.ingress.server import Security
from gateway.ingress.submission import API
from providers.contract.capabilities import ProviderCapabilities
from providers.contract.provider import Provider
from providers.settings import render_size


def route_gaps(
    settings: Settings, providers: Mapping[str, Provider], security: Security
) -> Iterator[str]:
    """
    Routes that are never taken, providers without letters, letters without a provider.

    Args:
        settings: The configuration.
        providers: Its providers by name.
        security: With the users that there are.
    """
    ways_in = entrances(settings, security)
    capabilities = {name: provider.capabilities for name, provider in providers.items()}
    routes = settings.effective_routes()
    taken: list[Route] = []
    for place, route in enumerate(routes):
        if reason := _never(route, routes[:place], ways_in):
            yield f"route {route.name}: never taken: {reason}"
        else:
            taken.append(route)
            yield from _unknown_users(route, ways_in)
            yield from _uncarried(route, capabilities, ways_in)
    if not covered_by(Condition(), taken, ways_in):
        yield (
            "routes: letters that fit none of them are refused; a last one without `when` is for "
            "all others"
        )
    yield from _unused(settings, taken)


def entrances(settings: Settings, security: Security) -> tuple[Entrance, ...]:
    """By which ways letters come in, under the names that routes know them by."""
    users = frozenset(security.users or ())
    nobody: frozenset[str] = frozenset()
    found = [
        Entrance(
            spec.name,
            nobody if listener.auth is Auth.OFF else users,
            listener.max_message_size or settings.smtp.max_message_size,
        )
        for listener, spec in zip(settings.smtp.listeners, listener_specs(settings), strict=True)
    ]
    if settings.maildrop.place(settings.spool.url) is not None:
        found.append(Entrance(LISTENER, nobody, settings.smtp.max_message_size))
    if settings.http.token is not None:
        found.append(Entrance(API, nobody, settings.smtp.max_message_size))
    return tuple(found)


def _never(route: Route, earlier: Sequence[Route], ways_in: Sequence[Entrance]) -> str:
    """Why no letter takes a route by its condition; empty where some may."""
    if reason := contradiction(route.condition, ways_in):
        return reason
    takers = covered_by(route.condition, earlier, ways_in)
    if not takers:
        return ""
    verb = "takes" if len(takers) == 1 else "take"
    return f"{_listed(takers)} before it {verb} all of its letters"


def _unknown_users(route: Route, ways_in: Sequence[Entrance]) -> Iterator[str]:
    known = frozenset(user for way_in in ways_in for user in way_in.users)
    if unknown := route.condition.users - known:
        yield f"route {route.name}: no user is called {_listed(sorted(unknown), 'or')}"


def _uncarried(
    route: Route, capabilities: Mapping[str, ProviderCapabilities], ways_in: Sequence[Entrance]
) -> Iterator[str]:
    largest = max(entrances_of(route.condition, ways_in), key=lambda way_in: way_in.max_octets)
    found = carriage(route, capabilities, largest.max_octets)
    if len(found.unable) == len(route.providers):
        reasons = "; ".join(f"{name}: {reason}" for name, reason in found.unable.items())
        yield f"route {route.name}: refuses all letters, since nobody can carry them: {reasons}"
        return
    for name, reason in found.unable.items():
        yield f"route {route.name}: {name} carries none of its letters: {reason}"
    if found.refused:
        yield f"route {route.name}: none of its providers carries {_listed(found.refused, 'or')}"
    yield from _too_large(route, found, largest)


def _too_large(route: Route, found: Carriage, largest: Entrance) -> Iterator[str]:
    takes = f"and {largest.name} takes letters of {render_size(largest.max_octets)}"
    if found.max_octets is not None:
        size = render_size(found.max_octets)
        yield f"route {route.name}: refuses letters over {size}, {takes}"
    if found.max_file_octets is not None:
        size = render_size(found.max_file_octets)
        yield f"route {route.name}: refuses letters with files over {size} together, {takes}"


def _unused(settings: Settings, taken: Sequence[Route]) -> Iterator[str]:
    used = {name for route in taken for name in route.providers}
    for given in settings.providers.values():
        # It follows letters of another.
        used.add(getattr(given, "tracked_by", None) or "")
    for name, given in settings.providers.items():
        if name not in used and not getattr(given, "sync_unsubscriptions", False):
            named = any(name in route.providers for route in settings.effective_routes())
            which = "no route that is ever taken names it" if named else "no route names it"
            yield f"provider {name}: {which}, so only X-Mailquay-Provider chooses it"


def _listed(words: Sequence[str], last: str = "and") -> str:
    return f" {last} ".join(filter(None, (", ".join(words[:-1]), words[-1])))
