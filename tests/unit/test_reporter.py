"""What becomes of telling a sender: by whom, in which form, to whom else, and when not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.delivery.lane import Job, LetterInHand
from gateway.delivery.record import Attempt, Ending
from gateway.delivery.report_rules import ReportRules, gaps, mta_name
from gateway.delivery.reporter import Notice, Reporter
from gateway.domain.disposition import Disposition
from gateway.domain.lifecycle import State
from gateway.domain.notification import Action, Result
from gateway.domain.queue_id import QueueIdSource
from gateway.domain.routing import Condition, Fidelity, Route
from gateway.planner import Planner
from gateway.spool.values import QueuedMessage, QueuedRecipient
from providers.contract.address import parse_address
from providers.contract.capabilities import ProviderCapabilities, Rate
from providers.contract.envelope import BodyType, Envelope, Notify, Ret
from providers.contract.outcome import DeliveryOutcome, Kind, Scope, accepted
from providers.form_v2.settings import FormV2Settings
from providers.form_v2.settings import capabilities_from as form_v2_capabilities
from providers.rest_v1.settings import RestV1Settings
from providers.rest_v1.settings import capabilities_from as rest_v1_capabilities
from tests.support.builders import SENDER, a_message, an_envelope
from tests.support.manual_clock import ManualClock
from tests.support.reports import check_wire, read_report

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
GIVE_UP_AT = NOW + timedelta(days=1)
REFUSED = DeliveryOutcome(Kind.REJECTED, Scope.RECIPIENT, "5.1.1", "550 5.1.1 no such user")
PUT_OFF = DeliveryOutcome(Kind.DEFERRED, Scope.RECIPIENT, "4.2.1", "450 busy")
UNABLE = DeliveryOutcome(Kind.UNSUPPORTED, Scope.MESSAGE, "5.3.4", "too large")

SMTP = ProviderCapabilities(raw_mime=True, null_reverse_path=True, smtputf8=True)
SMTP_CONFIRMED = ProviderCapabilities(raw_mime=True, smtputf8=True)
V1 = rest_v1_capabilities(RestV1Settings(base_url="https://a.example.com/v1", api_key="dummy"))
V2 = form_v2_capabilities(FormV2Settings(base_url="https://a.example.com/api/v2", token="dummy"))

RULES = ReportRules("gateway.example.com", remote_mtas={"main": "smtp.example.net"})
OURS = parse_address("bounces@example.com")
WITH_ADDRESS = replace(RULES, from_=OURS)


class Post:
    """A reporter and what it is asked of."""

    def __init__(
        self,
        rules: ReportRules = RULES,
        capabilities: ProviderCapabilities = SMTP,
        *routes: Route,
    ) -> None:
        planner = Planner(routes or (Route("default", ("main",)),), {"main": capabilities})
        self.clock = ManualClock(NOW)
        self.reporter = Reporter(rules, planner, QueueIdSource(7).next, self.clock)

    def notice(
        self,
        *outcomes: DeliveryOutcome,
        envelope: Envelope | None = None,
        content: bytes = b"",
        age: timedelta = timedelta(hours=1),
        warned: bool = False,
        expired: bool = False,
    ) -> Notice | None:
        """Tell of an attempt that ended so for each recipient in turn."""
        envelope = envelope or an_envelope(*(f"r{n}@example.org" for n in range(len(outcomes))))
        message = replace(a_message(), content=content) if content else a_message()
        queued = tuple(
            QueuedRecipient(recipient, State.WAITING, "main", 0, (), warned)
            for recipient in envelope.recipients
        )
        letter = QueuedMessage(
            queue_id="1K7QH3M2V0C01",
            arrival=NOW - age,
            reverse_path=envelope.reverse_path,
            body=envelope.body,
            smtputf8=envelope.smtputf8,
            ret=envelope.ret,
            envid=envelope.envid,
            listener="app",
            size=message.size,
            message_id="<order-77@example.com>",
            recipients=queued,
        )
        job = Job(LetterInHand(letter, NOW), queued)
        attempt = Attempt(job, "main", message, list(queued), NOW)
        endings = [
            Ending(one, outcome, _disposition(outcome, expired=expired))
            for one, outcome in zip(queued, outcomes, strict=True)
        ]
        return self.reporter.notice(attempt, endings, ended_at=NOW, give_up_at=GIVE_UP_AT)

    def result(self, *outcomes: DeliveryOutcome, **more: object) -> Result:
        notice = self.notice(*(outcomes or (REFUSED,)), **more)  # type: ignore[arg-type]
        assert notice is not None
        assert bool(notice.letters) is (notice.event.result is Result.QUEUED)
        return notice.event.result


def _disposition(outcome: DeliveryOutcome, *, expired: bool) -> Disposition:
    if expired:
        return Disposition(State.FAILED, None, "main", (), "5.4.7", expired=True)
    state = {
        Kind.ACCEPTED: State.HANDED_OVER,
        Kind.REJECTED: State.FAILED,
        Kind.UNSUPPORTED: State.FAILED,
        Kind.DEFERRED: State.WAITING,
        Kind.UNCERTAIN: State.UNCERTAIN,
    }[outcome.kind]
    due_at = NOW + timedelta(minutes=5) if outcome.kind is Kind.DEFERRED else None
    return Disposition(state, due_at, "main", (), outcome.status)


def test_what_went_well_or_still_may_calls_for_nothing() -> None:
    """The plain way costs no report."""
    assert Post().notice(accepted("id"), PUT_OFF) is None


def test_report_is_a_letter_to_the_sender_from_nobody() -> None:
    """RFC 3461 6.1: MAIL FROM:<>, NOTIFY=NEVER, and due at once by who can carry it."""
    notice = Post().notice(REFUSED, envelope=an_envelope("r0@example.org", envid="Q1"))
    assert notice is not None
    (letter,) = notice.letters
    assert letter.envelope.reverse_path is None
    (recipient,) = letter.envelope.recipients
    assert str(recipient.forward_path) == SENDER
    assert recipient.notify == frozenset({Notify.NEVER})
    assert (letter.envelope.ret, letter.envelope.envid) == (None, None)
    assert (letter.providers, letter.leased, letter.arrival) == (("main",), False, NOW)
    assert letter.listener == "app"
    assert letter.message_id == f"<{letter.queue_id}@gateway.example.com>"
    assert "1K7QH3M2V0C01" in letter.client
    assert notice.event.report_id == letter.queue_id
    assert notice.note == f"report {letter.queue_id} to {SENDER}: failed"


def test_one_report_speaks_of_all_that_call_for_one() -> None:
    """Three fared badly, in two ways; the fourth is well and not spoken of."""
    notice = Post().notice(REFUSED, accepted("id"), PUT_OFF, REFUSED, age=timedelta(hours=5))
    assert notice is not None
    (letter,) = notice.letters
    found = [(r["Final-Recipient"], r["Action"]) for r in read_report(letter.content).recipients]
    assert found == [
        ("rfc822; r0@example.org", "failed"),
        ("rfc822; r2@example.org", "delayed"),
        ("rfc822; r3@example.org", "failed"),
    ]
    assert notice.actions == {0: Action.FAILED, 2: Action.DELAYED, 3: Action.FAILED}
    assert [key for key in range(4) if notice.warns_of(key)] == [2]
    assert (notice.event.action, notice.event.recipients) == (Action.FAILED, 3)


def test_status_says_why_it_failed() -> None:
    """Refused: the provider's own; too old: 5.4.7; unable and still tried elsewhere: class 4."""

    def status(outcome: DeliveryOutcome, **more: object) -> str:
        notice = Post().notice(outcome, **more)  # type: ignore[arg-type]
        assert notice is not None
        return str(read_report(notice.letters[0].content).recipients[0]["Status"])

    assert status(REFUSED) == "5.1.1"
    assert status(PUT_OFF, expired=True) == "5.4.7"
    assert status(PUT_OFF, age=timedelta(hours=5)) == "4.2.1"


