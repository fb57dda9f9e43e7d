"""BDAT (RFC 3030): chunks in any number and size, and content that is never taken for commands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.ingress import commands, replies
from gateway.ingress.commands import BdatCommand
from gateway.ingress.lines import LineReader
from gateway.ingress.reader import ChunkReader
from tests.unit.test_front_door_session import ENVELOPE, GO_AHEAD, RULES, House, feed

LETTER = b"Subject: a\r\n\r\nb\r\n"
SMUGGLED = b"RSET\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<c@example.org>\r\nDATA\r\nx\r\n.\r\n"
OK = b"250 2.0.0 Ok, chunk taken\r\n"


def bdat(octets: bytes, *, last: bool = False) -> bytes:
    """A BDAT with its chunk."""
    return b"BDAT %d%s\r\n" % (len(octets), b" LAST" if last else b"") + octets


async def replies_to(house: House, wire_octets: bytes, cut: int = 1 << 20) -> list[bytes]:
    """What is answered after EHLO, MAIL, RCPT and these octets, fed in pieces of `cut`."""
    wire = await house.greeted()
    feed(wire, ENVELOPE)
    await wire.until_sent(b"250 2.1.5 Ok\r\n")
    everything = wire_octets + b"QUIT\r\n"
    for at in range(0, len(everything), cut):
        feed(wire, everything[at : at + cut])
    sent = await wire.until_sent(replies.BYE.line())
    return sent.splitlines(keepends=True)[:-1]


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (b"0", BdatCommand(0, last=False)),
        (b"17 LAST", BdatCommand(17, last=True)),
        (b"17 \t last", BdatCommand(17, last=True)),
        (b"0017", BdatCommand(17, last=False)),
        (b"", None),
        (b"LAST", None),
        (b"-1", None),
        (b"1x", None),
        (b"1LAST", None),
        (b"17 LAST 3", None),
        (b"17 FIRST", None),
        (b"\xd9\xa1", None),
        (b"1" * 21, None),
    ],
)
def test_argument_of_bdat(argument: bytes, expected: BdatCommand | None) -> None:
    """A size in decimal digits, and LAST or nothing."""
    assert commands.parse_bdat(argument) == expected


@pytest.mark.parametrize("cut", [1, 2, 7, 1 << 20])
async def test_letter_in_chunks(cut: int) -> None:
    """RFC 3030 4.2: pipelined chunks, cut anywhere, are one letter and have a reply each."""
    house = House()
    sent = await replies_to(
        house, bdat(LETTER[:3]) + bdat(LETTER[3:9]) + bdat(LETTER[9:], last=True), cut
    )
    assert sent == [OK, OK, b"250 2.0.0 Ok: queued as Q0001\r\n"]
    assert house.intake.contents == [LETTER]
    assert house.reception.held == 0


async def test_chunks_are_answered_with_one_write() -> None:
    """RFC 2920: what came together is answered together."""
    house = House()
    wire = await house.greeted()
    wire.writes = 0
    feed(wire, ENVELOPE + bdat(LETTER) + bdat(b"") + b"NOOP\r\n")
    await wire.until_sent(OK + OK + replies.NOOP_OK.line())
    assert wire.writes == 1


@pytest.mark.parametrize(
    ("chunks", "content"),
    [
        (bdat(b"") + bdat(LETTER) + bdat(b"", last=True), LETTER),
        (bdat(LETTER + b"."), None),
        (bdat(LETTER + b".\r\n.\r\n", last=True), LETTER + b".\r\n.\r\n"),
        (bdat(b"..a\r\n", last=True), b"..a\r\n"),
        (bdat(b"a", last=True), b"a\r\n"),
        (bdat(b"a\r") + bdat(b"\nb", last=True), b"a\r\nb\r\n"),
        (bdat(b"a\nb\rc\r\r\n", last=True), b"a\r\nb\r\nc\r\n"),
        (bdat(b"\x00\xff\r\n", last=True), b"\x00\xff\r\n"),
        (bdat(b"", last=True), b""),
    ],
)  # fmt: skip
async def test_content_of_chunks(chunks: bytes, content: bytes | None) -> None:
    """Dots mean nothing here, line ends are made whole across chunks, and no end is no letter."""
    house = House()
    await replies_to(house, chunks)
    assert house.intake.contents == ([] if content is None else [content])


@pytest.mark.parametrize(
    ("before", "reply"),
    [
        (b"RSET\r\n", replies.NEED_MAIL),
        (b"RSET\r\nMAIL FROM:<>\r\n", replies.NEED_RCPT),
        (b"RSET\r\nMAIL FROM:<>\r\nRCPT TO:<misspelt>\r\n", replies.NEED_RCPT),
    ],
)
@pytest.mark.parametrize("last", [False, True])
async def test_refused_chunk_is_read_all_the_same(
    before: bytes, reply: replies.Reply, last: bool
) -> None:
    """T18, RFC 3030 2: octets of a chunk are never commands, whatever is thought of it."""
    house = House()
    sent = await replies_to(house, before + bdat(SMUGGLED, last=last) + b"NOOP\r\n")
    assert sent[-2:] == [reply.line(), replies.NOOP_OK.line()]
    assert house.intake.contents == []


async def test_chunks_before_hello() -> None:
    """Even before EHLO a chunk is read to its end."""
    house = House()
    wire = await house.greeted()
    feed(wire, bdat(SMUGGLED, last=True) + b"QUIT\r\n")
    assert (
        await wire.until_sent(replies.BYE.line()) == replies.NEED_MAIL.line() + replies.BYE.line()
    )


@pytest.mark.parametrize("line", [b"BDAT", b"BDAT x", b"BDAT -1 LAST", b"BDAT 5 FIRST"])
async def test_size_nobody_can_read_ends_the_session(line: bytes) -> None:
    """T18: where content ends cannot be told, so that nothing after it is a command."""
    house = House()
    wire = await house.greeted()
    feed(wire, ENVELOPE + line + b"\r\n" + SMUGGLED)
    await wire.until(lambda wire: wire.lost)
    assert wire.sent.endswith(b"250 2.1.5 Ok\r\n" + replies.SYNTAX_BDAT.line())
    assert house.intake.contents == []


async def test_chunks_in_the_pipeline_after_a_refused_one() -> None:
    """All get the reply of the first, without a count of errors, until the last or a reset."""
    house = House(replace(RULES, max_errors=3))
    begin = b"RSET\r\nMAIL FROM:<>\r\n"
    sent = await replies_to(house, begin + bdat(b"x") * 30 + bdat(b"x", last=True))
    assert sent[2:] == [replies.NEED_RCPT.line()] * 31
    sent = await replies_to(house, begin + bdat(b"x") * 2 + b"RSET\r\n" + bdat(b"x", last=True))
    assert sent[2:] == [replies.NEED_RCPT.line()] * 2 + [
        replies.RESET_OK.line(),
        replies.NEED_MAIL.line(),
    ]


async def test_next_letter_after_a_refused_one() -> None:
    """MAIL begins anew; nothing of the refused letter is in the next one."""
    house = House()
    rest = b"MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\n" + bdat(LETTER, last=True)
    sent = await replies_to(house, bdat(b"x" * 200_000) + rest)
    assert sent[0] == replies.message_too_big(100_000).line()
    assert sent[-1] == b"250 2.0.0 Ok: queued as Q0001\r\n"
    assert house.intake.contents == [LETTER]


@pytest.mark.parametrize("word", [b"RSET\r\n", b"EHLO a\r\n"])
async def test_reset_forgets_chunks(word: bytes) -> None:
    """RFC 3030 2: what was taken of a letter goes, and the memory it took."""
    house = House()
    wire = await house.greeted()
    feed(wire, ENVELOPE + bdat(b"x" * 1000))
    await wire.until_sent(OK)
    assert house.reception.held == 1000
    feed(wire, word)
    await wire.until(lambda wire: wire.sent.endswith((b"Ok\r\n", b"HELP\r\n")))
    assert house.reception.held == 0
    feed(wire, ENVELOPE + bdat(LETTER, last=True))
    await wire.until_sent(b"queued as Q0001\r\n")
    assert house.intake.contents == [LETTER]


async def test_chunks_and_data_do_not_mix() -> None:
    """RFC 3030 2: within a letter in chunks DATA, RCPT and MAIL come out of turn; it goes on."""
    house = House()
    sent = await replies_to(
        house,
        bdat(LETTER[:5])
        + b"DATA\r\nRCPT TO:<c@example.org>\r\nMAIL FROM:<>\r\n"
        + bdat(LETTER[5:], last=True),
    )
    assert sent[1:4] == [replies.WITHIN_CHUNKS.line()] * 2 + [replies.NESTED_MAIL.line()]
    (submission,) = house.intake.submissions
    assert submission.content == LETTER
    assert [str(r.forward_path) for r in submission.envelope.recipients] == ["b@example.org"]


@pytest.mark.parametrize("sizes", [[100_001], [60_000, 40_001], [99_999] * 3, [10**18]])
async def test_letter_over_the_limit(sizes: list[int]) -> None:
    """552 to the chunk that goes beyond, as soon as it is read, and nothing is held."""
    house = House()
    wire = await house.greeted()
    feed(wire, ENVELOPE)
    for size in sizes[:2]:
        feed(wire, b"BDAT %d\r\n" % size)
        for _ in range(min(size, 200_000) // 1000):
            feed(wire, b"x" * 1000)
            assert house.reception.held <= 101_000
        if size < 200_000:
            feed(wire, b"x" * (size % 1000))
    if sizes[0] < 10**18:
        await wire.until_sent(replies.message_too_big(100_000).line())
    assert house.reception.held == 0
    wire.lose()


async def test_content_that_repairs_make_too_big() -> None:
    """What would be stored is what is limited: 552 after the last chunk."""
    house = House()
    sent = await replies_to(house, bdat(b"\n" * 60_000, last=True))
    assert sent == [replies.message_too_big(100_000).line()]
    assert house.intake.contents == []


async def test_chunk_that_finds_no_memory() -> None:
    """T20's sister: 452 for a chunk that fits no more beside other letters, and no 5xx after it."""
    house = House()
    other = await house.at_data()
    feed(other, b"y" * 90_000)
    sent = await replies_to(
        house, bdat(b"x" * 50_000) + bdat(b"x" * 20_000) * 2 + bdat(b"", last=True)
    )
    assert sent == [OK] + [replies.NO_MEMORY.line()] * 3
    assert house.reception.held == 90_000
    feed(other, b"\r\n.\r\n")
    await other.until_sent(b"queued as Q0001\r\n")
    sent = await replies_to(house, bdat(b"x" * 70_000, last=True))
    assert sent == [b"250 2.0.0 Ok: queued as Q0002\r\n"]


