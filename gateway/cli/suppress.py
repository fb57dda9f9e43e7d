"""`mailquay suppress`: who is sent nothing, also while the daemon runs."""

from __future__ import annotations

import asyncio
import csv
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO, TypeVar

import typer

from gateway.cli.output import (
    ConfigOption,
    JsonOption,
    fail,
    moment,
    print_json,
    print_line,
    print_table,
    warn,
)
from gateway.domain.suppression import Suppression, SuppressionReason
from providers.contract.address import InvalidAddress, parse_address

if TYPE_CHECKING:
    from gateway.spool.suppressions import SqlSuppressions

T = TypeVar("T")

app = typer.Typer(help="Addresses that are sent nothing.", no_args_is_help=True)

Addresses = Annotated[list[str], typer.Argument(metavar="ADDRESS...", help="In any case.")]
ReasonOption = Annotated[SuppressionReason | None, typer.Option(help="Only of this reason.")]
_MANUAL = SuppressionReason.MANUAL
_MOST_WRONG_SHOWN = 10
_LONGEST_COMMENT = 200


@app.command("list")
def list_(
    config: ConfigOption = None,
    reason: ReasonOption = None,
    address: Annotated[str, typer.Option(help="Only with this in the address.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List who is sent nothing, and why, by address."""
    rows = _with_list(config, lambda store, _: store.page(limit, reason=reason, text=address))
    if as_json:
        print_json(rows)
        return
    print_table(
        ("address", "reason", "since", "by", "comment"),
        [(r.address, r.reason.value, moment(r.since), r.source, r.comment) for r in rows],
    )
    if len(rows) == limit:
        print_line(f"… the first {limit}; --limit shows more")


@app.command()
def add(
    addresses: Addresses,
    config: ConfigOption = None,
    reason: Annotated[SuppressionReason, typer.Option(help="Why.")] = _MANUAL,
    comment: Annotated[str, typer.Option(help="For those who look.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Send nothing to addresses from now on."""
    now = datetime.now(UTC)
    entries = [
        Suppression(_folded(one), reason, now, "command line", _line(comment)) for one in addresses
    ]
    added = _with_list(config, lambda store, accounts: store.add(entries, accounts))
    _tell({"added": added, "known": len(entries) - added}, as_json=as_json)


@app.command()
def remove(
    addresses: Addresses,
    config: ConfigOption = None,
    reason: ReasonOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send to addresses again; with --reason only that one is lifted."""
    folded = [_folded(one) for one in addresses]
    now = datetime.now(UTC)
    removed = _with_list(
        config, lambda store, accounts: store.remove(folded, now, reason, accounts)
    )
    _tell({"removed": removed}, as_json=as_json)
    if not removed:
        raise SystemExit(os.EX_NOINPUT)


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(help="CSV, or - for standard input.")],
    config: ConfigOption = None,
    reason: Annotated[SuppressionReason, typer.Option(help="Of rows that name none.")] = _MANUAL,
    as_json: JsonOption = False,
) -> None:
    """
    Send nothing to the addresses of a file.

    One address on each line, or CSV with a heading that has `address` (or `email`) and may have
    `reason` and `comment`. Lines that hold no address are told and left out.
    """
    wrong: list[str] = []
    with _opened(file) as lines:
        entries = list(_entries(lines, reason, wrong))
    added = _with_list(config, lambda store, accounts: store.add(entries, accounts))
    for text in wrong[:_MOST_WRONG_SHOWN]:
        warn(text)
    if len(wrong) > _MOST_WRONG_SHOWN:
        warn(f"{len(wrong) - _MOST_WRONG_SHOWN} more lines are wrong")
    told = {"added": added, "known": len(entries) - added, "wrong": len(wrong)}
    _tell(told, as_json=as_json)
    if wrong:
        raise SystemExit(os.EX_DATAERR)


@contextmanager
def _opened(file: str) -> Iterator[TextIO]:
    if file == "-":
        yield sys.stdin
        return
    try:
        with Path(file).open(encoding="utf-8-sig", newline="") as opened:
            yield opened
    except FileNotFoundError:
        fail(f"{file}: there is no such file", os.EX_NOINPUT)
    except UnicodeDecodeError:
        fail(f"{file}: not UTF-8 text", os.EX_DATAERR)


def _entries(
    lines: Iterable[str], reason: SuppressionReason, wrong: list[str]
) -> Iterator[Suppression]:
    """The entries of a file; what cannot be read goes to `wrong`, a line each."""
    now = datetime.now(UTC)
    columns = {"address": 0}
    for number, row in enumerate(csv.reader(lines), 1):
        if number == 1 and (heading := _heading(row)):
            columns = heading
            continue
        if not any(cell.strip() for cell in row):
            continue
        cells = {name: row[at].strip() for name, at in columns.items() if at < len(row)}
        try:
            word = cells.get("reason", "").lower()
            why = SuppressionReason(word) if word else reason
            address = parse_address(cells.get("address", "")).folded
        except InvalidAddress as error:
            wrong.append(f"line {number}: {error}")
        except ValueError:
            known = ", ".join(SuppressionReason)
            wrong.append(f"line {number}: the reason is none of {known}")
        else:
            yield Suppression(address, why, now, "import", _line(cells.get("comment", "")))


def _heading(row: list[str]) -> dict[str, int]:
    """Where the columns are; empty where the first line is no heading."""
    names = [cell.strip().lower() for cell in row]
    address = next((name for name in ("address", "email") if name in names), None)
    if address is None:
        return {}
    known = (address, "reason", "comment")
    found = {name: names.index(name) for name in known if name in names}
    return {"address": found.pop(address), **found}


def _folded(text: str) -> str:
    try:
        return parse_address(text.strip()).folded
    except InvalidAddress as error:
        raise typer.BadParameter(f"{text}: {error}") from None


def _line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_COMMENT]


def _tell(counts: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        print_json(counts)
    else:
        print_line(", ".join(f"{number} {word}" for word, number in counts.items()))


def _with_list(
    config: Path | None, ask: Callable[[SqlSuppressions, tuple[str, ...]], Awaitable[T]]
) -> T:
    """What a call to the list comes to; it is given the accounts that are kept in step."""
    from gateway.app.parts import accounts_in_step
    from gateway.app.spool import open_spool
    from gateway.config import load

    settings = load(config)

    async def run() -> T:
        spool = await open_spool(settings, exclusive=False)
        try:
            return await ask(spool.suppressions, accounts_in_step(settings))
        finally:
            await spool.aclose()

    return asyncio.run(run())
