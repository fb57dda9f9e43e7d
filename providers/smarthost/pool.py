"""
The connections of one account: opened when needed, never more than allowed, closed when idle.

Whoever has a letter takes a turn. With a connection free, or room for one more, it is its turn at
once; else it waits for the next place, or boards a connection in use: its envelope leaves together
with the content of the letter before it. What a transaction is, is `session`'s business.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections import deque
from dataclasses import dataclass

from providers.contract.clock import Clock
from providers.contract.outcome import Cause, DeliveryOutcome, DeliveryRequest, Kind, Scope
from providers.smarthost.dialogue import ConnectionLost, NoAnswer
from providers.smarthost.opening import open_connection
from providers.smarthost.reader import UnreadableReply
from providers.smarthost.session import Passenger, Session
from providers.smarthost.settings import SmarthostSettings

CHECK_GRACE_S = 5.0  # a server that is there answers RSET well before
NARROWED_S = 60.0
"""For so long a server that turned a connection away beside others is asked for no more of them."""


@dataclass(eq=False, slots=True)
class Turn:
    """
    A letter's turn, or its wait for one.

    Attributes:
        request: The letter.
        when: Until when it waits at most, in the loop's time.
        given: Done when its turn has come; `None` where it came at once.
        passenger: What is on the wire of it already.
        session: The connection that it is on the wire of; `None`: it takes one of its own.
    """

    request: DeliveryRequest
    when: float
    given: asyncio.Future[Session | None] | None = None
    passenger: Passenger | None = None
    session: Session | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether it still waits."""
        return self.given is not None and not self.given.done()


