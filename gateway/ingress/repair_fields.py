"""
The header fields of a letter, one by one: which are missing, broken, or there too often.

What is in order is left as it stands, to the octet; what a client wrote and nobody can read is kept
under another name. Pure, and quick for a header that needs nothing. `repair` calls it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache

from gateway.domain.repair import Repair
from providers.contract.address import Address, InvalidAddress, parse_address
from providers.contract.envelope import Envelope
from providers.mime.charset import guess_charset
from providers.mime.header import decode_field, unfolded
from providers.mime.mailbox import Mailbox, parse_mailboxes
from providers.mime.parameter import media_type, parse_parameters
from providers.mime.write import mailboxes_value, parameters_value, unstructured

Field = tuple[bytes, bytes]
"""A name and its raw value, line ends included but the last LF."""

# RFC 5322 3.6 and RFC 2045: at most once.
_LISTS = frozenset((b"to", b"cc", b"bcc", b"reply-to"))
_ONCE = _LISTS | {
    *(b"date", b"from", b"sender", b"message-id", b"in-reply-to", b"references", b"subject"),
    *(b"mime-version", b"content-type", b"content-transfer-encoding"),
}

# Blanks and folds, taken whole: what follows them is never one, and no time goes into trying.
_BLANKS = rb"[ \t\r\n]*+"
_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DATE = re.compile(
    rb"%(b)b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)%(b)b,%(b)b)?(?:0?[1-9]|[12][0-9]|3[01])%(s)b"
    rb"%(m)b%(s)b[0-9]{4}%(s)b(?:[01][0-9]|2[0-3]):[0-5][0-9](?::(?:[0-5][0-9]|60))?%(s)b"
    rb"(?:[+-][0-9]{4}|UT|GMT|[ECMP][SD]T)%(b)b(?:\([^()\\]*\)%(b)b)?\Z"
    % {b"b": _BLANKS, b"m": _MONTH, b"s": rb"[ \t\r\n]++"},
    re.IGNORECASE,
)
_COMMENT = rb"\([^()\\\x80-\xff]*+\)"
_MESSAGE_ID = re.compile(
    rb"%(b)b(?:%(c)b)?%(b)b(<[!-;=?-~]{1,400}@[!-;=?-~]{1,400}>)%(b)b(?:%(c)b)?%(b)b\Z"
    % {b"b": _BLANKS, b"c": _COMMENT}
)
# Threads hang on it: one in brackets is left with whatever it holds. What gets brackets from us is
# what RFC 5322 3.6.4 asks for.
_BARE_MESSAGE_ID = re.compile(rb"<?[ \t]*+([A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]{1,400})[ \t]*+>?\Z")
_ATOM = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]++"
_QUOTED = rb'"(?:[^"\\\r\n\x80-\xff]|\\[!-~ ])*+"'
_ADDRESS = rb"(?:%b|%b)@(?:%b|\[[!-Z^-~]++\])" % (_ATOM, _QUOTED, _ATOM)
_MAILBOX = rb"(?:(?:(?:%(a)b|%(q)b)%(b)b)*+<%(s)b>|%(s)b(?:%(b)b%(c)b)?+)" % {
    b"a": _ATOM,
    b"q": _QUOTED,
    b"s": _ADDRESS,
    b"b": _BLANKS,
    b"c": _COMMENT,
}
_MAILBOXES = re.compile(
    rb"%(b)b%(m)b%(b)b(?:,%(b)b%(m)b%(b)b)*+\Z" % {b"m": _MAILBOX, b"b": _BLANKS}
)
_TOKEN = rb"[A-Za-z0-9!#$%&'*+.^_`{|}~-]++"
_CONTENT_TYPE = re.compile(
    rb"%(b)b%(t)b/%(t)b%(b)b(?:;%(b)b%(t)b=(?:%(t)b|%(q)b)%(b)b)*+;?+%(b)b\Z"
    % {b"t": _TOKEN, b"q": rb'"(?:[^"\\]|\\.)*+"', b"b": _BLANKS},
    re.DOTALL,
)
_ENCODINGS = (b"7bit", b"8bit", b"binary", b"quoted-printable", b"base64")
_ENCODING = re.compile(
    rb"%b(?:%b|x-[!-~]+)%b\Z" % (_BLANKS, b"|".join(_ENCODINGS), _BLANKS), re.IGNORECASE
)
_ENCODING_BY_LETTERS = {re.sub(rb"[^a-z0-9]", b"", name): name for name in _ENCODINGS}
_NOT_LETTERS = re.compile(rb"[^a-z0-9]")


@dataclass(frozen=True, slots=True)
class Context:
    """What stands in for what is missing."""

    envelope: Envelope
    queue_id: str
    hostname: str
    now: datetime


class Fields:
    """
    A letter's header being mended.

    Attributes:
        content_is_ascii: Of the whole letter, as it came.
        is_ascii: Of its header, as it came.
        content_type: `type/subtype` in lower case, as far as it can be read; empty without one.
        added: Whole fields that were missing.
        changed: The header with its last line end, when a field was changed; else `None`.
    """

    def __init__(self, found: Sequence[Field], content: bytes, end: int) -> None:
        self.found = list(found)
        self.content_is_ascii = content.isascii()
        self.is_ascii = self.content_is_ascii or content[:end].isascii()
        self.content_type = b""
        self.added: list[bytes] = []
        self._body = (content, end)
        self._changed = False

    @property
    def changed(self) -> bytes | None:
        """The header with its last line end, when a field was changed; else `None`."""
        if not self._changed:
            return None
        return b"".join(b"%b:%b\n" % field for field in self.found)

    @property
    def body(self) -> bytes:
        """A copy of what follows the header."""
        content, end = self._body
        return content[end:]

    def first(self) -> tuple[dict[bytes, bytes], bool]:
        """The first value of each field that may stand only once, and whether one stands twice."""
        values: dict[bytes, bytes] = {}
        repeated = False
        for name, value in self.found:
            key = name.lower()
            if key in _ONCE:
                if key in values:
                    repeated = True
                else:
                    values[key] = value
        return values, repeated

    def replace(self, key: bytes, *fields: bytes) -> None:
        """Put whole fields where the first one of that name stands; with none it goes."""
        at = next(at for at, (name, _) in enumerate(self.found) if name.lower() == key)
        self.found[at : at + 1] = [_split(field) for field in fields]
        self._changed = True

    def set_apart(self) -> None:
        """Join what may be a list, and give what stands too often a name of its own."""
        seen: dict[bytes, int] = {}
        found: list[Field] = []
        for name, value in self.found:
            key = name.lower()
            if key not in seen or key not in _ONCE:
                seen.setdefault(key, len(found))
                found.append((name, value))
            elif key in _LISTS:
                first_name, first_value = found[seen[key]]
                found[seen[key]] = (first_name, _joined(first_value, value))
            else:
                found.append((b"X-Repeated-" + name, value))
        self.found = found
        self._changed = True


def mend_fields(header: Fields, context: Context, repairs: dict[Repair, None]) -> str:
    """Mend a header, name what was done in `repairs`, and tell the value of its Message-ID."""
    values, repeated = header.first()
    if repeated:
        repairs[Repair.REPEATED_FIELD] = None
        header.set_apart()
        values, _ = header.first()
    given = values.get(b"date")
    if given is None:
        repairs[Repair.DATE_MISSING] = None
        header.added.append(b"Date: " + date_time(context.now).encode() + b"\r\n")
    elif not _DATE.match(given):
        repairs[Repair.DATE_BROKEN] = None
        header.replace(b"date", *_date(given, context))
    message_id = _mend_message_id(values.get(b"message-id"), header, context, repairs)
    _mend_from(values, header, context, repairs)
    _mend_mime(values, header, repairs)
    return message_id


def date_time(moment: datetime) -> str:
    """A date-time of RFC 5322 3.3, to the second."""
    return _date_time(moment.replace(microsecond=0))


# Thousands of letters come within one second.
_date_time = lru_cache(maxsize=4)(format_datetime)


def _date(value: bytes, context: Context) -> list[bytes]:
    """A Date in order: the moment that was meant, where anybody can tell, else that of arrival."""
    text = decode_field(value)
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
            written = date_time(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return [b"Date: " + written.encode() + b"\r\n"]
    written = date_time(context.now)
    return [b"Date: " + written.encode() + b"\r\n", *_kept("Date", text)]


def _mend_message_id(
    given: bytes | None, header: Fields, context: Context, repairs: dict[Repair, None]
) -> str:
    if given is not None and (match := _MESSAGE_ID.match(given)):
        return match[1].decode("ascii")
    ours = f"<{context.queue_id}@{context.hostname}>"
    if given is None:
        repairs[Repair.MESSAGE_ID_MISSING] = None
        header.added.append(f"Message-ID: {ours}\r\n".encode())
        return ours
    repairs[Repair.MESSAGE_ID_BROKEN] = None
    octets = unfolded(given)
    if match := _BARE_MESSAGE_ID.match(octets):
        word = match[1].decode("ascii").strip("@")
        if word:
            theirs = f"<{word if '@' in word else f'{word}@{context.hostname}'}>"
            header.replace(b"message-id", f"Message-ID: {theirs}\r\n".encode())
            return theirs
    field = f"Message-ID: {ours}\r\n".encode()
    header.replace(b"message-id", field, *_kept("Message-ID", decode_field(octets)))
    return ours


def _mend_from(
    values: dict[bytes, bytes], header: Fields, context: Context, repairs: dict[Repair, None]
) -> None:
    given = values.get(b"from")
    if given is not None:
        given = given.replace(b"\0", b"")  # as it will leave: a backslash may change its meaning
    if given is not None and _MAILBOXES.match(given):
        return
    mailboxes = parse_mailboxes(given) if given is not None else ()
    utf8 = context.envelope.smtputf8
    if (
        given is not None
        and not given.isascii()
        and mailboxes
        and all(_has_address(mailbox, utf8=utf8) for mailbox in mailboxes)
    ):
        return  # only its octets above 127 are wrong, and they are encoded with all others
    if given is None:
        repairs[Repair.FROM_MISSING] = None
        header.added.append(_from(parse_mailboxes(values.get(b"sender", b"")), "", context))
    else:
        repairs[Repair.FROM_BROKEN] = None
        header.replace(b"from", _from(mailboxes, decode_field(given), context))


def _from(mailboxes: Sequence[Mailbox], text: str, context: Context) -> bytes:
    """A From of those mailboxes that have an address, else of the reverse-path."""
    utf8 = context.envelope.smtputf8
    qualified = [_qualified(mailbox, context) for mailbox in mailboxes]
    usable = [mailbox for mailbox in qualified if _has_address(mailbox, utf8=utf8)]
    if not usable:
        name = next((m.display_name for m in mailboxes if m.display_name), text)
        usable = [Mailbox(name, _sender(context).addr_spec)]
    return b"From: " + mailboxes_value(usable, utf8=utf8) + b"\r\n"


def _qualified(mailbox: Mailbox, context: Context) -> Mailbox:
    """`root` is somebody at the client's machine; its letters come from ours."""
    address = mailbox.address
    if not address or "@" in address or not address.isascii():
        return mailbox
    sender = _sender(context)
    domain = sender.domain if sender.local_part == address else context.hostname
    return Mailbox(mailbox.display_name, f"{address}@{domain}")


