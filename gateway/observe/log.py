"""
The log: JSON for machines or lines for people, one line for each disposition of a recipient.

Sets up structlog and brings the standard library's loggers along. No secret passes here: settings
keep them as `SecretStr`, providers' diagnostics come without them.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from typing import Any, Literal, TextIO, cast

import structlog

from gateway.domain.events import (
    AttemptCutShort,
    AttemptEnded,
    AttemptLost,
    BatchEnded,
    CircuitChanged,
    Event,
    LetterCorrupt,
    LetterEvent,
    LetterReceived,
    LetterRepeated,
    LetterTracked,
    RecipientFailed,
    RecipientSuppressed,
    SenderTold,
    StatusAsked,
    WebhookCalled,
    WebhookRegistered,
    WebhookResult,
)
from gateway.domain.lifecycle import State
from gateway.domain.notification import Result
from gateway.domain.trace_context import letter_ids
from gateway.observe.addresses import AddressMarks
from gateway.observe.lines import Lines
from providers.contract.outcome import Kind
from providers.contract.tracking import EventType

# Libraries that log what their users say line by line, or that tell what our own lines tell.
_QUIET = (
    "mail.log",
    "mail.debug",
    "aiosmtplib",
    "httpx",
    "httpcore",
    "uvicorn",
    "alembic",
    "asyncio",
)


def set_up(
    style: Literal["auto", "json", "human"], level: str, marks: AddressMarks | None = None
) -> None:
    """
    Configure logging for the process; lines go to standard error.

    Args:
        style: `auto` is human on a terminal, JSON elsewhere.
        level: `debug`, `info`, `warning` or `error`.
        marks: What stands in place of addresses; without it they stand there.
    """
    lines = Lines(sys.stderr)
    human = style == "human" or (style == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    # A traceback is looked through as text; the console would write it from the exception itself.
    as_text: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info] if marks or not human else []
    )
    renderer: list[structlog.typing.Processor] = [
        *as_text,
        *((marks,) if marks else ()),
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if human
        else structlog.processors.JSONRenderer(serializer=_as_json),
    ]
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", lines)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=getattr(logging, level.upper()), force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


# Made once: json.dumps with any argument makes an encoder for every line. ASCII only, so that no
# separator of lines that Unicode knows can end one early.
_encode = json.JSONEncoder(default=str).encode


def _as_json(line: Any, **_: Any) -> str:  # noqa: ANN401 - structlog's interface
    return _encode(line)


# Nobody is to be told; that a recipient failed is a line of its own.
_RIGHTLY_SILENT = frozenset({Result.NULL_REVERSE_PATH, Result.AUTOMATIC})


_BAD_NEWS = frozenset(
    {EventType.BOUNCED, EventType.COMPLAINED, EventType.FAILED, EventType.REJECTED}
)


class EventLog:
    """Writes each event as one line."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("gateway")

    def see(self, event: Event) -> None:
        """Write it."""
        match event:
            case LetterReceived():
                self._received(event)
            case LetterRepeated():
                self._log.info(
                    "repeated",
                    **_ids(event),
                    listener=event.listener,
                    client=event.client,
                    recipients=event.recipients,
                )
            case AttemptEnded():
                self._attempt(event)
            case RecipientFailed():
                self._log.warning(
                    "failed",
                    **_ids(event),
                    to=event.forward_path,
                    provider=event.provider,
                    delay=_seconds(event.arrival, event.at),
                    dsn=event.status,
                    reason=event.reason,
                )
            case RecipientSuppressed():
                self._log.warning(
                    "suppressed",
                    **_ids(event),
                    to=event.forward_path,
                    reason=event.reason.value,
                )
            case AttemptLost():
                self._log.error(
                    "attempt_lost",
                    **_ids(event),
                    recipient_key=event.recipient_key,
                    provider=event.provider,
                    outcome=event.outcome.kind.value,
                    dsn=event.outcome.status,
                    diagnostic=event.outcome.diagnostic,
                )
            case AttemptCutShort():
                self._log.warning(
                    "uncertain",
                    **_ids(event),
                    to=event.forward_path,
                    provider=event.provider,
                    attempt=event.attempt,
                    reason="the attempt was cut short and its answer never recorded",
                )
            case SenderTold():
                self._sender_told(event)
            case LetterCorrupt():
                self._log.error("corrupt", **_ids(event), reason=event.reason)
            case LetterTracked():
                self._tracked(event)
            case _:
                self._of_provider(event)

    def _of_provider(
        self, event: BatchEnded | CircuitChanged | WebhookCalled | StatusAsked | WebhookRegistered
    ) -> None:
        match event:
            case BatchEnded():
                self._log.debug("batch", provider=event.provider, recipients=event.recipients)
            case CircuitChanged():
                self._circuit(event)
            case WebhookCalled():
                self._webhook(event)
            case StatusAsked():
                self._log.debug(
                    "asked", provider=event.provider, asked=event.asked, answered=event.answered
                )
            case WebhookRegistered():
                write = self._log.warning if event.reason else self._log.info
                said = {"reason": event.reason} if event.reason else {}
                write(
                    "webhook_not_registered" if event.reason else "webhook_registered",
                    provider=event.provider,
                    **said,
                )

    def _tracked(self, event: LetterTracked) -> None:
        happening = event.event
        fields: dict[str, object] = {
            **_ids(event),
            "to": happening.recipient or event.forward_path,
            "provider": event.provider,
            "tracked": happening.event_type.value,
            "happened_at": happening.timestamp.isoformat(timespec="seconds"),
            "source": event.source.value,
            "provider_message_id": happening.provider_message_id,
        }
        if happening.reject_reason is not None:
            fields["reason"] = happening.reject_reason.value
        if happening.mta_response:
            fields["mta_response"] = happening.mta_response
        write = self._log.warning if happening.event_type in _BAD_NEWS else self._log.info
        write("tracked", **fields)

    def _webhook(self, event: WebhookCalled) -> None:
        if event.result is WebhookResult.ACCEPTED:
            self._log.debug("webhook", provider=event.provider, events=event.events)
        elif event.result is WebhookResult.FORGED:
            # Anybody can call: a line that cannot be turned off would be theirs to fill a disk.
            self._log.debug("webhook_refused", provider=event.provider, reason=event.result.value)
        else:
            self._log.warning("webhook_refused", provider=event.provider, reason=event.result.value)

    def _received(self, event: LetterReceived) -> None:
        repaired = {"repairs": list(event.repairs)} if event.repairs else {}
        self._log.info(
            "received",
            **_ids(event),
            listener=event.listener,
            client=event.client,
            reverse_path=event.reverse_path,
            recipients=event.recipients,
            size=event.size,
            **repaired,
        )

    def _circuit(self, event: CircuitChanged) -> None:
        write = self._log.info if not event.reason else self._log.warning
        write("circuit", provider=event.provider, state=event.state.value, reason=event.reason)

    def _sender_told(self, event: SenderTold) -> None:
        fields: dict[str, object] = {
            **_ids(event),
            "reverse_path": event.reverse_path,
            "action": event.action.value,
            "recipients": event.recipients,
        }
        if event.result is Result.QUEUED:
            self._log.info("reported", **fields, report_id=event.report_id, provider=event.provider)
        elif event.result in _RIGHTLY_SILENT:
            self._log.info("not_reported", **fields, reason=event.result.value)
        else:
            self._log.warning("not_reported", **fields, reason=event.result.value)

    def _attempt(self, event: AttemptEnded) -> None:
        outcome = event.outcome
        fields: dict[str, object] = {
            **_ids(event),
            "to": event.forward_path,
            "provider": event.provider,
            "attempt": event.attempt,
            "delay": _seconds(event.arrival, event.ended_at),
            # In the queue, in the active window, in the attempt.
            "delays": "/".join(
                f"{_seconds(since, until):g}"
                for since, until in (
                    (event.arrival, event.claimed_at),
                    (event.claimed_at, event.started_at),
                    (event.started_at, event.ended_at),
                )
            ),
            "dsn": outcome.status,
            "diagnostic": outcome.diagnostic,
        }
        if outcome.provider_message_id:
            fields["provider_message_id"] = outcome.provider_message_id
        if event.due_at is not None:
            fields["due_at"] = event.due_at.isoformat(timespec="seconds")
        if event.expired:
            fields["expired"] = True
        if event.losses:
            fields["losses"] = [loss.part.value for loss in event.losses]
        write = self._log.info if event.state is State.HANDED_OVER else self._log.warning
        # "deferred" is what happened to a recipient; `waiting` is only where it stands then.
        word = "deferred" if event.state is State.WAITING else event.state.value
        if outcome.kind is Kind.UNSUPPORTED and event.state is State.WAITING:
            word = "unsupported"
        write(word, **fields)


def _ids(event: LetterEvent) -> dict[str, str]:
    return letter_ids(event.queue_id, event.message_id, event.trace)


def _seconds(since: datetime, until: datetime) -> float:
    return round((until - since).total_seconds(), 3)
