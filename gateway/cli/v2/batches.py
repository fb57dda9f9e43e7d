"""`mailquay v2 send-bulk`, `status` and `deliveries`: many letters, and what became of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import ConfigOption, JsonOption, fail, print_json, warn
from gateway.cli.v2.command import (
    NotDone,
    ProviderOption,
    answered,
    ask,
    exit_code,
    show,
    told,
)
from gateway.cli.v2.letters import (
    At,
    Name,
    Sender,
    SenderName,
    TrackClick,
    TrackOpen,
    address_from,
    content_from,
    sending_from,
    text_from,
)
from gateway.cli.v2.progress import progress
from gateway.cli.v2.rows import check_target, read_rows, write_rows
from providers.contract.outcome import DeliveryOutcome
from providers.contract.tracking import EventType
from providers.form_v2.account import FormV2Account
from providers.form_v2.cuts import cut_addresses, cut_letters
from providers.form_v2.wire.values import Content, Mailing, PersonalLetter, Sending
from providers.form_v2.wire.words import event_type_from
from providers.settings import parse_duration

Results = Annotated[
    Path | None, typer.Option("--results", help="Write each recipient's result as CSV.")
]
Wait = Annotated[str, typer.Option("--wait", help="For final results, at most so long, as 5m.")]

_COLUMNS = ("email", "status", "error", "email_id", "batch")
_REFUSED = "REFUSED"  # our word for those among `errors`
_ON_THE_WAY = frozenset({EventType.QUEUED, EventType.SENT, EventType.UNKNOWN})
_FIRST_S, _LONGEST_S = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class Sent:
    """One call that was taken."""

    batch: str
    letters: int


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one recipient, by the report of a batch."""

    email: str
    status: str
    error: str
    email_id: str
    batch: str

    @property
    def is_final(self) -> bool:
        """Whether nothing more is expected."""
        return self.status == _REFUSED or event_type_from(self.status) not in _ON_THE_WAY


def send_bulk(
    file: Annotated[
        Path,
        typer.Argument(help="CSV: `email`, and `subject` and `message` for letters of their own."),
    ],
    sender: Sender,
    subject: Annotated[str, typer.Option("--subject", help="Where the file has none.")] = "",
    message: Annotated[
        str, typer.Option("--message", help="The HTML where the file has none; @FILE reads it.")
    ] = "",
    sender_name: SenderName = "",
    name: Name = "",
    at: At = None,
    track_open: TrackOpen = None,
    track_click: TrackClick = None,
    skip: Annotated[int, typer.Option(min=0, help="Leave out so many, sent before.")] = 0,
    wait: Wait = "0s",
    results: Results = None,
    config: ConfigOption = None,
    provider: ProviderOption = None,
    as_json: JsonOption = False,
) -> None:
    """
    Send a file of letters, past the gateway's queue (sendBulkEmail).

    The whole file is looked through before anything is sent. Where a call fails, those before it
    are taken and shown, and the error says how to go on.
    """
    patience = _patience(wait)
    check_target(results)
    try:
        rows = read_rows(file)[skip:]
    except ValueError as error:
        fail(str(error), os.EX_DATAERR)
    if not rows:
        fail(f"--skip {skip} leaves nothing to send", os.EX_USAGE)
    letters = _letters(rows, subject, text_from(message), sender, sender_name)

    sent: list[Sent] = []
    failures: list[NotDone] = []

    async def job(account: FormV2Account) -> list[Result]:
        sending = sending_from(account, at, track_open=track_open, track_click=track_click)
        try:
            with progress("letters", len(rows)) as reached:
                async for call in _send(account, letters, sending, name):
                    sent.append(call)
                    reached(_count(sent))
        except NotDone as failure:
            failures.append(failure)
        return await _results(account, sent, patience) if patience else []

    found = ask(config, provider, job)
    if results is not None:
        write_rows(results, _COLUMNS, found)
    if as_json:
        print_json({"batches": sent, "results": found})
    elif sent:
        show(sent, as_json=False, columns=("batch", "letters"))
        if found and results is None:
            show(found, as_json=False, columns=_COLUMNS)
    for failure in failures:
        if done := _count(sent):
            warn(f"{done} of {len(rows)} are taken; go on with --skip {skip + done}")
        fail(told(failure.outcome), exit_code(failure.outcome))


def status(
    batch: Annotated[str, typer.Argument(metavar="UUID", help="That send-bulk told.")],
    wait: Wait = "0s",
    results: Results = None,
    config: ConfigOption = None,
    provider: ProviderOption = None,
    as_json: JsonOption = False,
) -> None:
    """What became of each recipient of a batch (statusBulkEmail)."""
    patience = _patience(wait)

    async def job(account: FormV2Account) -> list[Result]:
        mailings = answered(await account.status_bulk_email(batch))
        found = results_from(mailings, batch)
        if patience and not (found and all(result.is_final for result in found)):
            found = await _results(account, [Sent(batch, len(found))], patience)
        return found

    _show(ask(config, provider, job), results, as_json=as_json)