def _sender(context: Context) -> Address:
    return context.envelope.reverse_path or parse_address(f"MAILER-DAEMON@{context.hostname}")


def _has_address(mailbox: Mailbox, *, utf8: bool) -> bool:
    """Whether somebody can be written to, by a letter of that kind."""
    try:
        address = parse_address(mailbox.address)
    except InvalidAddress:
        return False
    return utf8 or address.addr_spec.isascii()


def _mend_mime(values: dict[bytes, bytes], header: Fields, repairs: dict[Repair, None]) -> None:
    given = values.get(b"content-type")
    parameters: dict[str, str] = {}
    if given is not None:
        if not given.isascii() or not _CONTENT_TYPE.match(given):
            written, parameters = parse_parameters(given)
            header.content_type = media_type(written).encode()
            if given.isascii() or not header.content_type:
                _replace_content_type(header, decode_field(given), parameters, repairs)
        else:
            header.content_type = given.partition(b";")[0].strip(b" \t\r\n").lower()
        if b"mime-version" not in values:
            repairs[Repair.MIME_VERSION_MISSING] = None
            header.added.append(b"MIME-Version: 1.0\r\n")
    encoding = values.get(b"content-transfer-encoding", b"")
    if encoding and not _ENCODING.match(encoding):
        repairs[Repair.ENCODING_BROKEN] = None
        encoding = _mend_encoding(encoding, header)
    if not header.content_is_ascii and header.content_type in (b"", b"text/plain"):
        _mend_charset(values, encoding, header, repairs)


