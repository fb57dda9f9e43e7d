"""
How commands speak: tables for people, JSON for machines, one line for an error, sysexits codes.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException

from gateway.errors import ConfigError, SpoolError, SpoolIncompatible, UnknownQueueId
from providers.contract.errors import ProviderConfigError

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file.", envvar="MAILQUAY_CONFIG"),
]
_INTERRUPTED = 128 + signal.SIGINT
JsonOption = Annotated[bool, typer.Option("--json", help="JSON for machines.")]


def fail(text: str, code: int) -> NoReturn:
    """End with one line on standard error and a sysexits code."""
    print(f"mailquay: {text}", file=sys.stderr)  # noqa: T201 - this is where commands speak
    raise SystemExit(code)


def warn(text: str) -> None:
    """One line on standard error; nothing fails for it."""
    print(f"mailquay: warning: {text}", file=sys.stderr)  # noqa: T201 - this is where commands speak


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Turn what commands raise into one line each and the right exit code."""
    try:
        yield
    except ConfigError as error:
        for problem in error.problems:
            print(f"mailquay: {problem}", file=sys.stderr)  # noqa: T201
        raise SystemExit(os.EX_CONFIG) from None
    except ProviderConfigError as error:
        fail(str(error), os.EX_CONFIG)
    except UnknownQueueId as error:
        fail(error.reason, os.EX_NOINPUT)
    except SpoolIncompatible as error:
        fail(f"spool: {error.reason}", os.EX_CONFIG)
    except SpoolError as error:
        fail(f"spool: {error.reason}", os.EX_TEMPFAIL)
    except BrokenPipeError:
        # The reader has seen enough (`| head`); Python would complain again while closing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except OSError as error:
        _fail_for_system(error)
    except TyperException as error:
        _fail_for_usage(error)
    except typer.Abort:
        fail("stopped", _INTERRUPTED)


def _fail_for_system(error: OSError) -> NoReturn:
    """Name the file and the reason, as other programs do."""
    code = os.EX_NOINPUT if isinstance(error, FileNotFoundError) else os.EX_OSERR
    if error.filename is not None and error.strerror:
        fail(f"{os.fsdecode(error.filename)}: {error.strerror}", code)
    fail(error.strerror or str(error), code)


def _fail_for_usage(error: TyperException) -> NoReturn:
    """Say what is wrong with the words of a command, and where the right ones are told."""
    # Choices are listed in lines of their own, and what pydantic refuses begins with its own words.
    text = " ".join(error.format_message().split()).replace("Value error, ", "")
    if not text:
        raise SystemExit(os.EX_USAGE)  # no words at all: the help was shown
    context = getattr(error, "ctx", None)
    hint = f" (see {context.command_path} -h)" if context is not None else ""
    fail(text.rstrip(".") + hint, os.EX_USAGE)


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    print(json.dumps(_plain(value), ensure_ascii=False, indent=2))  # noqa: T201


def print_line(text: str = "") -> None:
    """One line on standard output."""
    print(text)  # noqa: T201


def flush() -> None:
    """Let a reader behind a pipe have what was printed; for who goes on running after it."""
    sys.stdout.flush()


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table that keeps every word: long cells wrap on a terminal and stay whole in a pipe."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: no markup in what others wrote
    width = None if sys.stdout.isatty() else 10_000
    Console(width=width, soft_wrap=not sys.stdout.isatty()).print(table)


def moment(value: datetime | None) -> str:
    """A moment in local time, empty for none."""
    return value.astimezone().strftime("%Y-%m-%d %H:%M:%S") if value else ""


def span(value: timedelta) -> str:
    """A duration in its two largest units."""
    seconds = int(abs(value.total_seconds()))
    sign = "-" if value < timedelta(0) else ""
    for unit, size, below, smaller in (("d", 86400, "h", 3600), ("h", 3600, "m", 60)):
        if seconds >= size:
            return f"{sign}{seconds // size}{unit}{seconds % size // smaller}{below}"
    return f"{sign}{seconds // 60}m{seconds % 60}s" if seconds >= 60 else f"{sign}{seconds}s"


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON holds anything
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return value
