"""What a session waits for: time, back pressure, either side's end; on a wire without a socket."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace

import pytest
from aiosmtpd.smtp import SMTP
from structlog.testing import capture_logs

from gateway.ingress import replies
from gateway.ingress.policy import FrontDoorRules
from gateway.ingress.reception import Reception
from gateway.ingress.session import Session
from gateway.ingress.submission import Reply, Submission
from tests.support.fake_intake import FakeIntake
from tests.support.fake_wire import FakeTransport, HandTurnedLoop
from tests.support.session_counts import SessionCounts

RULES = FrontDoorRules(
    "gateway.example.com",
    max_message_size=100_000,
    max_connections=3,
    max_memory=150_000,
    command_timeout_s=300,
    data_timeout_s=180,
)
ENVELOPE = b"EHLO a\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n"
GO_AHEAD = b"354 End data with <CR><LF>.<CR><LF>\r\n"


class House:
    """A reception, its sessions on fake wires, and the hands of their clock."""

    def __init__(self, rules: FrontDoorRules = RULES) -> None:
        self.intake = FakeIntake()
        self.counts = SessionCounts()
        self.reception = Reception(rules, self.intake, self.counts)
        self.loop = HandTurnedLoop()

    def connect(self) -> FakeTransport:
        session = Session(self.reception, "app", self.loop)  # type: ignore[arg-type]
        wire = FakeTransport(session, ("127.0.0.1", 40000))
        session.connection_made(wire)
        return wire

    async def greeted(self) -> FakeTransport:
        wire = self.connect()
        await wire.until_sent(b"220 gateway.example.com ESMTP Mailquay\r\n")
        return wire

    async def at_data(self) -> FakeTransport:
        """A client that may send its content now."""
        wire = await self.greeted()
        feed(wire, ENVELOPE + b"DATA\r\n")
        await wire.until_sent(GO_AHEAD)
        return wire


def feed(wire: FakeTransport, octets: bytes) -> None:
    wire._protocol.data_received(octets)


async def test_replies_to_a_group_leave_together() -> None:
    """RFC 2920: one write for what came together, and the greeting before anything was asked."""
    house = House()
    wire = await house.greeted()
    wire.writes = 0
    feed(wire, ENVELOPE + b"DATA\r\n")
    sent = await wire.until_sent(GO_AHEAD)
    assert wire.writes == 1
    assert sent.endswith(b"250 HELP\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n" + GO_AHEAD)


async def test_command_loop_sleeps_until_the_data_ends() -> None:
    """A letter whose commands come one by one wakes the loop once, and is answered at once."""
    house = House()
    wire = await house.greeted()
    feed(wire, b"EHLO a\r\n")
    await wire.until_sent(b"250 HELP\r\n")
    await asyncio.sleep(0)
    for command, reply in (
        (b"MAIL FROM:<a@example.com>\r\n", replies.MAIL_OK.line()),
        (b"RCPT TO:<misspelt>\r\n", replies.BAD_FORWARD_PATH.line()),
        (b"RCPT TO:<b@example.org>\r\n", replies.RCPT_OK.line()),
        (b"DATA\r\n", GO_AHEAD),
    ):
        feed(wire, command)
        assert wire.sent == reply  # before anything else had its turn
        wire.sent = b""
    feed(wire, b"Subject: a\r\n\r\n.")
    assert house.intake.contents == []
    feed(wire, b"\r\nQUIT\r\n")
    await wire.until_sent(b"queued as Q0001\r\n221 2.0.0 Bye\r\n")
    assert house.intake.contents == [b"Subject: a\r\n\r\n"]


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 8, 13, 1000])
@pytest.mark.parametrize("lower", [False, True])
async def test_dialogue_is_the_same_however_it_is_cut(cut: int, lower: bool) -> None:
    """Whether the loop is woken for a command or not makes no difference to a client."""
    said = (
        b"EHLO a\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<misspelt>\r\nMAIL FROM:<>\r\nDATA\r\n"
        b"RCPT TO:<b@example.org>\r\nNOOP\r\nRCPT TO:<c@example.org>\r\nDATA now\r\nRSET\r\n"
        b"DATA\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATAX\r\nDATA\r\n"
        b"x\r\n.\r\nMAIL FROM:<a@example.com>\r\nBDAT 3\r\nxyzRCPT TO:<b@example.org>\r\nQUIT\r\n"
    )
    said = said.lower() if lower else said
    house = House()
    wire = await house.greeted()
    for at in range(0, len(said), cut):
        feed(wire, said[at : at + cut])
        await asyncio.sleep(0)
    sent = await wire.until_sent(replies.BYE.line())
    codes = [line[:3] for line in sent.splitlines() if line[3:4] == b" "]
    assert codes == (
        b"250 250 553 503 503 250 250 250 501 250 503 250 250 500 354 250 250 503 503 221".split()
    )
    assert house.intake.contents == [b"x\r\n"]


async def test_errors_end_the_session_without_the_loop() -> None:
    """The last error is answered with a farewell, whoever answers it."""
    house = House(replace(RULES, max_errors=2))
    wire = await house.greeted()
    feed(wire, b"EHLO a\r\n")
    await wire.until_sent(b"250 HELP\r\n")
    await asyncio.sleep(0)
    for _ in range(3):
        feed(wire, b"DATA\r\n")
    await wire.until(lambda wire: wire.lost)
    assert wire.sent == replies.NEED_MAIL.line() * 2 + replies.TOO_MANY_ERRORS.line()


async def test_whole_session_in_one_chunk() -> None:
    """A client that waits for nothing is answered all the same, in order."""
    house = House()
    wire = await house.greeted()
    feed(wire, ENVELOPE + b"DATA\r\nSubject: a\r\n\r\n.\r\nMAIL FROM:<>\r\nQUIT\r\n")
    sent = await wire.until_sent(b"221 2.0.0 Bye\r\n")
    assert sent.endswith(b"250 2.0.0 Ok: queued as Q0001\r\n250 2.1.0 Ok\r\n221 2.0.0 Bye\r\n")
    assert house.intake.contents == [b"Subject: a\r\n\r\n"]


async def test_nothing_said_waits_for_a_letter_to_be_taken() -> None:
    """RFC 2920 3.2: replies that are due leave before the session waits, for whatever it is."""
    house = House()
    house.intake.hang()
    wire = await house.greeted()
    feed(wire, ENVELOPE + b"DATA\r\nSubject: a\r\n\r\n.\r\n")
    await house.intake.wait_until(lambda intake: intake.waiting == 1)
    assert wire.sent.endswith(GO_AHEAD)
    house.intake.go_on()
    await wire.until_sent(b"queued as Q0001\r\n")


async def test_idle_client_is_sent_away() -> None:
    """RFC 5321 4.5.3.2.7: not before five minutes, and with a 421 that says why."""
    house = House()
    wire = await house.greeted()
    house.loop.advance(299)
    feed(wire, b"NOOP\r\n")
    await wire.until_sent(b"250 2.0.0 Ok\r\n")
    house.loop.advance(299)
    assert not wire.closing
    house.loop.advance(1)
    assert await wire.until_sent(b"\r\n") == replies.IDLE.line()
    await wire.until(lambda wire: wire.lost)
    assert house.loop.timers == 0


async def test_part_of_a_command_does_not_count_as_one() -> None:
    """A client that sends an octet a minute is idle."""
    house = House()
    wire = await house.greeted()
    for _ in range(5):
        house.loop.advance(59)
        feed(wire, b"N")
    house.loop.advance(6)
    assert await wire.until_sent(b"\r\n") == replies.IDLE.line()


async def test_data_that_stalls() -> None:
    """A client that stops within a letter has its own, shorter time; nothing is taken."""
    house = House()
    wire = await house.at_data()
    feed(wire, b"Subject: a\r\n")
    house.loop.advance(180)
    assert await wire.until_sent(b"\r\n") == replies.DATA_STALLED.line()
    await wire.until(lambda wire: wire.lost)
    assert house.intake.contents == []
    assert house.reception.held == 0


async def test_slow_data_that_does_not_stall() -> None:
    """A slow line is no reason to lose a letter, however long it takes."""
    house = House()
    wire = await house.at_data()
    for _ in range(50):
        house.loop.advance(10)
        feed(wire, b"x" * 1198 + b"\r\n")
    feed(wire, b".\r\n")
    await wire.until_sent(b"queued as Q0001\r\n")


async def test_data_that_trickles() -> None:
    """An octet now and then is no progress: who sends one would hold a session for days."""
    house = House()
    wire = await house.at_data()
    feed(wire, b"x" * 17_000)
    for _ in range(17):
        house.loop.advance(10)
        feed(wire, b"x")
        assert not wire.closing
    house.loop.advance(10)
    assert await wire.until_sent(b"\r\n") == replies.DATA_STALLED.line()
    await wire.until(lambda wire: wire.lost)
    assert house.reception.held == 0


async def test_trickling_letter_gives_way() -> None:
    """
    Where memory is short, the letter that hardly moves is put off, not the one that just came.

    Else clients that trickle would keep all others out (452 to everybody).
    """
    house = House()
    slow, fast = await house.at_data(), await house.at_data()
    feed(slow, b"x" * 90_000)
    house.loop.advance(11)
    feed(fast, (b"x" * 98 + b"\r\n") * 900)
    feed(fast, b".\r\n")
    await fast.until_sent(b"queued as Q0001\r\n")
    feed(slow, b"\r\n.\r\n")
    assert await slow.until_sent(b"\r\n") == replies.NO_MEMORY.line()
    assert house.reception.held == 0


async def test_moving_letter_does_not_give_way() -> None:
    """Who sends as fast as the others keeps its room; the one that came last is put off."""
    house = House()
    first, second = await house.at_data(), await house.at_data()
    feed(first, b"x" * 90_000)
    house.loop.advance(9)
    feed(second, b"x" * 90_000)
    feed(second, b"\r\n.\r\n")
    assert await second.until_sent(b"\r\n") == replies.NO_MEMORY.line()
    feed(first, b"\r\n.\r\n")
    await first.until_sent(b"queued as Q0001\r\n")


async def test_declared_letter_finds_room_at_a_trickling_one() -> None:
    """MAIL with SIZE is not refused for the sake of a letter that hardly moves."""
    house = House()
    slow, fast = await house.at_data(), await house.greeted()
    feed(slow, b"x" * 90_000)
    feed(fast, b"EHLO a\r\nMAIL FROM:<> SIZE=90000\r\n")
    await fast.until_sent(replies.NO_MEMORY.line())
    house.loop.advance(11)
    feed(fast, b"MAIL FROM:<> SIZE=90000\r\n")
    await fast.until_sent(replies.MAIL_OK.line())
    assert house.reception.held == 0


async def test_taking_takes_its_time() -> None:
    """While we are busy it is not the client who is late; after that its time begins anew."""
    house = House()
    house.intake.hang()
    wire = await house.at_data()
    feed(wire, b".\r\n")
    await house.intake.wait_until(lambda intake: intake.waiting == 1)
    house.loop.advance(3600)
    assert not wire.closing
    house.intake.go_on()
    await wire.until_sent(b"queued as Q0001\r\n")
    house.loop.advance(299)
    feed(wire, b"QUIT\r\n")
    await wire.until_sent(replies.BYE.line())


async def test_client_that_does_not_read_is_cut_off() -> None:
    """Replies nobody takes pile up in memory; no more are made, and then time runs out."""
    house = House()
    wire = await house.greeted()
    wire._protocol.pause_writing()
    feed(wire, b"NOOP\r\n" * 10_000)
    await wire.until(lambda wire: bool(wire.sent))
    assert wire.sent.count(b"\r\n") <= 100
    house.loop.advance(300)
    assert wire.aborted
    await wire.until(lambda wire: wire.lost)
    await house.reception.clear()


async def test_client_that_reads_again_gets_the_rest() -> None:
    """Back pressure holds replies up and loses none."""
    house = House()
    wire = await house.greeted()
    wire._protocol.pause_writing()
    feed(wire, b"NOOP\r\n" * 1000 + b"QUIT\r\n")
    await wire.until(lambda wire: bool(wire.sent))
    assert b"221" not in wire.sent
    wire._protocol.resume_writing()
    sent = await wire.until_sent(replies.BYE.line())
    assert sent == replies.NOOP_OK.line() * 1000 + replies.BYE.line()


async def test_client_that_does_not_read_its_last_reply() -> None:
    """A connection that cannot be closed in good order is cut when its time is over."""
    house = House()
    wire = await house.greeted()
    wire.close = lambda: setattr(wire, "closing", True)  # type: ignore[method-assign]
    feed(wire, b"QUIT\r\n")
    await wire.until_sent(replies.BYE.line())
    assert not wire.aborted
    house.loop.advance(300)
    assert wire.aborted


async def test_commands_wait_while_a_letter_is_taken() -> None:
    """No letter overtakes another, and what waits is bounded: beyond it we do not read."""
    house = House(replace(RULES, max_commands=100_000))
    house.intake.hang()
    wire = await house.at_data()
    feed(wire, b".\r\nNOOP\r\n")
    await house.intake.wait_until(lambda intake: intake.waiting == 1)
    feed(wire, b"NOOP\r\n" * 10_000)
    assert wire.reading
    feed(wire, b"NOOP\r\n" * 10_000)
    assert not wire.reading
    assert wire.sent == b""
    house.intake.go_on()
    await wire.until(lambda wire: wire.reading)
    feed(wire, b"QUIT\r\n")
    sent = await wire.until_sent(replies.BYE.line())
    assert sent.startswith(b"250 2.0.0 Ok: queued as Q0001\r\n")
    assert sent.count(replies.NOOP_OK.line()) == 20_001


async def test_others_get_their_turn() -> None:
    """A client that sends thousands of commands at once does not hold up the loop."""
    house = House()
    busy, other = await house.greeted(), await house.greeted()
    feed(busy, b"NOOP\r\n" * 5000)
    feed(other, b"NOOP\r\n")
    await other.until_sent(replies.NOOP_OK.line())
    assert busy.sent.count(b"\r\n") < 1000
    feed(busy, b"QUIT\r\n")
    assert (await busy.until_sent(replies.BYE.line())).count(b"\r\n") == 5001


async def test_client_that_vanishes_within_its_letter() -> None:
    """Nothing is taken of a letter whose end was not seen, not even when a dot comes close."""
    house = House()
    wire = await house.at_data()
    feed(wire, b"Subject: a\r\n\r\nhalf\r\n.\r")
    wire.lose()
    await house.reception.drain(5)
    assert house.intake.contents == []
    assert house.reception.held == 0


async def test_client_that_vanishes_with_the_dot() -> None:
    """Gone before we could take it: it will come back with the letter, so we do not have it."""
    house = House()
    wire = await house.at_data()
    feed(wire, b".\r\n")
    wire.lose()
    assert await house.reception.drain(5)
    assert house.intake.contents == []


async def test_client_that_vanishes_while_its_letter_is_taken() -> None:
    """The letter is taken to its end, and the log tells that its client does not know."""
    house = House()
    house.intake.hang()
    wire = await house.at_data()
    feed(wire, b"Subject: a\r\n\r\n.\r\n")
    await house.intake.wait_until(lambda intake: intake.waiting == 1)
    wire.lose()
    assert house.counts.disconnected_from == []
    with capture_logs() as logs:
        house.intake.go_on()
        assert await house.reception.drain(5)
    assert house.intake.contents == [b"Subject: a\r\n\r\n"]
    (line,) = (line for line in logs if line["event"] == "client_left_before_reply")
    assert line["reply"] == "250 Ok: queued as Q0001"
    assert (line["reverse_path"], line["size"]) == ("a@example.com", 14)
    assert house.counts.disconnected_from == ["app"]


async def test_half_closed_client_is_answered() -> None:
    """`printf … | nc`: all is sent, then the sending side is closed; the reply still comes."""
    house = House()
    house.intake.hang()
    wire = await house.greeted()
    feed(wire, ENVELOPE + b"DATA\r\nSubject: a\r\n\r\n.\r\n")
    assert wire._protocol.eof_received()
    await house.intake.wait_until(lambda intake: intake.waiting == 1)
    house.intake.go_on()
    await wire.until(lambda wire: wire.lost)
    assert wire.sent.endswith(b"queued as Q0001\r\n")
    assert house.intake.contents == [b"Subject: a\r\n\r\n"]


@pytest.mark.parametrize("octets", [b"", b"NOOP", ENVELOPE, ENVELOPE + b"DATA\r\nSubject: a\r\n."])
async def test_half_closed_client_with_nothing_whole(octets: bytes) -> None:
    """The end of input is the end of the session; half a letter is none."""
    house = House()
    wire = await house.greeted()
    feed(wire, octets)
    wire._protocol.eof_received()
    await wire.until(lambda wire: wire.lost)
    assert house.intake.contents == []


async def test_memory_of_all_letters_is_bounded() -> None:
    """452 for the letter that fits no more; the others come in, and room is made as they go."""
    house = House()
    first, second = await house.at_data(), await house.at_data()
    feed(first, b"x" * 90_000)
    feed(second, b"y" * 50_000)
    assert house.reception.held == 140_000
    feed(second, b"y" * 20_000)
    assert house.reception.held == 90_000
    feed(second, b"y" * 20_000 + b"\r\n.\r\n")
    assert await second.until_sent(b"\r\n") == replies.NO_MEMORY.line()
    feed(second, b"MAIL FROM:<> SIZE=70000\r\n")
    assert await second.until_sent(b"\r\n") == replies.NO_MEMORY.line()
    feed(first, b"\r\n.\r\n")
    await first.until_sent(b"queued as Q0001\r\n")
    assert house.reception.held == 0
    feed(second, b"MAIL FROM:<> SIZE=70000\r\n")
    assert await second.until_sent(b"\r\n") == replies.MAIL_OK.line()


async def test_letter_being_taken_counts_until_it_is() -> None:
    """Content that waits for the disk takes memory too."""
    house = House()
    house.intake.hang()
    wire = await house.at_data()
    feed(wire, b"Subject: a\r\n\r\n.\r\n")
    await house.intake.wait_until(lambda intake: intake.waiting == 1)
    assert house.reception.held == 14
    house.intake.go_on()
    await wire.until_sent(b"queued as Q0001\r\n")
    assert house.reception.held == 0


async def test_content_is_let_go_when_intake_lets_it_go() -> None:
    """While a letter is taken, nobody but intake holds its content: once is enough."""
    house = House()
    held: list[int] = []

    async def take(submission: Submission) -> Reply:
        content = submission.content
        del submission
        held.append(sys.getrefcount(content) - 1)  # without the call's own
        return replies.queued_as("Q1")

    house.intake.take = take  # type: ignore[method-assign]
    wire = await house.at_data()
    feed(wire, b"x" * 50_000 + b"\r\n")
    feed(wire, b".\r\n")
    await wire.until_sent(b"queued as Q1\r\n")
    assert held == [1]


async def test_too_many_connections() -> None:
    """One too many is told so and closed; when another leaves, there is room again."""
    house = House()
    wires = [await house.greeted() for _ in range(3)]
    extra = house.connect()
    assert extra.sent == replies.TOO_MANY_CONNECTIONS.line()
    await extra.until(lambda wire: wire.lost)
    feed(wires[0], b"QUIT\r\n")
    await wires[0].until(lambda wire: wire.lost)
    await house.greeted()
    assert house.counts.connected_to == ["app"] * 5


async def test_drain_lets_letters_end() -> None:
    """421 at once for who is idle; who is at a letter gets its reply first, and no next one."""
    house = House()
    idle, at_data, taking = await house.greeted(), await house.at_data(), await house.at_data()
    house.intake.hang()
    feed(taking, b".\r\nMAIL FROM:<>\r\n")
    await house.intake.wait_until(lambda intake: intake.waiting == 1)
    drained = asyncio.create_task(house.reception.drain(5))
    await idle.until(lambda wire: wire.lost)
    assert idle.sent == replies.SHUTTING_DOWN.line()
    assert not at_data.closing
    late = house.connect()
    assert late.sent == replies.SHUTTING_DOWN.line()
    house.intake.go_on()
    feed(at_data, b"Subject: a\r\n\r\n.\r\n")
    assert await drained
    assert len(house.intake.contents) == 2
    for wire in (at_data, taking):
        lines = wire.sent.split(b"\r\n")
        assert lines[0].startswith(b"250 2.0.0 Ok: queued as Q000")
        assert lines[1:] == [replies.SHUTTING_DOWN.line().rstrip(), b""]


async def test_drain_does_not_wait_for_ever() -> None:
    """A client that stays within its letter is left to `clear`."""
    house = House()
    wire = await house.at_data()
    assert not await house.reception.drain(0.01)
    assert not wire.closing
    await house.reception.clear()
    assert wire.aborted
    assert house.counts.disconnected_from == ["app"]


async def test_clear_tells_of_letters_cut_short() -> None:
    """A letter that is neither taken nor refused leaves a trace: its client may have lost it."""
    house = House()
    house.intake.hang()
    wire = await house.at_data()
    feed(wire, b"Subject: a\r\n\r\n.\r\n")
    await house.intake.wait_until(lambda intake: intake.waiting == 1)
    with capture_logs() as logs:
        await house.reception.clear()
    (line,) = (line for line in logs if line["event"] == "taking_cut_short")
    assert (line["reverse_path"], line["recipients"], line["size"]) == ("a@example.com", 1, 14)
    assert wire.sent == b""
    assert house.reception.held == 0


async def test_clear_before_a_session_has_run() -> None:
    """A client that connects in the moment we stop leaves nothing behind."""
    house = House()
    house.connect()
    await house.reception.clear()
    assert house.counts.disconnected_from == ["app"]


async def test_surprise_in_intake_is_temporary() -> None:
    """T11: 451 with a reference, the reason in the log alone, and the session goes on."""
    house = House()
    house.intake.error = RuntimeError("secret detail")
    wire = await house.at_data()
    with capture_logs() as logs:
        feed(wire, b"Subject: a\r\n\r\n.\r\nMAIL FROM:<>\r\n")
        sent = await wire.until_sent(replies.MAIL_OK.line())
    (line,) = (line for line in logs if line["event"] == "session_failed")
    assert sent.startswith(b"451 4.3.0 ")
    assert line["reference"].encode() in sent
    assert line["exc_info"] is house.intake.error
    for word in (b"RuntimeError", b"secret", b"Error:"):
        assert word not in sent
    assert house.reception.held == 0


async def test_surprise_at_mail_is_temporary_too() -> None:
    """T11: whichever command it strikes."""
    house = House()
    house.intake.refusal = lambda: 1 / 0  # type: ignore[method-assign, return-value, assignment]
    wire = await house.greeted()
    feed(wire, b"EHLO a\r\nMAIL FROM:<a@example.com>\r\nQUIT\r\n")
    sent = await wire.until_sent(replies.BYE.line())
    assert b"\r\n451 4.3.0 Internal error" in sent
    assert b"ZeroDivision" not in sent


async def test_surprise_in_the_loop_itself_ends_the_session() -> None:
    """Even a mistake of the session's own is a 451, logged, with the connection closed."""
    house = House()
    wire = await house.greeted()
    wire._protocol._lines = None
    wire._protocol.eof_received()
    await wire.until(lambda wire: wire.lost)
    assert wire.sent.startswith(b"451 4.3.0 ")
    assert house.counts.disconnected_from == ["app"]


