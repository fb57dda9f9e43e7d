"""What the bench's figures rest on: that its sink counts right, and what a ratio is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench import sync
from bench.rounds import Account
from bench.sampling import summary
from bench.sink import NUMBER_FIELD, OwnSink
from bench.workloads import Bar


class Written(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.octets = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.octets += bytes(data)

    def close(self) -> None:
        self.closed = True


def letter(number: int, size: int = 10) -> bytes:
    trace = b"Received: by relay.example.com;\r\n date\r\n"
    field = NUMBER_FIELD + b": %d\r\n" % number
    return trace + field + b"\r\n" + b"." * 2 + b"X" * size + b"\r\n.\r\n"


def transactions(*numbers: int) -> bytes:
    """Letter after letter, each envelope riding with the content before it."""
    envelope = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"
    return b"".join(envelope + letter(number) for number in numbers)


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 1000])
async def test_the_sink_counts_letters_however_they_are_cut(piece: int) -> None:
    """A count that depended on how octets arrive would be blamed on the relay as loss."""
    sink, transport = OwnSink(), Written()
    session = sink.session()
    session.connection_made(transport)
    octets = b"EHLO relay.example.com\r\n" + transactions(0, 1, 2) + b"QUIT\r\n"
    for start in range(0, len(octets), piece):
        session.data_received(octets[start : start + piece])
    assert sink.count == 3
    assert sorted(sink.arrivals) == [0, 1, 2]
    assert sink.balance(3) == (0, 0)
    assert transport.octets.count(b"354 ") == 3
    assert transport.octets.endswith(b"221 2.0.0 Bye\r\n")
    assert transport.closed


async def test_a_lost_letter_and_a_doubled_one_do_not_cancel_out() -> None:
    """Lost and duplicated are told by the letters' numbers, not by their count."""
    sink = OwnSink()
    session = sink.session()
    session.connection_made(Written())
    session.data_received(transactions(0, 2, 2))
    assert sink.count == 3
    assert sink.balance(3) == (1, 1)


async def test_waiting_for_a_count_ends_with_the_letter_that_completes_it() -> None:
    """The moment of delivery is that of the last letter."""
    sink = OwnSink()
    session = sink.session()
    session.connection_made(Written())
    waiting = asyncio.create_task(sink.wait_for(2))
    session.data_received(transactions(0))
    await asyncio.sleep(0)
    assert not waiting.done()
    session.data_received(transactions(1))
    assert await waiting == sink.arrivals[1]


def test_a_ratio_is_the_median_of_the_ratios_round_by_round() -> None:
    """Rounds that took turns are compared with each other: the machine changes between them."""
    mine, theirs = Account("mailquay"), Account("postfix")
    mine.rounds = [{"accepted/s": rate} for rate in (100.0, 900.0, 60.0)]
    theirs.rounds = [{"accepted/s": rate} for rate in (50.0, 300.0, 20.0)]
    assert mine.ratio(theirs, "accepted/s") == 3.0
    assert mine.median("accepted/s") / theirs.median("accepted/s") == 2.0
    assert mine.spread("accepted/s") == (60.0, 900.0)


def test_a_ratio_to_nothing_is_none() -> None:
    """CPU time of a short round may be below what the kernel counts."""
    mine, theirs = Account("mailquay"), Account("postfix")
    mine.rounds, theirs.rounds = [{"CPU s/1000": 1.0}], [{"CPU s/1000": 0.0}]
    assert mine.ratio(theirs, "CPU s/1000") is None


def test_bars_know_which_way_is_up() -> None:
    """More letters a second are better, more milliseconds are not."""
    assert Bar("accepted/s", 5).met(5.0)
    assert not Bar("accepted/s", 5).met(4.99)
    assert Bar("accept p99 ms", 0.5, at_least=False).met(0.5)
    assert not Bar("accept p99 ms", 0.5, at_least=False).met(0.51)


def test_samples_are_charged_to_the_nearest_function_of_ours() -> None:
    """Time in a library is told by who asked for it."""
    deep = (
        "run (asyncio/runners.py:1);take (gateway/ingress/intake.py:7);dumps (json/__init__.py:2)"
    )
    stacks = f"thread (1): MainThread;{deep} 3\nthread (2): spool;commit (sqlite3:1) 1\n"
    lines = list(summary(stacks, seconds=1.0))
    assert lines[0].startswith("interpreter held 1 %")
    assert "     75.0 %  take (gateway/ingress/intake.py" in lines
    assert "     25.0 %  spool" in lines
    assert not any("dumps" in line for line in lines)


def test_cost_of_a_sync_is_measured_where_the_letters_lie(tmp_path: Path) -> None:
    """Both calls have their figures, in an order that makes sense, and no file stays."""
    costs = sync.measure(tmp_path)
    assert list(costs) == ["fdatasync", "fsync"]
    for figures in costs.values():
        assert 0 < figures["p50 ms"] <= figures["p99 ms"]
        assert figures["syncs/s"] > 0
    assert [line.partition(":")[0] for line in sync.lines(costs)] == ["fdatasync", "fsync"]
    assert list(tmp_path.iterdir()) == []