def _replace_content_type(
    header: Fields, text: str, parameters: dict[str, str], repairs: dict[Repair, None]
) -> None:
    repairs[Repair.CONTENT_TYPE_BROKEN] = None
    kept: list[bytes] = []
    if not header.content_type:
        header.content_type = b"text/plain"  # what RFC 2045 5.2 takes it for
        parameters = {name: parameters[name] for name in ("charset",) if name in parameters}
        kept = _kept("Content-Type", text)
    value = parameters_value(header.content_type.decode(), parameters)
    header.replace(b"content-type", b"Content-Type: " + value + b"\r\n", *kept)


def _mend_encoding(value: bytes, header: Fields) -> bytes:
    """The encoding that was meant; what is none at all goes under another name."""
    name = _ENCODING_BY_LETTERS.get(_NOT_LETTERS.sub(b"", unfolded(value).lower()))
    if name is None:
        header.replace(
            b"content-transfer-encoding",
            *_kept("Content-Transfer-Encoding", decode_field(value)),
        )
        return b""
    header.replace(b"content-transfer-encoding", b"Content-Transfer-Encoding: " + name + b"\r\n")
    return name


def _mend_charset(
    values: dict[bytes, bytes], encoding: bytes, header: Fields, repairs: dict[Repair, None]
) -> None:
    """A plain text with octets above 127 says what they are in; nobody knows it better than we."""
    if encoding.strip(b" \t\r\n").lower() in (b"quoted-printable", b"base64"):
        return
    given = values.get(b"content-type")
    parameters = parse_parameters(given)[1] if given is not None else {}
    body = header.body
    if body.isascii() or "charset" in parameters:
        return
    repairs[Repair.CHARSET_MISSING] = None
    parameters["charset"] = guess_charset(body)
    field = b"Content-Type: " + parameters_value("text/plain", parameters) + b"\r\n"
    if given is None:
        header.added.append(field)
        if b"mime-version" not in values:
            header.added.append(b"MIME-Version: 1.0\r\n")
    else:
        header.replace(b"content-type", field)
    if not encoding:
        header.added.append(b"Content-Transfer-Encoding: 8bit\r\n")


def _kept(name: str, text: str) -> list[bytes]:
    """What a field said, under a name that means nothing to anybody's program."""
    return [unstructured(f"X-Original-{name}", text)] if text else []


def _joined(first: bytes, second: bytes) -> bytes:
    """Two values of an address field as one."""
    kept = [value.strip(b" \t\r\n").strip(b",") for value in (first, second)]
    return b" " + b",\r\n\t".join(value for value in kept if value) + b"\r"


def _split(field: bytes) -> Field:
    name, _, value = field.partition(b":")
    return name, value.removesuffix(b"\n")
