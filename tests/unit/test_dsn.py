"""Reports read back by somebody else's MIME: each field of RFC 3464, each way a letter returns."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import default
from email.utils import parsedate_to_datetime

import pytest

from gateway.domain.dsn import Fate, build_plain_report, build_report
from gateway.domain.notification import Action
from tests.support.reports import (
    ARRIVAL,
    GIVE_UP_AT,
    HEADER,
    NOW,
    a_complaint,
    a_fate,
    a_report,
    an_original,
    check_wire,
    read_feedback,
    read_report,
)

BODY = b"\r\nThank you\r\n"


def built(*fates: Fate, **more: object) -> bytes:
    content = build_report(a_report(*fates, **more))  # type: ignore[arg-type]
    check_wire(content)
    return content


def test_the_header_is_that_of_a_report() -> None:
    """From, To, threading, RFC 3834 and an id of its own; 7-bit from end to end."""
    content = built()
    letter = read_report(content).letter
    assert letter["From"] == "Mail Delivery System <MAILER-DAEMON@gateway.example.com>"
    assert letter["To"].addresses[0].addr_spec == "news@example.com"
    assert letter["Subject"] == "Undelivered mail returned to sender"
    assert parsedate_to_datetime(letter["Date"]) == NOW
    assert letter["Message-ID"] == "<1K7QH3M2V0C0A@gateway.example.com>"
    assert letter["In-Reply-To"] == letter["References"] == "<order-77@example.com>"
    assert letter["Auto-Submitted"] == "auto-replied"
    assert letter["MIME-Version"] == "1.0"
    assert letter["Content-Transfer-Encoding"] == "7bit"
    assert letter["Received"].startswith("by gateway.example.com (Mailquay) id 1K7QH3M2V0C0A;")
    assert content.isascii()


def test_reports_leave_from_the_address_that_is_set() -> None:
    """Services that take letters from confirmed senders only look at From."""
    letter = read_report(built(from_="bounces@example.com")).letter
    assert letter["From"].addresses[0].addr_spec == "bounces@example.com"


def test_fields_of_the_letter() -> None:
    """RFC 3464 2.2; ENVID as the sender meant it, not as it travelled."""
    status = read_report(built(original=an_original(envid="QQ+2B314+20159"))).status
    assert dict(status.items()) == {
        "Original-Envelope-Id": "QQ+314 159",
        "Reporting-MTA": "dns; gateway.example.com",
        "X-Mailquay-Queue-ID": "1K7QH3M2V0C01",
        "Arrival-Date": "Thu, 01 Jan 2026 07:00:00 +0000",
    }
    assert parsedate_to_datetime(status["Arrival-Date"]) == ARRIVAL


def test_fields_of_a_failed_recipient() -> None:
    """RFC 3464 2.3; ORCPT as the sender meant it (RFC 3461 4.2)."""
    fate = a_fate(orcpt="rfc822;Bob+2B77@example.org")
    (recipient,) = read_report(built(fate)).recipients
    assert dict(recipient.items()) == {
        "Original-Recipient": "rfc822; Bob+77@example.org",
        "Final-Recipient": "rfc822; bob@example.org",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; smtp.example.net",
        "Diagnostic-Code": "smtp; 550 5.1.1 no such user",
        "Last-Attempt-Date": "Thu, 01 Jan 2026 12:00:00 +0000",
    }


def test_fields_of_a_delayed_recipient() -> None:
    """Until when it is tried; and words that no SMTP server said are not told as its."""
    fate = a_fate("a@example.org", Action.DELAYED, "4.4.1", "no connection", remote_mta="")
    report = read_report(built(fate))
    (recipient,) = report.recipients
    assert recipient["Action"] == "delayed"
    assert recipient["Diagnostic-Code"] == "X-Mailquay; no connection"
    assert "Remote-MTA" not in recipient
    assert parsedate_to_datetime(recipient["Will-Retry-Until"]) == GIVE_UP_AT
    assert report.letter["Subject"] == "Delayed mail, still being tried"
    assert "no need to send it again" in " ".join(report.prose.split())


def test_fields_of_a_relayed_recipient() -> None:
    """RFC 3461 5.2.2: handed to somebody who will not tell of success."""
    fate = a_fate("a@example.org", Action.RELAYED, "2.0.0", "250 Ok")
    report = read_report(built(fate))
    assert (report.recipients[0]["Action"], report.recipients[0]["Status"]) == ("relayed", "2.0.0")
    assert "handed over" in report.prose


def test_silence_is_not_put_into_a_field() -> None:
    """A refusal without a word has a status, and says so to people."""
    report = read_report(built(a_fate(diagnostic="", remote_mta="")))
    assert "Diagnostic-Code" not in report.recipients[0]
    assert "status 5.1.1" in report.prose


def test_one_report_for_all_with_the_gravest_subject() -> None:
    """Recipients that fared differently in one attempt: a group for each, told in that order."""
    fates = (
        a_fate("a@example.org", Action.RELAYED, "2.0.0", "250 Ok"),
        a_fate("b@example.org", Action.DELAYED, "4.2.1", "450 busy"),
        a_fate("c@example.org"),
        a_fate("d@example.org"),
    )
    report = read_report(built(*fates))
    assert [x["Action"] for x in report.recipients] == ["relayed", "delayed", "failed", "failed"]
    assert report.letter["Subject"] == "Undelivered mail returned to sender"
    told = [report.prose.index(f"<{name}@example.org>") for name in "cdba"]
    assert told == sorted(told)


def test_prose_says_what_happened_to_whom_in_whose_words() -> None:
    """Plain English for people: which letter, which recipient, and what was said."""
    report = read_report(built(original=an_original(subject="Заказ № 77")))
    for words in (
        "mail gateway gateway.example.com",
        "could not be delivered",
        "<bob@example.org>",
        "550 5.1.1 no such user",
        "Заказ № 77",
        "<order-77@example.com>",
        "1K7QH3M2V0C01",
        "The header of the letter comes with this report.",
    ):
        assert words in report.prose


def test_prose_tells_expiry_and_doubt() -> None:
    """A letter that was given up by age, and perhaps arrived all the same."""
    fate = a_fate(status="5.4.7", diagnostic="no answer", expired=True, doubtful=True)
    prose = " ".join(read_report(built(fate)).prose.split())
    assert "No attempt succeeded in time" in prose
    assert "the letter may have arrived" in prose


def test_postmaster_gets_a_copy_that_names_the_sender() -> None:
    """It is not the postmaster's letter."""
    report = read_report(built(to="postmaster@example.com"))
    assert report.letter["To"].addresses[0].addr_spec == "postmaster@example.com"
    assert report.letter["Subject"].startswith("Postmaster copy: ")
    assert "A letter of <news@example.com> could not" in report.prose
    assert "Your letter" not in report.prose


