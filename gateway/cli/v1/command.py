"""
From a question to the v1 API to a command: account, result, errors.

Every command takes `--config`, `--provider` and `--json` beside its own arguments. Exit codes are
those of sysexits(3): 65 what was asked is wrong, 66 there is no such thing, 69 the platform has no
such method or is in trouble, 75 try again later, 77 the account may not or cannot pay, 78 the
configuration.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from gateway.cli.output import (
    ConfigOption,
    JsonOption,
    fail,
    print_json,
    print_line,
    print_table,
)
from gateway.clock import SystemClock
from gateway.config import load
from providers.contract.address import InvalidAddress
from providers.rest_v1.api import errors as e
from providers.rest_v1.provider import RestV1
from providers.rest_v1.settings import RestV1Settings

ProviderOption = Annotated[
    str | None,
    typer.Option("--provider", help="Which rest_v1 provider; needed where there are several."),
]

Job = Callable[..., Awaitable[object]]

SHOWN = object()
"""The result of a command that has shown everything itself."""

_EXIT: tuple[tuple[type[e.RestV1Error], int], ...] = (
    (e.Unauthorised, os.EX_NOPERM),
    (e.NotEnoughFunds, os.EX_NOPERM),
    (e.NotFound, os.EX_NOINPUT),
    (e.NotAvailable, os.EX_UNAVAILABLE),
    (e.Throttled, os.EX_TEMPFAIL),
    (e.NotReached, os.EX_TEMPFAIL),
    (e.AnswerLost, os.EX_TEMPFAIL),
    (e.ServerTrouble, os.EX_UNAVAILABLE),
)


def command(app: typer.Typer, name: str, *, columns: Sequence[str] = ()) -> Callable[[Job], Job]:
    """
    Register a coroutine function as a command.

    Its first parameter is the API, the others become arguments and options; a result other than
    `None` is shown.

    Args:
        app: The group.
        name: Of the command.
        columns: Which attributes of a sequence's items the table shows; all if none are given.
    """

    def register(job: Job) -> Job:
        @functools.wraps(job)
        def run(config: Path | None, provider: str | None, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - typer gives them by name
            with explained():
                result = asyncio.run(_with_api(config, provider, job, given))
            show(result, as_json=as_json, columns=columns)

        _sign(run, job)
        app.command(name)(run)
        return job

    return register


def _sign(run: Callable[..., None], job: Job) -> None:
    """Give `run` the parameters of `job` but its first, and those that all commands have."""
    hints = get_type_hints(job, include_extras=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    own = [
        parameter.replace(annotation=hints[parameter.name], kind=kind)
        for parameter in list(inspect.signature(job).parameters.values())[1:]
    ]
    common = [
        inspect.Parameter("config", kind, default=None, annotation=ConfigOption),
        inspect.Parameter("provider", kind, default=None, annotation=ProviderOption),
        inspect.Parameter("as_json", kind, default=False, annotation=JsonOption),
    ]
    run.__signature__ = inspect.Signature([*own, *common])  # type: ignore[attr-defined] # typer reads it
    run.__annotations__ = {p.name: p.annotation for p in (*own, *common)}


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn what asking the API raises into one line and the right exit code."""
    try:
        yield
    except e.RestV1Error as error:
        text = str(error)
        if error.done:
            text += "; it may have been done all the same: look before you repeat it"
        code = next((code for kind, code in _EXIT if isinstance(error, kind)), os.EX_DATAERR)
        fail(text, code)
    except (InvalidAddress, ValueError) as error:
        fail(str(error), os.EX_DATAERR)


def show(result: object, *, as_json: bool, columns: Sequence[str] = ()) -> None:
    """A result as a table or as JSON; nothing for `None`, but for a machine."""
    if result is SHOWN:
        return
    if as_json:
        print_json({"ok": True} if result is None else result)
    elif isinstance(result, str):
        print_line(result)
    elif isinstance(result, list | tuple):
        _show_rows(result, columns)
    elif is_dataclass(result):
        print_table(("", ""), list(_pairs(result)))


async def collect(items: AsyncGenerator[Any, None], limit: int = 0) -> list[Any]:
    """All of them, or the first so many."""
    found = []
    async with contextlib.aclosing(items):
        async for item in items:
            found.append(item)
            if len(found) == limit:
                break
    return found


async def _with_api(
    config: Path | None, name: str | None, job: Job, given: dict[str, Any]
) -> object:
    account = chosen(config, name)
    try:
        return await job(account.api, **given)
    finally:
        await account.aclose()


def chosen(config: Path | None, name: str | None) -> RestV1:
    """
    The account of that name, or the only one, as the configuration has it.

    Ends the process where there is none, or where it is not clear which.
    """
    found = {
        key: given
        for key, given in load(config).providers.items()
        if isinstance(given, RestV1Settings)
    }
    if name is not None and name not in found:
        fail(f"no rest_v1 provider is called {name}", os.EX_CONFIG)
    if not found:
        fail("the configuration has no rest_v1 provider", os.EX_CONFIG)
    if name is None and len(found) > 1:
        fail(f"which provider? --provider {' | '.join(found)}", os.EX_USAGE)
    name = name or next(iter(found))
    return RestV1(name, found[name], SystemClock())


def _show_rows(rows: Sequence[object], columns: Sequence[str]) -> None:
    if not rows:
        print_line("none")
        return
    if not is_dataclass(rows[0]):
        for row in rows:
            print_line(str(row))
        return
    names = tuple(columns) or tuple(field.name for field in fields(rows[0]))
    cells = [tuple(_text(getattr(row, name)) for name in names) for row in rows]
    print_table([name.replace("_", " ") for name in names], cells)


def _pairs(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401
    for field in fields(value):
        item = getattr(value, field.name)
        name = f"{prefix}{field.name.replace('_', ' ')}"
        if is_dataclass(item):
            yield from _pairs(item, f"{name}: ")
        elif (text := _text(item)) or not prefix:
            yield name, text


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if is_dataclass(value) and not isinstance(value, type):
        return " ".join(_text(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return str(value)
