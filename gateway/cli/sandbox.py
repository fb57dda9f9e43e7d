"""`mailquay sandbox`: the three providers imitated on this machine, with faults on demand."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.output import fail, flush, print_line

if TYPE_CHECKING:
    from providers.sandbox.server import Sandbox


def sandbox(
    smtp_port: Annotated[int, typer.Option(help="Of the imitated smarthost; 0: a free one.")] = 0,
    http_port: Annotated[int, typer.Option(help="Of v1, v2 and control; 0: a free one.")] = 0,
    fault: Annotated[
        list[str] | None,
        # Backslashes, for what renders the help takes brackets for its own marks.
        typer.Option(help=r"\[provider:]kind\[/style]\[@method]\[:times], as rest_v1:throttle:3."),
    ] = None,
    quirk: Annotated[
        list[str] | None,
        typer.Option(help="In what v2 differs from its documents, as changed_addresses."),
    ] = None,
    habit: Annotated[
        list[str] | None, typer.Option(help="Of v1, where its documents are silent: ids=string.")
    ] = None,
    step: Annotated[
        float, typer.Option(min=0, help="Seconds between states of v1's letters; 0: on command.")
    ] = 2.0,
) -> None:
    """Imitate the three providers strictly, until stopped."""
    from providers.sandbox.faults import parse_fault
    from providers.sandbox.form_v2_answers import parse_quirk
    from providers.sandbox.rest_v1.dialect import parse_habits
    from providers.sandbox.server import Sandbox

    try:
        faults = [parse_fault(text) for text in fault or ()]
        quirks = {parse_quirk(text) for text in quirk or ()}
        dialect = parse_habits(habit or ())
    except ValueError as error:
        fail(str(error), os.EX_USAGE)
    imitation = Sandbox(
        smtp_port=smtp_port,
        http_port=http_port,
        faults=faults,
        step_s=step or None,
        dialect=dialect,
    )
    imitation.form_v2.quirks |= quirks
    asyncio.run(_run(imitation))


async def _run(imitation: Sandbox) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await imitation.start()
    for line in (
        f"smarthost  127.0.0.1:{imitation.smtp_port}",
        f"rest_v1    {imitation.v1_url}",
        f"form_v2    {imitation.v2_url}",
        f"control    {imitation.url}/_sandbox/letters",
    ):
        print_line(line)
    flush()
    try:
        await stop.wait()
    finally:
        await imitation.stop()
