"""`mailquay passwd`: gives a user of the front door a password."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import ConfigOption, fail, print_line


def passwd(
    name: Annotated[str, typer.Argument(help="The user, as clients will write it.")],
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="Users file; smtp.users_file where it is not given."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """
    Set a user's password in the users file; the file and the user are made where they miss.

    The password is asked for twice on a terminal, else read as one line from standard input. What
    the user may send as, and all other lines, stay. The daemon reads the file on SIGHUP.
    """
    from gateway.ingress.credentials import HASHER
    from gateway.ingress.users import checked_name, with_user

    try:
        checked_name(name)
    except ValueError as error:
        fail(str(error), os.EX_USAGE)
    path = (file or _configured(config)).resolve()
    password = _ask()
    # As much as `sasl` takes.
    if not 0 < len(password.encode()) <= 512:
        fail("a password is 1 to 512 octets", os.EX_USAGE)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    _replace(path, with_user(text, name, HASHER.hash(password)))
    print_line(f"{name} can log in once the daemon has read {path} (SIGHUP)")


def _configured(config: Path | None) -> Path:
    from gateway.config import load

    path = load(config).smtp.users_file
    if path is None:
        fail("smtp.users_file is not set; name the file with --file", os.EX_CONFIG)
    return path


def _ask() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _replace(path: Path, text: str) -> None:
    """
    Write the file anew, whole or not at all, with hashes for its owner's eyes only.

    Owner and group stay those of the file that was there, so that the daemon can still read it.
    """
    descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as new:
            if path.exists():
                before = path.stat()
                os.fchown(new.fileno(), before.st_uid, before.st_gid)
            new.write(text)
            new.flush()
            os.fsync(new.fileno())
        Path(made).replace(path)
    except BaseException:
        Path(made).unlink(missing_ok=True)
        raise
