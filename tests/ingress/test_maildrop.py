"""Letters left in the folder: whole or not there, taken once, odd files set aside."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.ingress import dropped as dropped_module
from gateway.ingress import replies
from gateway.ingress.dropped import NotALetter, drop, read
from gateway.ingress.maildrop import LISTENER, Maildrop
from gateway.ingress.submission import Reply
from providers.contract.envelope import BodyType, Envelope, Notify, Ret
from tests.support.builders import an_envelope
from tests.support.fake_intake import FakeIntake

CONTENT = b"Subject: a\r\n\r\nhi\r\n"


class Place:
    """A maildrop before an intake that records."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.intake = FakeIntake()
        self.replies: list[Reply] = []
        self.maildrop = Maildrop(
            folder=folder,
            intake=self.intake,
            max_octets=1000,
            max_recipients=3,
            clock=SystemClock(),
            replied=lambda _listener, reply: self.replies.append(reply),
        )

    def names(self) -> list[str]:
        return sorted(path.suffix for path in self.folder.iterdir())


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "maildrop")
    assert await made.maildrop.collect() == 0
    return made


@pytest.mark.parametrize(
    "envelope",
    [
        an_envelope(),
        an_envelope("a@x.example", "b@x.example", reverse_path=None),
        an_envelope("ü@x.example", smtputf8=True, body=BodyType.EIGHT_BIT_MIME),
        an_envelope(ret=Ret.FULL, envid="QQ1", notify=frozenset({Notify.SUCCESS})),
        an_envelope(notify=frozenset({Notify.NEVER})),
    ],
)
def test_what_is_left_is_what_is_read(tmp_path: Path, envelope: Envelope) -> None:
    """Nothing of an envelope is lost on the way through the file."""
    found = read(drop(tmp_path, envelope, CONTENT), 1000, 10)
    assert (found.envelope, found.content, found.owner) == (envelope, CONTENT, os.getuid())


async def test_left_letters_are_taken_in_their_order(place: Place) -> None:
    """The oldest first, each once; who left them stands in the story."""
    for n in range(3):
        drop(place.folder, an_envelope(f"r{n}@example.org"), CONTENT)
    assert await place.maildrop.collect() == 3
    assert [
        str(submission.envelope.recipients[0].forward_path)
        for submission in place.intake.submissions
    ] == ["r0@example.org", "r1@example.org", "r2@example.org"]
    (submission, *_) = place.intake.submissions
    assert (submission.listener, submission.content) == (LISTENER, CONTENT)
    assert "a local socket (" in str(submission.client)
    assert place.names() == []
    assert await place.maildrop.collect() == 0
    assert [reply.code for reply in place.replies] == [250, 250, 250]


async def test_what_cannot_be_taken_now_stays(place: Place) -> None:
    """A full spool: nothing is lost, nothing is tried for each file."""
    for _ in range(2):
        drop(place.folder, an_envelope(), CONTENT)
    place.intake.reply = replies.SPOOL_FULL
    assert await place.maildrop.collect() == 0
    assert len(place.replies) == 1
    place.intake.reply = None
    place.intake.refused = replies.spool_unhealthy("no room", full=True)
    assert await place.maildrop.collect() == 0
    assert place.names() == [".letter", ".letter"]
    place.intake.refused = None
    assert await place.maildrop.collect() == 2


async def test_a_refused_letter_is_set_aside(place: Place) -> None:
    """It is not sent and not lost: the file stays under another name, and the log says why."""
    drop(place.folder, an_envelope(), CONTENT)
    place.intake.reply = replies.cannot_be_carried("no attachments")
    assert await place.maildrop.collect() == 1
    assert place.names() == [".refused"]
    place.intake.reply = None
    assert await place.maildrop.collect() == 0


async def test_a_verdict_is_not_waited_for(place: Place) -> None:
    """Nobody is there to hear it: the letter is durable, the next one has its turn."""

    class Never:
        def __init__(self) -> None:
            self.left = asyncio.Event()

        async def reply(self, client_left: Callable[[], bool]) -> Reply:
            if client_left():
                self.left.set()
            await asyncio.Event().wait()
            raise AssertionError

    verdict = place.intake.verdict = Never()
    drop(place.folder, an_envelope(), CONTENT)
    assert await place.maildrop.collect() == 1
    assert place.names() == []
    async with asyncio.timeout(60):
        await verdict.left.wait()
    for task in place.maildrop._verdicts:
        task.cancel()


