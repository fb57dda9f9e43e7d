"""`mailquay queue …`: the spool, also while the daemon runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gateway.cli.output import (
    ConfigOption,
    JsonOption,
    fail,
    moment,
    print_json,
    print_line,
    print_table,
    span,
)
from gateway.domain.lifecycle import State
from gateway.domain.pauses import Pause, PauseKind
from gateway.spool.protocol import Spool
from gateway.spool.values import AGE_STEPS_S, Filter, Listed, SpoolStats
from providers.settings import parse_duration

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")

app = typer.Typer(
    help="The spool: list, show, retry, hold, release, remove, stats; pause and resume."
)

_WAITING_STATES = frozenset({State.WAITING, State.SENDING, State.UNCERTAIN, State.HELD})

QueueId = Annotated[str, typer.Argument(help="Queue id; none means all that the filters leave.")]
ProviderOption = Annotated[str, typer.Option(help="Only what this provider has next.")]
StateOption = Annotated[list[State] | None, typer.Option(help="Only in this state.")]
OlderOption = Annotated[str, typer.Option(help="Only letters older than this, as 2h.")]
AddressOption = Annotated[str, typer.Option(help="Only with this in an address of the envelope.")]
AllOption = Annotated[bool, typer.Option("--all", help="Yes, all letters that are not settled.")]


def _filter(
    queue_id: str, provider: str, state: list[State] | None, older: str, address: str
) -> Filter:
    older_than = None
    if older:
        try:
            age = parse_duration(older)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--older") from None
        assert isinstance(age, timedelta)  # noqa: S101 - what parse_duration returns for text
        older_than = datetime.now(UTC) - age
    return Filter(
        queue_id=queue_id.upper(),
        provider=provider,
        states=frozenset(state or ()),
        address=address,
        older_than=older_than,
    )


@app.command("list")
def list_(
    config: ConfigOption = None,
    provider: ProviderOption = "",
    state: StateOption = None,
    older: OlderOption = "",
    address: AddressOption = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List recipients that are not settled, the oldest first; --state shows others."""
    wanted = _filter("", provider, state, older, address)
    if not wanted.states:
        wanted = replace(wanted, states=_WAITING_STATES)
    rows = _with_spool(config, lambda spool: spool.list(wanted, limit))
    if as_json:
        print_json(rows)
        return
    now = datetime.now(UTC)
    print_table(
        ("queue id", "age", "size", "from", "to", "state", "provider", "tries", "due", "said"),
        [_listed(row, now) for row in rows],
    )
    if len(rows) == limit:
        print_line(f"… the first {limit}; --limit shows more")


def _listed(row: Listed, now: datetime) -> tuple[str, ...]:
    return (
        row.queue_id,
        span(now - row.arrival),
        str(row.size),
        row.reverse_path or "<>",
        row.forward_path,
        row.state.value,
        row.provider,
        str(row.attempts),
        _due(row, now),
        f"{row.status} {row.diagnostic}".strip(),
    )


def _due(row: Listed, now: datetime) -> str:
    if row.due_at is not None:
        return f"in {span(row.due_at - now)}"
    return "paused" if row.state is State.WAITING else ""


@app.command()
def show(
    queue_id: Annotated[str, typer.Argument(help="Queue id.")],
    config: ConfigOption = None,
    content: Annotated[bool, typer.Option("--content", help="The letter itself.")] = False,
) -> None:
    """Show one letter: its recipients, or with --content what it says."""
    if content:
        octets = _with_spool(config, lambda spool: spool.content(queue_id.upper()))
        typer.get_binary_stream("stdout").write(octets)
        return
    story = _with_spool(config, lambda spool: spool.story(queue_id.upper()))
    for name, value in (
        ("queue id", story.queue_id),
        ("arrived", moment(story.arrival)),
        ("from", story.reverse_path or "<>"),
        ("Message-ID", story.message_id),
        ("size", f"{story.size} octets"),
        ("listener", story.listener),
        ("client", story.client),
        ("content", "kept" if story.content_kept else "gone, every recipient is settled"),
    ):
        print_line(f"{name:12}{value}")
    print_line()
    now = datetime.now(UTC)
    print_table(
        ("to", "state", "provider", "tries", "due", "said"),
        [_listed(row, now)[4:] for row in story.recipients],
    )