@pytest.mark.parametrize(
    ("diagnostic", "remote_mta"),
    [("550 5.1.1 no such user", "dns; smtp.example.net"), ("the connection broke", None)],
)
def test_remote_mta_is_who_replied(diagnostic: str, remote_mta: str | None) -> None:
    """RFC 3464 2.3.5: named where its reply is shown, and not where no reply came."""
    notice = Post().notice(replace(REFUSED, diagnostic=diagnostic))
    assert notice is not None
    assert read_report(notice.letters[0].content).recipients[0]["Remote-MTA"] == remote_mta


@pytest.mark.parametrize(
    ("age", "warned", "told"),
    [
        (timedelta(hours=3, minutes=59), False, False),
        (timedelta(hours=4), False, True),
        (timedelta(hours=30), True, False),
    ],
)
def test_delay_is_warned_of_once_after_its_time(
    age: timedelta, *, warned: bool, told: bool
) -> None:
    """Four hours by default, and never again for the same recipient."""
    assert (Post().notice(PUT_OFF, age=age, warned=warned) is not None) is told


def test_warnings_can_be_switched_off() -> None:
    """`bounces.delay_warning: 0s`."""
    off = replace(RULES, delay_warning=timedelta(0))
    assert Post(off).notice(PUT_OFF, age=timedelta(days=1)) is None


