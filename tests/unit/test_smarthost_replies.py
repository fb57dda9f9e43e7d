"""What SMTP replies mean: the table, row by row, and the ids of the final reply."""

from __future__ import annotations

import pytest

from providers.contract.outcome import Cause, Kind, Scope
from providers.smarthost.replies import (
    MAX_DIAGNOSTIC,
    Phase,
    Reply,
    name_letters,
    one_line,
    outcome_from_acceptance,
    outcome_from_garbage,
    outcome_from_reply,
    outcome_from_silence,
    parse_pairs,
)
from tests.support.builders import an_envelope

OPENING = [Phase.GREETING, Phase.EHLO, Phase.STARTTLS, Phase.AUTH]
TRANSACTION = [Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.CONTENT]


def reply(text: str) -> Reply:
    code, _, rest = text.partition(" ")
    return Reply(int(code), (rest,))


class TestTable:
    @pytest.mark.parametrize(
        ("phase", "text", "kind", "scope", "status"),
        [
            # The sender or the content.
            ("MAIL", "550 5.7.1 not confirmed", "rejected", "message", "5.7.1"),
            ("MAIL", "553 no", "rejected", "message", "5.0.0"),
            ("MAIL", "501 5.1.7 bad", "rejected", "message", "5.1.7"),
            ("MAIL", "450 4.1.8 domain not found", "deferred", "message", "4.1.8"),
            ("DATA", "554 no", "rejected", "message", "5.0.0"),
            ("DATA", "451 4.3.0 later", "deferred", "message", "4.3.0"),
            ("content", "554 5.7.1 spam", "rejected", "message", "5.7.1"),
            ("content", "550 5.6.0 bad", "rejected", "message", "5.6.0"),
            ("content", "500 line too long", "rejected", "message", "5.0.0"),
            ("content", "451 later", "deferred", "message", "4.0.0"),
            ("content", "452 4.3.1 full", "deferred", "message", "4.3.1"),
            # A recipient.
            ("RCPT", "550 5.1.1 unknown", "rejected", "recipient", "5.1.1"),
            ("RCPT", "553 no", "rejected", "recipient", "5.0.0"),
            ("RCPT", "551 moved", "rejected", "recipient", "5.0.0"),
            ("RCPT", "552 5.2.2 mailbox full", "rejected", "recipient", "5.2.2"),
            ("RCPT", "552 too many", "deferred", "recipient", "4.5.3"),
            ("RCPT", "552 5.5.3 too many", "deferred", "recipient", "4.5.3"),
            ("RCPT", "452 4.5.3 too many", "deferred", "recipient", "4.5.3"),
            ("RCPT", "450 4.2.1 later", "deferred", "recipient", "4.2.1"),
            ("RCPT", "451 later", "deferred", "recipient", "4.0.0"),
            # What it cannot carry.
            ("MAIL", "552 too large", "unsupported", "message", "5.3.4"),
            ("MAIL", "552 5.3.4 too large", "unsupported", "message", "5.3.4"),
            ("content", "552 too large", "unsupported", "message", "5.3.4"),
            ("content", "554 5.3.4 too large", "unsupported", "message", "5.3.4"),
            ("content", "552 5.7.0 a virus", "rejected", "message", "5.7.0"),
            ("content", "552 5.2.2 full", "rejected", "message", "5.2.2"),
            ("content", "554 5.6.3 8-bit", "unsupported", "message", "5.6.3"),
            ("MAIL", "550 5.6.7 needs SMTPUTF8", "unsupported", "message", "5.6.7"),
            ("RCPT", "553 5.6.7 needs SMTPUTF8", "unsupported", "message", "5.6.7"),
            ("MAIL", "555 parameter", "unsupported", "message", "5.5.4"),
            ("RCPT", "504 5.5.4 parameter", "unsupported", "message", "5.5.4"),
            # A server that does not follow.
            ("MAIL", "503 bad sequence", "deferred", "provider", "4.5.1"),
            ("RCPT", "500 5.5.2 what", "deferred", "provider", "4.5.2"),
            ("DATA", "502 no", "deferred", "provider", "4.5.1"),
        ],
    )
    def test_rows(self, phase: str, text: str, kind: str, scope: str, status: str):
        """Code, enhanced status and phase decide; the narrowest sure scope is claimed."""
        outcome = outcome_from_reply(Phase(phase), reply(text))
        assert (outcome.kind, outcome.scope, outcome.status) == (kind, scope, status)
        assert outcome.cause is Cause.OTHER
        assert outcome.diagnostic == text
        assert outcome.retry_after is None

    @pytest.mark.parametrize("phase", [*OPENING, *TRANSACTION])
    def test_421_is_throttling_everywhere(self, phase: Phase):
        """A server that closes its doors is busy, whatever was asked."""
        outcome = outcome_from_reply(phase, reply("421 4.3.2 closing"))
        assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
        assert (outcome.cause, outcome.status) == (Cause.THROTTLED, "4.3.2")

    @pytest.mark.parametrize("phase", [Phase.GREETING, Phase.EHLO, Phase.AUTH, *TRANSACTION])
    @pytest.mark.parametrize("code", [450, 451, 452, 454])
    def test_policy_status_is_throttling(self, phase: Phase, code: int):
        """4.7.x puts everybody off, not this letter."""
        outcome = outcome_from_reply(phase, reply(f"{code} 4.7.1 slow down"))
        assert (outcome.scope, outcome.cause) == (Scope.PROVIDER, Cause.THROTTLED)

    @pytest.mark.parametrize("text", ["450 later", "451 4.3.0 later", "452 4.3.1 full"])
    def test_mail_put_off_is_throttling(self, text: str):
        """Before any recipient is known a 4yz concerns us all."""
        outcome = outcome_from_reply(Phase.MAIL, reply(text))
        assert (outcome.scope, outcome.cause) == (Scope.PROVIDER, Cause.THROTTLED)

    @pytest.mark.parametrize("phase", [*OPENING, *TRANSACTION])
    @pytest.mark.parametrize("code", [530, 534, 535, 538])
    def test_account_codes(self, phase: Phase, code: int):
        """What AUTH's codes say is the account's trouble and never the letter's (T4)."""
        outcome = outcome_from_reply(phase, reply(f"{code} 5.7.8 no"))
        assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
        assert (outcome.cause, outcome.status) == (Cause.ACCOUNT, "4.7.8")

    @pytest.mark.parametrize("text", ["550 blocked", "504 5.5.4 no", "500 what", "554 5.7.0 no"])
    def test_any_refusal_of_auth_is_the_accounts(self, text: str):
        """In AUTH there is nothing else a refusal could concern."""
        assert outcome_from_reply(Phase.AUTH, reply(text)).cause is Cause.ACCOUNT

    @pytest.mark.parametrize("phase", [Phase.GREETING, Phase.EHLO, Phase.STARTTLS])
    @pytest.mark.parametrize("text", ["554 no service", "450 4.3.0 later", "502 what"])
    def test_never_got_through(self, phase: Phase, text: str):
        """Before AUTH a refusal says that this server cannot be used now."""
        outcome = outcome_from_reply(phase, reply(text))
        assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
        assert outcome.cause is Cause.UNREACHABLE

    def test_tls_out_of_order_is_no_throttling(self):
        """RFC 3207 gives 454 4.7.0 for "TLS not available due to temporary reason"."""
        outcome = outcome_from_reply(Phase.STARTTLS, reply("454 4.7.0 TLS not available"))
        assert outcome.cause is Cause.UNREACHABLE

    @pytest.mark.parametrize("text", ["550 4.1.1 mixed up", "550 5.1.1.1 odd", "550 5.1 odd"])
    def test_an_enhanced_code_that_does_not_fit_is_ignored(self, text: str):
        """The class of the enhanced code agrees with the reply's, or it is none (RFC 2034 4)."""
        assert outcome_from_reply(Phase.RCPT, reply(text)).status == "5.0.0"

    @pytest.mark.parametrize("code", [250, 354, 220])
    def test_a_code_out_of_place(self, code: int):
        """What is no refusal and not hoped for proves nothing, and after the dot it is doubt."""
        before = outcome_from_reply(Phase.DATA, reply(f"{code} what"))
        after = outcome_from_reply(Phase.CONTENT, reply(f"{code} what"))
        assert (before.kind, before.scope) == (Kind.DEFERRED, Scope.PROVIDER)
        assert (after.kind, after.scope) == (Kind.UNCERTAIN, Scope.RECIPIENT)


