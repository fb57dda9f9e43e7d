"""`mailquay v1 recipients …` one by one, and `mailquay v1 search`."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.v1.command import collect, command
from gateway.cli.v1.lists import ListId
from providers.contract.address import parse_address
from providers.rest_v1.api import RestV1Api, lists
from providers.rest_v1.api import recipients as api_recipients

app = typer.Typer(help="The recipients of a list.", no_args_is_help=True)

RecipientId = Annotated[str, typer.Argument(metavar="RECIPIENT", help="Id in the list.")]
Email = Annotated[str, typer.Argument(metavar="ADDRESS")]
Values = Annotated[
    list[str] | None, typer.Option("--value", help="TITLE=TEXT of a parameter; repeatable.")
]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="Repeatable.")]


@command(app, "list", columns=("id", "email", "confirmed", "values", "status", "tags"))
async def list_(
    api: RestV1Api,
    list_id: ListId,
    limit: Annotated[int, typer.Option(min=0, help="The first so many; 0: all.")] = 0,
) -> object:
    """The recipients of a list."""
    return await collect(api.walk(api_recipients.all_recipients(list_id)), limit)


@command(app, "add")
async def add(
    api: RestV1Api,
    list_id: ListId,
    email: Email,
    value: Values = None,
    tag: Tags = None,
    unconfirmed: Annotated[bool, typer.Option("--unconfirmed", help="Not yet willing.")] = False,
) -> object:
    """Add an address to a list."""
    parse_address(email)
    values = await values_by_id(api, list_id, value or ())
    operation = api_recipients.create_recipient(
        list_id, email, values, unconfirmed=unconfirmed, tags=tag or ()
    )
    return await api.call(operation)


@command(app, "show")
async def show(api: RestV1Api, list_id: ListId, recipient_id: RecipientId) -> object:
    """One recipient."""
    return await api.call(api_recipients.one_recipient(list_id, recipient_id))


@command(app, "change")
async def change(
    api: RestV1Api,
    list_id: ListId,
    recipient_id: RecipientId,
    email: Annotated[str | None, typer.Option(help="Another address.")] = None,
    value: Values = None,
    remove_value: Annotated[
        list[str] | None, typer.Option(help="TITLE of a parameter; repeatable.")
    ] = None,
    tag: Tags = None,
    run_triggers: Annotated[bool, typer.Option("--run-triggers", help="Start automations.")] = (
        False
    ),
) -> object:
    """Change a recipient."""
    if email is not None:
        parse_address(email)
    gone = await values_by_id(api, list_id, [f"{title}=" for title in remove_value or ()])
    operation = api_recipients.change_recipient(
        list_id,
        recipient_id,
        email=email,
        values=await values_by_id(api, list_id, value or ()),
        destroy=list(gone),
        tags=tag,
        run_triggers=run_triggers,
    )
    return await api.call(operation)


@command(app, "delete")
async def delete(api: RestV1Api, list_id: ListId, recipient_id: RecipientId) -> None:
    """Take a recipient off a list."""
    await api.call(api_recipients.delete_recipient(list_id, recipient_id))


def add_search(group: typer.Typer) -> None:
    """Add `search` to a group."""
    command(group, "search")(_search)


async def _search(
    api: RestV1Api,
    email: Email,
    exact: Annotated[bool, typer.Option("--exact", help="This very address only.")] = False,
) -> object:
    """In which lists an address is; the platform may find pieces of addresses, too."""
    found = await collect(api.walk(api_recipients.search(email)))
    if not exact:
        return found
    one = api_recipients.exactly(email, found)
    return [] if one is None else [one]


async def values_by_id(
    api: RestV1Api, list_id: str, given: list[str] | tuple[str, ...]
) -> dict[str, str]:
    """
    Values by parameter id, of `TITLE=TEXT` or `ID=TEXT`.

    Raises:
        ValueError: One has no `=`, or names no parameter of the list.
    """
    if not given:
        return {}
    known: dict[str, str] = {}
    async for parameter in api.walk(lists.all_parameters(list_id)):
        known[parameter.id] = parameter.id
        known[parameter.title] = parameter.id
    values = {}
    for item in given:
        title, separator, text = item.partition("=")
        if not separator:
            raise ValueError(f"a value is written TITLE=TEXT, not {item!r}")
        if title not in known:
            raise ValueError(f"list {list_id} has no parameter {title!r}")
        values[known[title]] = text
    return values
