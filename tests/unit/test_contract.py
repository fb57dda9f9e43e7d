"""The contract's values refuse to be built wrong, and compare as they should."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from providers.contract.address import InvalidAddress, parse_address
from providers.contract.capabilities import Part, ProviderCapabilities, Rate
from providers.contract.envelope import Envelope, Notify, Recipient
from providers.contract.message import Needs
from providers.contract.options import SendOptions
from providers.contract.outcome import (
    DeliveryOutcome,
    Kind,
    Scope,
    accepted,
    all_same,
    per_recipient,
)
from providers.contract.tracking import EventType, TrackingEvent
from tests.support.builders import a_request


@pytest.mark.parametrize(
    ("text", "addr_spec"),
    [
        ("bob@example.com", "bob@example.com"),
        ("Bob@EXAMPLE.com", "Bob@example.com"),
        ("a..b@example.com", "a..b@example.com"),
        ("a.@example.com", "a.@example.com"),
        ('"a b"@example.com', '"a b"@example.com'),
        ('"a@b"@example.com', '"a@b"@example.com'),
        ("bob@[192.0.2.1]", "bob@[192.0.2.1]"),
        ("bob@[IPv6:2001:db8::1]", "bob@[ipv6:2001:db8::1]"),
        ("bob@localhost", "bob@localhost"),
        ("bob@пример.example", "bob@xn--e1afmkfd.example"),
        ("боб@example.com", "боб@example.com"),
        ("bob+tag@_dmarc.example.com", "bob+tag@_dmarc.example.com"),
    ],
)
def test_addresses_that_can_be_sent_to(text: str, addr_spec: str) -> None:
    """Odd but valid ones pass; the domain goes out as ASCII in lower case."""
    address = parse_address(text)
    assert address.addr_spec == addr_spec
    assert address.text == text
    assert address.needs_smtputf8 == (not addr_spec.isascii())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bob",
        "@example.com",
        "bob@",
        "bob@exa mple.com",
        "bob@example.com\r\nRCPT TO:<eve@example.com>",
        "bob@example.com>",
        "<bob@example.com>",
        "b ob@example.com",
        "bob@-example.com",
        "bob@example..com",
        "bob@.example.com",
        "bob\x00@example.com",
        '"bob\n"@example.com',
        "bob@[192.0.2.1",
        "bob@" + "a" * 64 + ".com",
        "a" * 400 + "@example.com",
        "bob@exa\udce4mple.com",
        "b\udce4b@example.com",
        "\ud800@example.com",
    ],
)
def test_what_no_command_line_may_hold_is_no_address(text: str) -> None:
    """Injection is impossible by construction: such an address cannot exist."""
    with pytest.raises(InvalidAddress):
        parse_address(text)


def test_addresses_compare_by_normal_form() -> None:
    """The domain's case and spelling do not matter, the local part's case does."""
    assert parse_address("bob@Example.COM") == parse_address("bob@example.com")
    assert parse_address("bob@ПРИМЕР.example") == parse_address("bob@xn--e1afmkfd.example")
    assert parse_address("Bob@example.com") != parse_address("bob@example.com")
    assert parse_address("Bob@example.com").folded == "bob@example.com"


def test_envelope_needs_recipients_with_keys_of_their_own() -> None:
    """Reports and stores speak of keys, so they must be unique."""
    bob = Recipient(0, parse_address("bob@example.com"))
    with pytest.raises(ValueError, match="needs a recipient"):
        Envelope(None, ())
    with pytest.raises(ValueError, match="same key"):
        Envelope(None, (bob, bob))
    with pytest.raises(ValueError, match="counts from 0"):
        Recipient(-1, bob.forward_path)


def test_notify_never_stands_alone() -> None:
    """RFC 3461 4.1."""
    with pytest.raises(ValueError, match="NEVER"):
        Recipient(0, parse_address("a@example.com"), None, frozenset(Notify))


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (Kind.ACCEPTED, "4.0.0"),
        (Kind.DEFERRED, "5.1.1"),
        (Kind.UNCERTAIN, "2.0.0"),
        (Kind.REJECTED, "4.1.1"),
        (Kind.UNSUPPORTED, "3.0.0"),
        (Kind.REJECTED, "5.1"),
        (Kind.REJECTED, ""),
    ],
)
def test_status_class_agrees_with_the_kind(kind: Kind, status: str) -> None:
    """An outcome that says two things at once cannot be built."""
    with pytest.raises(ValueError, match="does not fit"):
        DeliveryOutcome(kind, Scope.MESSAGE, status)


def test_outcome_refuses_several_lines_and_waits_in_the_past() -> None:
    """Diagnostics go into log lines and reports: one line each."""
    with pytest.raises(ValueError, match="one line"):
        DeliveryOutcome(Kind.REJECTED, Scope.MESSAGE, "5.0.0", "a\r\nb")
    with pytest.raises(ValueError, match="past"):
        DeliveryOutcome(Kind.DEFERRED, Scope.PROVIDER, "4.0.0", retry_after=timedelta(seconds=-1))


def test_report_is_complete_and_has_no_extras() -> None:
    """One outcome per requested recipient; anything else is a mistake in the adapter."""
    request = a_request("a@example.com", "b@example.com")
    assert set(all_same(request, accepted()).outcomes) == {0, 1}
    assert per_recipient(request, {0: accepted("x"), 1: accepted()}).outcomes[0] == accepted("x")
    for wrong in ({0: accepted()}, {0: accepted(), 1: accepted(), 2: accepted()}):
        with pytest.raises(ValueError, match="outcomes for"):
            per_recipient(request, wrong)


def test_tracking_event_knows_its_zone() -> None:
    """A naive timestamp would be compared wrongly some day."""
    with pytest.raises(ValueError, match="zone"):
        TrackingEvent(EventType.SENT, "1", datetime(2026, 1, 1))  # noqa: DTZ001 - the point


def test_rate_is_positive() -> None:
    """A rate of nothing would hold mail for ever."""
    assert Rate(300, timedelta(minutes=1)).per_second == 5
    with pytest.raises(ValueError, match="positive"):
        Rate(0)


RICH = Needs(
    size=5000,
    null_reverse_path=True,
    smtputf8=True,
    text=True,
    html=True,
    attachments=2,
    attachment_octets=3000,
    inline_parts=1,
    calendar=True,
    sealed=True,
    other_parts=("text/x-amp-html",),
    senders=2,
    subject=False,
    reply_to=True,
    list_unsubscribe=True,
    other_recipients=True,
    header_fields=frozenset({"message-id", "date", "references", "received", "x-campaign"}),
)

WISHES = SendOptions(
    track_opens=False,
    payment="credit",
    template="11",
    params={"name": "Bob"},
    mailing_list="7",
    tag="welcome",
    send_at=datetime(2026, 11, 23, 9, tzinfo=UTC),
)


def test_poorest_provider_falls_short_of_everything() -> None:
    """Each thing a letter can have is told by name, so that nothing is lost silently."""
    poorest = ProviderCapabilities(max_message_octets=1, max_attachments=0, text=False, html=False)
    parts = {shortfall.part for shortfall in poorest.shortfalls(RICH, WISHES)}
    assert parts == set(Part) - {Part.TEXT}
    text_only = Needs(size=1, text=True)
    assert [s.part for s in poorest.shortfalls(text_only)] == [Part.TEXT]


def test_raw_mime_falls_short_of_limits_only() -> None:
    """Octet for octet carries whatever the letter holds."""
    raw = ProviderCapabilities(raw_mime=True, smtputf8=True, null_reverse_path=True)
    assert raw.shortfalls(RICH) == ()
    small = ProviderCapabilities(raw_mime=True, max_message_octets=100)
    assert {s.part for s in small.shortfalls(RICH)} == {
        Part.SIZE,
        Part.SMTPUTF8,
        Part.NULL_REVERSE_PATH,
    }


def test_passed_header_fields_lack_only_those_dropped() -> None:
    """Where fields can be given along, only the barred ones are lost."""
    some = ProviderCapabilities(
        passed_header_fields=True, dropped_header_fields=frozenset({"message-id"})
    )
    needs = Needs(size=1, header_fields=frozenset({"message-id", "x-campaign"}))
    assert [s.part for s in some.shortfalls(needs)] == [Part.MESSAGE_ID]


def test_known_wishes_are_no_shortfall() -> None:
    """A provider that knows all that a client can ask for beside the letter is not passed over."""
    knowing = ProviderCapabilities(
        raw_mime=True,
        smtputf8=True,
        null_reverse_path=True,
        templates=True,
        mailing_lists=True,
        schedules=True,
        tracking_switches=True,
        payments=True,
        tags=True,
    )
    assert knowing.shortfalls(RICH, WISHES) == ()


def test_options_that_make_no_sense_are_not_built() -> None:
    """Params without a template and a moment without time zone are told where they are given."""
    with pytest.raises(ValueError, match="template"):
        SendOptions(params={"name": "Bob"})
    with pytest.raises(ValueError, match="time zone"):
        SendOptions(send_at=datetime(2026, 11, 23, 9))  # noqa: DTZ001 - what is refused
