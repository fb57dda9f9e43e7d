"""
What the gateway asks of its spool.

Every engine passes the same contract suite (tests/contract/spool). Times are aware and in UTC;
queue ids are their text.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from gateway.domain.duplicates import Repeat
from gateway.domain.pauses import Pause, PauseKind
from gateway.errors import SpoolError
from gateway.spool.values import (
    AttemptStart,
    Change,
    Claimed,
    Erasure,
    Filter,
    Listed,
    NewLetter,
    Recovery,
    SpoolStats,
    Story,
)
from providers.contract.outcome import DeliveryOutcome


class Spool(Protocol):
    """
    Durable, and honest about it: what returns has reached the disk.

    Calls may run at once from many tasks of one event loop. A call that raises `SpoolFull` or
    `SpoolUnavailable` has changed nothing. Cancelling a call does not say whether it was done.
    """

    def trouble(self) -> SpoolError | None:
        """
        Why no letter should be taken now, `SpoolFull` among it; `None` when all is well.

        Synchronous and cheap: asked before every MAIL. Its reason is fit for the wire.
        """
        ...

    def new_queue_id(self, now: datetime) -> str:
        """A fresh queue id, greater than all this object gave out before; synchronous and cheap."""
        ...

    async def admit(self, letter: NewLetter) -> Repeat | None:
        """
        Store a letter; when this returns, it survives a power cut.

        Returns:
            `None` when it is stored for all its recipients. Where a letter with its mark is there,
            recipients that have that one (none that failed or was removed) are left out; where that
            is all of them, nothing is stored but a line in the story of the first.

        Raises:
            SpoolFull: No room; nothing is left of the letter.
            SpoolUnavailable: It cannot be written; nothing is left of the letter.
        """
        ...

    async def claim(
        self,
        provider: str,
        now: datetime,
        limit: int,
        *,
        urgent: int = 0,
        besides: frozenset[str] = frozenset(),
    ) -> Claimed:
        """
        Lease recipients that are due for this provider: the urgent first, then the longest due.

        Of the least urgent some are among them, so that they are never passed by for ever.

        Args:
            provider: Its name.
            now: The moment of asking.
            limit: Recipients at most.
            urgent: So many more of high priority.
            besides: Reverse-paths whose letters are left where they are; empty text stands for the
                null one.

        A claimed recipient is nobody else's until its lease lapses or it is recorded. One that is
        found `sending` with a lapsed lease is not claimed: its attempt is told as uncertain in the
        story, and it is `uncertain` from now on, due after the wait the store was opened with.
        """
        ...

    async def claim_strays(self, providers: frozenset[str], now: datetime, limit: int) -> Claimed:
        """Lease due recipients whose provider is none of these: the configuration has changed."""
        ...

    async def content(self, queue_id: str) -> bytes:
        """
        The content of a letter.

        Raises:
            UnknownQueueId: There is no such letter, or its content is gone.
            SpoolUnavailable: It cannot be read now.
        """
        ...

    async def start(self, starts: Sequence[AttemptStart]) -> frozenset[int]:
        """
        Record attempts of one letter before they are made: its recipients become `sending`.

        Returns:
            The keys that are not ours any more, or not as the caller believes; they must not be
            sent.

        Raises:
            ValueError: No attempt starts from such a state.
        """
        ...

    async def confirm(self, starts: Sequence[AttemptStart], now: datetime) -> frozenset[int]:
        """
        Keep the leases under attempts of one letter that were recorded and not made for a while.

        Returns:
            The keys that are not ours any more; they must not be sent.
        """
        ...

    async def record(
        self, changes: Sequence[Change], letters: Sequence[NewLetter] = ()
    ) -> frozenset[int]:
        """
        Record next states of one letter's recipients, with their stories.

        The content goes when the last recipient is settled. Every change ends the lease.

        Args:
            changes: Of one letter.
            letters: What follows from the changes (reports to its sender), admitted with them in
                one step: neither a crash nor a second holder can lose or double them.

        Returns:
            The keys that are not ours any more; their attempts are in the story all the same. With
            letters, nothing at all is written when there is such a key: what follows from the
            others is to be decided anew.

        Raises:
            ValueError: The transition table does not allow a move.
        """
        ...

    async def find_uncertain(
        self, provider: str, forward_path: str, since: datetime, until: datetime
    ) -> tuple[Listed, ...]:
        """
        Recipients whose answer of this provider is lost, for a sign that comes without an id.

        Args:
            provider: Who made the attempt.
            forward_path: The whole address, in any case.
            since: The attempt began then or later.
            until: The attempt began then or before.

        Returns:
            All there are, the longest ago first; more than one may fit, and `content` tells them
            apart. Walks what is not settled of this provider: fit for now and then, not for every
            letter.
        """
        ...

    async def settle(self, queue_id: str, key: int, outcome: DeliveryOutcome, at: datetime) -> bool:
        """
        Let an uncertain recipient be handed over, because the provider gave a sign that it has it.

        Needs no lease: one that waits in somebody's window is taken from it, as by a command by
        hand. One whose next attempt is on its way is left to that attempt.

        Args:
            queue_id: Of the letter.
            key: Of the recipient.
            outcome: An acceptance, with what is known of it. Whatever a provider tells of a letter
                proves that it took it, a later bounce too.
            at: When, for the story.

        Returns:
            Whether it was uncertain until now; nothing is changed where it was not.

        Raises:
            ValueError: The outcome is no acceptance.
            UnknownQueueId: It is none.
        """
        ...

    async def note(
        self,
        queue_id: str,
        lines: Sequence[tuple[int | None, str]],
        letters: Sequence[NewLetter] = (),
    ) -> None:
        """
        Add to a letter's story, whatever its recipients have become.

        Args:
            queue_id: Of the letter.
            lines: One line each, of a recipient by its key or of the whole letter.
            letters: What goes with them (reports), admitted in one step.
        """
        ...

    async def renew(self, leased: Sequence[tuple[str, int]], now: datetime) -> None:
        """Keep the leases on these recipients (queue id and key), so far as they are ours."""
        ...

    async def give_back(self, leased: Sequence[tuple[str, int]]) -> None:
        """Let go of recipients that were claimed and not tried; they are as they were before."""
        ...

    async def recover(self, now: datetime) -> Recovery:
        """
        Make ready after a start.

        On an engine that one gateway has for itself, leases of its former life are let go and
        attempts it had begun are cut short at once, as `claim` does with lapsed ones; where
        gateways share the spool, leases lapse by themselves.
        """
        ...

    async def hold(self, wanted: Filter, now: datetime) -> int:
        """
        Set waiting and uncertain recipients aside until released; returns how many.

        As with all commands by hand, what is being sent is left alone, and what waits in a holder's
        window is taken from it: its `start` finds that it is lost.
        """
        ...

    async def release(self, wanted: Filter, now: datetime) -> int:
        """Let held recipients wait again, due at once; returns how many."""
        ...

    async def retry(self, wanted: Filter, now: datetime) -> int:
        """Let waiting and uncertain recipients wait, due at once; returns how many."""
        ...

    async def remove(self, wanted: Filter, now: datetime) -> int:
        """Take waiting, uncertain and held recipients out for good; returns how many."""
        ...

    async def erase(self, address: str, now: datetime) -> Erasure:
        """
        Take an address, in any case, out of all records; what waits for it is removed.

        States, moments, status codes and counts stay. A letter that has other recipients to be
        settled keeps its content until they are.
        """
        ...

    async def scrub(self) -> bool:
        """
        Overwrite, on the disk too, what was deleted and changed by this object.

        Returns:
            False where others kept the store from it for now; it is done with the time.
        """
        ...

    async def pause(self, pause: Pause) -> bool:
        """
        Keep a pause until `resume`; whether it is new. One that is there gets the newer reason.

        Every gateway on this spool sees it when it next asks for `pauses`.
        """
        ...

    async def resume(self, kind: PauseKind, name: str) -> bool:
        """End a pause; whether there was one. Gateways that see it call `wake`."""
        ...

    async def pauses(self) -> tuple[Pause, ...]:
        """All pauses, by kind and name."""
        ...

    @property
    def shared(self) -> bool:
        """Whether several gateways may have it open at once."""
        ...

    async def reserve_places(
        self, provider: str, earliest: datetime, interval: timedelta, count: int
    ) -> datetime:
        """
        Take places in the pace of a provider's account, which all gateways on this spool share.

        Args:
            provider: Its name, the same at all gateways.
            earliest: None of them lies before.
            interval: How far they, and whoever comes next, are apart.
            count: How many.

        Returns:
            The moment of the first; the others follow at the interval.
        """
        ...

    async def wake(self, now: datetime, spared: frozenset[str] = frozenset()) -> int:
        """
        Make due at once what waits for the end of a pause, whichever it was; how many.

        Recipients of the providers in `spared`, which are paused still, sleep on.
        """
        ...

    async def list(self, wanted: Filter, limit: int) -> tuple[Listed, ...]:
        """Recipients, the oldest letter first; settled ones only when the filter names a state."""
        ...

    async def find(self, text: str, limit: int, *, before: str = "") -> tuple[str, ...]:
        """
        Queue ids of letters that `text` names, the newest first; only those before a queue id.

        It may be a queue id, a Message-ID with or without angle brackets, a provider's id, or an
        address of the envelope.
        """
        ...

    async def story(self, queue_id: str) -> Story:
        """
        All that is known of a letter.

        Raises:
            UnknownQueueId: There is no such letter.
        """
        ...

    async def stats(self, now: datetime) -> SpoolStats:
        """Counts; reads the active part only, so its cost grows with the backlog alone."""
        ...

    async def purge(self, arrived_before: datetime) -> int:
        """Forget letters that are settled and arrived before; returns how many."""
        ...

    async def forget_marks(self, arrived_before: datetime, most: int) -> int:
        """
        Forget what letters are known by when they come again; returns of how many.

        Args:
            arrived_before: Of those that arrived before.
            most: Of all but so many of the others, the latest.
        """
        ...

    async def aclose(self) -> None:
        """Finish what waits, then close; may be called twice."""
        ...
