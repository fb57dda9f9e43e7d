"""Log lines reach their stream in one write a turn, and never wait beyond it."""

from __future__ import annotations

import asyncio
import io
import threading

from gateway.observe.lines import Lines


class Stream(io.StringIO):
    """Remembers each write; fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []
        self.broken = False

    def write(self, text: str) -> int:
        if self.broken:
            raise BrokenPipeError
        self.writes.append(text)
        return len(text)


async def test_lines_of_a_turn_are_one_write() -> None:
    """In their order, and there when the next turn begins."""
    stream = Stream()
    lines = Lines(stream)
    for line in ("one\n", "two\n", "three\n"):
        lines.write(line)
        lines.flush()
    assert stream.writes == []
    await asyncio.sleep(0)
    assert stream.writes == ["one\ntwo\nthree\n"]
    lines.write("four\n")
    await asyncio.sleep(0)
    assert stream.writes[1:] == ["four\n"]


def test_without_a_loop_a_line_is_written_at_once() -> None:
    """Commands, and the end of the daemon."""
    stream = Stream()
    Lines(stream).write("one\n")
    assert stream.writes == ["one\n"]


async def test_a_threads_line_takes_along_what_is_kept() -> None:
    """A thread has no turn of its own, and must not overtake the loop."""
    stream = Stream()
    lines = Lines(stream)
    lines.write("loop\n")
    thread = threading.Thread(target=lines.write, args=("thread\n",))
    thread.start()
    thread.join()
    assert "".join(stream.writes) == "loop\nthread\n"


async def test_a_flood_is_not_kept() -> None:
    """A turn that logs without end grows no memory."""
    stream = Stream()
    lines = Lines(stream)
    for _ in range(200):
        lines.write("x" * 1000)
    assert len("".join(stream.writes)) > 130_000
    assert max(map(len, stream.writes)) < 70_000


async def test_a_stream_that_is_gone_stops_nothing() -> None:
    """Nor is what could not be written kept for ever."""
    stream = Stream()
    lines = Lines(stream)
    stream.broken = True
    lines.write("lost\n")
    await asyncio.sleep(0)
    stream.broken = False
    lines.write("kept\n")
    await asyncio.sleep(0)
    assert stream.writes == ["kept\n"]