@pytest.mark.parametrize("end", [b"", b"QUIT\r\n"])
async def test_client_that_leaves_between_chunks(end: bytes) -> None:
    """Nothing is taken, and nothing is held for it any more."""
    house = House()
    wire = await house.greeted()
    feed(wire, ENVELOPE + bdat(b"x" * 1000))
    await wire.until_sent(OK)
    feed(wire, end)
    if not end:
        wire.lose()
    await wire.until(lambda wire: wire.lost)
    assert await house.reception.drain(5)
    assert house.reception.held == 0
    assert house.intake.contents == []


async def test_chunk_that_stalls() -> None:
    """The letter's time runs over all its chunks: a command is no progress, content is."""
    house = House()
    wire = await house.greeted()
    feed(wire, ENVELOPE + b"BDAT 20000\r\nx")
    house.loop.advance(179)
    feed(wire, b"x" * 19_999)
    await wire.until_sent(OK)
    house.loop.advance(179)
    feed(wire, b"NOOP\r\nBDAT 10 LAST\r\nx")
    await wire.until_sent(replies.NOOP_OK.line())
    assert not wire.closing
    house.loop.advance(1)
    assert await wire.until_sent(b"\r\n") == replies.DATA_STALLED.line()


async def test_drain_lets_a_letter_in_chunks_end() -> None:
    """A letter of which a chunk was taken is under way; 421 comes after it."""
    house = House()
    wire = await house.greeted()
    feed(wire, ENVELOPE + bdat(LETTER[:5]))
    await wire.until_sent(OK)
    wire._protocol.drain()
    feed(wire, bdat(LETTER[5:], last=True))
    sent = await wire.until_sent(replies.SHUTTING_DOWN.line())
    assert sent.startswith(b"250 2.0.0 Ok: queued as Q0001\r\n")


