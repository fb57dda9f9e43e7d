"""What is said in a session, line by line, without a wire."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from gateway.ingress import replies
from gateway.ingress.dialogue import Dialogue
from gateway.ingress.lines import LineFault
from gateway.ingress.policy import FrontDoorRules
from gateway.ingress.reception import Reception
from gateway.ingress.submission import Client
from providers.contract.address import parse_address
from providers.contract.envelope import BodyType, Notify, Ret
from tests.support.fake_intake import FakeIntake
from tests.support.session_counts import SessionCounts

RULES = FrontDoorRules("gateway.example.com", max_recipients=3, max_errors=4)


def a_dialogue(
    rules: FrontDoorRules = RULES, intake: FakeIntake | None = None, address: str = "127.0.0.1"
) -> Dialogue:
    return Dialogue(Reception(rules, intake or FakeIntake(), SessionCounts()), address)


def say(dialogue: Dialogue, *lines: str) -> list[int]:
    """The codes of the replies."""
    return [dialogue.answer(line.encode()).code for line in lines]


def to_data(dialogue: Dialogue, *lines: str) -> None:
    """Go all the way to 354."""
    codes = say(dialogue, "EHLO client.example.com", *lines, "DATA")
    assert codes == [250] * (len(lines) + 1) + [354]


async def test_a_letter() -> None:
    """The envelope is what MAIL and RCPT said, keys in the order of RCPT."""
    dialogue = a_dialogue()
    to_data(
        dialogue,
        "MAIL FROM:<a@example.com> SIZE=100 BODY=8BITMIME RET=FULL ENVID=e1",
        "RCPT TO:<b@example.org> NOTIFY=NEVER",
        "RCPT TO:<c@example.org> ORCPT=rfc822;d@example.net",
    )
    assert dialogue.within_letter
    envelope = dialogue.take_envelope()
    assert not dialogue.within_letter
    assert envelope.reverse_path == parse_address("a@example.com")
    assert [(r.key, str(r.forward_path), r.notify, r.orcpt) for r in envelope.recipients] == [
        (0, "b@example.org", frozenset({Notify.NEVER}), None),
        (1, "c@example.org", None, "rfc822;d@example.net"),
    ]
    assert (envelope.body, envelope.ret, envelope.envid) == (
        BodyType.EIGHT_BIT_MIME,
        Ret.FULL,
        "e1",
    )
    assert not envelope.smtputf8
    assert dialogue.client == Client("127.0.0.1", "client.example.com", esmtp=True)


async def test_no_envelope_without_a_letter() -> None:
    """Asking for one is a mistake of ours, and says so."""
    with pytest.raises(RuntimeError):
        a_dialogue().take_envelope()


async def test_null_reverse_path_is_none() -> None:
    """A bounce has nobody to go back to."""
    dialogue = a_dialogue()
    to_data(dialogue, "MAIL FROM:<>", "RCPT TO:<b@example.org>")
    assert dialogue.take_envelope().reverse_path is None


@pytest.mark.parametrize(
    ("mail", "rcpt", "needed"),
    [
        ("MAIL FROM:<a@example.com> SMTPUTF8", "RCPT TO:<b@example.org>", True),
        ("MAIL FROM:<имя@example.com>", "RCPT TO:<b@example.org>", True),
        ("MAIL FROM:<>", "RCPT TO:<имя@example.org>", True),
        ("MAIL FROM:<a@пример.рф>", "RCPT TO:<b@example.org>", False),
    ],
)
async def test_envelope_says_whether_it_needs_smtputf8(mail: str, rcpt: str, needed: bool) -> None:
    """Declared or not: what the addresses need decides; a domain alone goes as A-labels."""
    dialogue = a_dialogue()
    to_data(dialogue, mail, rcpt, "RCPT TO:<c@example.org>")
    assert dialogue.take_envelope().smtputf8 is needed


async def test_recipient_named_twice_is_one() -> None:
    """T8: one copy each, whatever the application says twice; domains have no case."""
    dialogue = a_dialogue()
    to_data(
        dialogue,
        "MAIL FROM:<>",
        "RCPT TO:<b@example.org>",
        "RCPT TO:<b@EXAMPLE.org>",
        "RCPT TO:<B@example.org>",
    )
    recipients = dialogue.take_envelope().recipients
    assert [(r.key, str(r.forward_path)) for r in recipients] == [
        (0, "b@example.org"),
        (1, "B@example.org"),
    ]


async def test_next_letter_begins_afresh() -> None:
    """Nothing of an envelope is left for the one after it."""
    dialogue = a_dialogue()
    to_data(dialogue, "MAIL FROM:<имя@example.com> ENVID=e1", "RCPT TO:<b@example.org>")
    dialogue.take_envelope()
    to_data(dialogue, "MAIL FROM:<a@example.com>", "RCPT TO:<c@example.org>")
    envelope = dialogue.take_envelope()
    assert [str(r.forward_path) for r in envelope.recipients] == ["c@example.org"]
    assert (envelope.envid, envelope.smtputf8) == (None, False)


@pytest.mark.parametrize("word", ["RSET", "EHLO again.example.com", "HELO again.example.com"])
async def test_reset(word: str) -> None:
    """RSET, HELO and EHLO end a letter (RFC 5321 4.1.1.5, 4.1.4)."""
    dialogue = a_dialogue()
    assert say(dialogue, "EHLO a", "MAIL FROM:<>", "RCPT TO:<b@example.org>", word) == [250] * 4
    assert not dialogue.within_letter
    assert say(dialogue, "DATA", "MAIL FROM:<>") == [503, 250]


async def test_order_of_commands() -> None:
    """T18's little sister: a command at the wrong moment changes nothing."""
    dialogue = a_dialogue(replace(RULES, max_errors=100))
    assert say(dialogue, "MAIL FROM:<>", "RCPT TO:<b@example.org>", "DATA") == [503] * 3
    assert say(dialogue, "RSET", "NOOP", "HELP", "VRFY b", "HELO a") == [250, 250, 214, 252, 250]
    assert say(dialogue, "RCPT TO:<b@example.org>", "DATA") == [503] * 2
    assert say(dialogue, "MAIL FROM:<a@example.com>", "MAIL FROM:<>", "DATA") == [250, 503, 503]
    assert say(dialogue, "RCPT TO:<b@example.org>", "DATA now", "DATA") == [250, 501, 354]
    assert dialogue.take_envelope().reverse_path == parse_address("a@example.com")
    assert say(dialogue, "DATA", "QUIT") == [503, 221]