@pytest.mark.parametrize(
    ("ret", "outcome", "whole"),
    [
        (Ret.FULL, REFUSED, True),
        (Ret.HEADERS, REFUSED, False),
        (None, REFUSED, False),
        (Ret.FULL, UNABLE, False),
    ],
)
def test_what_comes_back(ret: Ret | None, outcome: DeliveryOutcome, *, whole: bool) -> None:
    """RET, with the header as our default; what nobody can carry is not put into a report."""
    notice = Post().notice(outcome, envelope=an_envelope("r0@example.org", ret=ret))
    assert notice is not None
    returned = read_report(notice.letters[0].content).returned.get_content_type()
    assert returned == ("message/rfc822" if whole else "text/rfc822-headers")


def test_only_failures_bring_a_letter_back() -> None:
    """RFC 3461 4.3: RET=FULL does not concern a warning."""
    envelope = an_envelope("r0@example.org", ret=Ret.FULL)
    notice = Post().notice(PUT_OFF, envelope=envelope, age=timedelta(hours=5))
    assert notice is not None
    assert read_report(notice.letters[0].content).returned_header


def test_letter_too_large_to_come_back_whole() -> None:
    """`bounces.return_content` bounds what RET=FULL can ask for."""
    content = a_message(text="x" * 2000).content
    envelope = an_envelope("r0@example.org", ret=Ret.FULL)
    for limit, returned in ((len(content), "message/rfc822"), (1999, "text/rfc822-headers")):
        post = Post(replace(RULES, return_octets=limit))
        notice = post.notice(REFUSED, envelope=envelope, content=content)
        assert notice is not None
        report = read_report(notice.letters[0].content)
        assert report.returned.get_content_type() == returned


def test_eight_bit_letter_makes_an_eight_bit_report() -> None:
    """BODY says what the content is, so that the next server is asked for 8BITMIME."""
    content = "From: a@example.com\r\n\r\nпривет\r\n".encode()
    envelope = an_envelope("r0@example.org", ret=Ret.FULL)
    notice = Post().notice(REFUSED, envelope=envelope, content=content)
    assert notice is not None
    (letter,) = notice.letters
    assert letter.envelope.body is BodyType.EIGHT_BIT_MIME
    assert content in letter.content


