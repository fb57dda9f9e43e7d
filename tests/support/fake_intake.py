"""An intake that keeps what it is given, and does on demand what a real one does on a bad day."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.ingress import replies
from gateway.ingress.submission import Reply, Submission, Verdict


class FakeIntake:
    """
    Records submissions; answers 250 with a queue id that counts from `Q0001`.

    Attributes:
        submissions: What was taken, in order; a letter whose taking raised or hangs is not in it.
        refused: The reply to MAIL, while it is set.
        reply: Given in place of the 250, while it is set.
        verdict: Given in place of any reply, while it is set.
        error: Raised by `take`, while it is set.
        gate: Letters wait here; closed by `hang`, opened by `go_on`.
    """

    def __init__(self) -> None:
        self.submissions: list[Submission] = []
        self.refused: Reply | None = None
        self.reply: Reply | None = None
        self.verdict: Verdict | None = None
        self.error: BaseException | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0
        self._changed = asyncio.Event()

    def refusal(self) -> Reply | None:
        return self.refused

    async def take(self, submission: Submission) -> Reply | Verdict:
        self.waiting += 1
        self._changed.set()
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
            self._changed.set()
        if self.error is not None:
            raise self.error
        if self.reply is not None:
            return self.reply
        self.submissions.append(submission)
        self._changed.set()
        if self.verdict is not None:
            return self.verdict
        return replies.queued_as(f"Q{len(self.submissions):04}")

    def hang(self) -> None:
        """Let letters wait from now on."""
        self.gate.clear()

    def go_on(self) -> None:
        """Let them through."""
        self.gate.set()

    @property
    def contents(self) -> list[bytes]:
        return [submission.content for submission in self.submissions]

    async def wait_until(self, enough: Callable[[FakeIntake], bool]) -> None:
        """Wait until `enough` holds; a TimeoutError after a minute."""
        async with asyncio.timeout(60):
            while not enough(self):
                self._changed.clear()
                await self._changed.wait()
