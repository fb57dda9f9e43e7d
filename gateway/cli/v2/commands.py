"""All commands of `mailquay v2`, put together."""

from __future__ import annotations

import typer

from gateway.cli.v2 import batches, letters, subscriptions

app = typer.Typer(help="The v2 API, every method.", no_args_is_help=True)
app.command("send")(letters.send)
app.command("send-list")(letters.send_list)
app.command("send-bulk")(batches.send_bulk)
app.command("status")(batches.status)
app.command("deliveries")(batches.deliveries)
app.command("unsubscribe")(subscriptions.unsubscribe)
app.command("subscribe")(subscriptions.subscribe)
app.command("templates")(letters.templates)
