"""A letter on the wire: command lines, dots and chunks."""

from __future__ import annotations

import pytest

from providers.contract.address import Address
from providers.contract.envelope import BodyType, Envelope, Notify, Recipient, Ret
from providers.smarthost.adaptation import AdaptedLetter
from providers.smarthost.commands import (
    build_bdat,
    build_content,
    build_mail,
    build_rcpt,
    in_chunks,
)
from tests.support.builders import an_envelope

EVERYTHING = {"size": "10485760", "8bitmime": "", "smtputf8": "", "dsn": "", "pipelining": ""}
PLAIN = AdaptedLetter(b"Subject: x\r\n\r\nx\r\n")
EIGHT_BIT = AdaptedLetter("Subject: x\r\n\r\né\r\n".encode(), eight_bit=True, smtputf8=True)


class TestMail:
    def test_nothing_offered_nothing_given(self):
        """A server that offers nothing gets an address and no more."""
        envelope = an_envelope(body=BodyType.EIGHT_BIT_MIME, ret=Ret.FULL, envid="Q1")
        assert build_mail(PLAIN, envelope, {}) == "MAIL FROM:<news@example.com>"

    def test_the_null_reverse_path(self):
        """Reports go out with `<>`."""
        assert build_mail(PLAIN, an_envelope(reverse_path=None), {}) == "MAIL FROM:<>"

    def test_what_is_offered_and_needed(self):
        """SIZE always, BODY and SMTPUTF8 for letters that need them, DSN as it came."""
        envelope = an_envelope(reverse_path="ü@example.com", ret=Ret.HEADERS, envid="Q+2B1")
        assert build_mail(EIGHT_BIT, envelope, EVERYTHING) == (
            "MAIL FROM:<ü@example.com> SIZE=18 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=Q+2B1"
        )
        assert build_mail(PLAIN, an_envelope(), EVERYTHING) == (
            "MAIL FROM:<news@example.com> SIZE=17"
        )

    def test_body_follows_the_letter_not_the_clients_word(self):
        """A letter declared 8BITMIME that is ASCII after all can go anywhere."""
        envelope = an_envelope(body=BodyType.EIGHT_BIT_MIME)
        assert "BODY" not in build_mail(PLAIN, envelope, EVERYTHING)

    @pytest.mark.parametrize("envid", ["a b", "a\r\nRSET", "", "x" * 501, "a=b", "é"])
    def test_an_envid_that_is_no_parameter_is_left_out(self, envid: str):
        """Nothing of an envelope can become a command or another parameter."""
        mail = build_mail(PLAIN, an_envelope(envid=envid), EVERYTHING)
        assert mail == "MAIL FROM:<news@example.com> SIZE=17"


class TestRcpt:
    def test_dsn_parameters_as_received(self):
        """NOTIFY in a fixed order, ORCPT untouched (RFC 3461)."""
        notify = frozenset({Notify.SUCCESS, Notify.DELAY})
        recipient = an_envelope(orcpt="rfc822;b+2Bx@example.org", notify=notify).recipients[0]
        assert build_rcpt(recipient, EVERYTHING) == (
            "RCPT TO:<bob@example.org> NOTIFY=DELAY,SUCCESS ORCPT=rfc822;b+2Bx@example.org"
        )
        assert build_rcpt(recipient, {}) == "RCPT TO:<bob@example.org>"

    def test_domains_go_out_as_a_labels(self):
        """A U-label domain needs no SMTPUTF8."""
        envelope = an_envelope("bob@bücher.example")
        assert build_rcpt(envelope.recipients[0], {}) == "RCPT TO:<bob@xn--bcher-kva.example>"

    def test_a_quoted_local_part(self):
        """Blanks and brackets within quotes are part of the address."""
        envelope = an_envelope('"a >b"@example.org')
        assert build_rcpt(envelope.recipients[0], {}) == 'RCPT TO:<"a >b"@example.org>'

    @pytest.mark.parametrize("local_part", ["a>\r\nRSET\r\n<", "a\x00", "a\x7f"])
    def test_a_forged_address_ends_here(self, local_part: str):
        """An address built past the parser still cannot become a command."""
        forged = Address(local_part, "example.org", "")
        with pytest.raises(ValueError, match="control character"):
            build_rcpt(Recipient(0, forged), {})
        with pytest.raises(ValueError, match="control character"):
            build_mail(PLAIN, Envelope(forged, an_envelope().recipients), {})


class TestContent:
    @pytest.mark.parametrize(
        ("content", "wire"),
        [
            (b"", b""),
            (b".\r\n", b"..\r\n"),
            (b"..\r\n.\r\n", b"...\r\n..\r\n"),
            (b"a\r\n.b\r\nc.\r\n", b"a\r\n..b\r\nc.\r\n"),
            (b"a\r\n\r\n.\r\n\r\n", b"a\r\n\r\n..\r\n\r\n"),
            (b"no end", b"no end\r\n"),
            (b"\x80\xff\x00 \t\r\n", b"\x80\xff\x00 \t\r\n"),
        ],
    )
    def test_dots_are_doubled_and_nothing_else(self, content: bytes, wire: bytes):
        """RFC 5321 4.5.2, octet for octet."""
        assert build_content(content) == wire

    def test_most_letters_are_not_copied(self):
        """Without a leading dot the very same object goes to the transport."""
        content = b"x" * 1000 + b"\r\n"
        assert build_content(content) is content

    def test_chunks_cover_all(self):
        """Pieces of at most the size, in order, nothing lost."""
        assert [bytes(chunk) for chunk in in_chunks(b"abcde", 2)] == [b"ab", b"cd", b"e"]
        assert list(in_chunks(b"", 2)) == []

    def test_chunks_are_announced(self):
        """RFC 3030: how many octets, and whether they are the last."""
        assert build_bdat(7, last=False) == "BDAT 7"
        assert build_bdat(0, last=True) == "BDAT 0 LAST"
