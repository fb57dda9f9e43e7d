"""`mailquay v2 unsubscribe` and `subscribe`: one address, several, or a file of them."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import ConfigOption, JsonOption, fail
from gateway.cli.v2.command import ProviderOption, ask, exit_code, show, told
from gateway.cli.v2.letters import address_from
from gateway.cli.v2.progress import progress
from gateway.cli.v2.rows import check_target, read_rows, write_rows
from providers.contract.outcome import Cause, DeliveryOutcome
from providers.form_v2.account import FormV2Account
from providers.form_v2.wire.values import Done

Emails = Annotated[list[str] | None, typer.Argument(metavar="[ADDRESS]...")]
File = Annotated[
    Path | None, typer.Option("--file", help="CSV with a column `email`; - for standard input.")
]
Lists = Annotated[list[str] | None, typer.Option("--list", help="Of this list; all if none.")]
Results = Annotated[
    Path | None, typer.Option("--results", help="Write what became of each as CSV.")
]

_COLUMNS = ("email", "result")


@dataclass(frozen=True, slots=True)
class Changed:
    """One address and what became of it: `ok`, or why not."""

    email: str
    result: str


def unsubscribe(
    email: Emails = None,
    file: File = None,
    list_id: Lists = None,
    reason: Annotated[str, typer.Option("--reason", help="A comment.")] = "",
    results: Results = None,
    config: ConfigOption = None,
    provider: ProviderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep mailings from addresses (unsubscribeEmail); may be repeated without harm."""
    emails = _emails(email, file)

    def change(account: FormV2Account, one: str) -> Awaitable[Done | DeliveryOutcome]:
        return account.unsubscribe_email(one, list_id or (), reason)

    _change(emails, change, results, config, provider, as_json=as_json)


def subscribe(
    email: Emails = None,
    file: File = None,
    list_id: Lists = None,
    results: Results = None,
    config: ConfigOption = None,
    provider: ProviderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lift that again (subscribeEmail); may be repeated without harm."""
    emails = _emails(email, file)

    def change(account: FormV2Account, one: str) -> Awaitable[Done | DeliveryOutcome]:
        return account.subscribe_email(one, list_id or ())

    _change(emails, change, results, config, provider, as_json=as_json)


def _emails(given: list[str] | None, file: Path | None) -> list[str]:
    emails = [address_from(one) for one in given or ()]
    if file is not None:
        try:
            emails += [row["email"] for row in read_rows(file)]
        except ValueError as error:
            fail(str(error), os.EX_DATAERR)
    if not emails:
        fail("name an address, or a file of them with --file", os.EX_USAGE)
    return emails


def _change(
    emails: list[str],
    change: Callable[[FormV2Account, str], Awaitable[Done | DeliveryOutcome]],
    results: Path | None,
    config: Path | None,
    provider: str | None,
    *,
    as_json: bool,
) -> None:
    """One call after the other, past refusals, until the account itself is in trouble."""
    check_target(results)
    troubles: list[DeliveryOutcome] = []

    async def job(account: FormV2Account) -> list[Changed]:
        changed = []
        with progress("addresses", len(emails)) as reached:
            for count, one in enumerate(emails, 1):
                found = await change(account, one)
                if isinstance(found, DeliveryOutcome):
                    troubles.append(found)
                    changed.append(Changed(one, told(found)))
                    if found.cause is not Cause.OTHER:
                        break
                else:
                    changed.append(Changed(one, "ok"))
                reached(count)
        return changed

    changed = ask(config, provider, job)
    if results is not None:
        write_rows(results, _COLUMNS, changed)
    if results is None or as_json:
        show(changed, as_json=as_json, columns=_COLUMNS)
    if troubles:
        left = len(emails) - len(changed)
        more = f", {left} not tried" if left else ""
        fail(f"{len(troubles)} failed{more}: {told(troubles[-1])}", exit_code(troubles[-1]))
