"""Sessions over real sockets, as clients of many kinds would have them."""

from __future__ import annotations

import pytest

from gateway.ingress import replies
from providers.contract.envelope import Notify, Ret
from tests.ingress.conftest import House, OpenHouse


async def test_a_letter_from_greeting_to_bye(house: House) -> None:
    """What a client sees, in the words that design promises."""
    client = await house.dialogue()
    assert await client.reply() == ["220 gateway.example.com ESMTP Mailquay"]
    assert await client.say("EHLO client.example.com") == [
        "250-gateway.example.com",
        "250-PIPELINING",
        "250-SIZE 26214400",
        "250-8BITMIME",
        "250-CHUNKING",
        "250-SMTPUTF8",
        "250-ENHANCEDSTATUSCODES",
        "250-DSN",
        "250-LIMITS RCPTMAX=1000",
        "250 HELP",
    ]
    assert await client.say("MAIL FROM:<a@example.com>") == ["250 2.1.0 Ok"]
    assert await client.say("RCPT TO:<b@example.org>") == ["250 2.1.5 Ok"]
    assert (await client.say("DATA"))[0].startswith("354 ")
    assert await client.say("Subject: hi\r\n\r\n..dots\r\n.") == ["250 2.0.0 Ok: queued as Q0001"]
    assert await client.say("QUIT") == ["221 2.0.0 Bye"]
    assert await client.is_closed()
    (submission,) = house.intake.submissions
    assert submission.content == b"Subject: hi\r\n\r\n.dots\r\n"
    assert submission.listener == "app"
    assert submission.client.address == "127.0.0.1"
    assert submission.client.helo == "client.example.com"


async def test_limits_are_those_of_the_configuration(open_house: OpenHouse) -> None:
    """T21: SIZE and the recipient limit are configured, told, and held."""
    house = await open_house(max_message_size=1000, max_recipients=2)
    client = await house.dialogue()
    await client.expect("220 ")
    assert "250-SIZE 1000" in await client.say("EHLO a")
    await client.send(b"MAIL FROM:<> SIZE=1001\r\nMAIL FROM:<> SIZE=1000\r\n")
    await client.expect("552 5.3.4 .*1000 octets", "250 ")
    for number in range(2):
        await client.send(b"RCPT TO:<b%d@example.org>\r\n" % number)
        await client.expect("250 ")
    assert (await client.say("RCPT TO:<b2@example.org>"))[0].startswith("452 4.5.3 ")
    await client.send(b"DATA\r\n" + b"x" * 999 + b"\r\n.\r\n")
    await client.expect("354 ", "552 5.3.4 .*1000 octets")
    assert await client.letter(b"x" * 998) == "250 2.0.0 Ok: queued as Q0001"


async def test_helo_client_with_bare_options(house: House) -> None:
    """T16: HELO, no angle brackets, lower case, options nobody offered: the letter is taken."""
    client = await house.dialogue()
    await client.expect("220 ")
    await client.send(b"helo old.example.com\r\n")
    await client.expect("250 gateway.example.com")
    await client.send(
        b"mail from: a@example.com SIZE=100 BODY=8BITMIME RET=HDRS ENVID=e1 AUTH=<>\r\n"
        b"rcpt to: b@example.org NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@example.org\r\n"
        b"data\r\n"
    )
    await client.expect("250 ", "250 ", "354 ")
    await client.send(b"Subject: a\r\n\r\n\xe4\r\n.\r\nquit\r\n")
    await client.expect("250 2.0.0 Ok: queued", "221 ")
    (submission,) = house.intake.submissions
    assert not submission.client.esmtp
    assert (submission.envelope.ret, submission.envelope.envid) == (Ret.HEADERS, "e1")
    (recipient,) = submission.envelope.recipients
    assert recipient.notify == {Notify.SUCCESS, Notify.FAILURE}
    assert recipient.orcpt == "rfc822;b@example.org"
    assert submission.content == b"Subject: a\r\n\r\n\xe4\r\n"


