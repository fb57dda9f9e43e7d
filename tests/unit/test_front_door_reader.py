"""The end-of-data reader and the line reader, case by case; tests/property has them at random."""

from __future__ import annotations

import pytest

from gateway.ingress.lines import MAX_COMMAND_LINE, LineFault, LineReader
from gateway.ingress.reader import DataReader

CASES = {
    "nothing at all": (b".\r\n", b""),
    "an empty line": (b"\r\n.\r\n", b"\r\n"),
    "plain": (b"Subject: a\r\n\r\nb\r\n.\r\n", b"Subject: a\r\n\r\nb\r\n"),
    "stuffed dots": (b"..a\r\n..\r\nb.\r\n...\r\n.\r\n", b".a\r\n.\r\nb.\r\n..\r\n"),
    "a dot that was not stuffed": (b"a\r\n.b\r\n.\r\n", b"a\r\nb\r\n"),
    "octets above 127 and NUL": (b"\x00\xff\r\n.\r\n", b"\x00\xff\r\n"),
    "a long line": (b"a" * 100_000 + b"\r\n.\r\n", b"a" * 100_000 + b"\r\n"),
}


def read(wire: bytes, size: int, max_octets: int = 1 << 20) -> tuple[DataReader, bytes | None]:
    """The reader after the wire came in chunks of this size, and what followed the end."""
    reader = DataReader(max_octets)
    for at in range(0, len(wire), size):
        rest = reader.feed(wire[at : at + size])
        if rest is not None:
            return reader, rest + wire[at + size :]
    return reader, None


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 1000])
@pytest.mark.parametrize(("wire", "content"), CASES.values(), ids=CASES)
def test_content_is_exact_at_any_boundary(wire: bytes, content: bytes, size: int) -> None:
    """The same content however the network cuts it, and what follows it is left over."""
    reader, rest = read(wire + b"MAIL FROM:<>\r\n.\r\n", size)
    assert rest == b"MAIL FROM:<>\r\n.\r\n"
    assert reader.held == len(content)
    assert reader.content() == content
    assert (reader.ended, reader.too_big, reader.repairs, reader.held) == (True, False, 0, 0)