def deliveries(
    message_id: Annotated[str, typer.Argument(metavar="MAILING", help="Its id.")],
    results: Results = None,
    config: ConfigOption = None,
    provider: ProviderOption = None,
    as_json: JsonOption = False,
) -> None:
    """The recipients of a mailing and what became of each (getEmailDeliveryList)."""
    number = message_id.removeprefix("mailing-")  # as `mailquay trace` shows it

    async def job(account: FormV2Account) -> list[Result]:
        listed = answered(await account.get_email_delivery_list(number))
        return [Result(x.email, x.status, x.error, x.email_id, number) for x in listed]

    _show(ask(config, provider, job), results, as_json=as_json)


def results_from(mailings: Sequence[Mailing], batch: str) -> list[Result]:
    """The recipients of a batch's mailings; those it did not take are `REFUSED`."""
    found = []
    for mailing in mailings:
        found += [Result(x.email, x.status, x.error, x.email_id, batch) for x in mailing.success]
        found += [Result(x.email, _REFUSED, x.error, "", batch) for x in mailing.errors]
    return found


def _show(found: list[Result], results: Path | None, *, as_json: bool) -> None:
    if results is not None:
        write_rows(results, _COLUMNS, found)
    if results is None or as_json:
        show(found, as_json=as_json, columns=_COLUMNS)


@dataclass(frozen=True, slots=True)
class _Letters:
    """What a file says: one content for all its addresses, or letters of their own."""

    content: Content
    emails: tuple[str, ...] = ()
    own: tuple[PersonalLetter, ...] = ()


def _letters(
    rows: Sequence[dict[str, str]], subject: str, message: str, sender: str, sender_name: str
) -> _Letters:
    """Ends the process where a letter lacks its subject or its message."""
    if not {"subject", "message"} & set(rows[0]):
        content = content_from(sender, sender_name, subject, message)
        return _Letters(content, emails=tuple(row["email"] for row in rows))
    own = []
    for number, row in enumerate(rows, 1):
        texts = row.get("subject") or subject, row.get("message") or message
        if not all(text.strip() for text in texts):
            fail(f"row {number}: {row['email']} has no subject or no message", os.EX_DATAERR)
        try:
            own.append(PersonalLetter(row["email"], *texts))
        except ValueError as error:
            fail(f"row {number}: {error}", os.EX_DATAERR)
    return _Letters(Content(address_from(sender), sender_name, "", ""), own=tuple(own))


async def _send(
    account: FormV2Account, letters: _Letters, sending: Sending, name: str
) -> AsyncIterator[Sent]:
    """Call after call, in the order of the file."""
    content, most = letters.content, account.max_call_octets
    for emails in cut_addresses(letters.emails, content, max_octets=most):
        taken = answered(await account.send_bulk_email(content, emails, sending, name=name))
        yield Sent(taken.uuid, len(emails))
    for own in cut_letters(letters.own, max_octets=most):
        taken = answered(
            await account.send_personal_email(
                content.sender_email, content.sender_name, own, sending, name=name
            )
        )
        yield Sent(taken.uuid, len(own))


async def _results(
    account: FormV2Account, sent: Sequence[Sent], patience: timedelta
) -> list[Result]:
    """Ask until all results are final or patience is over; what is known then."""
    found: dict[str, list[Result]] = {}
    open_batches = [call for call in sent if call.batch]
    total = _count(open_batches)
    wait_s = _FIRST_S
    try:
        async with asyncio.timeout(patience.total_seconds()):
            with progress("results", total) as reached:
                while open_batches:
                    for call in tuple(open_batches):
                        mailings = await account.status_bulk_email(call.batch)
                        if isinstance(mailings, DeliveryOutcome):
                            continue  # the batch was taken; asked again
                        results = found[call.batch] = results_from(mailings, call.batch)
                        over = all(result.is_final for result in results)
                        if results and over and len(results) >= call.letters:
                            open_batches.remove(call)
                    reached(sum(r.is_final for results in found.values() for r in results))
                    if open_batches:
                        await asyncio.sleep(wait_s)
                        wait_s = min(2 * wait_s, _LONGEST_S)
    except TimeoutError:
        warn("some results are not final yet")
    return [result for results in found.values() for result in results]


def _count(sent: Sequence[Sent]) -> int:
    return sum(call.letters for call in sent)


def _patience(text: str) -> timedelta:
    try:
        found = parse_duration(text)
    except ValueError as error:
        fail(f"--wait: {error}", os.EX_USAGE)
    assert isinstance(found, timedelta)  # noqa: S101 - what parse_duration returns for text
    return found