def test_sender_whose_address_needs_smtputf8() -> None:
    """Its report does too; a provider that cannot carry it is none."""
    envelope = an_envelope("r0@example.org", reverse_path="имя@example.com")
    notice = Post().notice(REFUSED, envelope=envelope)
    assert notice is not None
    assert notice.letters[0].envelope.smtputf8
    ascii_only = replace(SMTP, smtputf8=False)
    assert Post(RULES, ascii_only).result(envelope=envelope) is Result.NO_CARRIER


def test_nobody_is_told_of_letters_that_are_not_answered() -> None:
    """The null reverse-path, reports, answers of programs; but the story and the metric know."""
    post = Post(WITH_ADDRESS)
    null = an_envelope("r0@example.org", reverse_path=None)
    assert post.result(envelope=null) is Result.NULL_REVERSE_PATH
    own = an_envelope("r0@example.org", reverse_path="bounces@example.com")
    assert post.result(envelope=own) is Result.AUTOMATIC
    report = b"From: a@example.com\r\nContent-Type: multipart/report;\r\n\tboundary=x\r\n\r\n"
    assert post.result(content=report) is Result.AUTOMATIC
    answer = b"From: a@example.com\r\nAUTO-SUBMITTED: auto-replied\r\n\r\n"
    assert post.result(content=answer) is Result.AUTOMATIC
    notice = post.notice(REFUSED, envelope=null)
    assert notice is not None
    assert notice.note == "no report (failed): its reverse-path is <>"
    assert notice.event.reverse_path == ""


@pytest.mark.parametrize(
    ("rules", "capabilities"),
    [
        (RULES, SMTP),
        (WITH_ADDRESS, SMTP),
        (WITH_ADDRESS, SMTP_CONFIRMED),
        (WITH_ADDRESS, V1),
        (WITH_ADDRESS, V2),
    ],
)
def test_no_report_is_ever_answered(rules: ReportRules, capabilities: ProviderCapabilities) -> None:
    """No loop, whatever carries reports, here or between two gateways."""
    post = Post(rules, capabilities)
    notice = post.notice(REFUSED)
    assert notice is not None
    (letter,) = notice.letters
    assert post.notice(REFUSED, envelope=letter.envelope) is None, "NOTIFY=NEVER"
    (recipient,) = letter.envelope.recipients
    forgetful = replace(letter.envelope, recipients=(replace(recipient, notify=None),))
    stranger = Post(RULES, SMTP)  # another gateway, which does not know our address
    for gateway in (post, stranger):
        result = gateway.result(envelope=forgetful, content=letter.content)
        assert result in (Result.NULL_REVERSE_PATH, Result.AUTOMATIC)


@pytest.mark.parametrize(
    ("capabilities", "reverse_path", "content_type"),
    [
        (SMTP, None, "multipart/report"),
        (SMTP_CONFIRMED, OURS, "multipart/report"),
        (V1, OURS, "text/plain"),
        (V2, OURS, "text/plain"),
    ],
    ids=["smtp", "confirmed senders", "rest_v1", "form_v2"],
)
def test_form_follows_what_can_be_carried(
    capabilities: ProviderCapabilities, reverse_path: object, content_type: str
) -> None:
    """Null where it can be said, else from our address; one text where nothing else passes."""
    notice = Post(WITH_ADDRESS, capabilities).notice(REFUSED)
    assert notice is not None
    (letter,) = notice.letters
    check_wire(letter.content)
    assert letter.envelope.reverse_path == reverse_path
    assert f"\r\nContent-Type: {content_type};".encode() in letter.content
    assert b"\r\nFrom: Mail Delivery System <bounces@example.com>\r\n" in letter.content


@pytest.mark.parametrize("capabilities", [SMTP_CONFIRMED, V1, V2])
def test_without_an_address_of_ours_such_providers_carry_no_report(
    capabilities: ProviderCapabilities,
) -> None:
    """Design: the event, log and metric remain."""
    assert Post(RULES, capabilities).result() is Result.NO_CARRIER


