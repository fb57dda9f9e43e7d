"""`mailquay v2 send`, `send-list`, `templates`, and what every sending command asks."""

from __future__ import annotations

import mimetypes
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import ConfigOption, JsonOption, fail
from gateway.cli.v2.command import ProviderOption, answered, ask, show
from providers.contract.address import InvalidAddress, parse_address
from providers.form_v2.account import FormV2Account
from providers.form_v2.wire.values import Content, Sending
from providers.http.forms import FormFile

Sender = Annotated[str, typer.Option("--from", help="A confirmed address.")]
SenderName = Annotated[str, typer.Option("--from-name")]
Subject = Annotated[str, typer.Option("--subject")]
Message = Annotated[str, typer.Option("--message", help="The HTML; @FILE reads it, @- asks stdin.")]
Attach = Annotated[Path | None, typer.Option("--attach", help="One file.")]
Name = Annotated[str, typer.Option("--name", help="Of the mailing, in the account's panel.")]
At = Annotated[
    datetime | None,
    typer.Option(
        "--at",
        formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z", "%Y-%m-%d %H:%M%z"],
        metavar="MOMENT",
        help="Send then, as 2030-01-31T12:30+03:00.",
    ),
]
TrackOpen = Annotated[bool | None, typer.Option("--track-open/--no-track-open")]
TrackClick = Annotated[bool | None, typer.Option("--track-click/--no-track-click")]


def send(
    to: Annotated[str, typer.Argument(metavar="ADDRESS", help="One recipient.")],
    sender: Sender,
    subject: Subject,
    message: Message,
    sender_name: SenderName = "",
    attach: Attach = None,
    at: At = None,
    track_open: TrackOpen = None,
    track_click: TrackClick = None,
    config: ConfigOption = None,
    provider: ProviderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send one letter, past the gateway's queue (sendEmail)."""
    content = content_from(sender, sender_name, subject, message)
    email, file = address_from(to), file_from(attach)

    async def job(account: FormV2Account) -> object:
        sending = sending_from(account, at, track_open=track_open, track_click=track_click)
        return answered(await account.send_email(content, email, sending, file))

    show(ask(config, provider, job), as_json=as_json)


def send_list(
    list_id: Annotated[str, typer.Argument(metavar="LIST", help="Its id.")],
    sender: Sender,
    subject: Subject,
    message: Message,
    sender_name: SenderName = "",
    name: Name = "",
    attach: Attach = None,
    at: At = None,
    track_open: TrackOpen = None,
    track_click: TrackClick = None,
    config: ConfigOption = None,
    provider: ProviderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send one letter to everybody on a list that the account keeps (sendEmailByList)."""
    content = content_from(sender, sender_name, subject, message)
    file = file_from(attach)

    async def job(account: FormV2Account) -> object:
        sending = sending_from(account, at, track_open=track_open, track_click=track_click)
        sent = await account.send_email_by_list(
            content, list_id, sending, name=name, attachment=file
        )
        return answered(sent)

    show(ask(config, provider, job), as_json=as_json)


def templates(
    config: ConfigOption = None,
    provider: ProviderOption = None,
    as_json: JsonOption = False,
) -> None:
    """The account's templates (getEmailTemplates); nothing can be sent by their ids."""

    async def job(account: FormV2Account) -> object:
        return answered(await account.get_email_templates())

    show(ask(config, provider, job), as_json=as_json, columns=("id", "title"))


def sending_from(
    account: FormV2Account,
    at: datetime | None,
    *,
    track_open: bool | None,
    track_click: bool | None,
) -> Sending:
    """How to send, by the options and the account's settings."""
    return account.sending(track_open=track_open, track_click=track_click, send_at=at)


def content_from(sender: str, sender_name: str, subject: str, message: str) -> Content:
    """The letter of the options; ends the process where it cannot be one."""
    try:
        content = Content(address_from(sender), sender_name, subject, text_from(message))
    except ValueError as error:
        fail(str(error), os.EX_DATAERR)
    if not content.subject.strip() or not content.message.strip():
        fail("a letter needs a subject and a message", os.EX_DATAERR)
    return content


def text_from(given: str) -> str:
    """The text, or what the file after an `@` holds; ends the process where it cannot be read."""
    if not given.startswith("@"):
        return given
    if given == "@-":
        return sys.stdin.read()
    path = Path(given[1:])
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        fail(f"{path}: {error.strerror}", os.EX_NOINPUT)
    except UnicodeDecodeError:
        fail(f"{path}: not UTF-8 text", os.EX_DATAERR)


def address_from(text: str) -> str:
    """One address as it travels; ends the process where it is none."""
    try:
        return parse_address(text.strip()).addr_spec
    except InvalidAddress as error:
        fail(f"{text}: {error}", os.EX_DATAERR)


def file_from(path: Path | None) -> FormFile | None:
    """The one file that goes along; ends the process where it cannot be read."""
    if path is None:
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        fail(f"{path}: {error.strerror}", os.EX_NOINPUT)
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return FormFile("attachment", path.name, kind, content)