def _hard_link(path: Path) -> None:
    os.link(path, path.with_suffix(".other"))


def _symlink(path: Path) -> None:
    moved = path.rename(path.with_suffix(".other"))
    path.symlink_to(moved)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _envelope(**changed: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        line, _, content = path.read_bytes().partition(b"\n")
        path.write_bytes(json.dumps({**json.loads(line), **changed}).encode() + b"\n" + content)

    return change


@pytest.mark.parametrize(
    "spoil",
    [
        _hard_link,
        _symlink,
        _fifo,
        _folder,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not json\n" + CONTENT),
        lambda path: path.write_bytes(b"[" * 100_000 + b"\n" + CONTENT),
        lambda path: path.write_bytes(path.read_bytes() + b"x" * 1000),
        _envelope(version=2),
        _envelope(recipients=[]),
        _envelope(recipients=["no address"]),
        _envelope(recipients="a@x.example"),
        _envelope(recipients=[f"r{n}@x.example" for n in range(4)]),
        _envelope(reverse_path=7),
        _envelope(notify=["SOMETIMES"]),
        _envelope(body="9BIT"),
        _envelope(ret="ALL"),
    ],
)
async def test_whoever_wrote_it_is_not_trusted(place: Place, spoil: Callable[[Path], None]) -> None:
    """Links, pipes, rubbish, too much: set aside, and the next letter is taken."""
    spoil(drop(place.folder, an_envelope(), CONTENT))
    drop(place.folder, an_envelope("next@example.org"), CONTENT)
    assert await place.maildrop.collect() == 2
    assert [
        str(submission.envelope.recipients[0].forward_path)
        for submission in place.intake.submissions
    ] == ["next@example.org"]
    assert ".refused" in place.names()
    assert ".letter" not in place.names()


async def test_line_ends_are_made_whole(place: Place) -> None:
    """T18: a file's bare LF and CR go no further than a client's do."""
    path = drop(place.folder, an_envelope(), b"")
    path.write_bytes(path.read_bytes() + b"a\nb\rc\r\n.\nd")
    await place.maildrop.collect()
    assert place.intake.contents == [b"a\r\nb\r\nc\r\n.\r\nd\r\n"]


async def test_what_is_being_written_is_not_looked_at(place: Place) -> None:
    """Until it has its name; what was begun a day ago will never get one."""
    fresh, old = place.folder / "a.part", place.folder / "b.part"
    fresh.touch()
    old.touch()
    os.utime(old, (0, 0))
    assert await place.maildrop.collect() == 0
    assert [path.name for path in place.folder.iterdir()] == ["a.part"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T1: a disk that cannot sync is told to the caller, and no half letter lies there."""

    def fails(_file: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(dropped_module.os, "fsync", fails)
    with pytest.raises(OSError, match="Input/output"):
        drop(tmp_path, an_envelope(), CONTENT)
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_synced_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T13: file, name, folder, in this order."""
    seen: list[str] = []
    fsync = os.fsync

    def watched(file: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file"
        seen.append(f"{kind} with {[path.suffix for path in tmp_path.iterdir()]}")
        fsync(file)

    monkeypatch.setattr(dropped_module.os, "fsync", watched)
    drop(tmp_path, an_envelope(), CONTENT)
    assert seen == ["file with ['.part']", "folder with ['.letter']"]


def test_permissions_follow_the_folder(tmp_path: Path) -> None:
    """One's own alone, or the group's that the operator gave the folder."""
    own = drop(tmp_path, an_envelope(), CONTENT)
    assert stat.S_IMODE(own.stat().st_mode) == 0o600
    tmp_path.chmod(0o2770)
    shared = drop(tmp_path, an_envelope(), CONTENT)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o640


async def test_trouble_with_the_folder_passes(tmp_path: Path) -> None:
    """A file in the folder's place: told, and looked at again."""
    place = Place(tmp_path / "maildrop")
    place.folder.write_text("in the way")
    with pytest.raises(OSError, match="maildrop"):
        await place.maildrop.collect()
    place.folder.unlink()
    assert await place.maildrop.collect() == 0


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """No more than a letter's size is ever held."""
    path = drop(tmp_path, an_envelope(), b"x" * 2000)
    with pytest.raises(NotALetter, match="larger than 1000"):
        read(path, 1000, 10)