def test_header_comes_back_octet_for_octet() -> None:
    """RFC 6522 4: text/rfc822-headers, plain where it is plain."""
    report = read_report(built())
    assert report.returned["Content-Transfer-Encoding"] == "7bit"
    assert report.returned_header == HEADER


@pytest.mark.parametrize(
    "header",
    [
        "Subject: Заказ\r\n".encode(),
        b"Subject: \xcf\xf0\xe8\xe2\xe5\xf2\r\n",
        b"X-Long: " + b"x" * 3000 + b"\r\n",
        b"X-Odd: a\x00b\x07c \r\nX-Blank: \t\r\n",
        b"X-Equals: a=3D=\r\n.\r\n-- \r\nFrom nobody\r\n",
        b"",
    ],
    ids=["utf-8", "windows-1251", "long", "controls", "quoting", "empty"],
)
def test_header_that_is_no_seven_bit_text_is_encoded(header: bytes) -> None:
    """RFC 6522 4 lets it be; nothing of what the sender wrote is lost."""
    content = built(original=an_original(header=header))
    assert content.isascii()
    assert read_report(content).returned_header == header


def test_endless_header_is_cut_at_a_line() -> None:
    """A report about a letter that is all header is no such letter itself."""
    header = b"".join(b"X-Number: %d\r\n" % number for number in range(100_000))
    content = built(original=an_original(header=header))
    assert len(content) < 40_000
    returned = read_report(content).returned_header
    assert header.startswith(returned)
    assert returned.endswith(b"\r\n")


def test_letter_comes_back_whole() -> None:
    """Octet for octet, as a message/rfc822."""
    original = HEADER + BODY
    content = built(original=an_original(content=original))
    report = read_report(content)
    assert report.returned.get_content_type() == "message/rfc822"
    assert original in content
    (inner,) = report.returned.get_payload()  # type: ignore[misc]
    assert inner["Subject"] == "Order 77"
    assert "The letter itself comes with this report." in report.prose


