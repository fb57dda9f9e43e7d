"""
What is said in a session: commands in their order, a letter's envelope as it grows, the replies.

Sans-IO: a line in, a reply out. It knows who the client is and what was agreed, but neither socket
nor time; the content of a letter passes it by. `session` brings it to the wire.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from gateway.ingress import commands, policy, replies, sasl
from gateway.ingress.lines import MAX_COMMAND_LINE, LineFault
from gateway.ingress.policy import FrontDoorRules
from gateway.ingress.reception import Reception
from gateway.ingress.submission import Client, Reply
from gateway.ingress.users import User
from providers.contract.address import Address
from providers.contract.envelope import Envelope, Recipient

_FAULTS = {
    LineFault.TOO_LONG: replies.line_too_long(MAX_COMMAND_LINE),
    LineFault.BARE_LF: replies.BARE_LF,
    LineFault.NOT_TEXT: replies.NOT_SMTP,
}
# RFC 3207 4 names EHLO, NOOP, QUIT and STARTTLS. HELO and HELP do no harm, and the octets behind
# BDAT are to be read, whatever becomes of them.
_WITHOUT_TLS = frozenset({b"EHLO", b"HELO", b"HELP", b"NOOP", b"QUIT", b"STARTTLS", b"BDAT"})


class Dialogue:
    """
    One client's session, from its first command to its last.

    Attributes:
        client: Who we speak with; its `helo` is empty until it has said HELO or EHLO.
        chunk: The BDAT just answered. Its octets follow and are to be read before the reply leaves,
            whatever that is (RFC 3030 2); `None` after any other line.
        credentials: What AUTH has come to: they are to be checked before anything else is answered;
            then `welcome` or `refuse_credentials` ends the exchange. `None` after any other line.
        doubtful: The RCPT whose recipient is to be looked up; see `take_doubtful`.
    """

    def __init__(
        self,
        reception: Reception,
        address: str,
        rules: FrontDoorRules | None = None,
        *,
        listener: str = "",
        tls: bool = False,
    ) -> None:
        self._reception = reception
        self._listener = listener
        self._rules = rules or reception.rules
        self._user: User | None = None
        self._is_welcome = False
        self._exchange: sasl.Exchange | None = None
        self._mail: commands.MailCommand | None = None
        self._recipients: dict[Address, Recipient] = {}
        self._smtputf8 = False
        self._chunks_begun = False
        self._chunk_refusal: Reply | None = None
        self._errors = 0
        self._commands_said = 0
        self._letters = 0
        self.chunk: commands.BdatCommand | None = None
        self.credentials: sasl.Credentials | None = None
        self.doubtful: commands.RcptCommand | None = None
        self.client = Client(address, helo="", esmtp=False, tls=tls)
        self._needs_tls = policy.needs_tls(self._rules, self.client)

    @property
    def within_letter(self) -> bool:
        """Whether a letter is under way: MAIL was accepted, and its reply is not given yet."""
        return self._mail is not None

    @property
    def expects_command(self) -> bool:
        """Whether the next line is a command, and not a response that AUTH waits for."""
        return self._exchange is None

    @property
    def has_gone_wrong(self) -> Reply | None:
        """Why we end the session: more errors or commands since the last letter than we bear."""
        if self._errors >= self._rules.max_errors:
            return replies.TOO_MANY_ERRORS
        if self._commands_said >= self._rules.max_commands:
            return replies.TOO_MANY_COMMANDS
        return None

    def answer(self, line: bytes | LineFault) -> Reply:
        """
        Reply to a line.

        After 354 the content is to be read; then `take_envelope` ends the letter. So it does after
        the last chunk; `refuse_chunks` ends one of which a chunk cannot be taken. After 220 TLS is
        to be begun; then `secured`.
        """
        self.chunk = self.credentials = None
        self._commands_said += 1
        if isinstance(line, LineFault):
            self._exchange = None
            reply = _FAULTS[line]
        elif self._exchange is not None:
            reply = self._respond(line)
        else:
            verb, argument = commands.split_verb(line)
            command = self._commands.get(verb)
            if self._needs_tls and verb not in _WITHOUT_TLS:
                reply = replies.NEED_STARTTLS
            else:
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
        self._errors = self._commands_said = 0
        self._letters += 1
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

    def secured(self) -> None:
        """TLS is active: whatever was said before is forgotten (RFC 3207 4.2)."""
        self._reset()
        self._user = None
        self._is_welcome = self._needs_tls = False
        self.client = Client(self.client.address, helo="", esmtp=False, tls=True)

    def welcome(self, user: User) -> Reply:
        """The credentials are right."""
        self.credentials = None
        self._user = user
        self.client = replace(self.client, user=user.name)
        return replies.AUTHENTICATED

    def refuse_credentials(self, reply: Reply) -> Reply:
        """They are not, or could not be checked; `reply` says which."""
        self.credentials = None
        return reply

    def _helo(self, argument: bytes) -> Reply:
        if not (name := commands.parse_hello(argument)):
            return replies.SYNTAX_HELO
        self._introduce(name, esmtp=False)
        return replies.hello(self._rules.hostname)

    def _ehlo(self, argument: bytes) -> Reply:
        if not (name := commands.parse_hello(argument)):
            return replies.SYNTAX_EHLO
        self._introduce(name, esmtp=True)
        rules = self._rules
        return replies.extended_hello(rules.hostname, rules.max_message_size, self._offers())

    def _offers(self) -> tuple[str, ...]:
        """What is offered to this client now, beside what is to all."""
        rules, client = self._rules, self.client
        return replies.offers(
            sasl.MECHANISMS if not self._needs_tls and policy.offers_auth(rules, client) else (),
            starttls=policy.offers_tls(rules, client),
            max_recipients=rules.max_recipients,
            max_letters=rules.max_letters,
        )

    def _starttls(self, argument: bytes) -> Reply:
        if not policy.offers_tls(self._rules, self.client):
            return replies.TLS_ALREADY if self.client.tls else replies.NOT_IMPLEMENTED
        if argument:
            return replies.SYNTAX_STARTTLS
        if self._mail is not None:
            return replies.TLS_WITHIN_LETTER
        return replies.START_TLS if self._reception.tls else replies.NO_TLS

    def _auth(self, argument: bytes) -> Reply:
        if refusal := policy.refuse_auth(self._rules, self.client):
            return refusal
        if not self.client.helo:
            return replies.NEED_HELLO
        if self._mail is not None:
            return replies.AUTH_WITHIN_LETTER
        if self._reception.limits.is_shut_out(self.client.address):
            return replies.AUTH_SHUT_OUT
        mechanism, *initial = argument.split(None, 1)[:2] or (b"",)
        if not mechanism:
            return replies.SYNTAX_AUTH
        self._exchange = sasl.exchange(mechanism)
        if self._exchange is None:
            return replies.AUTH_UNKNOWN_MECHANISM
        # LOGIN's first response is the name (trap T17).
        return self._respond(initial[0]) if initial else self._exchange.begin()

    def _respond(self, line: bytes) -> Reply:
        """Go on with AUTH."""
        exchange, self._exchange = self._exchange, None
        response = sasl.decode(line)
        if isinstance(response, Reply) or exchange is None:
            return response if isinstance(response, Reply) else replies.AUTH_MALFORMED
        step = exchange.respond(response)
        if isinstance(step, sasl.Credentials):
            self.credentials = step
            return replies.AUTH_FAILED  # unless the check says otherwise
        if step.code == 334:
            self._exchange = exchange
        return step

    def _mail_from(self, argument: bytes) -> Reply:
        if not self.client.helo:
            return replies.NEED_HELLO
        if self._mail is not None:
            return replies.NESTED_MAIL
        if refusal := self._refuse_client():
            return refusal
        mail = commands.parse_mail(argument)
        if isinstance(mail, Reply):
            return mail
        if refusal := self._refuse_letter(mail):
            return refusal
        self._chunk_refusal = None
        self._mail = mail
        self._smtputf8 = mail.smtputf8 or (
            mail.reverse_path is not None and mail.reverse_path.needs_smtputf8
        )
        return replies.MAIL_OK

    def _refuse_client(self) -> Reply | None:
        """Whether it may hand in letters; consent is asked for once."""
        if self._is_welcome:
            return None
        refusal = policy.refuse_client(self._rules, self.client)
        self._is_welcome = refusal is None
        return refusal

    def _refuse_letter(self, mail: commands.MailCommand) -> Reply | None:
        """Judge a letter by its first command; what is counted is counted last."""
        rules, reception = self._rules, self._reception
        if 0 < rules.max_letters <= self._letters:
            return replies.TOO_MANY_LETTERS
        if self._user and (refusal := policy.refuse_sender(self._user, mail.reverse_path)):
            return refusal
        if mail.size > rules.max_message_size:
            return replies.message_too_big(rules.max_message_size)
        if not reception.has_room(mail.size):
            return replies.NO_MEMORY
        return reception.intake.refusal() or reception.limits.refuse_letter(self.client)

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
        if refusal := policy.refuse_recipient(
            self._rules, key
        ) or self._reception.limits.refuse_recipient(self.client):
            return refusal
        suppressions = self._reception.suppressions
        if suppressions is not None and suppressions.is_doubtful(
            self._mail.reverse_path, forward_path, self._listener, self.client.user
        ):
            self.doubtful = rcpt
            return replies.LOOKED_UP
        return self.welcome_recipient(rcpt)

    def take_doubtful(self) -> commands.RcptCommand:
        """Give the RCPT away whose recipient is to be looked up; `welcome_recipient` may follow."""
        rcpt, self.doubtful = self.doubtful, None
        if rcpt is None:
            raise RuntimeError("no recipient is doubtful")
        return rcpt

    def welcome_recipient(self, rcpt: commands.RcptCommand) -> Reply:
        """Count a recipient to the letter under way."""
        recipients, forward_path = self._recipients, rcpt.forward_path
        key = len(recipients)
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

    def _reset(self) -> None:
        self._mail = None
        self._recipients = {}
        self._chunks_begun = False
        self._chunk_refusal = None

    _commands: ClassVar[dict[bytes, Callable[[Dialogue, bytes], Reply]]] = {
        b"HELO": _helo,
        b"EHLO": _ehlo,
        b"STARTTLS": _starttls,
        b"AUTH": _auth,
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
