"""
The `smarthost` adapter: a pool of sessions to one account, and what it can carry.

Implements `providers.contract.provider.Provider`. Connections are opened when letters need them,
never more than configured, kept while they are used and closed when they idle. What became of a
letter is judged below, in `session` and `opening`; here a dead connection costs it one silent try.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from providers.contract.capabilities import MessageIds, ProviderCapabilities
from providers.contract.clock import Clock
from providers.contract.outcome import (
    Cause,
    DeliveryOutcome,
    DeliveryReport,
    DeliveryRequest,
    Kind,
    Scope,
    all_same,
    per_recipient,
)
from providers.contract.provider import ProbeResult
from providers.pacing import TokenBucket
from providers.smarthost.adaptation import unsupported
from providers.smarthost.dialogue import ConnectionLost, NoAnswer
from providers.smarthost.opening import build_tls_context, open_connection
from providers.smarthost.reader import UnreadableReply
from providers.smarthost.replies import Phase, one_line, outcome_from_reply
from providers.smarthost.session import Session, Transaction
from providers.smarthost.settings import SmarthostSettings

_log = logging.getLogger(__name__)

# Every server must take that many (RFC 5321 4.5.3.1.8); more are often answered with 452.
_MAX_RECIPIENTS = 100
_CHECK_GRACE_S = 5.0  # a server that is there answers RSET well before


class Smarthost:
    """
    One account at an SMTP smarthost.

    Args:
        name: The name in the configuration.
        settings: The account.
        clock: For deadlines and idle connections.

    Raises:
        ProviderConfigError: The private CA cannot be read.
    """

    kind = "smarthost"

    def __init__(self, name: str, settings: SmarthostSettings, clock: Clock) -> None:
        self.name = name
        self.capabilities = _capabilities(settings)
        self.pace = TokenBucket(settings.rate)
        self._settings = settings
        self._clock = clock
        self._tls_context = build_tls_context(settings)
        self._slots = asyncio.Semaphore(settings.connections)
        self._idle: deque[tuple[Session, float]] = deque()  # the one used last stands last
        self._sessions: set[Session] = set()  # all that are not closed yet
        self._reaper: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def __repr__(self) -> str:
        return (
            f"<Smarthost {self.name} at {self._settings.host}:{self._settings.port}, "
            f"{len(self._sessions)} connections, {len(self._idle)} idle>"
        )

    async def deliver(self, request: DeliveryRequest, *, deadline: float) -> DeliveryReport:
        """
        Hand over one letter, in one transaction for all its recipients.

        Args:
            request: At most `capabilities.max_recipients` recipients.
            deadline: Seconds of the clock's `monotonic`; after it the report is made of what is
                known by then.

        Returns:
            One outcome per recipient.

        On cancellation the connection in use is broken and never used again; whether the letter was
        accepted is then unknown.
        """
        cap = self.capabilities.max_message_octets
        if cap is not None and request.message.size > cap:
            text = f"{request.message.size} octets, at most {cap} are taken"
            return all_same(request, unsupported("5.3.4", text))
        when = self._moment(deadline)
        if self._slots.locked():
            try:
                async with asyncio.timeout_at(when):
                    await self._slots.acquire()
            except TimeoutError:
                return all_same(request, _put_off("4.4.5", "all connections were busy"))
        else:
            await self._slots.acquire()  # at once
        try:
            return await self._deliver(request, when)
        finally:
            self._slots.release()

    async def probe(self) -> ProbeResult:
        """
        Connect, encrypt, authenticate, say NOOP and QUIT; sends nothing to anybody.

        `detail` names the server, the version of TLS and the extensions, or what stands in the way.
        """
        when = self._moment(self._clock.monotonic() + self._settings.timeout.total_seconds())
        session = await self._open(when)
        if isinstance(session, DeliveryOutcome):
            return ProbeResult(ok=False, detail=session.diagnostic, cause=session.cause)
        try:
            reply = await session.check("NOOP", when)
        except (ConnectionLost, NoAnswer, UnreadableReply) as error:
            text = f"{session.peer}: {str(error) or 'no answer in time'}"
            return ProbeResult(ok=False, detail=text, cause=Cause.UNREACHABLE)
        session.quit()
        await asyncio.shield(session.closed)
        if not reply.is_positive:
            cause = outcome_from_reply(Phase.EHLO, reply).cause
            return ProbeResult(ok=False, detail=f"{session.peer}: {reply}", cause=cause)
        return ProbeResult(ok=True, detail=session.peer)

    async def aclose(self) -> None:
        """Part from the server on idle connections and break those in use; may be called twice."""
        self._closing.set()
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

    # One letter.

    async def _deliver(self, request: DeliveryRequest, when: float) -> DeliveryReport:
        transaction = None
        session = await self._take_idle(when)
        if session is not None:
            transaction = await session.deliver(request, when)
            self._give_back(session)
        # A used connection found dead has taken nothing of this letter: one more try, unseen. It is
        # made on a new connection, for whatever ended one idle connection ended the others too.
        if transaction is None or transaction.found_dead:
            opened = await self._open(when)
            if isinstance(opened, DeliveryOutcome):
                return all_same(request, opened)
            transaction = await opened.deliver(request, when)
            self._give_back(opened)
        if transaction.leftovers:
            self._tell_leftovers(transaction)
        return per_recipient(request, transaction.outcomes)

    def _tell_leftovers(self, transaction: Transaction) -> None:
        """Somebody's ids, and not ours to guess whose (provider reference, part D item 2)."""
        pairs = ", ".join(f"{address}:{id_}" for address, id_ in transaction.leftovers)
        _log.warning(
            "%s: %s: the final reply names letters of no recipient: %s",
            self.name,
            transaction.request.queue_id,
            one_line(pairs),
        )

    def _moment(self, deadline: float) -> float:
        """A moment of our clock in the loop's time."""
        return asyncio.get_running_loop().time() + deadline - self._clock.monotonic()

    # The pool.

    async def _open(self, when: float) -> Session | DeliveryOutcome:
        if self._closing.is_set():
            return _put_off("4.3.2", "the provider was closed")
        connection = await open_connection(self._settings, self._tls_context, when)
        if isinstance(connection, DeliveryOutcome):
            return connection
        session = Session(connection, chunking=self._settings.chunking)
        self._sessions.add(session)
        session.closed.add_done_callback(lambda _: self._sessions.discard(session))
        if self._closing.is_set():  # meanwhile
            session.abort()
        return session

    async def _take_idle(self, when: float) -> Session | None:
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

    async def _answers(self, session: Session, when: float) -> bool:
        """
        Whether the server still knows a connection that was silent for long.

        A middlebox may have forgotten it without a word: a letter sent down there would wait for
        its deadline. Whoever does not answer at once is left.
        """
        grace = asyncio.get_running_loop().time() + _CHECK_GRACE_S
        try:
            reply = await session.check("RSET", min(when, grace))
        except (ConnectionLost, NoAnswer, UnreadableReply):
            return False
        if not reply.is_positive:
            session.abort()
        return reply.is_positive

    def _give_back(self, session: Session) -> None:
        if not session.is_open:
            return
        if self._closing.is_set() or session.letters >= self._settings.letters_per_connection:
            session.quit()
            return
        self._idle.append((session, self._clock.monotonic()))
        if self._reaper is None:
            self._reaper = asyncio.create_task(self._reap(), name=f"{self.name}: idle connections")

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

    def _age(self, since: float) -> float:
        return self._clock.monotonic() - since

    @property
    def _idle_timeout(self) -> float:
        return self._settings.idle_timeout.total_seconds()


def _capabilities(settings: SmarthostSettings) -> ProviderCapabilities:
    """Everything that MIME can say travels; the size is the server's to tell, at EHLO."""
    return ProviderCapabilities(
        max_recipients=_MAX_RECIPIENTS,
        max_message_octets=settings.max_message_size,
        connections=settings.connections,
        rate=settings.rate,
        raw_mime=True,
        null_reverse_path=settings.null_reverse_path,
        smtputf8=True,
        text_beside_html=True,
        inline_parts=True,
        calendar=True,
        reply_to=True,
        list_unsubscribe=True,
        other_recipients=True,
        passed_header_fields=True,
        message_ids=MessageIds.RECIPIENT if settings.preset == "msndr" else MessageIds.NONE,
        assumed=frozenset({"max_recipients", "smtputf8"}),
    )


def _put_off(status: str, text: str) -> DeliveryOutcome:
    return DeliveryOutcome(Kind.DEFERRED, Scope.PROVIDER, status, text)
