"""
What is imported late or never, so that commands start fast and the daemon stays small.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import typer
import typer.core
import typer.main


def lazy_group(module: str, summary: str) -> typer.Typer:
    """
    A group that stands for the `app` of a module.

    Args:
        module: Its full name; imported at the first look into the group.
        summary: What `--help` says of it, one line.
    """

    class _Group(typer.core.TyperGroup):
        def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - typer's own click
            return self._loaded().get_command(ctx, cmd_name)

        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - typer's own click
            return self._loaded().list_commands(ctx)

        @staticmethod
        def _loaded() -> typer.core.TyperGroup:
            found = typer.main.get_command(import_module(module).app)
            if not isinstance(found, typer.core.TyperGroup):
                raise TypeError(f"{module}.app is no group of commands")
            return found

    return typer.Typer(cls=_Group, help=summary, no_args_is_help=True)


@contextmanager
def hidden(module: str) -> Iterator[None]:
    """
    Let imports within the block find no such module, unless it is loaded already.

    For what libraries load whenever it is there, though they can do without.
    """
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # the language's word for "there is none"
    try:
        yield
    finally:
        del sys.modules[module]