def test_eight_bit_letter_comes_back_as_it_was() -> None:
    """A nested letter can be 8bit and nothing else (RFC 2046 5.2.1); the report says that it is."""
    original = HEADER + "\r\nСпасибо\r\n".encode()
    content = built(original=an_original(content=original))
    report = read_report(content)
    assert report.returned["Content-Transfer-Encoding"] == "8bit"
    assert report.letter["Content-Transfer-Encoding"] == "8bit"
    assert original in content


def test_international_letter_comes_back_as_message_global() -> None:
    """RFC 6532 3.7: UTF-8 in a header that was declared so."""
    header = "Subject: Заказ\r\n".encode()
    original = an_original(smtputf8=True, header=header, content=header + BODY)
    assert b"Content-Type: message/global\r\n" in built(original=original)
    undeclared = an_original(header=header, content=header + BODY)
    assert b"Content-Type: message/rfc822\r\n" in built(original=undeclared)


@pytest.mark.parametrize(
    "body", [b"\r\n" + b"x" * 999 + b"\r\n", b"\r\na\0b\r\n"], ids=["long line", "NUL"]
)
def test_letter_that_mime_cannot_nest_comes_back_as_its_header(body: bytes) -> None:
    """RFC 2045 2.8: such a letter is binary, and that goes over no wire of ours."""
    report = read_report(built(original=an_original(content=HEADER + body)))
    assert report.returned_header == HEADER
    assert "The header of the letter comes" in report.prose


def test_no_letter_can_end_the_part_it_stands_in() -> None:
    """The boundary is one that nothing in the report holds, even if it was guessed."""
    guesses = b"".join(b"--=_1K7QH3M2V0C0A_%d--\r\n" % number for number in range(3))
    original = HEADER + b"\r\n" + guesses
    content = built(original=an_original(content=original))
    report = read_report(content)
    assert report.letter.get_boundary() == "=_1K7QH3M2V0C0A_3"
    assert original in content
    (inner,) = report.returned.get_payload()  # type: ignore[misc]
    assert inner.get_payload(decode=True) == guesses


@pytest.mark.parametrize(
    ("to", "typed"),
    [
        ("bob@example.org", "rfc822; bob@example.org"),
        ('"a b"@example.org', 'rfc822; "a b"@example.org'),
        ("b+x=y@example.org", "rfc822; b+x=y@example.org"),
        ("bob@bücher.example", "rfc822; bob@xn--bcher-kva.example"),
        ("üser+x=y@example.org", r"utf-8; \x{FC}ser\x{2B}x\x{3D}y@example.org"),
        ("用户@example.org", r"utf-8; \x{7528}\x{6237}@example.org"),
        ("😀@example.org", r"utf-8; \x{1F600}@example.org"),
    ],
)
def test_addresses_by_type(to: str, typed: str) -> None:
    """RFC 6533 3: what is not ASCII is told in ASCII; what is, as it is."""
    (recipient,) = read_report(built(a_fate(to))).recipients
    assert recipient["Final-Recipient"] == typed


@pytest.mark.parametrize(
    ("orcpt", "shown"),
    [
        ("rfc822;bob@example.org", "rfc822; bob@example.org"),
        ("RFC822;b+2Bx+3Dy@example.org", "RFC822; b+x=y@example.org"),
        ("x400;/C=US/A=+20+2FP", "x400; /C=US/A= /P"),
        (r"utf-8;\x{7528}@example.org", r"utf-8; \x{7528}@example.org"),
        ("utf-8;用@example.org", r"utf-8; \x{7528}@example.org"),
    ],
)
def test_original_recipients(orcpt: str, shown: str) -> None:
    """ORCPT of any type comes back as it was meant, in ASCII."""
    (recipient,) = read_report(built(a_fate(orcpt=orcpt))).recipients
    assert recipient["Original-Recipient"] == shown


def test_sender_whose_address_is_not_ascii() -> None:
    """The report needs SMTPUTF8 for its recipient anyway; To shows the address as it is."""
    content = built(original=an_original(sender="отправитель@example.com"))
    assert "To: <отправитель@example.com>\r\n".encode() in content
    assert read_report(content).letter["To"] is not None


def test_long_words_are_folded_within_the_line() -> None:
    """Diagnostics without a blank, and addresses that grow sevenfold in ASCII."""
    wide = "ж" * 140 + "@example.org"
    (recipient,) = read_report(built(a_fate(wide, diagnostic="5" * 3000))).recipients
    assert recipient["Final-Recipient"].replace(" ", "").count("\\x{436}") == 140
    assert recipient["Diagnostic-Code"].replace("\r\n ", "").count("5") == 3000


