"""A letter as APIs with fields take it, and what they cannot take at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from providers.contract.address import Address, parse_address
from providers.contract.capabilities import Part, ProviderCapabilities, Shortfall
from providers.contract.message import Message
from providers.contract.outcome import DeliveryRequest
from providers.http.base_url import parse_base_url
from providers.http.composition import (
    BLANK_HTML,
    NO_SUBJECT,
    Composition,
    Submission,
    compose,
    prepare,
)
from providers.http.exchange import HttpRequest
from providers.mime import needs_from, parse_letter, raw_needs_from
from tests.support.builders import File, a_message, a_request, an_envelope

NEWS = parse_address("news@example.com")
SEALED = (
    b"From: news@example.com\r\nSubject: s\r\n"
    b'Content-Type: multipart/signed; boundary=x; protocol="application/pgp-signature"\r\n\r\n'
    b"--x\r\n\r\nHi\r\n--x\r\nContent-Type: application/pgp-signature\r\n\r\nsig\r\n--x--\r\n"
)


def composed(content: bytes, reverse_path: Address | None = NEWS) -> Composition:
    found = compose(parse_letter(content), reverse_path)
    assert isinstance(found, Composition)
    return found


class TestCompose:
    def test_parts(self) -> None:
        """Sender, subject and bodies as a reader sees them, lines ended by LF."""
        found = composed(a_message(text="one\ntwo\n", html="<p>one</p>\n").content)
        assert (found.from_email, found.from_name) == ("news@example.com", "")
        assert found.subject == "Order 77"
        assert (found.text, found.html) == ("one\ntwo\n", "<p>one</p>\n")
        assert found.losses == ()

    @pytest.mark.parametrize("sender", [b"", b"From: root\r\n", b"From: Shop <>\r\n"])
    def test_the_reverse_path_stands_in(self, sender: bytes) -> None:
        """Where From names no usable address, the envelope does, and that is told."""
        found = composed(sender + b"Subject: s\r\n\r\nHi\r\n")
        assert found.from_email == "news@example.com"
        assert [loss.part for loss in found.losses] == [Part.FROM]

    def test_nobody_sent_it(self) -> None:
        """Neither From nor envelope: it cannot be told from whom, and that is told."""
        found = compose(parse_letter(b"Subject: s\r\n\r\nHi\r\n"), None)
        assert isinstance(found, Shortfall)

    def test_the_header_goes_before_the_envelope(self) -> None:
        """What the reader would see as sender, not a bounce address."""
        bounces = parse_address("bounces+bob=example.org@example.com")
        assert composed(a_message().content, bounces).from_email == "news@example.com"

    @pytest.mark.parametrize("subject", [b"", b"Subject:\r\n", b"Subject: \t\r\n"])
    def test_no_subject(self, subject: bytes) -> None:
        """Both APIs demand one: that it is missing is known beforehand, and is not told twice."""
        content = b"From: a@example.com\r\n" + subject + b"\r\nHi\r\n"
        found = composed(content)
        assert found.subject == NO_SUBJECT
        assert found.losses == ()
        needs = needs_from(content, a_request().envelope)
        told = [loss.part for loss in ProviderCapabilities().shortfalls(needs)]
        assert told == [Part.SUBJECT]

    @pytest.mark.parametrize(("text", "html"), [("", None), ("\n \n", None), ("", "  ")])
    def test_no_body(self, text: str, html: str | None) -> None:
        """Both APIs demand one: what goes shows nothing, and nothing is lost."""
        found = composed(a_message(text=text, html=html).content)
        assert found.html == BLANK_HTML
        assert found.losses == ()


class TestPrepare:
    """Capabilities that forbid; the adapter's own part is a stand-in."""

    BUILT = Submission(HttpRequest("POST", "/"))
    LIMITS = ProviderCapabilities(max_attachments=1, max_attachment_octets=100)

    def prepare(
        self, request: DeliveryRequest, capabilities: ProviderCapabilities = LIMITS
    ) -> Submission | Shortfall:
        return prepare(request, capabilities, lambda _composition, _request: self.BUILT)

    def test_a_letter_that_fits(self) -> None:
        """At the limits is within them."""
        message = a_message(attachments=[File(content=b"x" * 100)])
        assert self.prepare(a_request(message=message)) is self.BUILT

    @pytest.mark.parametrize(
        ("message", "part"),
        [
            (a_message(attachments=[File(content=b"x" * 101)]), Part.ATTACHMENT),
            (a_message(attachments=[File("1", b""), File("2", b"")]), Part.ATTACHMENT),
            (a_message(smtputf8=True), Part.SMTPUTF8),
            (Message(SEALED, replace(a_message().needs, sealed=True)), Part.SEAL),
        ],
        ids=["octets", "number", "smtputf8", "seal"],
    )
    @pytest.mark.parametrize("complete", [True, False])
    def test_what_cannot_be_carried(self, message: Message, part: Part, complete: bool) -> None:
        """Refused before anything is sent, also when only the header was scanned before."""
        envelope = an_envelope(smtputf8=message.needs.smtputf8)
        if not complete:
            if message.needs.smtputf8:
                content = message.content.replace(b"Order", "Заказ".encode())
                message = Message(content, message.needs)
            message = Message(message.content, raw_needs_from(message.content, envelope))
        found = self.prepare(a_request(message=message, envelope=envelope))
        assert isinstance(found, Shortfall)
        assert found.part is part

    def test_the_size(self) -> None:
        """A cap of our own is a cap."""
        request = a_request()
        tight = ProviderCapabilities(max_message_octets=request.message.size - 1)
        found = self.prepare(request, tight)
        assert isinstance(found, Shortfall)
        assert found.part is Part.SIZE

    def test_losses_do_not_forbid(self) -> None:
        """What may be lost was weighed by the gateway before: it is sent without it."""
        nothing = ProviderCapabilities(html=False, text=False)
        message = a_message(html="<p>Hi</p>", header_fields=[("Reply-To", "a@example.com")])
        envelope = an_envelope(reverse_path=None)
        assert nothing.shortfalls(message.needs)
        assert self.prepare(a_request(message=message, envelope=envelope), nothing) is self.BUILT

    def test_nobody_sent_it(self) -> None:
        """A letter without any sender is not carried."""
        message = Message(b"Subject: s\r\n\r\nHi\r\n", a_message().needs)
        envelope = an_envelope(reverse_path=None)
        found = self.prepare(a_request(message=message, envelope=envelope))
        assert isinstance(found, Shortfall)


class TestBaseUrl:
    @pytest.mark.parametrize(
        ("text", "url"),
        [
            ("https://api.example.com/v1", "https://api.example.com/v1"),
            (" https://api.example.com/v1/ ", "https://api.example.com/v1"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ],
    )
    def test_valid(self, text: str, url: str) -> None:
        """Without a trailing slash, so that paths can be appended."""
        assert parse_base_url(text) == url

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "api.example.com/v1",
            "ftp://api.example.com",
            "https://",
            "https://user:key@api.example.com/v1",
            "https://api.example.com/v1?key=1",
            "https://api.example.com/v1#top",
            "https://пример.example.com/v1",
            "https://api.example.com:99999/v1",
            "https://api.example.com:x/v1",
        ],
    )
    def test_invalid(self, text: str) -> None:
        """Told when the configuration is read, not with the first letter."""
        with pytest.raises(ValueError, match=r"."):
            parse_base_url(text)