@app.command()
def stats(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Age by provider and state, as qshape has it; what is paused; whether the ledger balances."""
    now = datetime.now(UTC)
    found = _with_spool(config, lambda spool: spool.stats(now))
    if as_json:
        print_json(_stats_document(found))
        return
    steps = [f"{step // 60}m" for step in AGE_STEPS_S]
    print_table(
        ("provider", "state", "all", *steps, f"{steps[-1]}+", "overdue"),
        [
            (provider, state.value, str(sum(ages)), *map(str, ages), _overdue(found, provider, now))
            for (provider, state), ages in sorted(found.ages.items())
        ],
    )
    print_line()
    for pause in found.pauses:
        reason = f": {pause.reason}" if pause.reason else ""
        print_line(f"{pause.kind} {pause.name} is paused since {moment(pause.since)}{reason}")
    if found.pauses:
        print_line()
    counts = _counts(found)
    print_table(("state", "recipients"), [(s.value, str(n)) for s, n in counts.items()])
    print_line()
    balanced = found.accepted == sum(counts.values())
    print_line(
        f"accepted {found.accepted} = settled {sum(found.settled.values())} "
        f"+ not settled {sum(found.active.values())}: "
        f"{'balanced' if balanced else 'OUT OF BALANCE'}"
    )
    print_line(f"on disk  {found.octets} octets")


def _overdue(found: SpoolStats, provider: str, now: datetime) -> str:
    since = found.oldest_due.get(provider)
    return span(now - since) if since is not None and since < now else ""


def _counts(found: SpoolStats) -> dict[State, int]:
    counts = dict.fromkeys(State, 0) | dict(found.settled)
    for (_, state), number in found.active.items():
        counts[state] += number
    return counts


def _stats_document(found: SpoolStats) -> dict[str, object]:
    return {
        "accepted": found.accepted,
        "states": {state.value: number for state, number in _counts(found).items()},
        "active": [
            {"provider": provider, "state": state.value, "recipients": number}
            for (provider, state), number in found.active.items()
        ],
        "oldest_due": dict(found.oldest_due),
        "age_steps_s": list(AGE_STEPS_S),
        "ages": [
            {"provider": provider, "state": state.value, "recipients": list(ages)}
            for (provider, state), ages in sorted(found.ages.items())
        ],
        "pauses": list(found.pauses),
        "octets": found.octets,
    }


ProviderName = Annotated[str, typer.Option("--provider", help="The provider.")]
RouteName = Annotated[str, typer.Option("--route", help="The route.")]


@app.command()
def pause(
    config: ConfigOption = None,
    provider: ProviderName = "",
    route: RouteName = "",
    reason: Annotated[str, typer.Option(help="Why, for those who look.")] = "",
) -> None:
    """Give a provider nothing, or let a route's letters wait, until resumed."""
    kind, name = _pausable(provider, route)
    _check_known(config, kind, name)
    wanted = Pause(kind, name, datetime.now(UTC), " ".join(reason.split()))
    new = _with_spool(config, lambda spool: spool.pause(wanted))
    print_line(f"{kind} {name} is paused" if new else f"{kind} {name} was paused before")


@app.command()
def resume(config: ConfigOption = None, provider: ProviderName = "", route: RouteName = "") -> None:
    """Let a paused provider or route go on; what waits for it is due at once."""
    kind, name = _pausable(provider, route)
    if not _with_spool(config, lambda spool: spool.resume(kind, name)):
        fail(f"{kind} {name} is not paused", os.EX_NOINPUT)
    print_line(f"{kind} {name} goes on")


def _pausable(provider: str, route: str) -> tuple[PauseKind, str]:
    if bool(provider) == bool(route):
        raise typer.BadParameter("name either a provider or a route")
    return (PauseKind.PROVIDER, provider) if provider else (PauseKind.ROUTE, route)


def _check_known(config: Path | None, kind: PauseKind, name: str) -> None:
    """A name that is misspelt must not look like a pause."""
    from gateway.config import load

    settings = load(config)
    routes = (route.name for route in settings.effective_routes())
    known = tuple(settings.providers if kind is PauseKind.PROVIDER else routes)
    if name not in known:
        raise typer.BadParameter(f"no {kind} is called {name}; there are: {', '.join(known)}")


def _change(name: str, told: str, text: str) -> None:
    """Add the command `name`, which calls the spool's method of that name."""

    def command(
        queue_id: QueueId = "",
        config: ConfigOption = None,
        provider: ProviderOption = "",
        state: StateOption = None,
        older: OlderOption = "",
        address: AddressOption = "",
        every: AllOption = False,
    ) -> None:
        wanted = _filter(queue_id, provider, state, older, address)
        if wanted == Filter() and not every:
            raise typer.BadParameter("name a queue id or a filter, or say --all")
        number = _with_spool(config, lambda spool: getattr(spool, name)(wanted, datetime.now(UTC)))
        print_line(f"{number} recipients {told}")

    app.command(name, help=text)(command)


_change("retry", "are due now", "Make waiting and uncertain recipients due at once.")
_change("hold", "are held", "Set recipients aside until released.")
_change("release", "wait again", "Let held recipients go on.")
_change("remove", "are removed", "Take recipients out for good; nothing is sent to them.")


def _with_spool(config: Path | None, ask: Callable[[Spool], Awaitable[T]]) -> T:
    from gateway.config import load

    async def run() -> T:
        from gateway.app.spool import open_spool

        spool = await open_spool(load(config), exclusive=False)
        try:
            return await ask(spool)
        finally:
            await spool.aclose()

    return asyncio.run(run())
