"""`mailquay v1 lists …` and `mailquay v1 parameters …`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from gateway.cli.v1.command import collect, command
from providers.rest_v1.api import RestV1Api
from providers.rest_v1.api import lists as api_lists

app = typer.Typer(help="Recipient lists.", no_args_is_help=True)
parameters = typer.Typer(help="What a list knows of its recipients.", no_args_is_help=True)

ListId = Annotated[str, typer.Argument(metavar="LIST", help="Id of the list.")]
ParameterId = Annotated[str, typer.Argument(metavar="PARAMETER", help="Id of the parameter.")]
Title = Annotated[str, typer.Argument(help="Unique.")]


class Kind(StrEnum):
    """What a parameter can hold."""

    STRING = "string"
    NUMERIC = "numeric"
    DATE = "date"
    BOOLEAN = "boolean"
    GEO = "geo"


@command(app, "list")
async def list_(api: RestV1Api) -> object:
    """All lists."""
    return await collect(api.walk(api_lists.all_lists()))


@command(app, "create")
async def create(api: RestV1Api, title: Title) -> object:
    """Make a list."""
    return await api.call(api_lists.create_list(title))


@command(app, "show")
async def show(api: RestV1Api, list_id: ListId) -> object:
    """One list."""
    return await api.call(api_lists.one_list(list_id))


@command(app, "rename")
async def rename(api: RestV1Api, list_id: ListId, title: Title) -> object:
    """Give a list another title."""
    return await api.call(api_lists.rename_list(list_id, title))


@command(app, "delete")
async def delete(api: RestV1Api, list_id: ListId) -> None:
    """Remove a list with its recipients."""
    await api.call(api_lists.delete_list(list_id))


@command(parameters, "list")
async def list_parameters(api: RestV1Api, list_id: ListId) -> object:
    """All parameters of a list."""
    return await collect(api.walk(api_lists.all_parameters(list_id)))


@command(parameters, "create")
async def create_parameter(
    api: RestV1Api,
    list_id: ListId,
    title: Title,
    kind: Annotated[Kind, typer.Option(help="What it holds.")] = Kind.STRING,
) -> object:
    """Add a parameter to a list."""
    return await api.call(api_lists.create_parameter(list_id, title, kind.value))


@command(parameters, "change")
async def change_parameter(
    api: RestV1Api,
    list_id: ListId,
    parameter_id: ParameterId,
    title: Annotated[str | None, typer.Option(help="Another title.")] = None,
    kind: Annotated[
        Kind | None, typer.Option(help="Another kind; what is stored is cleared.")
    ] = None,
) -> object:
    """Change a parameter."""
    operation = api_lists.change_parameter(
        list_id, parameter_id, title=title, kind=None if kind is None else kind.value
    )
    return await api.call(operation)


@command(parameters, "delete")
async def delete_parameter(api: RestV1Api, list_id: ListId, parameter_id: ParameterId) -> None:
    """Remove a parameter with what is stored under it."""
    await api.call(api_lists.delete_parameter(list_id, parameter_id))
