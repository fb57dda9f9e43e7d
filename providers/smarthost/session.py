"""
One SMTP session: letters handed over one after another, each as a transaction of its own.

Remembers how far the transaction in hand has come, so that *not sent*, *refused* and *uncertain*
are never mixed. What a reply or its absence means is asked of `replies`, what goes on the wire of
`commands`; the octets travel through a `Dialogue`. It must not know pools, settings or retries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from providers.contract.envelope import Recipient
from providers.contract.outcome import DeliveryOutcome, DeliveryRequest
from providers.smarthost.adaptation import AdaptedLetter, adapt, as_it_is, find_obstacle
from providers.smarthost.commands import (
    build_bdat,
    build_content,
    build_mail,
    build_rcpt,
    in_chunks,
)
from providers.smarthost.dialogue import AT_ONCE, ConnectionLost, NoAnswer
from providers.smarthost.opening import Connection
from providers.smarthost.reader import UnreadableReply
from providers.smarthost.replies import (
    Phase,
    Reply,
    name_letters,
    outcome_from_acceptance,
    outcome_from_garbage,
    outcome_from_reply,
    outcome_from_silence,
)

# From here on a letter goes in chunks where the server takes them. A smaller one gains nothing: its
# content is one write in either way.
CHUNKING_PAYS = 256 << 10
_CHUNK = 1 << 20  # octets between two answers of a server that may not want the rest
_IN_A_THREAD = 256 << 10  # a letter this large is rewritten beside the event loop


@dataclass(slots=True)
class Transaction:
    """
    A letter's way through one session.

    Attributes:
        request: What was asked for.
        outcomes: By recipient key; complete once `Session.deliver` has returned.
        phase: How far it has come.
        answered: Whether the server answered anything of it.
        found_dead: The connection broke before any answer, and so nothing was accepted.
        leftovers: Pairs of the final reply that belong to none of the recipients.
    """

    request: DeliveryRequest
    outcomes: dict[int, DeliveryOutcome] = field(default_factory=dict)
    phase: Phase = Phase.MAIL
    answered: bool = False
    found_dead: bool = False
    leftovers: tuple[tuple[str, str], ...] = ()

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """Of this attempt, in their order."""
        return self.request.envelope.recipients

    def settle(self, outcome: DeliveryOutcome) -> None:
        """The same outcome for every recipient that has none yet."""
        for recipient in self.recipients:
            self.outcomes.setdefault(recipient.key, outcome)


@dataclass(frozen=True, slots=True)
class Passenger:
    """
    A letter whose envelope leaves behind the content of another.

    `commands` are that envelope, with DATA at its end where `data` says so.
    """

    letter: AdaptedLetter
    transaction: Transaction
    commands: tuple[str, ...]
    data: bool


Board = Callable[[], Passenger | None]
"""Asked when content is about to leave: who else shall go along."""


class _Closing(Exception):
    """The server said 421: it answers this command and no other (RFC 5321 3.8)."""


class Session:
    """
    An open connection, used by one letter at a time; the next one's envelope may be under way.

    Args:
        connection: From `opening`.
        chunking: Whether large letters go by BDAT where that is offered (RFC 3030).

    Attributes:
        letters: How many it was given so far.
    """

    def __init__(self, connection: Connection, *, chunking: bool = True) -> None:
        self._dialogue = connection.dialogue
        self._offered = connection.offered
        self._pipelines = "pipelining" in connection.offered
        self._chunks = chunking and "chunking" in connection.offered
        self.peer = connection.peer
        self.closed = connection.dialogue.closed
        self.letters = 0

    @property
    def is_open(self) -> bool:
        """Whether another letter can be sent, so far as is known on this side."""
        return self._dialogue.is_open

    async def deliver(
        self, request: DeliveryRequest, when: float, board: Board = lambda: None
    ) -> Transaction:
        """
        Hand over one letter.

        Args:
            request: The letter and its recipients.
            when: Until when, in the loop's time; at that moment the connection is broken and what
                is known by then is the result.
            board: Who may go along. A passenger is on the wire once this returns, as long as the
                session is open: then it must be resumed, and nothing else may be sent.

        Returns:
            The transaction, with an outcome for every recipient.

        On cancellation the connection is broken.
        """
        self.letters += 1
        transaction = Transaction(request)
        await self._judged(transaction, when, self._begin(transaction, board))
        return transaction

    def seat(self, request: DeliveryRequest) -> Passenger | None:
        """
        The letter as a passenger, if this server takes it as it is and pipelines.

        Raises:
            ValueError: A path holds a control character.
        """
        letter = as_it_is(request.message, request.envelope, self._offered)
        if not self._pipelines or letter is None or find_obstacle(letter, self._offered):
            return None
        data = not self._goes_in_chunks(letter)
        transaction = Transaction(request)
        commands = self._envelope(transaction, letter, data=data)
        return Passenger(letter, transaction, commands, data)

    async def resume(
        self, passenger: Passenger, when: float, board: Board = lambda: None
    ) -> Transaction:
        """Go on with a letter whose envelope is on the wire; see `deliver`."""
        self.letters += 1
        await self._judged(passenger.transaction, when, self._go_on(passenger, board))
        return passenger.transaction

    async def _judged(
        self, transaction: Transaction, when: float, work: Coroutine[None, None, None]
    ) -> None:
        """Do the work until the moment `when`; what goes wrong settles the transaction."""
        self._dialogue.set_deadline(when)
        try:
            await work
        except _Closing:
            self.abort()
        except ConnectionLost as error:
            self.abort()
            transaction.found_dead = not transaction.answered
            transaction.settle(outcome_from_silence(transaction.phase, "4.4.2", str(error)))
        except NoAnswer:
            self.abort()
            text = f"no answer to {transaction.phase} in time"
            transaction.settle(outcome_from_silence(transaction.phase, "4.4.2", text))
        except UnreadableReply as error:
            self.abort()
            transaction.settle(outcome_from_garbage(transaction.phase, str(error)))
        except BaseException:
            self.abort()
            raise
        self._dialogue.clear_deadline()

    async def check(self, command: str, when: float) -> Reply:
        """
        Say NOOP or RSET; after any exception and on cancellation the connection is broken.

        Raises:
            ConnectionLost: The connection went before the answer came.
            NoAnswer: So did the moment `when`.
            UnreadableReply: What came is no reply.
        """
        self._dialogue.set_deadline(when)
        try:
            self._dialogue.send(command)
            reply = await self._dialogue.reply()
        except BaseException:
            self.abort()
            raise
        self._dialogue.clear_deadline()
        return reply

    def quit(self) -> None:
        """Part politely; returns at once, `closed` tells when it is done."""
        self._dialogue.quit()

    def abort(self) -> None:
        """Break the connection."""
        self._dialogue.abort()

    # The transaction.

    async def _adapted(self, request: DeliveryRequest) -> AdaptedLetter | DeliveryOutcome:
        """The letter as this server takes it, or why it cannot."""
        message, envelope = request.message, request.envelope
        letter: AdaptedLetter | DeliveryOutcome | None
        letter = as_it_is(message, envelope, self._offered)
        if letter is None:
            if message.size > _IN_A_THREAD:
                letter = await asyncio.to_thread(adapt, message, envelope, self._offered)
            else:
                letter = adapt(message, envelope, self._offered)
        if isinstance(letter, DeliveryOutcome):
            return letter
        return find_obstacle(letter, self._offered) or letter

    async def _begin(self, transaction: Transaction, board: Board) -> None:
        letter = await self._adapted(transaction.request)
        if isinstance(letter, DeliveryOutcome):
            transaction.settle(letter)
            return
        data = not self._goes_in_chunks(letter)
        commands = self._envelope(transaction, letter, data=data)
        if self._pipelines:
            self._dialogue.send(*commands)
            await self._go_on(Passenger(letter, transaction, commands, data), board)
        else:
            accepted = await self._talk_envelope(transaction, commands)
            await self._send_content(transaction, letter, accepted, board)

    async def _go_on(self, passenger: Passenger, board: Board) -> None:
        """The envelope was written in one go: hear the replies, then send the content."""
        transaction = passenger.transaction
        await self._dialogue.answered(len(passenger.commands))
        accepted = await self._hear_envelope(transaction, data=passenger.data)
        await self._send_content(transaction, passenger.letter, accepted, board)

    async def _send_content(
        self,
        transaction: Transaction,
        letter: AdaptedLetter,
        accepted: list[Recipient],
        board: Board,
    ) -> None:
        if not accepted:
            return
        if self._goes_in_chunks(letter):
            reply = await self._send_chunks(transaction, letter.content)
        else:
            reply = await self._send_data(transaction, letter.content, board)
        if reply is None:
            return
        named = name_letters(accepted, reply.text)
        transaction.leftovers = named.leftovers
        for recipient in accepted:
            transaction.outcomes[recipient.key] = outcome_from_acceptance(
                reply,
                named.ids.get(recipient.key, ""),
                notify_passed="dsn" in self._offered,
                losses=letter.losses,
            )

    def _goes_in_chunks(self, letter: AdaptedLetter) -> bool:
        return self._chunks and letter.size > CHUNKING_PAYS

    def _envelope(
        self, transaction: Transaction, letter: AdaptedLetter, *, data: bool
    ) -> tuple[str, ...]:
        """MAIL, a RCPT for each recipient, and DATA."""
        mail = build_mail(letter, transaction.request.envelope, self._offered)
        commands = [build_rcpt(recipient, self._offered) for recipient in transaction.recipients]
        return (mail, *commands, "DATA") if data else (mail, *commands)

    async def _talk_envelope(
        self, transaction: Transaction, commands: tuple[str, ...]
    ) -> list[Recipient]:
        """
        Each command after the reply to the one before.

        Returns:
            The recipients for whom content may follow, none if it may not.
        """
        mail, *others = commands
        reply = await self._ask(transaction, mail)
        if not reply.is_positive:
            transaction.settle(_verdict(transaction.phase, reply))
            return []
        transaction.phase = Phase.RCPT
        accepted = []
        for recipient, command in zip(transaction.recipients, others, strict=False):
            if self._takes(transaction, recipient, await self._ask(transaction, command)):
                accepted.append(recipient)
        transaction.phase = Phase.DATA
        if accepted and others[-1] == "DATA":
            reply = await self._ask(transaction, "DATA")
            if reply.code != 354:
                transaction.settle(_verdict(transaction.phase, reply))
                accepted = []
        if not accepted:
            await self._reset()
        return accepted

    async def _hear_envelope(self, transaction: Transaction, *, data: bool) -> list[Recipient]:
        """The replies to an envelope that was written in one go (RFC 2920)."""
        reply = self._take(transaction)
        mail_taken = reply.is_positive
        if not mail_taken:
            transaction.settle(_verdict(transaction.phase, reply))
        accepted = []
        transaction.phase = Phase.RCPT
        for recipient in transaction.recipients:
            reply = self._take(transaction)
            if mail_taken and self._takes(transaction, recipient, reply):
                accepted.append(recipient)
        transaction.phase = Phase.DATA
        if data:
            reply = self._take(transaction)
            if reply.code == 354:
                if not accepted:
                    await self._send_nothing()
                return accepted
            transaction.settle(_verdict(transaction.phase, reply))
            accepted = []
        if mail_taken and not accepted:
            await self._reset()
        return accepted

    async def _send_nothing(self) -> None:
        """The server waits for a letter to nobody: the empty one, as RFC 2920 3.1 prescribes."""
        await self._dialogue.send_content(b"")
        await self._dialogue.reply()

    async def _send_data(
        self, transaction: Transaction, content: bytes, board: Board
    ) -> Reply | None:
        """Content by DATA; the reply that accepts it, `None` when it was not accepted."""
        wire = build_content(content)
        passenger = board() if self._pipelines and len(wire) <= AT_ONCE else None
        following = () if passenger is None else passenger.commands
        whole = await self._dialogue.send_content(wire, *following)
        if not whole:
            self._hear_early_reply(transaction)
            return None
        # From here on a lost reply proves nothing.
        transaction.phase = Phase.CONTENT
        return await self._accepting_reply(transaction)

    async def _send_chunks(self, transaction: Transaction, content: bytes) -> Reply | None:
        """
        Content by BDAT (RFC 3030); the reply that accepts it, `None` when it was not accepted.

        Each chunk waits for the answer to the one before, so that a server which does not want the
        letter can say so early, and nothing but the last chunk can be in doubt.
        """
        view, left = memoryview(content), len(content)
        for chunk in in_chunks(view, _CHUNK):
            left -= len(chunk)
            last = left == 0
            piece = await self._dialogue.begin_chunk(build_bdat(len(chunk), last=last), chunk)
            if piece is None:
                self._hear_early_reply(transaction)
                return None
            if last:
                transaction.phase = Phase.CONTENT
            self._dialogue.end_chunk(piece)
            reply = await self._accepting_reply(transaction)
            if reply is None:
                await self._reset()  # until then the server knows no transaction (RFC 3030 2)
                return None
        return reply

    async def _accepting_reply(self, transaction: Transaction) -> Reply | None:
        await self._dialogue.answered()
        reply = self._take(transaction)
        if reply.is_positive:
            return reply
        transaction.settle(_verdict(Phase.CONTENT, reply))
        return None

    def _hear_early_reply(self, transaction: Transaction) -> None:
        """The server answered in the middle of the content; without its end it has no letter."""
        reply = self._take(transaction)
        transaction.settle(_verdict(Phase.CONTENT, reply))
        self.abort()

    async def _ask(self, transaction: Transaction, command: str) -> Reply:
        self._dialogue.send(command)
        await self._dialogue.answered()
        return self._take(transaction)

    def _take(self, transaction: Transaction) -> Reply:
        reply = self._dialogue.take()
        transaction.answered = True
        if reply.code == 421:
            transaction.settle(outcome_from_reply(transaction.phase, reply))
            raise _Closing
        return reply

    def _takes(self, transaction: Transaction, recipient: Recipient, reply: Reply) -> bool:
        if not reply.is_positive:
            transaction.outcomes[recipient.key] = _verdict(Phase.RCPT, reply)
        return reply.is_positive

    async def _reset(self) -> None:
        """Undo MAIL; where that fails the next letter needs another connection."""
        try:
            self._dialogue.send("RSET")
            reply = await self._dialogue.reply()
        except (ConnectionLost, NoAnswer, UnreadableReply):
            self.abort()
        else:
            if not reply.is_positive:
                self.abort()


def _verdict(phase: Phase, reply: Reply) -> DeliveryOutcome:
    """
    What a reply that is not the one hoped for says.

    Raises:
        UnreadableReply: It is not even a refusal; who knows which command it answers.
    """
    if reply.code < 400:
        raise UnreadableReply(str(reply))
    return outcome_from_reply(phase, reply)
