"""`mailquay explain`: which way a letter would take, why, and what would be lost."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.output import (
    ConfigOption,
    JsonOption,
    fail,
    moment,
    print_json,
    print_line,
    print_table,
)

if TYPE_CHECKING:
    from gateway.app.explaining import Explanation, ProviderView, RecipientView
    from gateway.config import Settings
    from providers.contract.address import Address
    from providers.contract.message import Needs


def explain(
    file: Annotated[str, typer.Argument(metavar="FILE.eml", help="The letter; - reads stdin.")],
    sender: Annotated[
        str, typer.Option("--from", help="Envelope sender; <> for the null reverse-path.")
    ],
    to: Annotated[list[str], typer.Option("--to", help="Recipient; may be given several times.")],
    listener: Annotated[
        str | None, typer.Option(help="Where it comes in; default: the first listener.")
    ] = None,
    user: Annotated[str, typer.Option(help="The name that its client logged in with.")] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Tell which route and provider a letter would take, and what would be lost; sends nothing.

    Needs no daemon. Ends with 0 when the letter would be taken, else with 69.
    """
    from gateway.app.explaining import envelope_from
    from gateway.app.explaining import explain as explain_letter
    from gateway.config import load

    settings = load(config)
    envelope = envelope_from(
        None if sender in ("", "<>") else _address(sender), [_address(text) for text in to]
    )
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    told = explain_letter(settings, content, envelope, _listener(settings, listener), user)
    if as_json:
        print_json(told)
    else:
        _show(told)
    if not told.is_carried:
        raise SystemExit(os.EX_UNAVAILABLE)


def _address(text: str) -> Address:
    from providers.contract.address import InvalidAddress, parse_address

    try:
        return parse_address(text)
    except InvalidAddress as error:
        fail(f"{text}: {error}", os.EX_USAGE)


def _listener(settings: Settings, name: str | None) -> str:
    names = [listener.name for listener in settings.smtp.listeners]
    if name is not None and name not in names:
        fail(f"no listener is called {name}; there are: {', '.join(names)}", os.EX_USAGE)
    return names[0] if name is None else name


def _show(told: Explanation) -> None:
    print_line(f"from {told.reverse_path or '<>'} at listener {told.listener}")
    for name, value in told.instructions:
        print_line(f"instruction {name}: {value}")
    if told.needs is not None:
        print_line(f"needs: {', '.join(_needs(told.needs))}")
    if told.repairs:
        print_line(f"mended: {', '.join(repair.deed for repair in told.repairs)}")
    if told.refusal:
        print_line(f"refused: {told.refusal}")
    for recipient in told.recipients:
        print_line()
        _show_recipient(recipient)


def _show_recipient(recipient: RecipientView) -> None:
    passed = f", not {', '.join(recipient.not_taken)}" if recipient.not_taken else ""
    way = (
        f"route {recipient.route}, {recipient.fidelity}{passed}" if recipient.route else "no route"
    )
    print_line(f"to {recipient.forward_path}: {way}")
    if recipient.due_at is not None:
        print_line(f"kept until {moment(recipient.due_at)}")
    if recipient.refusal:
        print_line(f"refused: {recipient.refusal}")
    rows = [row for view in recipient.providers for row in _rows(view)]
    if rows:
        print_table(
            ("provider", "kind", "standing", "part", "what would be lost, or forbids it"), rows
        )


def _rows(view: ProviderView) -> list[tuple[str, ...]]:
    """A row for each shortfall; the provider stands in the first."""
    shortfalls = [(shortfall.part.value, shortfall.reason) for shortfall in view.shortfalls]
    if not shortfalls:
        shortfalls = [("", "nothing is lost")]
    first = (view.name, view.kind, view.standing.value)
    return [(*(("", "", "") if row else first), *words) for row, words in enumerate(shortfalls)]


def _needs(needs: Needs) -> list[str]:
    """What the letter is made of, in words."""
    words = [f"{needs.size} octets"]
    if needs.attachments:
        words.append(f"{needs.attachments} attachments of {needs.attachment_octets} octets")
    if needs.inline_parts:
        words.append(f"{needs.inline_parts} inline parts")
    words += [
        word
        for word, needed in (
            ("text", needs.text),
            ("HTML", needs.html),
            ("invitation", needs.calendar),
            ("signed or encrypted", needs.sealed),
            ("SMTPUTF8", needs.smtputf8),
            ("8-bit", needs.eight_bit),
            ("null reverse-path", needs.null_reverse_path),
            ("Reply-To", needs.reply_to),
            ("List-Unsubscribe", needs.list_unsubscribe),
            ("other recipients shown", needs.other_recipients),
            ("several senders", needs.senders > 1),
            ("no subject", not needs.subject),
        )
        if needed
    ]
    words += needs.other_parts
    if needs.header_fields:
        words.append(f"header fields {' '.join(sorted(needs.header_fields))}")
    return words