class TestNoReply:
    @pytest.mark.parametrize("phase", list(Phase))
    def test_silence(self, phase: Phase):
        """A lost reply is doubt after the final dot and proof of nothing sent before it."""
        outcome = outcome_from_silence(phase, "4.4.2", "closed")
        doubtful = phase is Phase.CONTENT
        assert outcome.kind is (Kind.UNCERTAIN if doubtful else Kind.DEFERRED)
        assert outcome.scope is (Scope.RECIPIENT if doubtful else Scope.PROVIDER)
        assert outcome.cause is (Cause.OTHER if doubtful else Cause.UNREACHABLE)

    @pytest.mark.parametrize("phase", list(Phase))
    def test_garbage(self, phase: Phase):
        """So is one that cannot be read."""
        outcome = outcome_from_garbage(phase, "\x00what\r\nis that")
        assert outcome.kind is (Kind.UNCERTAIN if phase is Phase.CONTENT else Kind.DEFERRED)
        assert outcome.diagnostic == " what  is that"


class TestDiagnostic:
    def test_several_lines_become_one(self):
        """The diagnostic is the whole reply in one printable line."""
        outcome = outcome_from_reply(Phase.RCPT, Reply(550, ("5.1.1 no\x07", "such\tuser")))
        assert outcome.diagnostic == "550 5.1.1 no  such user"

    def test_capped(self):
        """A long-winded server does not fill the log."""
        assert one_line("x" * MAX_DIAGNOSTIC) == "x" * MAX_DIAGNOSTIC
        assert one_line("x" * 10_000) == "x" * (MAX_DIAGNOSTIC - 1) + "…"

    def test_unicode_stays_and_controls_go(self):
        """Words of any language stay; line separators and bidirectional tricks do not."""
        assert one_line("нет такого\u2028ящика\u202e!") == "нет такого ящика !"

    def test_acceptance(self):
        """An acceptance keeps its enhanced code and what the server said."""
        outcome = outcome_from_acceptance(
            reply("250 2.6.0 <bob@example.com:1>"), "1", notify_passed=True
        )
        assert (outcome.kind, outcome.status) == (Kind.ACCEPTED, "2.6.0")
        assert (outcome.provider_message_id, outcome.diagnostic) == (
            "1",
            "250 2.6.0 <bob@example.com:1>",
        )
        assert outcome_from_acceptance(reply("250 Ok"), "", notify_passed=False).status == "2.0.0"


