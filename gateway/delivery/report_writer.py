"""
Reports as letters: to the sender, and to a postmaster who wants copies, by whom can carry them.

Tries the forms of a report from the best down until a provider of its route takes one. Knows no
limits and not who is told: `reporter` asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

import structlog

from gateway.delivery.report_rules import ReportRules
from gateway.domain.dsn import Fate, Original, Report, build_plain_report, build_report
from gateway.domain.notification import Action
from gateway.planner import Planner
from gateway.spool.values import NewLetter, QueuedMessage
from providers.contract.address import Address
from providers.contract.envelope import BodyType, Envelope, Notify, Recipient

log = structlog.get_logger("gateway.delivery")

_NEVER = frozenset({Notify.NEVER})
_COPIED = frozenset({Action.FAILED, Action.COMPLAINED})


class ReportWriter:
    """
    Writes reports.

    Args:
        rules: How.
        planner: Tells who can carry a report.
        new_queue_id: Of the spool.
    """

    def __init__(
        self, rules: ReportRules, planner: Planner, new_queue_id: Callable[[datetime], str]
    ) -> None:
        self._rules = rules
        self._planner = planner
        self._new_queue_id = new_queue_id

    def reconfigure(self, rules: ReportRules) -> None:
        """From now on write by these."""
        self._rules = rules

    def write(
        self,
        letter: QueuedMessage,
        original: Original,
        fates: tuple[Fate, ...],
        *,
        at: datetime,
        give_up_at: datetime,
    ) -> tuple[NewLetter, ...]:
        """
        The report to the letter's sender, then the postmaster's copy where one is wanted.

        Args:
            letter: Whose listener and trace the report has.
            original: What is told of it.
            fates: Of its recipients; one at least.
            at: The moment of the report.
            give_up_at: Until when what still waits is tried.

        Returns:
            Nothing where nobody can carry the report. A copy that nobody can carry is logged.
        """

        def written(to: Address, original: Original, fates: tuple[Fate, ...]) -> NewLetter | None:
            report = Report(
                queue_id=self._new_queue_id(at),
                hostname=self._rules.hostname,
                from_=self._rules.author,
                to=to,
                now=at,
                original=original,
                fates=fates,
                give_up_at=give_up_at,
            )
            return self._letter(report, letter)

        report = written(original.sender, original, fates)
        if report is None:
            return ()
        # The postmaster's is of failures and complaints, and without the letter: not theirs.
        copied = tuple(fate for fate in fates if fate.action in _COPIED)
        postmaster = self._rules.postmaster
        if postmaster is None or postmaster == original.sender or not copied:
            return (report,)
        copy = written(postmaster, replace(original, content=None), copied)
        if copy is None:
            log.warning("postmaster_not_told", **letter.ids)
            return (report,)
        return report, copy

    def _letter(self, report: Report, cause: QueuedMessage) -> NewLetter | None:
        """
        A report as a letter for the first who can carry it; `None` where nobody can.

        It leaves by the routes of the listener that gave us the cause, and in its letter's trace.
        """
        for reverse_path, content in self._forms(report):
            envelope = _envelope(reverse_path, report.to, content)
            plan = self._planner.plan(
                self._planner.message(content, envelope),
                reverse_path=reverse_path,
                forward_path=report.to,
                listener=cause.listener,
            )
            if plan is not None and plan.candidates:
                return NewLetter(
                    queue_id=report.queue_id,
                    envelope=envelope,
                    content=content,
                    arrival=report.now,
                    listener=cause.listener,
                    client=f"this gateway, reporting on {cause.queue_id}",
                    message_id=report.message_id,
                    providers=plan.candidates[:1],
                    leased=False,
                    trace=cause.trace,
                )
        return None

    def _forms(self, report: Report) -> Iterator[tuple[Address | None, bytes]]:
        """
        The ways to put a report, the best first: reverse-path and content.

        As RFC 3461 6.1 wants it; from an address of ours, for SMTP servers that take confirmed
        senders only; as one text from that address, for APIs, which take no multipart/report.
        """
        content = build_report(report)
        yield None, content
        if self._rules.from_ is not None:
            yield self._rules.from_, content
            yield self._rules.from_, build_plain_report(report)


def _envelope(reverse_path: Address | None, to: Address, content: bytes) -> Envelope:
    """NOTIFY=NEVER: nobody reports on a report."""
    return Envelope(
        reverse_path=reverse_path,
        recipients=(Recipient(0, to, notify=_NEVER),),
        body=BodyType.SEVEN_BIT if content.isascii() else BodyType.EIGHT_BIT_MIME,
        smtputf8=to.needs_smtputf8,
    )