async def test_repaired_line_ends_are_told_with_the_letter() -> None:
    """T18: the operator learns of a client that sends bare LF from the story of its letters."""
    house = House()
    wire = await house.at_data()
    feed(wire, b"a\nb\r\n.\r\nQUIT\r\n")
    await wire.until_sent(replies.BYE.line())
    (submission,) = house.intake.submissions
    assert (submission.content, submission.bare_line_ends) == (b"a\r\nb\r\n", 1)


async def test_no_command_is_logged() -> None:
    """T25: addresses and secrets of a session that goes well are in no log line of ours."""
    house = House()
    wire = await house.at_data()
    with capture_logs() as logs:
        feed(wire, b"Subject: a\r\n\r\n.\r\nAUTH PLAIN c2VjcmV0\r\nQUIT\r\n")
        await wire.until_sent(replies.BYE.line())
    assert logs == []


async def test_every_reply_is_counted() -> None:
    """What the metrics hear is what the client reads."""
    house = House()
    wire = await house.greeted()
    feed(wire, b"EHLO a\r\nXYZZY\r\nQUIT\r\n")
    await wire.until(lambda wire: wire.lost)
    assert house.counts.reasons == ["greeting", "hello", "unknown_command", "bye"]
    assert {listener for listener, _ in house.counts.replies} == {"app"}


async def test_too_many_errors() -> None:
    """The session ends with 421, after the reply to the last error."""
    house = House(replace(RULES, max_errors=3))
    wire = await house.greeted()
    feed(wire, b"XYZZY\r\n" * 5)
    await wire.until(lambda wire: wire.lost)
    assert wire.sent == replies.UNKNOWN_COMMAND.line() * 3 + replies.TOO_MANY_ERRORS.line()


async def test_set_up_shares_no_name_with_the_library() -> None:
    """We pass over SMTP.__init__: what a new version of it keeps must not mean something here."""
    stock = vars(SMTP(None, hostname="x", loop=asyncio.get_running_loop()))
    house = House()
    session = house.connect()._protocol
    ours = set(vars(session)) - set(vars(asyncio.StreamReaderProtocol(None)))  # type: ignore[arg-type]
    assert ours & set(stock) == {"loop", "transport", "_handler_coroutine"}
    await house.reception.clear()
