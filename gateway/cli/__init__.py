"""
The command line: `mailquay …`.

One module for each group of commands; all meet the gateway through `app` and the spool's protocol.
Imports that only one command needs stand in that command, so that the daemon starts fast.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import check, daemon, erase, explain, letter, passwd, queue, ready, sandbox
from gateway.cli.lazy import lazy_group
from gateway.cli.output import guarded, print_line

_SENDMAIL = frozenset({"sendmail", "mailquay-sendmail"})
"""Names under which the whole program is sendmail."""

app = typer.Typer(
    name="mailquay",
    help="SMTP relay gateway: takes letters durably and hands them to your e-mail provider.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print_line(f"mailquay {version('mailquay')}")
        raise typer.Exit


@app.callback()
def _before_any(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Say which it is."),
    ] = False,
) -> None:
    """Options that stand before any command."""


app.command("serve")(daemon.serve)
app.command("demo")(daemon.demo)
app.command("check")(check.check)
app.command("passwd")(passwd.passwd)
app.command("ready")(ready.ready)
app.command("sandbox")(sandbox.sandbox)
app.command("send")(letter.send)
app.command("trace")(letter.trace)
app.command("explain")(explain.explain)
app.command("erase")(erase.erase)
app.add_typer(queue.app, name="queue")
app.add_typer(
    lazy_group("gateway.cli.webhooks", "Calls to applications' webhooks."), name="webhooks"
)
app.add_typer(
    lazy_group("gateway.cli.suppress", "Addresses that are sent nothing."), name="suppress"
)
app.add_typer(lazy_group("gateway.cli.v1.commands", "The v1 API, every endpoint."), name="v1")
app.add_typer(lazy_group("gateway.cli.v2.commands", "The v2 API, every method."), name="v2")


@app.command(
    "sendmail",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
def _sendmail(
    words: Annotated[list[str], typer.Argument(metavar="[OPTIONS] [RECIPIENTS]...")],
) -> None:
    """Send a letter from standard input; compatible with sendmail(1), under its name too."""
    from gateway.cli.sendmail import run_sendmail

    raise SystemExit(run_sendmail(words))


def main() -> None:
    """Run the command of `sys.argv`; ends the process with a sysexits code."""
    with guarded():
        # Its options are its own: nothing else must read them first.
        if Path(sys.argv[0]).name in _SENDMAIL:
            _sendmail(sys.argv[1:])
        if sys.argv[1:2] == ["sendmail"]:
            _sendmail(sys.argv[2:])
        raise SystemExit(app(prog_name="mailquay", standalone_mode=False))


__all__ = ["app", "main"]
