"""`mailquay webhooks`: calls to applications that wait or were given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gateway.cli.output import (
    ConfigOption,
    JsonOption,
    moment,
    print_json,
    print_line,
    print_table,
)

if TYPE_CHECKING:
    from gateway.spool.webhooks import SqlWebhooks

T = TypeVar("T")

app = typer.Typer(help="Calls to applications' webhooks.", no_args_is_help=True)


@app.command("list")
def list_(
    config: ConfigOption = None,
    dead: Annotated[bool, typer.Option("--dead", help="Only those that were given up.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List calls that are not answered yet, or were given up."""
    calls = _with_calls(config, lambda store: store.page(limit, dead=dead))
    if as_json:
        print_json(calls)
        return
    print_table(
        ("call", "webhook", "event", "queue id", "since", "tries", "said"),
        [
            (str(c.number), c.endpoint, c.event, c.queue_id, moment(c.at), str(c.attempts), c.said)
            for c in calls
        ],
    )


@app.command()
def replay(
    number: Annotated[int, typer.Argument(help="Of one call, as `list` shows it.")] = 0,
    config: ConfigOption = None,
    webhook: Annotated[str, typer.Option(help="Of this webhook.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Yes, all that were given up.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make calls again that were given up."""
    if not (number or webhook or every):
        raise typer.BadParameter("name a call or a webhook, or say --all")
    now = datetime.now(UTC)
    replayed = _with_calls(config, lambda store: store.replay(now, webhook, number))
    if as_json:
        print_json({"replayed": replayed})
    else:
        print_line(f"{replayed} calls are due now")


def _with_calls(config: Path | None, ask: Callable[[SqlWebhooks], Awaitable[T]]) -> T:
    from gateway.app.spool import open_spool
    from gateway.config import load

    async def run() -> T:
        spool = await open_spool(load(config), exclusive=False)
        try:
            return await ask(spool.webhooks)
        finally:
            await spool.aclose()

    return asyncio.run(run())
