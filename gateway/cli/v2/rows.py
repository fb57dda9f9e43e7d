"""
CSV in and out: letters and addresses to send to, results to look at.

The first line names the columns. UTF-8, with or without a byte order mark; commas or semicolons.
What cannot be read is told with its line, before anything is sent.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from gateway.cli.output import fail
from providers.contract.address import InvalidAddress, parse_address


def read_rows(file: Path) -> list[dict[str, str]]:
    """
    The rows of a CSV file, by column in lower case; `-` is standard input.

    Every row has an `email` that is an address; empty lines are passed over. Ends the process where
    the file cannot be read.

    Raises:
        ValueError: What stands there cannot be used; the text names the line.
    """
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
    except OSError as error:
        fail(f"{file}: {error.strerror}", os.EX_NOINPUT)
    except UnicodeDecodeError:
        raise ValueError(f"{file}: not UTF-8 text") from None
    rows = list(_rows(text.removeprefix("\ufeff")))
    if not rows:
        raise ValueError(f"{file}: no row with an address")
    return rows


def _rows(text: str) -> Iterator[dict[str, str]]:
    lines = text.splitlines(keepends=True)
    head = lines[0] if lines else ""
    delimiter = ";" if head.count(";") > head.count(",") else ","
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        if "email" not in names:
            raise ValueError("the first line names no column `email`")
        if len(set(names)) != len(names):
            raise ValueError("the first line names a column twice")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(names):
                raise ValueError(f"line {reader.line_num}: {len(cells)} cells, not {len(names)}")
            yield _checked(dict(zip(names, cells, strict=True)), reader.line_num)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None


def _checked(row: dict[str, str], line: int) -> dict[str, str]:
    email = row["email"].strip()
    try:
        row["email"] = parse_address(email).addr_spec
    except InvalidAddress as error:
        raise ValueError(f"line {line}: {email!r}: {error}") from None
    return row


def check_target(file: Path | None) -> None:
    """End the process now where `write_rows` could not write later, when all is sent."""
    if file is None or str(file) == "-":
        return
    if file.is_dir() or not os.access(file.parent, os.W_OK):
        fail(f"{file}: cannot be written", os.EX_CANTCREAT)


def write_rows(file: Path, columns: Sequence[str], rows: Iterable[object]) -> None:
    """Write values as CSV, a column for each attribute; `-` is standard output."""
    with _target(file) as target:
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([getattr(row, name) for name in columns])


@contextmanager
def _target(file: Path) -> Iterator[TextIO]:
    """Standard output, or a file that takes its name when it is whole."""
    if str(file) == "-":
        yield sys.stdout
        return
    part = file.with_name(f"{file.name}.part")
    try:
        lines = part.open("w", encoding="utf-8", newline="")
    except OSError as error:
        fail(f"{file}: {error.strerror}", os.EX_CANTCREAT)
    try:
        with lines:
            yield lines
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
