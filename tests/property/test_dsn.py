"""Whatever addresses, providers and letters say, a report stays a report: nothing is injected."""

from __future__ import annotations

from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from itertools import pairwise

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.domain.allowance import Allowance
from gateway.domain.dsn import build_plain_report, build_report
from gateway.domain.dsn.report import Fate, Report
from gateway.domain.notification import Action
from providers.contract.address import InvalidAddress, parse_address
from providers.contract.capabilities import Rate
from tests.support.reports import (
    a_complaint,
    a_fate,
    a_report,
    an_original,
    check_wire,
    read_feedback,
    read_report,
)

# What a provider says: anything that a JSON text or a reply can hold, blanks and controls included.
texts = st.text(st.characters(), max_size=300) | st.text("a \r\n\t:;=?-", max_size=300)
octets = st.binary(max_size=300) | st.text("a: \r\n\t=?-", max_size=300).map(str.encode)
fields = octets.map(lambda raw: b"".join(b"X: %s\r\n" % line for line in raw.splitlines()))


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """Every address that the front door takes."""
    quoted = st.text(st.characters(min_codepoint=32, exclude_characters='"\\'), max_size=60)
    atoms = st.text(
        st.characters(min_codepoint=33, exclude_characters='"(),:;<>@[\\]\x7f'),
        min_size=1,
        max_size=150,
    )
    local_part = draw(atoms | quoted.map('"{}"'.format))
    text = f"{local_part}@{draw(st.sampled_from(['example.org', 'bücher.example', '[192.0.2.1]']))}"
    try:
        parse_address(text)
    except InvalidAddress:
        assume(condition=False)
    return text


orcpts = st.none() | st.tuples(
    st.sampled_from(["rfc822", "utf-8", "x400"]),
    st.text("ab+20+2B\\x{7528}@.用", min_size=1, max_size=100),
).map(";".join)


DELIVERIES = ((Action.FAILED, "5.1.1"), (Action.DELAYED, "4.2.1"), (Action.RELAYED, "2.0.0"))
complaints = st.builds(a_complaint, addresses(), texts)


@st.composite
def fates(draw: st.DrawFn) -> Fate:
    """A recipient of any action."""
    action, status = draw(st.sampled_from(DELIVERIES))
    return a_fate(
        draw(addresses()),
        action,
        status,
        draw(texts),
        remote_mta=draw(st.sampled_from(["", "smtp.example.net"])),
        orcpt=draw(orcpts),
        expired=draw(st.booleans()),
        doubtful=draw(st.booleans()),
    )


@st.composite
def reports(draw: st.DrawFn, of: st.SearchStrategy[Fate] | None = None) -> Report:
    """Any report of such recipients, by default of deliveries."""
    header = draw(fields)
    whole = draw(st.none() | octets)
    original = an_original(
        sender=draw(addresses()),
        subject=draw(texts),
        message_id=draw(texts),
        envid=draw(st.none() | st.text("a+20+41-", min_size=1, max_size=100)),
        smtputf8=draw(st.booleans()),
        header=header,
        content=None if whole is None else header + b"\r\n" + whole + b"\r\n",
    )
    told = draw(st.lists(fates() if of is None else of, min_size=1, max_size=4))
    return a_report(*told, original=original)


FIELDS = {
    *("received", "from", "to", "subject", "date", "message-id", "in-reply-to", "references"),
    *("auto-submitted", "mime-version", "content-type", "content-transfer-encoding"),
}
STATUS_FIELDS = {"original-envelope-id", "reporting-mta", "x-mailquay-queue-id", "arrival-date"}
RECIPIENT_FIELDS = {
    *("original-recipient", "final-recipient", "action", "status", "remote-mta"),
    *("diagnostic-code", "last-attempt-date", "will-retry-until"),
}


FEEDBACK_FIELDS = {
    *("feedback-type", "user-agent", "version", "original-envelope-id", "original-mail-from"),
    *("original-rcpt-to", "arrival-date", "reporting-mta", "source-ip", "reported-domain"),
    "x-mailquay-queue-id",
}


def names(message: object) -> list[str]:
    return [name.lower() for name in message.keys()]  # type: ignore[attr-defined] # noqa: SIM118


@settings(deadline=None, max_examples=60)
@given(reports())
def test_a_report_has_its_parts_and_fields_and_no_others(report: Report) -> None:
    """Header injection is impossible, and so is breaking out of a part."""
    content = build_report(report)
    check_wire(content)
    read = read_report(content)
    assert set(names(read.letter)) <= FIELDS
    assert len(names(read.letter)) == len(set(names(read.letter)))
    assert set(names(read.status)) <= STATUS_FIELDS
    assert [group["Action"] for group in read.recipients] == [f.action for f in report.fates]
    assert [group["Status"] for group in read.recipients] == [f.status for f in report.fates]
    for group in read.recipients:
        assert set(names(group)) <= RECIPIENT_FIELDS
        assert len(names(group)) == len(set(names(group)))
    header_end = content.index(b"\r\n\r\n")
    assert content[:header_end].isascii() or not report.to.addr_spec.isascii()


@settings(deadline=None, max_examples=40)
@given(reports(complaints))
def test_a_complaint_has_its_parts_and_fields_and_no_others(report: Report) -> None:
    """RFC 5965 3: each field once but for recipients, whatever addresses and providers say."""
    content = build_report(report)
    check_wire(content)
    fields = read_feedback(content).status
    assert set(names(fields)) <= FEEDBACK_FIELDS
    of_recipients = fields.get_all("Original-Rcpt-To") or []
    assert len(of_recipients) == len(report.fates)
    assert len(names(fields)) - len(of_recipients) == len(set(names(fields))) - 1


@settings(deadline=None, max_examples=60)
@given(reports())
def test_a_returned_letter_is_there_octet_for_octet(report: Report) -> None:
    """What comes back whole is what was sent, and a header is no less."""
    content, original = build_report(report), report.original
    returned = read_report(content).returned
    if returned.get_content_type() != "text/rfc822-headers":
        assert original.content is not None
        assert original.content in content
    else:
        decoded = returned.get_payload(decode=True)
        assert decoded.replace(b"\r", b" ") == original.header.replace(  # type: ignore[union-attr]
            b"\r\n", b"\n"
        ).replace(b"\r", b" ").replace(b"\n", b" \n")


@settings(deadline=None, max_examples=60)
@given(reports())
def test_a_plain_report_is_one_text(report: Report) -> None:
    """For APIs: one part, 7-bit, whatever it tells of."""
    content = build_plain_report(report)
    check_wire(content)
    letter = message_from_bytes(content, policy=default)
    assert set(names(letter)) <= FIELDS
    assert not letter.is_multipart()
    assert not letter.defects
    assert content[content.index(b"\r\n\r\n") :].isascii()


@given(
    st.integers(1, 20),
    st.lists(st.floats(0, 100), min_size=1, max_size=60),
    st.floats(0, 1e7),
)
def test_no_window_of_one_period_holds_more_than_twice_the_limit(
    count: int, steps: list[float], start: float
) -> None:
    """A burst and what comes back: the most that a limit lets through, wherever one looks."""
    room = Allowance(Rate(count, timedelta(seconds=100)), Rate(10**6))
    now, taken = start, []
    for step in steps:
        now += step
        while room.has_room("a", now):
            room.take("a", now)
            taken.append(now)
    for at in taken:
        assert sum(at <= other < at + 100 for other in taken) <= 2 * count
    assert all(earlier <= later for earlier, later in pairwise(taken))