async def test_pipelined_letters(house: House) -> None:
    """RFC 2920: a group at a time, several letters, refusals in their place."""
    client = await house.greeted()
    for number in range(1, 4):
        await client.send(
            b"MAIL FROM:<a@example.com>\r\n"
            b"RCPT TO:<misspelt>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"
        )
        await client.expect("250 2.1.0", "553 5.1.3", "250 2.1.5", "354 ")
        await client.send(b"n: %d\r\n.\r\nRSET\r\n" % number)
        await client.expect(f"250 2.0.0 Ok: queued as Q000{number}", "250 2.0.0")
    assert house.intake.contents == [b"n: 1\r\n", b"n: 2\r\n", b"n: 3\r\n"]


async def test_letter_in_chunks_over_sockets(house: House) -> None:
    """RFC 3030: several MiB in pipelined chunks, and a letter by DATA behind them."""
    content = (b"x" * 76 + b"\r\n") * 60_000
    client = await house.greeted()
    wire = b"MAIL FROM:<a@example.com> BODY=8BITMIME\r\nRCPT TO:<b@example.org>\r\n"
    for at in range(0, len(content), 1 << 20):
        piece = content[at : at + (1 << 20)]
        last = b" LAST" if at + len(piece) == len(content) else b""
        wire += b"BDAT %d%s\r\n" % (len(piece), last) + piece
    await client.send(wire)
    await client.expect(
        "250 2.1.0", "250 2.1.5", *["250 2.0.0 Ok, chunk"] * 4, "250 2.0.0 Ok: queued"
    )
    assert (await client.letter(b"small")).startswith("250 ")
    assert house.intake.contents == [content, b"small\r\n"]


async def test_octet_by_octet(house: House) -> None:
    """A client that sends each octet for itself says the same."""
    client = await house.greeted()
    await client.to_data()
    for octet in b"Subject: a\r\n\r\n..b\r\n.\r\nQUIT\r\n":
        await client.send(bytes([octet]))
    await client.expect("250 2.0.0 Ok: queued", "221 ")
    assert house.intake.contents == [b"Subject: a\r\n\r\n.b\r\n"]


async def test_half_close_after_the_dot(house: House) -> None:
    """A shell script that sends all and closes its side: the letter is taken, and it can read."""
    client = await house.dialogue()
    await client.send(
        b"EHLO a\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nhi\r\n.\r\n"
    )
    await client.half_close()
    assert (await client.rest()).endswith(b"250 2.0.0 Ok: queued as Q0001\r\n")
    assert house.intake.contents == [b"hi\r\n"]


async def test_client_that_vanishes_leaves_nothing(house: House) -> None:
    """Connection reset within a letter: not taken, not counted as open, the next one served."""
    client = await house.greeted()
    await client.to_data()
    await client.send(b"Subject: a\r\n\r\nhalf of it\r\n.")
    await client.reset()
    assert await (await house.greeted()).letter(b"whole") == "250 2.0.0 Ok: queued as Q0001"
    assert await house.door.drain(60)
    assert house.counts.connected_to == house.counts.disconnected_from == ["app"] * 2
    assert house.intake.contents == [b"whole\r\n"]


async def test_refusal_of_intake_reaches_the_client(house: House) -> None:
    """T1, T20: what is not on disk is not 250; the session goes on, and the next letter may go."""
    client = await house.greeted()
    house.intake.reply = replies.SPOOL_FULL
    assert (await client.letter(b"a")).startswith("452 4.3.1 ")
    house.intake.reply = None
    assert await client.letter(b"b") == "250 2.0.0 Ok: queued as Q0001"


async def test_exception_of_intake_reaches_the_log_alone(house: House) -> None:
    """T11: 451 4.3.0 with a reference; no class name, no text of ours."""
    client = await house.greeted()
    house.intake.error = OSError(28, "No space left on device: /var/spool/secret")
    reply = await client.letter(b"a")
    assert reply.startswith("451 4.3.0 Internal error")
    for word in ("OSError", "space", "secret"):
        assert word not in reply
    house.intake.error = None
    assert await client.letter(b"b") == "250 2.0.0 Ok: queued as Q0001"