@pytest.mark.parametrize(
    "message_id",
    ["", "order-77", "<a b@example.com>", "<" + "x" * 1000 + ">", "<a@b>\r\nBcc: <c@d>", "<ж@b>"],
)
def test_message_id_that_is_none_is_not_referred_to(message_id: str) -> None:
    """A reference must lead somewhere, and end nowhere else."""
    letter = read_report(built(original=an_original(message_id=message_id))).letter
    assert "In-Reply-To" not in letter
    assert "References" not in letter
    assert "Bcc" not in letter


def test_plain_report_holds_all_three() -> None:
    """For an API, which takes texts: prose, status and header one below the other."""
    header = "Subject: Заказ\r\nX-Campaign: 9\r\n".encode()
    content = build_plain_report(a_report(original=an_original(header=header, subject="Заказ")))
    check_wire(content)
    assert content.isascii()
    letter = message_from_bytes(content, policy=default)
    assert letter.get_content_type() == "text/plain"
    assert letter["Auto-Submitted"] == "auto-replied"
    text = letter.get_content().replace("\r\n", "\n")
    for words in (
        "could not be delivered",
        "Final-Recipient: rfc822; bob@example.org\n",
        "Status: 5.1.1\n",
        "Subject: Заказ\n",
        "X-Campaign: 9\n",
    ):
        assert words in text


def test_report_of_nobody_is_refused() -> None:
    """RFC 3464 2.1 wants a recipient; one without is a bug of ours."""
    with pytest.raises(ValueError, match="speaks of a recipient"):
        type(a_report())("Q", "h", *[a_report().to] * 2, NOW, an_original(), (), NOW)


def test_a_complaint_is_a_feedback_report() -> None:
    """RFC 5965 2 and 3: its report-type, its required fields, what is known of the others."""
    original = an_original(envid="QQ+2B314", source_ip="192.0.2.7")
    report = read_feedback(built(a_complaint("Bob@example.org"), original=original))
    assert report.status.items() == [
        ("Feedback-Type", "abuse"),
        ("User-Agent", "Mailquay"),
        ("Version", "1"),
        ("Original-Envelope-Id", "QQ+314"),
        ("Original-Mail-From", "<news@example.com>"),
        ("Original-Rcpt-To", "<Bob@example.org>"),
        ("Arrival-Date", "Thu, 01 Jan 2026 07:00:00 +0000"),
        ("Reporting-MTA", "dns; gateway.example.com"),
        ("Source-IP", "192.0.2.7"),
        ("Reported-Domain", "example.com"),
        ("X-Mailquay-Queue-ID", "1K7QH3M2V0C01"),
    ]
    assert report.returned_header == HEADER
    assert report.letter["Subject"] == "Mail reported as spam by its reader"
    assert report.letter["Auto-Submitted"] == "auto-replied"
    assert "<Bob@example.org>" in report.prose


def test_feedback_tells_nothing_that_is_not_known() -> None:
    """No ENVID, no address of a client, no domain where there is a literal."""
    original = an_original(sender="app@[192.0.2.1]")
    fields = read_feedback(built(a_complaint(), original=original)).status
    assert not {"Original-Envelope-Id", "Source-IP", "Reported-Domain"} & set(fields.keys())


def test_feedback_on_addresses_that_are_not_ascii() -> None:
    """7-bit by RFC 6533 3, and the domain as DNS has it."""
    original = an_original(sender="news@b\u00fccher.example")
    fields = read_feedback(built(a_complaint("\u00f6@example.org"), original=original)).status
    assert fields["Original-Rcpt-To"] == r"<\x{F6}@example.org>"
    assert fields["Reported-Domain"] == "xn--bcher-kva.example"


def test_plain_feedback_is_one_text_with_the_same_fields() -> None:
    """For APIs: a program that reads texts still finds the recipient."""
    content = build_plain_report(a_report(a_complaint()))
    check_wire(content)
    letter = message_from_bytes(content, policy=default)
    text = letter.get_content()  # type: ignore[attr-defined]
    for words in ("called it spam", "Feedback-Type: abuse", "Original-Rcpt-To: <bob@example.org>"):
        assert words in text
    assert "Status:" not in text


def test_a_complaint_is_not_reported_among_failures() -> None:
    """One report is of one type: RFC 3464 has no action for a complaint."""
    with pytest.raises(ValueError, match="complaints or of deliveries"):
        a_report(a_fate(), a_complaint("eve@example.org"))
