"""`mailquay v1 recipients import` and `export`: many recipients, as CSV, with a progress bar."""

from __future__ import annotations

import csv
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.cli.output import fail, warn
from gateway.cli.v1.command import SHOWN, collect, command
from gateway.cli.v1.lists import ListId
from gateway.cli.v1.recipients import Tags
from gateway.cli.v1.rows import BadRow, Columns, cells, header, read_columns, read_rows
from gateway.cli.v1.wait import wait_for_imports
from providers.rest_v1.api import ImportPart, RestV1Api, RestV1Error, imports, lists, recipients
from providers.settings import parse_duration

_NO_TIME = timedelta(0)


@dataclass(frozen=True, slots=True)
class QueuedPart:
    """One part of an import, as it is shown."""

    import_id: str
    status: str
    recipients: int


def add_to(group: typer.Typer) -> None:
    """Add both commands to a group."""
    command(group, "import")(_import)
    command(group, "export")(_export)


async def _import(
    api: RestV1Api,
    list_id: ListId,
    file: Annotated[str, typer.Argument(help="CSV with a column `email`; - for standard input.")],
    tag: Tags = None,
    run_triggers: Annotated[bool, typer.Option("--run-triggers", help="Start automations.")] = (
        False
    ),
    callback_url: Annotated[
        str | None, typer.Option(help="Called by the platform after each part.")
    ] = None,
    create_parameters: Annotated[
        bool, typer.Option("--create-parameters", help="Make those that the list lacks.")
    ] = False,
    part_size: Annotated[
        int, typer.Option(min=1, max=imports.MAX_RECIPIENTS, help="Recipients in one call.")
    ] = imports.MAX_RECIPIENTS,
    skip: Annotated[int, typer.Option(min=0, help="Leave out so many, queued before.")] = 0,
    wait: Annotated[str, typer.Option(help="For the end, at most so long, as 5m.")] = "0s",
) -> object:
    """
    Import recipients from CSV, in parts of 10,000.

    The whole file is looked through before anything is sent. Where a part fails, those before it
    are queued, and the error says how to go on.
    """
    patience = parse_duration(wait)
    assert isinstance(patience, timedelta)  # noqa: S101 - what parse_duration returns for text
    with _opened(file) as lines:
        columns = read_columns(lines.readline())
        start = lines.tell()
        any_ids = {title: title for title, _ in columns.parameters}
        total = sum(1 for _ in read_rows(lines, columns, any_ids))
        if not total:
            raise BadRow("there is no recipient in the file")
        ids = await _parameter_ids(api, list_id, columns, create=create_parameters)
        lines.seek(start)
        rows = islice(read_rows(lines, columns, ids), skip, None)
        parts: list[ImportPart] = []
        with _progress("queued", max(total - skip, 0)) as bar:
            try:
                async for part in api.import_recipients(
                    list_id,
                    rows,
                    run_triggers=run_triggers,
                    tags=tag or (),
                    callback_url=callback_url,
                    part_size=part_size,
                ):
                    parts.append(part)
                    bar.advance(part.count)
            except RestV1Error:
                done = skip + sum(part.count for part in parts)
                if done:
                    warn(f"{done} of {total} are queued; go on with --skip {done}")
                raise
    if patience > _NO_TIME:
        with _progress("in the list", sum(part.count for part in parts)) as bar:
            over = await wait_for_imports(api, list_id, parts, patience, bar.reached)
        if not over:
            fail("the platform is not done with it yet", os.EX_TEMPFAIL)
    return [QueuedPart(part.queued.id, part.queued.status, part.count) for part in parts]


async def _export(
    api: RestV1Api,
    list_id: ListId,
    file: Annotated[str, typer.Argument(help="Where to; - for standard output.")] = "-",
) -> object:
    """Write the recipients of a list as CSV; a file is there whole or not at all."""
    parameters = await collect(api.walk(lists.all_parameters(list_id)))
    wanted = recipients.all_recipients(list_id)
    total = await api.count(wanted)
    count = 0
    with _target(file) as target, _progress("recipients", total or 0) as bar:
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(header(parameters, tags=True))
        async for recipient in api.walk(wanted):
            writer.writerow(cells(recipient, parameters, tags=True))
            count += 1
            bar.advance(1)
    if total is not None and count < total:
        warn(f"the platform speaks of {total} recipients and gave {count}")
    return SHOWN if file == "-" else f"{count} recipients in {file}"


async def _parameter_ids(
    api: RestV1Api, list_id: str, columns: Columns, *, create: bool
) -> dict[str, str]:
    known = {p.title: p.id for p in await collect(api.walk(lists.all_parameters(list_id)))}
    for title, _ in columns.parameters:
        if title in known:
            continue
        if not create:
            raise BadRow(f"list {list_id} has no parameter {title!r}; --create-parameters makes it")
        known[title] = (await api.call(lists.create_parameter(list_id, title))).id
    return known


@contextmanager
def _opened(file: str) -> Iterator[TextIO]:
    """The file, or a copy of standard input, which cannot be read twice."""
    if file == "-":
        with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as copy:
            while text := sys.stdin.read(1 << 16):
                copy.write(text)
            copy.seek(0)
            yield copy
        return
    try:
        lines = Path(file).open(encoding="utf-8", newline="")  # noqa: SIM115 - closed below
    except OSError as error:
        fail(f"{file}: {error.strerror}", os.EX_NOINPUT)
    with lines:
        yield lines


@contextmanager
def _target(file: str) -> Iterator[TextIO]:
    """Standard output, or a file that takes its name when it is whole."""
    if file == "-":
        yield sys.stdout
        return
    path = Path(file)
    part = path.with_name(f"{path.name}.part")
    try:
        lines = part.open("w", encoding="utf-8", newline="")
    except OSError as error:
        fail(f"{path}: {error.strerror}", os.EX_CANTCREAT)
    try:
        with lines:
            yield lines
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


class _Bar:
    """A progress bar, or nothing where nobody looks."""

    def __init__(self, progress: Progress, what: str, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total or None)

    def advance(self, count: int) -> None:
        """So many more."""
        self._progress.advance(self._task, count)

    def reached(self, count: int) -> None:
        """So many by now."""
        self._progress.update(self._task, completed=count)


@contextmanager
def _progress(what: str, total: int) -> Iterator[_Bar]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    hidden = not console.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=hidden) as progress:
        yield _Bar(progress, what, total)