async def test_surprise_in_intake_after_the_last_chunk() -> None:
    """T11: 451, and the next letter in chunks is taken."""
    house = House()
    house.intake.error = RuntimeError("secret detail")
    wire = await house.greeted()
    feed(wire, ENVELOPE + bdat(LETTER, last=True))
    await wire.until(lambda wire: b"451 4.3.0 " in wire.sent)
    assert house.reception.held == 0
    house.intake.error = None
    feed(wire, b"MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\n" + bdat(LETTER, last=True))
    await wire.until_sent(b"queued as Q0001\r\n")
    assert house.intake.contents == [LETTER]


async def test_data_after_a_letter_in_chunks() -> None:
    """Both ways in one session, each with its own end."""
    house = House()
    wire = await house.greeted()
    feed(wire, ENVELOPE + bdat(LETTER, last=True))
    await wire.until_sent(b"queued as Q0001\r\n")
    feed(wire, b"MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")
    await wire.until_sent(GO_AHEAD)
    feed(wire, b"..\r\n.\r\n")
    await wire.until_sent(b"queued as Q0002\r\n")
    assert house.intake.contents == [LETTER, b".\r\n"]


async def test_many_small_chunks_take_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A buffer full of small chunks is not copied for each of them."""
    monkeypatch.setattr(LineReader, "take_rest", lambda _: pytest.fail("all of it was copied"))
    house = House()
    await replies_to(house, bdat(b"x") * 5000 + bdat(b"", last=True))
    assert house.intake.contents == [b"x" * 5000 + b"\r\n"]


def test_reader_leaves_what_follows_a_chunk() -> None:
    """Exact to the octet, whatever the octets are."""
    reader = ChunkReader(100)
    reader.expect(4, last=False)
    assert reader.feed(b"abc") is None
    assert not reader.ended
    assert reader.feed(b"d\r\nBDAT") == b"\r\nBDAT"
    assert (reader.ended, reader.held) == (True, 4)
    reader.expect(0, last=True)
    assert reader.feed(b"rest") == b"rest"
    assert reader.content() == b"abcd\r\n"
