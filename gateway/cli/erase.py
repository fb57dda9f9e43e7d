"""`mailquay erase`: a person's address taken out of the records."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.output import ConfigOption, JsonOption, print_json, print_line, warn

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.spool.values import Erasure


def erase(
    address: Annotated[str, typer.Argument(help="The address, whole; in any case.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an address out of all records; what waits for it is removed, counts stay."""
    from gateway.config import load

    if "@" not in address.strip("@"):
        raise typer.BadParameter(f"{address} is no address")
    done, clean = asyncio.run(_erase(load(config), address.strip()))
    if as_json:
        print_json(done)
    else:
        print_line(f"{done.letters} letters; {done.removed} waiting recipients removed")
    if done.left:
        warn(f"{done.left} places need the address still (not settled): erase again later")
    if not clean:
        warn("the log of the spool is in use, and is overwritten later by itself")


async def _erase(settings: Settings, address: str) -> tuple[Erasure, bool]:
    from gateway.app.spool import open_spool

    spool = await open_spool(settings, exclusive=False)
    try:
        done = await spool.erase(address, datetime.now(UTC))
        return done, await spool.scrub()
    finally:
        await spool.aclose()
