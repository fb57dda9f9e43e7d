"""
What is said in a session: commands in their order, a letter's envelope as it grows, the replies.

Sans-IO: a line in, a reply out. It knows who the client is and what was agreed, but neither socket
nor time; the content of a letter passes it by. `session` brings it to the wire.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from gateway.ingress import commands, policy, replies
from gateway.ingress.lines import MAX_COMMAND_LINE, LineFault
from gateway.ingress.reception import Reception
from gateway.ingress.submission import Client, Reply
from providers.contract.address import Address
from providers.contract.envelope import Envelope, Recipient

_FAULTS = {
    LineFault.TOO_LONG: replies.line_too_long(MAX_COMMAND_LINE),
    LineFault.BARE_LF: replies.BARE_LF,
    LineFault.NOT_TEXT: replies.NOT_SMTP,
}


class Dialogue:
    """
    One client's session, from its first command to its last.

    Attributes:
        client: Who we speak with; its `helo` is empty until it has said HELO or EHLO.
        chunk: The BDAT just answered. Its octets follow and are to be read before the reply leaves,
            whatever that is (RFC 3030 2); `None` after any other line.
    """

    def __init__(self, reception: Reception, address: str) -> None:
        self._reception = reception
        self._rules = reception.rules
        self._may_relay: bool | None = None
        self._mail: commands.MailCommand | None = None
        self._recipients: dict[Address, Recipient] = {}
        self._smtputf8 = False
        self._chunks_begun = False
        self._chunk_refusal: Reply | None = None
        self._errors = 0
        self.chunk: commands.BdatCommand | None = None
        self.client = Client(address, helo="", esmtp=False)

    @property
    def within_letter(self) -> bool:
        """Whether a letter is under way: MAIL was accepted, and its reply is not given yet."""
        return self._mail is not None

    @property
    def has_gone_wrong(self) -> bool:
        """Whether the client has made more errors since its last letter than we bear."""
        return self._errors >= self._rules.max_errors

    def answer(self, line: bytes | LineFault) -> Reply:
        """
        Reply to a line.

        After 354 the content is to be read; then `take_envelope` ends the letter. So it does after
        the last chunk; `refuse_chunks` ends one of which a chunk cannot be taken.
        """
        self.chunk = None
        if isinstance(line, LineFault):
            reply = _FAULTS[line]
        else:
            verb, argument = commands.split_verb(line)
            command = self._commands.get(verb)
            reply = command(self, argument) if command else commands.refuse_verb(verb)
        # Chunks of a letter that was refused may all be on their way already (RFC 3030 2).
        if reply.code in replies.ERROR_CODES and self.chunk is None:
            self._errors += 1
        return reply

    def take_envelope(self) -> Envelope:
        """
        Give the envelope away, after 354 or the last chunk: the next command may be another MAIL.

        It needs SMTPUTF8 when an address does, whether the client said so or not: clients that
        write such addresses bare are taken, as Postfix does.
        """
        mail, recipients, smtputf8 = self._mail, self._recipients, self._smtputf8
        if mail is None:
            raise RuntimeError("no letter is under way")
        self._reset()
        self._errors = 0
        return Envelope(
            mail.reverse_path,
            tuple(recipients.values()),
            mail.body,
            smtputf8,
            mail.ret,
            mail.envid,
        )

    def refuse_chunks(self, reply: Reply, *, last: bool) -> None:
        """End the letter; until its last chunk has come, each is refused by the same reply."""
        self._reset()
        if not last:
            self._chunk_refusal = reply

    def _helo(self, argument: bytes) -> Reply:
        if not (name := commands.parse_hello(argument)):
            return replies.SYNTAX_HELO
        self._introduce(name, esmtp=False)
        return replies.hello(self._rules.hostname)

    def _ehlo(self, argument: bytes) -> Reply:
        if not (name := commands.parse_hello(argument)):
            return replies.SYNTAX_EHLO
        self._introduce(name, esmtp=True)
        return replies.extended_hello(self._rules.hostname, self._rules.max_message_size)

    def _mail_from(self, argument: bytes) -> Reply:
        if not self.client.helo:
            return replies.NEED_HELLO
        if self._mail is not None:
            return replies.NESTED_MAIL
        if not self._is_welcome():
            return replies.RELAY_DENIED
        mail = commands.parse_mail(argument)
        if isinstance(mail, Reply):
            return mail
        refusal = (
            policy.refuse_size(self._rules, mail.size, self._reception.held)
            or self._reception.intake.refusal()
        )
        if refusal:
            return refusal
        self._chunk_refusal = None
        self._mail = mail
        self._smtputf8 = mail.smtputf8 or (
            mail.reverse_path is not None and mail.reverse_path.needs_smtputf8
        )
        return replies.MAIL_OK

    def _rcpt_to(self, argument: bytes) -> Reply:
        if self._mail is None:
            return replies.NEED_MAIL
        if self._chunks_begun:
            return replies.WITHIN_CHUNKS
        rcpt = commands.parse_rcpt(argument, self._rules.hostname)
        if isinstance(rcpt, Reply):
            return rcpt
        recipients, forward_path = self._recipients, rcpt.forward_path
        if forward_path in recipients:
            return replies.RCPT_OK  # named twice, delivered once
        key = len(recipients)
        if refusal := policy.refuse_recipient(self._rules, key):
            return refusal
        recipients[forward_path] = Recipient(key, forward_path, rcpt.orcpt, rcpt.notify)
        self._smtputf8 = self._smtputf8 or forward_path.needs_smtputf8
        return replies.RCPT_OK

    def _data(self, argument: bytes) -> Reply:
        if self._mail is None:
            return replies.NEED_MAIL
        if not self._recipients:
            return replies.NEED_RCPT
        if self._chunks_begun:
            return replies.WITHIN_CHUNKS
        return replies.SYNTAX_DATA if argument else replies.SEND_DATA

    def _bdat(self, argument: bytes) -> Reply:
        self.chunk = commands.parse_bdat(argument)
        if self.chunk is None:
            return replies.SYNTAX_BDAT
        if self._chunk_refusal is not None:
            return self._chunk_refusal
        if self._mail is None:
            return replies.NEED_MAIL
        if not self._recipients:
            return replies.NEED_RCPT
        self._chunks_begun = True
        return replies.CHUNK_OK

    def _rset(self, argument: bytes) -> Reply:
        if argument:
            return replies.SYNTAX_RSET
        self._reset()
        return replies.RESET_OK

    def _noop(self, _argument: bytes) -> Reply:
        return replies.NOOP_OK

    def _vrfy(self, argument: bytes) -> Reply:
        return replies.NOT_VERIFIED if argument else replies.SYNTAX_VRFY

    def _help(self, _argument: bytes) -> Reply:
        return replies.HELP

    def _quit(self, _argument: bytes) -> Reply:
        return replies.BYE

    def _introduce(self, name: str, *, esmtp: bool) -> None:
        self._reset()
        client = self.client
        self.client = Client(client.address, name, esmtp, client.tls, client.user)

    def _is_welcome(self) -> bool:
        if self._may_relay is None:
            self._may_relay = policy.may_relay(self._rules, self.client)
        return self._may_relay

    def _reset(self) -> None:
        self._mail = None
        self._recipients = {}
        self._chunks_begun = False
        self._chunk_refusal = None

    _commands: ClassVar[dict[bytes, Callable[[Dialogue, bytes], Reply]]] = {
        b"HELO": _helo,
        b"EHLO": _ehlo,
        b"MAIL": _mail_from,
        b"RCPT": _rcpt_to,
        b"DATA": _data,
        b"BDAT": _bdat,
        b"RSET": _rset,
        b"NOOP": _noop,
        b"VRFY": _vrfy,
        b"HELP": _help,
        b"QUIT": _quit,
    }
