"""
The content of a letter, and what it needs of whoever carries it.

`Needs` is computed once by `providers.mime` and compared with `ProviderCapabilities`; neither type
knows how. Sits on nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Needs:
    """
    What a carrier must be able to do so that this letter arrives as it was sent.

    Attributes:
        size: Octets of the whole content.
        null_reverse_path: The envelope's reverse-path is `<>`.
        smtputf8: An envelope address has a non-ASCII local part, or the client declared SMTPUTF8
            and the header holds raw UTF-8.
        eight_bit: The content holds octets above 127.
        text: It has a text/plain body.
        html: It has a text/html body.
        attachments: Number of attached files, those shown inline not counted.
        attachment_octets: Their decoded size, all together.
        inline_parts: Number of parts that the HTML body shows by Content-ID.
        calendar: It has a text/calendar alternative (an invitation).
        sealed: It is signed or encrypted (S/MIME, PGP/MIME): any change breaks it.
        other_parts: Content types that are neither body nor attachment (for example
            `text/x-amp-html`), sorted.
        senders: How many mailboxes its From names; 1 where it names none.
        subject: It has a subject that is not blank.
        reply_to: It has a Reply-To that differs from its From.
        list_unsubscribe: It has List-Unsubscribe.
        other_recipients: Its To and Cc show more than each recipient's own address, and so a
            letter per recipient that shows one address is not the same letter.
        header_fields: Names, in lower case, of the further header fields, those of MIME and those
            named above left out.
        complete: The letter was parsed. When false, only the first four attributes are known,
            which is all that carriers of raw MIME depend on.
    """

    size: int
    null_reverse_path: bool = False
    smtputf8: bool = False
    eight_bit: bool = False
    text: bool = False
    html: bool = False
    attachments: int = 0
    attachment_octets: int = 0
    inline_parts: int = 0
    calendar: bool = False
    sealed: bool = False
    other_parts: tuple[str, ...] = ()
    senders: int = 1
    subject: bool = True
    reply_to: bool = False
    list_unsubscribe: bool = False
    other_recipients: bool = False
    header_fields: frozenset[str] = frozenset()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Message:
    """
    A letter's content as the spool keeps it.

    `content` has CRLF line ends only, the dots of RFC 5321 4.5.2 removed, and ends with CRLF. On
    the way from SMTP to SMTP these octets go out as they came in.
    """

    content: bytes
    needs: Needs

    @property
    def size(self) -> int:
        """Octets, as SIZE of RFC 1870 counts them."""
        return len(self.content)