def test_routes_of_reports_are_those_of_letters_from_nobody() -> None:
    """A route for certain senders takes none; one for a listener takes those of its letters."""
    only_news = Route("news", ("main",), Condition(sender_domains=frozenset({"example.com"})))
    assert Post(RULES, SMTP, only_news).result() is Result.NO_CARRIER
    app = Route("app", ("main",), Condition(listeners=frozenset({"app"})))
    other = Route("other", ("main",), Condition(listeners=frozenset({"other"})))
    assert Post(RULES, SMTP, app).result() is Result.QUEUED
    assert Post(RULES, SMTP, other).result() is Result.NO_CARRIER


def test_limits_for_each_sender_and_in_all() -> None:
    """A storm of refusals is told of until the limit; the rest shows in metric and story."""
    rules = replace(
        RULES, per_sender=Rate(2, timedelta(hours=1)), total=Rate(3, timedelta(hours=1))
    )
    post = Post(rules)
    results = [post.result() for _ in range(3)]
    assert results == [Result.QUEUED, Result.QUEUED, Result.RATE_LIMITED]
    another = an_envelope("r0@example.org", reverse_path="b@example.com")
    assert [post.result(envelope=another) for _ in range(2)] == results[1:]
    post.clock.advance(1801)
    assert post.result() is Result.QUEUED


def test_what_nobody_can_carry_uses_up_no_limit() -> None:
    """The limits are there for reports that go out."""
    post = Post(replace(RULES, per_sender=Rate(1, timedelta(hours=1))), V1)
    assert [post.result() for _ in range(3)] == [Result.NO_CARRIER] * 3


def test_a_reload_keeps_what_was_used_unless_the_limits_change() -> None:
    """SIGHUP is no way around a limit; a new limit begins anew."""
    rules = replace(RULES, per_sender=Rate(1, timedelta(hours=1)))
    post = Post(rules)
    assert post.result() is Result.QUEUED
    post.reporter.reconfigure(replace(rules, hostname="other.example.com"))
    assert post.result() is Result.RATE_LIMITED
    post.reporter.reconfigure(replace(rules, per_sender=Rate(2, timedelta(hours=1))))
    assert post.result() is Result.QUEUED


def letters_with_postmaster(
    outcomes: Sequence[DeliveryOutcome],
    postmaster: str = "postmaster@example.com",
    **more: object,
) -> list[tuple[str, bytes]]:
    post = Post(replace(RULES, postmaster=parse_address(postmaster)))
    notice = post.notice(*outcomes, **more)  # type: ignore[arg-type]
    assert notice is not None
    return [(str(x.envelope.recipients[0].forward_path), x.content) for x in notice.letters]


def test_postmaster_gets_a_copy_of_failures_without_the_letter() -> None:
    """Of failures alone, with the header alone, as a letter with an id of its own."""
    envelope = an_envelope("a@example.org", "b@example.org", ret=Ret.FULL)
    report, copy = letters_with_postmaster(
        (REFUSED, PUT_OFF), envelope=envelope, age=timedelta(hours=5)
    )
    assert (report[0], copy[0]) == (SENDER, "postmaster@example.com")
    assert read_report(report[1]).returned.get_content_type() == "message/rfc822"
    read = read_report(copy[1])
    assert [r["Action"] for r in read.recipients] == ["failed"]
    assert read.returned_header
    assert SENDER in read.prose
    assert read.letter["Message-ID"] != read_report(report[1]).letter["Message-ID"]


def test_postmaster_gets_no_copy_of_warnings_nor_twice() -> None:
    """Delays are the sender's business, and a postmaster who is the sender has the report."""
    assert len(letters_with_postmaster((PUT_OFF,), age=timedelta(hours=5))) == 1
    assert len(letters_with_postmaster((REFUSED,), postmaster=SENDER)) == 1