BOB, EVE = ("bob@example.com", "12345"), ("eve@example.com", "12346")


class TestPairs:
    @pytest.mark.parametrize(
        ("text", "pairs"),
        [
            ("Ok <bob@example.com:12345>,<eve@example.com:12346>", (BOB, EVE)),
            ("2.0.0 Ok <bob@example.com:12345>, <eve@example.com:12346>", (BOB, EVE)),
            ("bob@example.com:12345,eve@example.com:12346", (BOB, EVE)),
            ("Message accepted <bob@example.com:12345>", (BOB,)),
            ("Ok", ()),
            ("Ok <bob@example.com:12345>", (BOB,)),
        ],
    )
    def test_all_forms(self, text: str, pairs: tuple[tuple[str, str], ...]):
        """The six readings of the lost sample (provider reference, part A.1)."""
        assert parse_pairs(text) == pairs

    @pytest.mark.parametrize(
        ("text", "pairs"),
        [
            ("<bob@[IPv6:2001:db8::1]:77>", (("bob@[IPv6:2001:db8::1]", "77"),)),
            ("<bob@example.com:12345>.", (BOB,)),
            ("bob@example.com:12345; eve@example.com:12346.", (BOB, EVE)),
            ("'bob@example.com:12345'", (BOB,)),
            ("<bob@example.com:12345:>", (BOB,)),
            ("<bob@example.com:a_B-9>", (("bob@example.com", "a_B-9"),)),
            ("queued as 4XyZ at 12:30", ()),
            ("id:12345", ()),
            ("bob@example.com:", ()),
            ("@example.com:1 bob@:1 :1 : @:", ()),
            ("x" * 600 + "@example.com:1", ()),
        ],
    )
    def test_odd_texts(self, text: str, pairs: tuple[tuple[str, str], ...]):
        """The split is at the last colon; what is no pair is passed over."""
        assert parse_pairs(text) == pairs

    def test_hostile_text_takes_no_time(self):
        """Time is linear: what would stall a regular expression passes at once."""
        for text in ("a@" * 30_000 + ":", "@" * 60_000, "a:" * 30_000, "a@b:" * 15_000):
            parse_pairs(text)


class TestNames:
    def test_each_recipient_gets_its_own(self):
        """Addresses match whatever their order and case (part D item 2)."""
        recipients = an_envelope("Bob@example.com", "eve@EXAMPLE.com").recipients
        named = name_letters(recipients, "Ok <EVE@example.com:2>,<bob@Example.COM:1>")
        assert named.ids == {0: "1", 1: "2"}
        assert named.leftovers == ()

    def test_the_only_pair_is_the_only_recipients(self):
        """Where the server rewrote the one address, the id is still the letter's."""
        recipients = an_envelope("bob@example.com").recipients
        assert name_letters(recipients, "Ok <robert@example.com:7>").ids == {0: "7"}

    def test_leftovers_are_told(self):
        """A pair of nobody is reported, and a recipient without one has no id."""
        recipients = an_envelope("bob@example.com", "eve@example.com").recipients
        named = name_letters(recipients, "Ok <eve@example.com:2>,<mallory@example.com:3>")
        assert named.ids == {1: "2"}
        assert named.leftovers == (("mallory@example.com", "3"),)

    def test_fewer_and_no_pairs(self):
        """Missing ids are no error."""
        recipients = an_envelope("bob@example.com", "eve@example.com").recipients
        assert name_letters(recipients, "Ok <bob@example.com:1>").ids == {0: "1"}
        assert name_letters(recipients, "Ok").ids == {}

    def test_recipients_that_differ_in_case_only(self):
        """Two mailboxes that fold to one: ids are given in the order they stand."""
        recipients = an_envelope("bob@example.com", "Bob@example.com").recipients
        named = name_letters(recipients, "<bob@example.com:1>,<bob@example.com:2>")
        assert named.ids == {0: "1", 1: "2"}

    def test_international_domains_match(self):
        """The server sees A-labels, and so do we."""
        recipients = an_envelope("bob@bücher.example", "eve@example.com").recipients
        text = "<bob@xn--bcher-kva.example:1>,<eve@example.com:2>"
        assert name_letters(recipients, text).ids == {0: "1", 1: "2"}
