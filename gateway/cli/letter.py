"""`mailquay send`, a test letter through the front door, and `mailquay trace`, its story."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import smtplib
import sys
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
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
    span,
)
from gateway.domain.lifecycle import State

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.spool.values import Story, StoryLine

_STORIES = 20


def send(
    to: Annotated[list[str], typer.Option("--to", help="Recipient; may be given several times.")],
    sender: Annotated[str, typer.Option("--from", help="Sender.")],
    subject: Annotated[str, typer.Option(help="Subject.")] = "Test letter",
    text: Annotated[str, typer.Option(help="Body; - reads standard input.")] = "A test letter.\n",
    attach: Annotated[list[Path] | None, typer.Option(help="File to attach.")] = None,
    config: ConfigOption = None,
) -> None:
    """Send a test letter through the local front door."""
    from gateway.config import load

    settings = load(config)
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = sender, ", ".join(to), subject
    letter["Date"] = formatdate(localtime=True)
    letter["Message-ID"] = make_msgid(domain=settings.hostname)
    letter.set_content(sys.stdin.read() if text == "-" else text)
    for path in attach or ():
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        maintype, subtype = kind.split("/", 1)
        letter.add_attachment(
            path.read_bytes(), maintype=maintype, subtype=subtype, filename=path.name
        )
    print_line(_submit(settings, sender, to, letter))


def _submit(settings: Settings, sender: str, to: list[str], letter: EmailMessage) -> str:
    """Hand the letter to our own listener; returns its reply to the final dot."""
    listener = settings.smtp.listeners[0]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listener.host, listener.host)  # noqa: S104
    refused: dict[str, tuple[int, bytes]] = {}
    try:
        with smtplib.SMTP(host, listener.port, timeout=60) as smtp:
            smtp.ehlo_or_helo_if_needed()
            smtp.mail(sender)
            for address in to:
                code, reply = smtp.rcpt(address)
                if code >= 400:
                    refused[address] = (code, reply)
            code, reply = (
                (0, b"") if len(refused) == len(to) else smtp.data(letter.as_bytes(policy=SMTP))
            )
    except smtplib.SMTPResponseException as error:
        code, reply = error.smtp_code, bytes(str(error.smtp_error), "utf-8")
    except (OSError, smtplib.SMTPException) as error:
        fail(f"{host}:{listener.port}: {error}; is `mailquay serve` running?", os.EX_UNAVAILABLE)
    for address, (rcpt_code, rcpt_reply) in refused.items():
        print_line(f"{address}: {rcpt_code} {rcpt_reply.decode('utf-8', 'replace')}")
    if code != 250:
        temporary = 400 <= code < 500
        text = reply.decode("utf-8", "replace") if code else "every recipient was refused"
        fail(f"{code or 550} {text}", os.EX_TEMPFAIL if temporary else os.EX_DATAERR)
    return f"{code} {reply.decode('utf-8', 'replace')}"


def trace(
    what: Annotated[str, typer.Argument(help="Queue id, Message-ID, provider id or address.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the story of a letter."""
    from gateway.config import load

    stories = asyncio.run(_stories(load(config), what))
    if not stories:
        fail(f"no letter is known by {what}", os.EX_NOINPUT)
    if as_json:
        print_json(stories)
        return
    for number, story in enumerate(stories):
        if number:
            print_line()
        _tell(story)


async def _stories(settings: Settings, what: str) -> list[Story]:
    from gateway.app.spool import open_spool

    spool = await open_spool(settings, exclusive=False)
    try:
        return [await spool.story(found) for found in await spool.find(what, _STORIES)]
    finally:
        await spool.aclose()


def _tell(story: Story) -> None:
    sender = story.reverse_path or "<>"
    print_line(
        f"{story.queue_id}  {moment(story.arrival)}  from {sender}  {story.size} octets  "
        f"by {story.listener} from {story.client}"
    )
    if story.message_id:
        print_line(f"Message-ID {story.message_id}")
    if story.trace is not None:
        print_line(f"trace id {story.trace.trace_id}")
    print_line()
    print_table(
        ("to", "state", "tracked", "provider", "attempts", "due", "status", "id", "said"),
        [
            (
                recipient.forward_path,
                recipient.state.value,
                recipient.tracked,
                recipient.provider,
                str(recipient.attempts),
                moment(recipient.due_at),
                recipient.status,
                recipient.provider_message_id,
                recipient.diagnostic,
            )
            for recipient in story.recipients
        ],
    )
    if not story.content_kept and any(
        recipient.state is not State.HANDED_OVER for recipient in story.recipients
    ):
        print_line("Its content is gone: every recipient is settled.")
    print_line()
    addresses = {recipient.key: recipient.forward_path for recipient in story.recipients}
    print_table(
        ("after", "what", "to", "told"),
        [
            (
                span(line.at - story.arrival),
                line.what,
                addresses.get(line.key, "") if line.key is not None else "",
                _told(line),
            )
            for line in story.lines
        ],
    )


def _told(line: StoryLine) -> str:
    if line.what == "event":
        return f"{line.kind}, says {line.provider}" + (f": {line.text}" if line.text else "")
    if line.what != "attempt":
        return line.text
    stages = [f"{seconds:.3f}" for seconds in (line.queued_s, line.took_s) if seconds is not None]
    took = f" delays={'/'.join(stages)}" if stages else ""
    identity = f" as {line.provider_message_id}" if line.provider_message_id else ""
    said = f": {line.text}" if line.text else ""
    return f"{line.attempt}. {line.provider} {line.kind} {line.status}{identity}{took}{said}"
