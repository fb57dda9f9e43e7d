"""`mailquay v1 balance`, `organizations …`, `webhook …` and `webhooks …`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from gateway.cli.v1.command import collect, command
from providers.rest_v1.api import RestV1Api
from providers.rest_v1.api import account as api_account

organizations = typer.Typer(help="Organizations that send.", no_args_is_help=True)
webhook = typer.Typer(help="Where events of letters go.", no_args_is_help=True)
webhooks = typer.Typer(help="Several webhooks, on newer installations.", no_args_is_help=True)

OrganizationId = Annotated[str, typer.Argument(metavar="ORGANIZATION", help="Its id.")]
WebhookId = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Its id.")]
Url = Annotated[str, typer.Argument(help="With a secret in its path: nobody signs the calls.")]
Kinds = Annotated[list[str] | None, typer.Option("--kind", help="Of letters; repeatable.")]
Events = Annotated[list[str] | None, typer.Option("--event", help="Repeatable; all if none.")]

_ORGANIZATION_COLUMNS = ("id", "name", "city", "country", "phone", "current")


@dataclass(frozen=True, slots=True)
class WebhookUrl:
    """Where events go; empty for nowhere."""

    url: str


def add_balance(group: typer.Typer) -> None:
    """Add `balance` to a group."""
    command(group, "balance")(_balance)


async def _balance(api: RestV1Api) -> object:
    """What the account has left, where the installation tells it."""
    return await api.call(api_account.balance())


@command(organizations, "list", columns=_ORGANIZATION_COLUMNS)
async def list_organizations(api: RestV1Api) -> object:
    """All organizations."""
    return await collect(api.walk(api_account.all_organizations()))


@command(organizations, "create")
async def create_organization(
    api: RestV1Api,
    name: Annotated[str, typer.Option()],
    address: Annotated[str, typer.Option()],
    country: Annotated[str, typer.Option()],
    city: Annotated[str, typer.Option()],
    phone: Annotated[str, typer.Option()],
    zip_code: Annotated[str, typer.Option("--zip")],
) -> object:
    """Make an organization; all of it is demanded."""
    operation = api_account.create_organization(
        name=name, address=address, country=country, city=city, phone=phone, zip_code=zip_code
    )
    return await api.call(operation)


@command(organizations, "show")
async def show_organization(
    api: RestV1Api,
    organization_id: Annotated[
        str, typer.Argument(metavar="[ORGANIZATION]", help="Its id; the default's without one.")
    ] = "",
) -> object:
    """One organization, or the default one."""
    if not organization_id:
        return await api.call(api_account.current_organization())
    return await api.call(api_account.one_organization(organization_id))


@command(organizations, "change")
async def change_organization(
    api: RestV1Api,
    organization_id: OrganizationId,
    name: Annotated[str | None, typer.Option()] = None,
    address: Annotated[str | None, typer.Option()] = None,
    country: Annotated[str | None, typer.Option()] = None,
    city: Annotated[str | None, typer.Option()] = None,
    phone: Annotated[str | None, typer.Option()] = None,
    zip_code: Annotated[str | None, typer.Option("--zip")] = None,
) -> object:
    """Change an organization."""
    given = {"name": name, "address": address, "country": country, "city": city}
    given |= {"phone": phone, "zip": zip_code}
    changes = {key: value for key, value in given.items() if value is not None}
    return await api.call(api_account.change_organization(organization_id, **changes))


@command(organizations, "make-default")
async def make_current(api: RestV1Api, organization_id: OrganizationId) -> object:
    """Make an organization the default."""
    return await api.call(api_account.make_organization_current(organization_id))


@command(organizations, "delete")
async def delete_organization(api: RestV1Api, organization_id: OrganizationId) -> None:
    """Remove an organization."""
    await api.call(api_account.delete_organization(organization_id))


@command(webhook, "show")
async def show_webhook(api: RestV1Api) -> object:
    """The URL that events go to."""
    return WebhookUrl(await api.webhook())


@command(webhook, "set")
async def set_webhook(api: RestV1Api, url: Url) -> object:
    """Have events go to this URL and no other: removes, sets, and looks whether it stands."""
    return WebhookUrl(await api.replace_webhook(url))


@command(webhook, "remove")
async def remove_webhook(api: RestV1Api) -> object:
    """Have events go nowhere; shows where they went."""
    return [WebhookUrl(url) for url in await api.remove_webhook()]


@command(webhooks, "list", columns=("id", "title", "url", "events", "status"))
async def list_webhooks(api: RestV1Api) -> object:
    """All of them."""
    return await collect(api.walk(api_account.all_webhooks()))


@command(webhooks, "create")
async def create_webhook(
    api: RestV1Api,
    title: Annotated[str, typer.Argument()],
    url: Url,
    kind: Kinds = None,
    event: Events = None,
) -> object:
    """Add one."""
    operation = api_account.create_webhook(title, url, kinds=kind or (), events=event or ())
    return await api.call(operation)


@command(webhooks, "show")
async def show_one(api: RestV1Api, webhook_id: WebhookId) -> object:
    """One of them."""
    return await api.call(api_account.one_webhook(webhook_id))


@command(webhooks, "change")
async def change_webhook(
    api: RestV1Api,
    webhook_id: WebhookId,
    title: Annotated[str | None, typer.Option()] = None,
    url: Annotated[str | None, typer.Option()] = None,
    kind: Kinds = None,
    event: Events = None,
) -> object:
    """Change one."""
    operation = api_account.change_webhook(
        webhook_id, title=title, url=url, kinds=kind or (), events=event or ()
    )
    return await api.call(operation)


@command(webhooks, "delete")
async def delete_webhook(api: RestV1Api, webhook_id: WebhookId) -> None:
    """Remove one."""
    await api.call(api_account.delete_webhook(webhook_id))


@command(webhooks, "events")
async def events(api: RestV1Api) -> object:
    """What they can be told of."""
    return await api.call(api_account.webhook_events())


@command(webhooks, "kinds")
async def kinds(api: RestV1Api) -> object:
    """For which kinds of letters."""
    return await api.call(api_account.webhook_kinds())