class Pool:
    """
    The connections of one account, and the letters that wait for them.

    Args:
        name: Of the provider, for its tasks.
        settings: The account.
        tls_context: From `opening.build_tls_context`.
        clock: For idle connections.
    """

    def __init__(
        self,
        name: str,
        settings: SmarthostSettings,
        tls_context: ssl.SSLContext | None,
        clock: Clock,
    ) -> None:
        self._name = name
        self._settings = settings
        self._tls_context = tls_context
        self._clock = clock
        self._busy = 0  # letters that have their turn
        self._most = settings.connections
        self._narrow_until = -math.inf
        self._waiting: deque[Turn] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._aboard: dict[Session, Turn] = {}  # by the connection that carries another letter yet
        self._idle: deque[tuple[Session, float]] = deque()  # the one used last stands last
        self._sessions: set[Session] = set()  # all that are not closed yet
        self._reaper: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def __str__(self) -> str:
        return f"{len(self._sessions)} connections, {len(self._idle)} idle"

    # Turns.

    async def turn(self, request: DeliveryRequest, when: float) -> Turn:
        """
        Wait for a letter's turn; `leave` ends it.

        Args:
            request: The letter.
            when: Until when, in the loop's time.

        Raises:
            TimeoutError: It did not come in time; nothing was sent.
        """
        if self._has_place:
            self._busy += 1
            return Turn(request, when)
        given: asyncio.Future[Session | None] = asyncio.get_running_loop().create_future()
        turn = Turn(request, when, given)
        self._waiting.append(turn)
        self._look_at(when)
        try:
            turn.session = await given
        except BaseException:
            self._decline(given)
            raise
        return turn

    def leave(self) -> None:
        """A letter's turn is over: the next one's has come."""
        self._busy -= 1
        while self._waiting and self._has_place:
            given = self._waiting.popleft().given
            if given is not None and not given.done():
                self._busy += 1
                given.set_result(None)

    @property
    def _has_place(self) -> bool:
        if self._most < self._settings.connections and self._clock.monotonic() > self._narrow_until:
            self._most = self._settings.connections
        return self._busy < self._most

    def board(self, session: Session) -> Passenger | None:
        """The letter that shall go right behind the content of another, if one waits and can."""
        if not self._settings.overlap or self._is_worn(session) or self._closing.is_set():
            return None
        while self._waiting and not self._waiting[0].is_waiting:
            self._waiting.popleft()
        if not self._waiting:
            return None
        turn = self._waiting[0]
        try:
            turn.passenger = session.seat(turn.request)
        except ValueError:
            return None  # whatever is wrong with it is told when its own turn comes
        if turn.passenger is not None:
            self._waiting.popleft()
            self._aboard[session] = turn
        return turn.passenger

    def _look_at(self, when: float) -> None:
        """Look at that moment who has waited for too long; one timer serves all."""
        if when < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = when
            self._timer = asyncio.get_running_loop().call_at(when, self._expire)

    def _expire(self) -> None:
        self._timer, self._timer_at = None, math.inf
        now = asyncio.get_running_loop().time()
        for turn in (*self._waiting, *self._aboard.values()):
            if not turn.is_waiting or turn.given is None:
                continue
            if turn.when <= now:
                turn.given.set_exception(TimeoutError())
            else:
                self._look_at(turn.when)

    def _decline(self, given: asyncio.Future[Session | None]) -> None:
        """Whoever waited is gone: give back what was given meanwhile."""
        if given.cancelled() or not given.done() or given.exception() is not None:
            given.cancel()
            return
        session = given.result()
        if session is not None:
            session.abort()  # the envelope of nobody's letter is on it
        self.leave()

    # Connections.

    async def take_idle(self, when: float) -> Session | None:
        """The idle session used last, so that what is not needed ages; `None`: open another."""
        while self._idle:
            session, since = self._idle.pop()
            age = self._age(since)
            if not session.is_open or age >= self._idle_timeout:
                session.quit()
                continue
            unchecked = age < self._settings.idle_check.total_seconds()
            if unchecked or await self._answers(session, when):
                return session
        return None

    async def open(self, when: float) -> Session | DeliveryOutcome:
        """A new session, or why there is none."""
        if self._closing.is_set():
            return put_off("4.3.2", "the provider was closed")
        connection = await open_connection(self._settings, self._tls_context, when)
        if isinstance(connection, DeliveryOutcome):
            return connection
        session = Session(connection, chunking=self._settings.chunking)
        self._sessions.add(session)
        session.closed.add_done_callback(lambda _: self._sessions.discard(session))
        if self._closing.is_set():  # meanwhile
            session.abort()
        return session

    def narrow(self, refusal: DeliveryOutcome) -> bool:
        """
        Be content with the connections that others have, when the server turned one away.

        Returns:
            Whether there are others, so that it may be for their number: then the letter waits for
            its turn on one of them.
        """
        others = self._busy - 1
        if refusal.cause is not Cause.THROTTLED or not others:
            return False
        self._most = others
        self._narrow_until = self._clock.monotonic() + NARROWED_S
        return True

    def give_back(self, session: Session) -> None:
        """A letter is done with a session: whose envelope it carries goes on, else it idles."""
        turn = self._aboard.pop(session, None)
        if turn is not None and turn.given is not None:
            if turn.given.done():
                session.abort()  # it gave up, and its envelope is on the wire
            else:
                self._busy += 1
                turn.given.set_result(session if session.is_open else None)
                return
        if not session.is_open:
            return
        if self._closing.is_set() or self._is_worn(session):
            session.quit()
            return
        self._idle.append((session, self._clock.monotonic()))
        if self._reaper is None:
            self._reaper = asyncio.create_task(self._reap(), name=f"{self._name}: idle connections")

    async def aclose(self) -> None:
        """Part from the server on idle connections and break those in use; may be called twice."""
        self._closing.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        idle = {session for session, _ in self._idle}
        self._idle.clear()
        for session in tuple(self._sessions):
            if session in idle:
                session.quit()
            else:
                session.abort()
        if self._sessions:
            await asyncio.wait([session.closed for session in self._sessions])

    async def _answers(self, session: Session, when: float) -> bool:
        """
        Whether the server still knows a connection that was silent for long.

        A middlebox may have forgotten it without a word: a letter sent down there would wait for
        its deadline. Whoever does not answer at once is left.
        """
        grace = asyncio.get_running_loop().time() + CHECK_GRACE_S
        try:
            reply = await session.check("RSET", min(when, grace))
        except (ConnectionLost, NoAnswer, UnreadableReply):
            return False
        if not reply.is_positive:
            session.abort()
        return reply.is_positive

    async def _reap(self) -> None:
        """Part from the server on connections that were idle for too long, while there are any."""
        while self._idle:
            session, since = self._idle[0]
            left = self._idle_timeout - self._age(since)
            if left > 0:
                await self._clock.sleep(left)
            else:
                self._idle.popleft()
                session.quit()
        self._reaper = None

    def _is_worn(self, session: Session) -> bool:
        return session.letters >= self._settings.letters_per_connection

    def _age(self, since: float) -> float:
        return self._clock.monotonic() - since

    @property
    def _idle_timeout(self) -> float:
        return self._settings.idle_timeout.total_seconds()


def put_off(status: str, text: str) -> DeliveryOutcome:
    """Nothing was sent, and nothing is wrong with the letter."""
    return DeliveryOutcome(Kind.DEFERRED, Scope.PROVIDER, status, text)
