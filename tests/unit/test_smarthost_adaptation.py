"""A letter for a server that offers less than it needs: as it is, encoded anew, or not at all."""

from __future__ import annotations

import pytest

from providers.contract.outcome import DeliveryOutcome, Kind, Scope
from providers.mime import parse_letter
from providers.smarthost.adaptation import AdaptedLetter, adapt, as_it_is, find_obstacle
from tests.support.builders import a_message, a_raw_message, a_request, an_envelope

PLAIN = b"Subject: x\r\n\r\nx\r\n"
EIGHT_BIT = "Content-Type: text/plain; charset=utf-8\r\n\r\nСпасибо\r\n".encode()
SIGNED = (
    "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nСпасибо\r\n--b\r\n"
    "Content-Type: application/pgp-signature\r\n\r\ndummy\r\n--b--\r\n"
).encode()


def adapted(
    content: bytes, *offered: str, recipient: str = "bob@example.org"
) -> AdaptedLetter | DeliveryOutcome:
    request = a_request(recipient, message=a_raw_message(content))
    return adapt(request.message, request.envelope, dict.fromkeys(offered, ""))


class TestAsItIs:
    def test_ascii_goes_anywhere(self):
        """The very same octets, and nothing to declare."""
        request = a_request(message=a_raw_message(PLAIN))
        letter = as_it_is(request.message, request.envelope, {})
        assert letter == AdaptedLetter(PLAIN)
        assert letter is not None
        assert letter.content is request.message.content

    def test_what_is_offered_is_declared(self):
        """BODY and SMTPUTF8 where the letter needs them (RFC 6152, RFC 6531)."""
        assert adapted(EIGHT_BIT, "8bitmime") == AdaptedLetter(EIGHT_BIT, eight_bit=True)
        letter = adapted(PLAIN, "8bitmime", "smtputf8", recipient="ü@example.org")
        assert letter == AdaptedLetter(PLAIN, smtputf8=True)

    def test_a_header_in_utf8_needs_smtputf8(self):
        """RFC 6532: the parameter is due though all addresses are ASCII."""
        message = a_message(subject="Заказ", smtputf8=True)
        assert as_it_is(message, an_envelope(), {"8bitmime": ""}) is None
        letter = as_it_is(message, an_envelope(), {"8bitmime": "", "smtputf8": ""})
        assert letter == AdaptedLetter(message.content, eight_bit=True, smtputf8=True)


class TestMadeGood:
    def test_a_server_without_8bitmime(self):
        """The body is encoded anew, and reads the same (T26)."""
        letter = adapted(EIGHT_BIT)
        assert isinstance(letter, AdaptedLetter)
        assert letter.content.isascii()
        assert not letter.eight_bit
        assert parse_letter(letter.content) == parse_letter(EIGHT_BIT)

    def test_a_server_without_smtputf8(self):
        """The header is encoded, the body stays as it is and is declared."""
        message = a_message(subject="Заказ", smtputf8=True)
        content = message.content + "Спасибо\r\n".encode()
        request = a_request(message=a_message(subject="Заказ", smtputf8=True))
        letter = adapt(request.message, request.envelope, {"8bitmime": ""})
        assert isinstance(letter, AdaptedLetter)
        assert not letter.smtputf8
        assert parse_letter(letter.content).subject == "Заказ"
        eight_bit = adapt(a_raw_message(content), request.envelope, {"8bitmime": ""})
        assert isinstance(eight_bit, AdaptedLetter)
        assert eight_bit.eight_bit

    def test_a_domain_needs_nothing(self):
        """A U-label domain travels as A-labels: no extension is needed for it."""
        assert adapted(PLAIN, recipient="bob@bücher.example") == AdaptedLetter(PLAIN)


class TestNotCarried:
    @pytest.mark.parametrize(
        ("content", "recipient", "offered", "status"),
        [
            (SIGNED, "bob@example.org", (), "5.6.3"),
            (PLAIN, "ü@example.org", ("8bitmime",), "5.6.7"),
            ("To: ü@example.org\r\n\r\nx\r\n".encode(), "bob@example.org", (), "5.6.7"),
        ],
        ids=["a signature", "a forward-path", "an address of the header"],
    )
    def test_what_has_no_encoding(
        self, content: bytes, recipient: str, offered: tuple[str, ...], status: str
    ):
        """Nothing is sent; another provider may carry it."""
        outcome = adapted(content, *offered, recipient=recipient)
        assert isinstance(outcome, DeliveryOutcome)
        assert (outcome.kind, outcome.scope) == (Kind.UNSUPPORTED, Scope.MESSAGE)
        assert outcome.status == status
        assert "not offered" in outcome.diagnostic

    def test_a_signature_goes_where_8bitmime_is_offered(self):
        """The same letter elsewhere, octet for octet."""
        assert adapted(SIGNED, "8bitmime") == AdaptedLetter(SIGNED, eight_bit=True)

    @pytest.mark.parametrize(
        ("size", "fits"),
        [("16", False), ("17", True), ("0", True), ("", True), ("lots", True), ("٣", True)],
    )
    def test_size(self, size: str, fits: bool):
        """RFC 1870: a missing value or zero is no limit, and nonsense is none either."""
        obstacle = find_obstacle(AdaptedLetter(PLAIN), {"size": size})
        assert (obstacle is None) == fits
        assert obstacle is None or obstacle.status == "5.3.4"

    def test_the_size_that_counts_is_that_on_the_wire(self):
        """Base64 makes a letter larger: it is measured after it was encoded."""
        letter = adapted(EIGHT_BIT)
        assert isinstance(letter, AdaptedLetter)
        assert letter.size > len(EIGHT_BIT)
        assert find_obstacle(letter, {"size": str(len(EIGHT_BIT))}) is not None