def test_copy_that_nobody_can_carry_does_not_keep_the_report_back() -> None:
    """A route of its own for the postmaster's domain, by an API that takes none from nobody."""
    to_postmaster = Condition(recipient_domains=frozenset({"example.net"}))
    routes = (Route("p", ("api",), to_postmaster), Route("all", ("main",)))
    post = Post(replace(RULES, postmaster=parse_address("postmaster@example.net")), SMTP, *routes)
    notice = post.notice(REFUSED)
    assert notice is not None
    assert [str(x.envelope.recipients[0].forward_path) for x in notice.letters] == [SENDER]


def test_subject_is_decoded_and_bounded() -> None:
    """People read it; a subject without end is no reason for a report without end."""
    content = b"From: a@example.com\r\nSubject: =?utf-8?b?0JfQsNC60LDQtw==?= " + b"x" * 9000
    notice = Post().notice(REFUSED, content=content + b"\r\n\r\n")
    assert notice is not None
    assert "Заказ xxx" in read_report(notice.letters[0].content).prose
    assert read_report(notice.letters[0].content).prose.count("x") < 300


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("smtp.example.net", "smtp.example.net"),
        ("192.0.2.1", "[192.0.2.1]"),
        ("2001:db8::1", "[IPv6:2001:db8::1]"),
    ],
)
def test_remote_mta_by_address_is_a_literal(host: str, name: str) -> None:
    """RFC 5321 4.1.3."""
    assert mta_name(host) == name


NEWS = Route("news", ("api",), Condition(sender_domains=frozenset({"example.com"})))
OF_USERS = Route("users", ("api",), Condition(users=frozenset({"shop"})))
BY_API = Route("api", ("api",))
BY_SMTP = Route("smtp", ("api", "main"))


@pytest.mark.parametrize(
    ("routes", "told"),
    [
        ((BY_SMTP,), ()),
        ((NEWS, BY_SMTP), ()),
        ((BY_API,), ("route api",)),
        ((replace(BY_API, condition=Condition(size_over=9)), BY_SMTP), ("route api",)),
        ((NEWS,), ("no route takes letters from <>",)),
        ((OF_USERS, BY_SMTP), ()),
    ],
)
def test_gaps_name_each_route_by_which_no_report_can_leave(
    routes: tuple[Route, ...], told: tuple[str, ...]
) -> None:
    """`check` warns of what would only show when the first letter fails."""
    capabilities = {"api": V1, "main": SMTP}
    found = gaps(routes, capabilities, RULES)
    assert len(found) == len(told)
    assert all(words in line for words, line in zip(told, found, strict=True))
    assert all("bounces.from" in line for line in found)
    assert gaps(routes, capabilities, WITH_ADDRESS) == ()


@pytest.mark.parametrize(
    "condition",
    [
        Condition(users=frozenset({"shop"})),
        Condition(sender_domains=frozenset({"example.org"})),
        Condition(senders=frozenset({"news@example.com"})),
    ],
)
def test_gaps_where_no_route_is_for_reports_of_ours(condition: Condition) -> None:
    """An address of ours helps only where some route takes letters from it, and asks no user."""
    route = replace(BY_API, condition=condition)
    (line,) = gaps((route,), {"api": V1}, RULES)
    assert "no route takes letters from <>" in line
    (line,) = gaps((route,), {"api": V1}, WITH_ADDRESS)
    assert "from <> or bounces@example.com" in line
    assert gaps((route, NEWS), {"api": V1}, WITH_ADDRESS) == ()


def test_strict_routes_by_an_api_carry_no_report_of_ours() -> None:
    """Such a route loses not even a Date, and so it carries hardly any letter."""
    strict = Route("strict", ("main",), fidelity=Fidelity.STRICT)
    assert Post(WITH_ADDRESS, V1, strict).result() is Result.NO_CARRIER