@pytest.mark.parametrize(
    ("octets", "repaired", "repairs"),
    [
        (b"a\nb\r\n", b"a\r\nb\r\n", 1),
        (b"a\rb\r\n", b"a\r\nb\r\n", 1),
        (b"a\rb\nc\r\n", b"a\r\nb\r\nc\r\n", 2),  # one of each: their numbers are equal
        (b"a\n\nb\r\n", b"a\r\n\r\nb\r\n", 2),
        (b"a\r\r\nb\r\n", b"a\r\nb\r\n", 1),  # a CRLF written in text mode
        (b"a\r\r\r\nb\r\n", b"a\r\nb\r\n", 2),
        (b"a\r\rb\r\n", b"a\r\n\r\nb\r\n", 2),
        (b"\n.\n\r\n", b"\r\n.\r\n\r\n", 2),
        (b"\r.\r\r\n", b"\r\n.\r\n", 2),
        # Who ends lines with LF doubles dots behind it; who does not double them keeps his one.
        (b"a\n..b\n...\n.c\r\n", b"a\r\n.b\r\n..\r\n.c\r\n", 3),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_bare_line_ends_are_repaired(
    octets: bytes, repaired: bytes, repairs: int, size: int
) -> None:
    """T18: no bare CR or LF goes on to anybody, and the reader tells how many there were."""
    reader, _ = read(octets + b".\r\n", size)
    assert reader.content() == repaired
    assert reader.repairs == repairs


def test_limit_counts_content_and_not_its_dots() -> None:
    """RFC 1870: dots for transparency are not counted, so a letter of just the limit fits."""
    wire = b"..\r\n" * 300
    assert read(wire + b".\r\n", 7, max_octets=900)[0].content() == b".\r\n" * 300
    reader, rest = read(wire + b".\r\n", 7, max_octets=899)
    assert (reader.too_big, reader.content(), rest) == (True, b"", b"")


def test_limit_counts_repaired_line_ends() -> None:
    """What is stored is what is limited."""
    assert read(b"a\n\r\n.\r\n", 100, max_octets=5)[0].content() == b"a\r\n\r\n"
    assert read(b"a\n\r\n.\r\n", 100, max_octets=4)[0].too_big


def test_too_much_is_not_kept_but_read_to_its_end() -> None:
    """T14: beyond the limit nothing is held, and the next command is found all the same."""
    reader = DataReader(1000)
    most = 0
    for _ in range(1000):
        assert reader.feed(b"x" * 100) is None
        most = max(most, reader.held)
    assert reader.too_big
    assert most < 1500
    assert reader.feed(b"\r\n.\r\nQUIT\r\n") == b"QUIT\r\n"
    assert (reader.held, reader.content()) == (0, b"")


def test_swallowed_letter_leaves_nothing() -> None:
    """A letter that there is no room for is read to its end and not kept."""
    reader = DataReader(1000)
    reader.feed(b"Subject: a\r\n")
    reader.swallow()
    assert reader.held == 0
    assert reader.feed(b"\r\nb\r\n.") is None
    assert reader.feed(b"\r\nRSET\r\n") == b"RSET\r\n"
    assert (reader.content(), reader.too_big) == (b"", False)


def test_many_small_chunks_keep_their_order() -> None:
    """Chunks are gathered in blocks when there are many; an end may lie across two blocks."""
    content = b"".join(b"%06d\r\n" % n for n in range(3 * 1024))
    for ahead in range(4):
        reader, rest = read(b"x" * ahead + content + b".\r\n", 8)
        assert reader.content() == b"x" * ahead + content
        assert rest == b""
    reader, _ = read(content[:2048] + b"\r\n.\r\n", 1)
    assert reader.content() == content[:2048] + b"\r\n"


def test_lines_come_one_by_one() -> None:
    """Several commands in one chunk, and one in several."""
    lines = LineReader()
    lines.feed(b"EHLO a\r\nMAIL FROM:<>\r\nRC")
    assert [lines.next(), lines.next(), lines.next()] == [b"EHLO a", b"MAIL FROM:<>", None]
    lines.feed(b"PT TO:<b@example.org>\r")
    assert lines.next() is None
    lines.feed(b"\nrest")
    assert lines.next() == b"RCPT TO:<b@example.org>"
    assert lines.pending == 4
    assert lines.take_rest() == b"rest"
    assert (lines.pending, lines.next()) == (0, None)


def test_octets_that_are_no_line_are_taken_from_between() -> None:
    """After BDAT so many octets are content, and the line behind them is a line again."""
    lines = LineReader()
    lines.feed(b"BDAT 3\r\na\r\nNOOP\r\nBDAT 9\r\nb")
    assert lines.next() == b"BDAT 3"
    assert lines.take(3) == b"a\r\n"
    assert [lines.next(), lines.next()] == [b"NOOP", b"BDAT 9"]
    assert [lines.take(9), lines.take(8)] == [b"b", b""]
    lines.feed(b"")
    assert (lines.pending, lines.next()) == (0, None)


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (b"EHLO a\nMAIL\r\n", [LineFault.BARE_LF, b"MAIL"]),
        (b"\nNOOP\r\n", [LineFault.BARE_LF, b"NOOP"]),
        (b"NOOP\r\n\n", [b"NOOP", LineFault.BARE_LF]),
        (b"a\r\r\n", [b"a\r"]),
    ],
)
def test_bare_lf_is_no_line_end(wire: bytes, expected: list[bytes | LineFault]) -> None:
    """T18: a command behind a bare LF was not meant by the application that let the LF through."""
    lines = LineReader()
    lines.feed(wire)
    found = []
    while (line := lines.next()) is not None:
        found.append(line)
    assert found == expected


def test_line_of_the_limit_fits() -> None:
    """The limit is on the line without its end."""
    lines = LineReader()
    lines.feed(b"N" * MAX_COMMAND_LINE + b"\r\n" + b"N" * (MAX_COMMAND_LINE + 1) + b"\r\n")
    assert lines.next() == b"N" * MAX_COMMAND_LINE
    assert lines.next() is LineFault.TOO_LONG


@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_endless_line_takes_no_memory(size: int) -> None:
    """T14: a command without CRLF is dropped while it comes, and the next one is read."""
    lines = LineReader()
    for _ in range(1000 if size < 1000 else 20):
        lines.feed(b"N" * size)
        while (line := lines.next()) is not None:
            pytest.fail(f"a line came of nothing: {line!r}")
        assert lines.pending <= MAX_COMMAND_LINE + 2
    lines.feed(b"N" * MAX_COMMAND_LINE + b"\r\nQUIT\r\n")
    assert [lines.next(), lines.next(), lines.next()] == [LineFault.TOO_LONG, b"QUIT", None]


@pytest.mark.parametrize("greeting", [b"\x16\x03\x01\x02\x00\x01", b"\x05\x01\x00", b"\x00", b"<"])
def test_other_protocols_are_known_by_their_first_octet(greeting: bytes) -> None:
    """A TLS client on a plain port waits for an answer and sends no line end."""
    lines = LineReader()
    lines.feed(greeting)
    assert lines.next() is LineFault.NOT_TEXT