async def test_arguments_that_are_missing_or_too_many() -> None:
    """501 with the syntax, and the session goes on."""
    dialogue = a_dialogue()
    assert say(dialogue, "HELO", "EHLO ", "VRFY", "RSET now") == [501] * 4
    assert say(dialogue, "NOOP whatever", "HELP MAIL", "QUIT now") == [250, 214, 221]


async def test_helo_client_may_use_parameters() -> None:
    """T16: an old client that says HELO and yet sends SIZE and BODY succeeds."""
    dialogue = a_dialogue()
    codes = say(
        dialogue,
        "HELO old.example.com",
        "MAIL FROM:<a@example.com> SIZE=10 BODY=8BITMIME AUTH=<> RET=HDRS ENVID=x",
        "RCPT TO:<b@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@example.org",
        "DATA",
    )
    assert codes == [250, 250, 250, 354]
    assert not dialogue.client.esmtp


async def test_stranger_is_told_at_mail() -> None:
    """No open relay: who may not relay gets no further, and learns nothing of addresses."""
    rules = replace(RULES, networks=(ip_network("192.0.2.0/24"),))
    dialogue = a_dialogue(rules)
    codes = say(dialogue, "EHLO a", "MAIL FROM:<nonsense", "RCPT TO:<b@example.org>", "DATA")
    assert codes == [250, 550, 503, 503]
    assert dialogue.answer(b"MAIL FROM:<a@example.com>") is replies.RELAY_DENIED
    assert say(a_dialogue(rules, address="192.0.2.1"), "EHLO a", "MAIL FROM:<>") == [250, 250]


async def test_declared_size_is_judged_at_mail() -> None:
    """T21: too big by its own word, it need not be sent."""
    dialogue = a_dialogue(replace(RULES, max_message_size=1000))
    assert say(dialogue, "EHLO a", "MAIL FROM:<> SIZE=1001", "MAIL FROM:<> SIZE=1000") == [
        250,
        552,
        250,
    ]


async def test_unhealthy_intake_is_told_at_mail() -> None:
    """T20: 452 while the disk is full, 250 as soon as it is not."""
    intake = FakeIntake()
    dialogue = a_dialogue(intake=intake)
    say(dialogue, "EHLO a")
    intake.refused = replies.SPOOL_FULL
    assert dialogue.answer(b"MAIL FROM:<>") is replies.SPOOL_FULL
    assert not dialogue.within_letter
    intake.refused = None
    assert dialogue.answer(b"MAIL FROM:<>") is replies.MAIL_OK


async def test_recipients_beyond_the_limit() -> None:
    """RFC 5321 4.5.3.1.10: 452 for each too many, and those before them keep their letter."""
    dialogue = a_dialogue()
    say(dialogue, "EHLO a", "MAIL FROM:<>")
    to = [f"RCPT TO:<b{number}@example.org>" for number in range(5)]
    assert say(dialogue, *to, to[0]) == [250, 250, 250, 452, 452, 250]
    assert say(dialogue, "DATA") == [354]
    assert len(dialogue.take_envelope().recipients) == 3


async def test_refused_recipients_do_not_end_the_letter() -> None:
    """A letter to many, some of them misspelt, gets through to the others."""
    dialogue = a_dialogue()
    say(dialogue, "EHLO a", "MAIL FROM:<>")
    assert say(dialogue, *["RCPT TO:<misspelt>"] * 50) == [553] * 50
    assert not dialogue.has_gone_wrong
    assert say(dialogue, "RCPT TO:<b@example.org>", "DATA") == [250, 354]


async def test_errors_are_counted_between_letters() -> None:
    """A client that talks nonsense is not listened to for ever; a letter makes up for it."""
    dialogue = a_dialogue()
    say(dialogue, "EHLO a", "XYZZY", "XYZZY", "XYZZY")
    assert not dialogue.has_gone_wrong
    assert say(dialogue, "MAIL FROM:<>", "RCPT TO:<b@example.org>", "DATA") == [250, 250, 354]
    dialogue.take_envelope()
    say(dialogue, "XYZZY", "XYZZY", "XYZZY")
    assert not dialogue.has_gone_wrong
    say(dialogue, "XYZZY")
    assert dialogue.has_gone_wrong


@pytest.mark.parametrize("fault", LineFault)
async def test_faulty_lines_get_a_reply(fault: LineFault) -> None:
    """Each says what is wrong; only what cannot be SMTP ends the session."""
    reply = a_dialogue().answer(fault)
    assert reply.status == "5.5.2"
    assert (reply.code in replies.LAST_CODES) == (fault is not LineFault.TOO_LONG)
