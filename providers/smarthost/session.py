"""
One SMTP session: letters handed over one after another, each as a transaction of its own.

Remembers how far the transaction in hand has come, so that *not sent*, *refused* and *uncertain*
are never mixed. What a reply or its absence means is asked of `replies`, what goes on the wire of
`commands`; the octets travel through a `Dialogue`. It must not know pools, settings or retries.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from providers.contract.envelope import Recipient
from providers.contract.outcome import DeliveryOutcome, DeliveryRequest
from providers.smarthost.commands import build_content, build_mail, build_rcpt, find_obstacle
from providers.smarthost.dialogue import ConnectionLost, NoAnswer
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

    def settle(self, outcome: DeliveryOutcome) -> None:
        """The same outcome for every recipient that has none yet."""
        for recipient in self.request.envelope.recipients:
            self.outcomes.setdefault(recipient.key, outcome)


class _Closing(Exception):
    """The server said 421: it answers this command and no other (RFC 5321 3.8)."""


class Session:
    """An open connection, used by one letter at a time."""

    def __init__(self, connection: Connection) -> None:
        self._dialogue = connection.dialogue
        self._offered = connection.offered
        self.peer = connection.peer
        self.closed = connection.dialogue.closed

    @property
    def is_open(self) -> bool:
        """Whether another letter can be sent, so far as is known on this side."""
        return self._dialogue.is_open

    async def deliver(self, request: DeliveryRequest, when: float) -> Transaction:
        """
        Hand over one letter.

        Args:
            request: The letter and its recipients.
            when: Until when, in the loop's time; at that moment the connection is broken and what
                is known by then is the result.

        Returns:
            The transaction, with an outcome for every recipient.

        On cancellation the connection is broken.
        """
        transaction = Transaction(request)
        obstacle = find_obstacle(request.message, request.envelope, self._offered)
        if obstacle is not None:
            transaction.settle(obstacle)
            return transaction
        self._dialogue.set_deadline(when)
        try:
            await self._transact(transaction)
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
        return transaction

    async def check(self, when: float) -> Reply:
        """
        Say NOOP.

        Raises:
            ConnectionLost: The connection went before the answer came.
            NoAnswer: So did the moment `when`.
            UnreadableReply: What came is no reply.
        """
        self._dialogue.set_deadline(when)
        self._dialogue.send("NOOP")
        reply = await self._dialogue.reply()
        self._dialogue.clear_deadline()
        return reply

    def quit(self) -> None:
        """Part politely; returns at once, `closed` tells when it is done."""
        self._dialogue.quit()

    def abort(self) -> None:
        """Break the connection."""
        self._dialogue.abort()

    # The transaction.

    async def _transact(self, transaction: Transaction) -> None:
        accepted = await self._send_envelope(transaction)
        if not accepted:
            return
        wire = build_content(transaction.request.message.content)
        complete = await self._dialogue.send_content(wire)
        if not complete:
            await self._hear_early_reply(transaction)
            return
        # From here on a lost reply proves nothing.
        transaction.phase = Phase.CONTENT
        reply = await self._next_reply(transaction)
        if not reply.is_positive:
            transaction.settle(_verdict(transaction.phase, reply))
            return
        named = name_letters(accepted, reply.text)
        transaction.leftovers = named.leftovers
        for recipient in accepted:
            provider_message_id = named.ids.get(recipient.key, "")
            transaction.outcomes[recipient.key] = outcome_from_acceptance(
                reply, provider_message_id, notify_passed="dsn" in self._offered
            )

    async def _send_envelope(self, transaction: Transaction) -> list[Recipient]:
        """MAIL, RCPT and DATA; the recipients for whom content may follow, none if it may not."""
        message, envelope = transaction.request.message, transaction.request.envelope
        mail = build_mail(message, envelope, self._offered)
        commands = [build_rcpt(recipient, self._offered) for recipient in envelope.recipients]
        if "pipelining" in self._offered:
            self._dialogue.send(mail, *commands, "DATA")
            return await self._hear_envelope(transaction)
        return await self._talk_envelope(transaction, mail, commands)

    async def _talk_envelope(
        self, transaction: Transaction, mail: str, commands: list[str]
    ) -> list[Recipient]:
        """Each command after the reply to the one before."""
        self._dialogue.send(mail)
        reply = await self._next_reply(transaction)
        if not reply.is_positive:
            transaction.settle(_verdict(transaction.phase, reply))
            return []
        transaction.phase = Phase.RCPT
        accepted = []
        for recipient, command in zip(
            transaction.request.envelope.recipients, commands, strict=True
        ):
            self._dialogue.send(command)
            if self._takes(transaction, recipient, await self._next_reply(transaction)):
                accepted.append(recipient)
        if accepted:
            transaction.phase = Phase.DATA
            self._dialogue.send("DATA")
            reply = await self._next_reply(transaction)
            if reply.code == 354:
                return accepted
            transaction.settle(_verdict(transaction.phase, reply))
        await self._reset()
        return []

    async def _hear_envelope(self, transaction: Transaction) -> list[Recipient]:
        """The replies to an envelope that was written in one go (RFC 2920)."""
        reply = await self._next_reply(transaction)
        if not reply.is_positive:
            transaction.settle(_verdict(transaction.phase, reply))
        mail_taken = reply.is_positive
        accepted = []
        transaction.phase = Phase.RCPT
        for recipient in transaction.request.envelope.recipients:
            reply = await self._next_reply(transaction)
            if mail_taken and self._takes(transaction, recipient, reply):
                accepted.append(recipient)
        transaction.phase = Phase.DATA
        reply = await self._next_reply(transaction)
        if reply.code == 354:
            if accepted:
                return accepted
            # It waits for a letter to nobody: the empty one is what RFC 2920 3.1 prescribes.
            await self._dialogue.send_content(b"")
            await self._next_reply(transaction)
            return []
        transaction.settle(_verdict(transaction.phase, reply))
        if mail_taken:
            await self._reset()
        return []

    async def _hear_early_reply(self, transaction: Transaction) -> None:
        """The server answered in the middle of the content; without the dot it has no letter."""
        reply = await self._next_reply(transaction)
        transaction.settle(_verdict(Phase.CONTENT, reply))
        self.abort()

    async def _next_reply(self, transaction: Transaction) -> Reply:
        reply = await self._dialogue.reply()
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
