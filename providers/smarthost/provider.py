"""
The `smarthost` adapter: what it can carry, and a letter's way through its connections.

Implements `providers.contract.provider.Provider`. The connections are `pool`'s; what became of a
letter is judged in `session` and `opening`; here a dead connection costs it one silent try.
"""

from __future__ import annotations

import asyncio
from functools import partial

from providers.contract.capabilities import MessageIds, ProviderCapabilities
from providers.contract.clock import Clock
from providers.contract.outcome import (
    Cause,
    DeliveryOutcome,
    DeliveryReport,
    DeliveryRequest,
    all_same,
    per_recipient,
)
from providers.contract.provider import ProbeResult
from providers.pacing import TokenBucket
from providers.smarthost.adaptation import unsupported
from providers.smarthost.dialogue import ConnectionLost, NoAnswer
from providers.smarthost.opening import build_tls_context
from providers.smarthost.pool import Pool, Turn, put_off
from providers.smarthost.reader import UnreadableReply
from providers.smarthost.replies import Phase, one_line, outcome_from_reply
from providers.smarthost.session import Session, Transaction
from providers.smarthost.settings import SmarthostSettings

# Every server must take that many (RFC 5321 4.5.3.1.8); more are often answered with 452.
_MAX_RECIPIENTS = 100


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
        self._pool = Pool(name, settings, build_tls_context(settings), clock)

    def __repr__(self) -> str:
        at = f"{self._settings.host}:{self._settings.port}"
        return f"<Smarthost {self.name} at {at}, {self._pool}>"

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
        report = None
        while report is None:
            try:
                turn = await self._pool.turn(request, when)
            except TimeoutError:
                return all_same(request, put_off("4.4.5", "all connections were busy"))
            try:
                report = await self._deliver(turn, when)
            finally:
                self._pool.leave()
        return report

    async def probe(self) -> ProbeResult:
        """
        Connect, encrypt, authenticate, say NOOP and QUIT; sends nothing to anybody.

        `detail` names the server, the version of TLS and the extensions, or what stands in the way.
        """
        when = self._moment(self._clock.monotonic() + self._settings.timeout.total_seconds())
        session = await self._pool.open(when)
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
        await self._pool.aclose()

    async def _deliver(self, turn: Turn, when: float) -> DeliveryReport | None:
        """Its turn; `None`: nothing was sent, for the connections that stand are all there are."""
        transaction = None
        session = turn.session or await self._pool.take_idle(when)
        if session is not None:
            transaction = await self._transact(session, turn, when)
        # A used connection found dead has taken nothing of this letter: one more try, unseen. It is
        # made on a new connection, for whatever ended one idle connection ended the others too.
        if transaction is None or transaction.found_dead:
            opened = await self._pool.open(when)
            if isinstance(opened, DeliveryOutcome):
                narrowed = self._pool.narrow(opened)
                return None if narrowed else all_same(turn.request, opened)
            transaction = await self._transact(opened, turn, when)
        return per_recipient(turn.request, transaction.outcomes, _remarks(transaction))

    async def _transact(self, session: Session, turn: Turn, when: float) -> Transaction:
        board = partial(self._pool.board, session)
        try:
            if turn.passenger is not None and session is turn.session:
                return await session.resume(turn.passenger, when, board)
            return await session.deliver(turn.request, when, board)
        finally:
            self._pool.give_back(session)

    def _moment(self, deadline: float) -> float:
        """A moment of our clock in the loop's time."""
        return asyncio.get_running_loop().time() + deadline - self._clock.monotonic()


def _remarks(transaction: Transaction) -> tuple[str, ...]:
    """Ids that are somebody's, and not ours to guess whose (provider reference, part D item 2)."""
    if not transaction.leftovers:
        return ()
    pairs = ", ".join(f"{address}:{id_}" for address, id_ in transaction.leftovers)
    return (f"the final reply names letters of no recipient: {one_line(pairs)}",)


def _capabilities(settings: SmarthostSettings) -> ProviderCapabilities:
    """Everything that MIME can say travels; the size is the server's to tell, at EHLO."""
    return ProviderCapabilities(
        max_recipients=_MAX_RECIPIENTS,
        max_message_octets=settings.max_message_size,
        connections=settings.connections,
        # For each letter on a connection one that boards it.
        letters_at_once=settings.connections * (2 if settings.overlap else 1),
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
