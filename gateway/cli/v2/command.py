"""
From a method of the v2 API to a command: account, result, trouble.

Every command takes `--config`, `--provider` and `--json` beside its own arguments. Exit codes are
those of sysexits(3): 65 what was asked is wrong, 66 a file is not there, 73 one cannot be written,
75 try again later, 77 the account may not, 78 the configuration.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from gateway.cli.output import fail, print_json, print_line, print_table
from gateway.clock import SystemClock
from gateway.config import load
from providers.contract.outcome import Cause, DeliveryOutcome, Kind
from providers.form_v2.account import FormV2Account
from providers.form_v2.settings import FormV2Settings
from providers.form_v2.wire.values import Done

T = TypeVar("T")

ProviderOption = Annotated[
    str | None,
    typer.Option("--provider", help="Which form_v2 provider; needed where there are several."),
]


class NotDone(Exception):
    """The service did not do what it was asked, or nobody knows whether it did."""

    def __init__(self, outcome: DeliveryOutcome) -> None:
        super().__init__(outcome.diagnostic)
        self.outcome = outcome


def answered(result: T | DeliveryOutcome) -> T:
    """
    What the service told.

    Raises:
        NotDone: It told nothing.
    """
    if isinstance(result, DeliveryOutcome):
        raise NotDone(result)
    return result


def ask(
    config: Path | None, provider: str | None, job: Callable[[FormV2Account], Awaitable[T]]
) -> T:
    """
    What a job comes to with the account of that name, or the only one.

    Ends the process with one line where there is no such account, the service does not do it, or
    what was asked is wrong.
    """
    settings = _settings(config, provider)
    try:
        return asyncio.run(_with_account(settings, job))
    except NotDone as error:
        fail(told(error.outcome), exit_code(error.outcome))
    except ValueError as error:
        fail(str(error), os.EX_DATAERR)


def told(outcome: DeliveryOutcome) -> str:
    """Trouble in one line that says what to do."""
    text = outcome.diagnostic or "the service does not say why"
    if outcome.kind is Kind.UNCERTAIN:
        return f"{text}; it may have been done all the same: look before you repeat it"
    if outcome.retry_after is not None:
        return f"{text}; try again in {outcome.retry_after.total_seconds():g} s"
    return text


def exit_code(outcome: DeliveryOutcome) -> int:
    """The sysexits code for trouble."""
    if outcome.cause is Cause.ACCOUNT:
        return os.EX_NOPERM
    if outcome.kind in (Kind.REJECTED, Kind.UNSUPPORTED):
        return os.EX_DATAERR
    return os.EX_TEMPFAIL


def show(result: object, *, as_json: bool, columns: Sequence[str] = ()) -> None:
    """
    Show a result: one value as its fields, several as a table of these columns, or JSON.

    A call that only says OK shows nothing, but to a machine.
    """
    if as_json:
        print_json({"ok": True} if isinstance(result, Done) else result)
    elif isinstance(result, tuple | list):
        names = tuple(columns)
        rows = [tuple(str(getattr(row, name)) for name in names) for row in result]
        if rows:
            print_table([name.replace("_", " ") for name in names], rows)
        else:
            print_line("none")
    elif is_dataclass(result) and not isinstance(result, Done):
        names = tuple(field.name for field in fields(result))
        values = ((name.replace("_", " "), getattr(result, name)) for name in names)
        print_table(("", ""), [(name, "" if x is None else str(x)) for name, x in values])


async def _with_account(
    settings: FormV2Settings, job: Callable[[FormV2Account], Awaitable[T]]
) -> T:
    account = FormV2Account(settings, SystemClock())
    try:
        return await job(account)
    finally:
        await account.aclose()


def _settings(config: Path | None, name: str | None) -> FormV2Settings:
    found = {
        key: given
        for key, given in load(config).providers.items()
        if isinstance(given, FormV2Settings)
    }
    if name is not None and name not in found:
        fail(f"no form_v2 provider is called {name}", os.EX_CONFIG)
    if not found:
        fail("the configuration has no form_v2 provider", os.EX_CONFIG)
    if name is None and len(found) > 1:
        fail(f"which provider? --provider {' | '.join(found)}", os.EX_USAGE)
    return found[name or next(iter(found))]
