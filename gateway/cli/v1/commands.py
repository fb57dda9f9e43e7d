"""All commands of `mailquay v1`, put together."""

from __future__ import annotations

import typer

from gateway.cli.v1 import account, campaigns, letters, lists, recipients, transfer

app = typer.Typer(help="The v1 API, every endpoint.", no_args_is_help=True)
app.add_typer(lists.app, name="lists")
app.add_typer(lists.parameters, name="parameters")
app.add_typer(recipients.app, name="recipients")
app.add_typer(account.organizations, name="organizations")
app.add_typer(campaigns.app, name="campaigns")
app.add_typer(letters.messages, name="messages")
app.add_typer(letters.templates, name="templates")
app.add_typer(account.webhook, name="webhook")
app.add_typer(account.webhooks, name="webhooks")
account.add_balance(app)
campaigns.add_segments(app)
recipients.add_search(app)
transfer.add_to(recipients.app)
