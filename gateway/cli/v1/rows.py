"""
Recipients as CSV: read strictly, written so that it can be read back.

The first line names the columns: `email`, and titles of the list's parameters. `id`, `confirmed`,
`status` and `tags`, which an export writes, are passed over when reading. A parameter with such a
title stands there as `parameter:TITLE`. UTF-8, with or without a byte order mark; commas or
semicolons. Pure but for the text it reads.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from providers.contract.address import InvalidAddress, parse_address
from providers.rest_v1.api.imports import Row
from providers.rest_v1.api.lists import Parameter
from providers.rest_v1.api.recipients import Recipient

_OWN = ("id", "email", "confirmed", "status", "tags")
_PREFIX = "parameter:"


class BadRow(ValueError):
    """A line that cannot be a recipient; the text names line and reason."""


@dataclass(frozen=True, slots=True)
class Columns:
    """
    What the first line says.

    Attributes:
        delimiter: A comma or a semicolon.
        email: At which place the address stands.
        parameters: Title and place of every parameter.
        count: How many columns there are.
    """

    delimiter: str
    email: int
    parameters: tuple[tuple[str, int], ...]
    count: int


def read_columns(first_line: str) -> Columns:
    """
    Read the first line.

    Raises:
        BadRow: It has no `email`, or names a column twice.
    """
    line = first_line.removeprefix("\ufeff")
    for delimiter in ",;":
        names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
        lower = [name.lower() for name in names]
        if "email" in lower:
            break
    else:
        raise BadRow("the first line names no column `email`")
    if twice := next((name for name in names if name and names.count(name) > 1), None):
        raise BadRow(f"the first line names {twice!r} twice")
    parameters = tuple(
        (name.removeprefix(_PREFIX), place)
        for place, name in enumerate(names)
        if name and name.lower() not in _OWN
    )
    return Columns(delimiter, lower.index("email"), parameters, len(names))


def read_rows(lines: TextIO, columns: Columns, parameter_ids: Mapping[str, str]) -> Iterator[Row]:
    """
    The recipients of the lines after the first; empty lines are passed over.

    Args:
        lines: Stands after the first line.
        columns: What the first line said.
        parameter_ids: The list's parameters, id by title.

    Raises:
        BadRow: A line has no address or too many columns; it is told by its number in the file.
    """
    reader = csv.reader(lines, delimiter=columns.delimiter, strict=True)
    ids = [(parameter_ids[title], place) for title, place in columns.parameters]
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield _row(cells, columns, ids, reader.line_num + 1)
    except csv.Error as error:
        raise BadRow(f"line {reader.line_num + 1}: {error}") from error
    except UnicodeDecodeError as error:
        raise BadRow(f"after line {reader.line_num + 1}: not UTF-8") from error


def _row(cells: Sequence[str], columns: Columns, ids: Sequence[tuple[str, int]], line: int) -> Row:
    if len(cells) > columns.count:
        raise BadRow(f"line {line}: {len(cells)} columns, the first line has {columns.count}")
    email = cells[columns.email].strip() if columns.email < len(cells) else ""
    try:
        parse_address(email)
    except InvalidAddress:
        raise BadRow(f"line {line}: {email!r} is no address") from None
    values = {key: cells[at] for key, at in ids if at < len(cells) and cells[at].strip()}
    return Row(email, values)


def header(parameters: Sequence[Parameter], *, tags: bool) -> list[str]:
    """The first line of an export."""
    own = [name for name in _OWN if name != "tags" or tags]
    titles = (
        _PREFIX + p.title if p.title.lower() in _OWN or p.title.startswith(_PREFIX) else p.title
        for p in parameters
    )
    return [*own, *titles]


def cells(recipient: Recipient, parameters: Sequence[Parameter], *, tags: bool) -> list[str]:
    """One recipient as a line of an export."""
    values = {value.parameter_id: value.value for value in recipient.values}
    confirmed = {True: "true", False: "false", None: ""}[recipient.confirmed]
    own = [recipient.id, recipient.email, confirmed, recipient.status]
    if tags:
        own.append(" ".join(recipient.tags))
    return [*own, *(values.get(parameter.id, "") for parameter in parameters)]