@pytest.mark.parametrize(
    "request_line",
    [b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\n", b"CONNECT a:25 HTTP/1.1\r\n"],
)
async def test_browser_is_sent_away(house: House, request_line: bytes) -> None:
    """A web page can make a browser post a letter to us; not one of its lines is obeyed."""
    client = await house.dialogue()
    await client.send(
        request_line + b"Host: a\r\n\r\nEHLO a\r\nMAIL FROM:<a@example.com>\r\n"
        b"RCPT TO:<b@example.org>\r\nDATA\r\nspam\r\n.\r\nQUIT\r\n"
    )
    await client.expect("220 ", "521 5.5.2")
    assert await client.is_closed()
    assert house.intake.contents == []


async def test_tls_client_on_a_plain_port_is_not_left_waiting(house: House) -> None:
    """Its ClientHello has no line end; it is told at once and not after five minutes."""
    client = await house.dialogue()
    await client.send(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03")
    await client.expect("220 ", "521 5.5.2")
    assert await client.is_closed()


async def test_commands_behind_a_bare_lf_are_not_obeyed(house: House) -> None:
    """T18: an LF that an application let through an address begins no second command."""
    client = await house.greeted()
    await client.send(
        b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\nRCPT TO:<evil@example.net>\r\n"
        b"DATA\r\nhi\r\n.\r\n"
    )
    await client.expect("250 ", "521 5.5.2")
    assert await client.is_closed()
    assert house.intake.contents == []


async def test_strangers_get_no_further_than_mail(open_house: OpenHouse) -> None:
    """No open relay."""
    house = await open_house(networks=())
    client = await house.greeted()
    await client.send(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nNOOP\r\n")
    await client.expect("550 5.7.1", "503 5.5.1", "503 5.5.1", "250 ")


async def test_what_was_never_offered(house: House) -> None:
    """Nothing pretends to be there: no TLS, no AUTH, no binary content."""
    client = await house.greeted()
    for command in ("STARTTLS", "AUTH PLAIN AGEAYg==", "EXPN staff", "ETRN x"):
        assert (await client.say(command))[0].startswith("502 5.5.1 ")
    assert (await client.say("XCLIENT ADDR=192.0.2.1"))[0].startswith("500 5.5.1 ")
    assert (await client.say("MAIL FROM:<> BODY=BINARYMIME"))[0].startswith("501 5.5.4 ")


async def test_nonsense_ends_the_session(open_house: OpenHouse) -> None:
    """421 4.7.0 after as many errors as the rules bear."""
    house = await open_house(max_errors=3)
    client = await house.greeted()
    await client.send(b"XYZZY\r\nXYZZY\r\nXYZZY\r\nNOOP\r\n")
    await client.expect("500 ", "500 ", "500 5.5.1", "421 4.7.0")
    assert await client.is_closed()


async def test_idle_and_stalled_clients(open_house: OpenHouse) -> None:
    """421 4.4.2 on the wire; the unit tests have the times."""
    house = await open_house(command_timeout_s=0.05)
    client = await house.dialogue()
    await client.expect("220 ", "421 4.4.2")
    assert await client.is_closed()
    house = await open_house(data_timeout_s=0.05)  # time enough for the commands before it
    client = await house.greeted()
    await client.to_data()
    await client.expect("421 4.4.2")
    assert await client.is_closed()


async def test_more_connections_than_allowed(open_house: OpenHouse) -> None:
    """421 4.3.2 instead of a greeting, and room again when one has gone."""
    house = await open_house(max_connections=1)
    first = await house.greeted()
    extra = await house.dialogue()
    await extra.expect("421 4.3.2")
    assert await extra.is_closed()
    await first.send(b"QUIT\r\n")
    assert await first.rest() == b"221 2.0.0 Bye\r\n"
    await house.gone(2)
    await house.greeted()
