"""
The part for people: what happened, to whom, in whose words, and what they need to do about it.

Lines are short but for addresses, which are never broken. Sits on `report`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from email.utils import format_datetime

from gateway.domain.dsn.report import Fate, Report
from gateway.domain.notification import Action

_WIDTH = 72
_INDENT = "    "
_NOT_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_SUBJECTS = {
    Action.FAILED: "Undelivered mail returned to sender",
    Action.DELAYED: "Delayed mail, still being tried",
    Action.RELAYED: "Mail handed over, delivery will not be confirmed",
    Action.COMPLAINED: "Mail reported as spam by its reader",
}
_NEWS = {
    Action.FAILED: "{letter} could not be delivered to the recipients below. It was given up and "
    "will not be tried again.",
    Action.DELAYED: "{letter} has not reached the recipients below yet. There is no need to send "
    "it again: it will be tried until {give_up_at}.",
    Action.RELAYED: "{letter} was handed over for the recipients below to a system that does not "
    "confirm deliveries. No further word of it will come, unless that system reports a failure.",
    Action.COMPLAINED: "{letter} arrived, and the recipients below called it spam. Please send "
    "them no more of this kind.",
}


def subject_of(report: Report) -> str:
    """The report's Subject."""
    subject = _SUBJECTS[report.action]
    return f"Postmaster copy: {subject}" if report.is_copy else subject


def build_prose(report: Report, *, returned: str) -> str:
    """
    The text, LF line ends.

    Args:
        report: The report.
        returned: What of the letter comes with it, as a sentence.
    """
    return "\n".join(_lines(report, returned))


def _lines(report: Report, returned: str) -> Iterator[str]:
    yield f"This is the mail gateway {report.hostname}."
    for action in Action:
        fates = [fate for fate in report.fates if fate.action is action]
        if fates:
            yield ""
            yield from _wrapped(_news(report, action))
        for fate in fates:
            yield ""
            yield from _told(fate)
    yield ""
    yield "The letter:"
    yield ""
    yield from _about(report)
    yield ""
    yield from _wrapped(returned)
    yield ""


def _news(report: Report, action: Action) -> str:
    letter = f"A letter of <{report.original.sender}>" if report.is_copy else "Your letter"
    return _NEWS[action].format(letter=letter, give_up_at=format_datetime(report.give_up_at))


def _told(fate: Fate) -> Iterator[str]:
    yield f"  <{_one_line(fate.recipient.forward_path.addr_spec)}>"
    if fate.expired:
        yield from _wrapped("No attempt succeeded in time. The last one ended with:", _INDENT)
    yield from _wrapped(fate.diagnostic or f"status {fate.status}, without a word", _INDENT)
    if fate.doubtful:
        yield from _wrapped(
            "The answer to the last attempt was lost: the letter may have arrived.", _INDENT
        )


def _about(report: Report) -> Iterator[str]:
    original = report.original
    facts = (
        ("Subject", original.subject),
        ("Message-ID", original.message_id),
        ("Received", format_datetime(original.arrival)),
        ("Queue id", original.queue_id),
    )
    for name, value in facts:
        if value:
            yield from _wrapped(value, f"  {name:12}", " " * 14)


def _wrapped(text: str, first: str = "", then: str | None = None) -> list[str]:
    indent = first if then is None else then
    return textwrap.wrap(
        _one_line(text),
        width=_WIDTH,
        initial_indent=first,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def _one_line(text: str) -> str:
    return _NOT_A_LINE.sub(" ", text)
