"""
The maildrop: letters that local programs left while nobody listened, taken when somebody does.

Looks into its folder at the start and every second. A letter goes the way of all others, by
`intake`, and its file goes when it is in the spool; a crash in between has the letter taken again,
which the duplicate guard finds. What cannot be taken is set aside under another name.
"""

from __future__ import annotations

import asyncio
import contextlib
import pwd
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from gateway.ingress.dropped import SUFFIX, UNFINISHED, Dropped, NotALetter, read
from gateway.ingress.replies import Reason
from gateway.ingress.submission import Client, Intake, Reply, Submission
from providers.contract.clock import Clock

log = structlog.get_logger("gateway.ingress")

LISTENER = "maildrop"
"""The name that its letters have in place of a listener's, in routes, log and metrics."""

REFUSED = ".refused"

_LOOK_AGAIN_S = 1.0
_AT_ONCE = 100
_ABANDONED_S = 86400.0


@dataclass(slots=True)
class Maildrop:
    """
    Takes what lies in a folder.

    Attributes:
        folder: Made at the start where it is missing, for our own user alone.
        intake: Takes letters.
        max_octets: Of a letter's content.
        max_recipients: Of a letter.
        clock: For the wait between two looks.
        replied: Told of every reply that a client would have had.
    """

    folder: Path
    intake: Intake
    max_octets: int
    max_recipients: int
    clock: Clock
    replied: Callable[[str, Reply], None]
    _trouble: str = ""
    _verdicts: set[asyncio.Task[Reply]] = field(default_factory=set)

    def make_ready(self) -> None:
        """Make the folder, so that programs may leave letters from now on; `run` tells trouble."""
        with contextlib.suppress(OSError):
            self._make_folder()

    async def run(self) -> None:
        """Look until cancelled; trouble with the folder is told once, and looked past."""
        while True:
            try:
                while await self.collect() == _AT_ONCE:
                    pass
                self._trouble = ""
            except OSError as error:
                trouble = f"{error.filename or self.folder}: {error.strerror}"
                if trouble != self._trouble:
                    log.error("maildrop_unreadable", reason=trouble)  # noqa: TRY400 - for people
                self._trouble = trouble
            await self.clock.sleep(_LOOK_AGAIN_S)

    async def collect(self) -> int:
        """
        Take what lies there, the oldest first, so far as letters are taken now.

        Returns:
            How many files were dealt with, at most a hundred.

        Raises:
            OSError: The folder cannot be read or changed.
        """
        done = 0
        for path in await asyncio.to_thread(self._waiting):
            if self.intake.refusal() is not None or not await self._deal_with(path):
                break
            done += 1
        return done

    async def _deal_with(self, path: Path) -> bool:
        """Take one letter, or set it aside; `False`: it stays where it is, for later."""
        try:
            dropped = await asyncio.to_thread(read, path, self.max_octets, self.max_recipients)
        except FileNotFoundError:
            return True
        except (NotALetter, OSError) as error:
            reason = str(error) if isinstance(error, NotALetter) else error.strerror
            await self._set_aside(path, reason or "it cannot be read")
            return True
        reply = await self._take(dropped)
        self.replied(LISTENER, reply)
        if 400 <= reply.code < 500:
            return False
        if reply.code >= 500:
            await self._set_aside(path, f"{reply.code} {reply.status} {reply.text}")
        else:
            await asyncio.to_thread(path.unlink, missing_ok=True)
        return True

    async def _take(self, dropped: Dropped) -> Reply:
        client = Client(address="", helo=_name_of(dropped.owner), esmtp=False)
        submission = Submission(dropped.envelope, dropped.content, LISTENER, client)
        taken = await self.intake.take(submission)
        if isinstance(taken, Reply):
            return taken
        # It is durable. Whoever left it hears of a verdict as of any later one: by report.
        verdict = asyncio.create_task(taken.reply(lambda: True))
        self._verdicts.add(verdict)
        verdict.add_done_callback(self._verdicts.discard)
        return _TAKEN

    async def _set_aside(self, path: Path, reason: str) -> None:
        aside = path.with_suffix(REFUSED)
        log.error("maildrop_refused", file=str(aside), reason=reason)
        await asyncio.to_thread(path.rename, aside)

    def _waiting(self) -> list[Path]:
        """Letters that are whole, the oldest first; what was begun and left for a day goes."""
        self._make_folder()
        whole = []
        for path in self.folder.iterdir():
            if path.suffix == SUFFIX:
                whole.append(path)
            elif path.suffix == UNFINISHED and _age_s(path) > _ABANDONED_S:
                path.unlink(missing_ok=True)
        return sorted(whole)[:_AT_ONCE]

    def _make_folder(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)


_TAKEN = Reply(250, "2.0.0", "Ok", Reason.QUEUED)


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def _name_of(owner: int) -> str:
    """The login name of a user id, or its number where it has none."""
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return str(owner)
