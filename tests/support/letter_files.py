"""
The letters of `tests/data/letters`, and the values that each of them must become.

Written out by hand, so that no reader of mail is its own judge; `tests/data/letters/README.md` says
what each letter is for.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

from providers.mime import Attachment, Mailbox, ParsedLetter

FOLDER = Path(__file__).parents[1] / "data" / "letters"

ALICE = Mailbox("Alice Example", "alice@example.com")
BOB = Mailbox("", "bob@example.com")
PDF = b"%PDF-1.4\n% dummy \x00\xff\n%%EOF\n"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
ICS = (
    b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:77@example.com\r\n"
    b"END:VEVENT\r\nEND:VCALENDAR"
)


def usual(name: str) -> ParsedLetter:
    """What the letters have in common: header, and no body."""
    return ParsedLetter(
        subject="Order 77",
        from_=ALICE,
        reply_to=(),
        to=(BOB,),
        cc=(),
        text=None,
        html=None,
        attachments=(),
        inline_parts=(),
        calendar=None,
        sealed=False,
        other_parts=(),
        message_id=f"<{name}@example.com>",
        header_fields=(
            ("Date", "Mon, 1 Jan 2024 12:00:00 +0000"),
            ("Message-ID", f"<{name}@example.com>"),
        ),
    )


def pdf(filename: str) -> Attachment:
    return Attachment(filename, "application/pdf", PDF)


def further(name: str, *fields: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """The usual further header fields and these."""
    return (*usual(name).header_fields, *fields)


NESTED = {
    "text": "Thank you\n",
    "html": '<p>Thank you <img src="cid:logo@example.com"></p>\n',
    "inline_parts": (Attachment("logo.png", "image/png", PNG, "logo@example.com"),),
    "attachments": (pdf("invoice.pdf"),),
}
FILE_WITH_TEXT = {"text": "See the file.", "attachments": (pdf("invoice.pdf"),)}
REFERENCES = " ".join(f"<{i:032}.{i * 7:032}@mail{i:03}.example.com>" for i in range(300))

# What differs from the usual letter.
EXPECTED: dict[str, dict[str, object]] = {
    "all-header-fields": {
        "reply_to": (Mailbox("", "alice@EXAMPLE.com"),),
        "text": "Hello\n",
        "header_fields": further(
            "all-header-fields",
            ("List-Unsubscribe", "<https://example.com/u?id=77>"),
            ("list-unsubscribe-post", "List-Unsubscribe=One-Click"),
            ("Received", "from a.example.com by b.example.com; Mon, 1 Jan 2024 11:59:59 +0000"),
            ("X-Odd", "blank before the colon"),
            ("X-Bell", "ab"),
        ),
    },
    "alternative": {"text": "Thank you\n", "html": "<p>Thank you</p>\n"},
    "amp": {
        "text": "Thank you",
        "html": "<p>Thank you</p>",
        "other_parts": ("text/x-amp-html",),
    },
    "attached-letter": {
        "text": "See the file.",
        "attachments": (
            Attachment(
                "Счёт 1_24.eml",
                "message/rfc822",
                b"From: eve@example.com\r\nSubject: =?utf-8?B?0KHRh9GR0YIgMS8yNA==?=\r\n"
                b'Content-Type: multipart/alternative; boundary="in"\r\n\r\n'
                b"--in\r\nContent-Type: text/html\r\n\r\n<p>inner</p>\r\n--in--",
            ),
            Attachment("message.eml", "message/rfc822", b"From: eve@example.com\r\n\r\nno subject"),
        ),
    },
    "attachment-only": {"attachments": (pdf("invoice.pdf"),)},
    "bare-lf": {
        **NESTED,
        "message_id": "<nested@example.com>",
        "header_fields": further("nested"),
    },
    "base64-broken": {
        "text": "Hello, broken world",
        "attachments": (
            Attachment("pieces.bin", "application/octet-stream", b"abb"),
            Attachment("footer.bin", "application/octet-stream", b"data"),
        ),
    },
    "big5": {"subject": "訂單", "text": "謝謝您的訂單\n"},
    "calendar-attachment": {
        "text": "See the file.",
        "attachments": (Attachment("meeting.ics", "text/calendar", ICS),),
    },
    "calendar-invitation": {
        "subject": "Meeting",
        "text": "Meeting",
        "html": "<p>Meeting</p>",
        "calendar": ICS + b"\r\n",
        "attachments": (Attachment("invite.ics", "application/ics", ICS),),
    },
    "delivery-report": {
        "text": "Not delivered.",
        "attachments": (Attachment("attachment.txt", "text/rfc822-headers", b"Subject: Order 77"),),
        "other_parts": ("message/delivery-status",),
        "header_fields": further("delivery-report", ("Auto-Submitted", "auto-replied")),
    },
    "empty-body": {"text": ""},
    "empty-multipart": {},
    "filename-rfc2047": {
        "text": "See the file.",
        "attachments": (
            pdf("Счёт за январь.pdf"),
            pdf("Счет.pdf"),
            pdf("Акт сверки.pdf"),
            pdf("Акт сверки (2).pdf"),
        ),
    },
    "filename-rfc2231": {
        "text": "See the file.",
        "attachments": (
            pdf("Счёт за 2024.pdf"),
            pdf("a-very-long-name-cut-in-two.pdf"),
            pdf("Счет.pdf"),
        ),
    },
    "forgotten-empty-line": {
        "text": "Dear Bob!\nthe script forgot the empty line.\n\nAlice\n",
    },
    "format-flowed": {
        "text": "A paragraph that a program broke softly in three.\nFrom here on\n"
        "> quoted words\n>> deeper\nlast\n\n-- \nAlice\n",
    },
    "gb2312": {"subject": "订单", "text": "謝謝，朱镕基\n"},
    "html-meta-charset": {
        "html": '<html><head><meta charset="koi8-r"></head><body>Спасибо</body></html>\n',
    },
    "html-only": {"html": "<p>Спасибо</p>\n"},
    "image-between-texts": {
        "text": "Before\nAfter",
        "attachments": (
            Attachment("photo.png", "image/png", PNG),
            Attachment("attachment.html", "text/html", b"<p>added</p>"),
        ),
    },
    "inline-image": {
        "html": '<img src="CID:logo%2541@example.com"> '
        '<div style="background:url(cid:bg&amp;1)"></div>',
        "inline_parts": (
            Attachment("attachment.png", "image/png", PNG, "logo%41@example.com"),
            Attachment("bg.gif", "image/gif", b"GIF89a", "bg&1"),
        ),
        "attachments": (Attachment("unused.png", "image/png", PNG, "unused@example.com"),),
    },
    "iso-2022-jp": {"subject": "ご注文", "text": "ご注文ありがとうございます。\n"},
    "iso-8859-15": {"text": "Prix : 10 €\n"},
    "koi8-r": {"subject": "Заказ", "text": "Заказ принят - спасибо\n"},
    "long-references": {
        "text": "Hello\n",
        "header_fields": further(
            "long-references",
            ("In-Reply-To", "<299@mail.example.com>"),
            ("References", REFERENCES),
        ),
    },
    "mislabelled-iso-8859-1": {"text": "Спасибо — café\n"},
    "mislabelled-us-ascii": {"text": "Спасибо за заказ\n"},
    "mislabelled-utf-8": {"text": "Спасибо за заказ\n"},
    "missing-final-boundary": FILE_WITH_TEXT,
    "nested": NESTED,
    "no-body": {},
    "no-boundary": FILE_WITH_TEXT,
    "no-mime": {"text": "Hello from a shell script.\n"},
    "pgp-encrypted": {
        "sealed": True,
        "attachments": (
            Attachment("attachment.bin", "application/pgp-encrypted", b"Version: 1"),
            Attachment(
                "encrypted.asc",
                "application/octet-stream",
                b"-----BEGIN PGP MESSAGE-----\r\n\r\ndummy\r\n-----END PGP MESSAGE-----",
            ),
        ),
    },
    "pgp-inline": {
        "text": "-----BEGIN PGP SIGNED MESSAGE-----\n\nSigned words\n"
        "-----BEGIN PGP SIGNATURE-----\n\ndummy\n-----END PGP SIGNATURE-----\n",
    },
    "quoted-printable-broken": {"text": "50% Пр=zz a=b =4\nend"},
    "raw-latin-header": {"subject": "Grüße aus Köln", "text": "Grüße aus Köln, café\n"},
    "raw-utf8-header": {
        "subject": "Заказ принят",
        "from_": Mailbox("Анна Иванова", "alice@example.com"),
        "text": "Спасибо\n",
        "header_fields": further("raw-utf8-header", ("X-Shop", "Лавка")),
    },
    "raw-windows-1251-header": {
        "subject": "ВНИМАНИЕ: заказ принят",
        "from_": Mailbox("Иванова, Анна", "alice@example.com"),
        "text": "Спасибо за заказ\n",
    },
    "related-without-alternative": {
        "text": "Thank you",
        "html": '<p>Thank you <img src="cid:1"></p>',
        "inline_parts": (Attachment("1.png", "image/png", PNG, "1"),),
    },
    "sender-only": {
        "from_": Mailbox("The Desk", "desk@example.com"),
        "text": "Hello\n",
        "header_fields": further("sender-only", ("Sender", "The Desk <desk@example.com>")),
    },
    "several-attachments": {
        "text": "Three files.",
        "attachments": (
            pdf("invoice.pdf"),
            Attachment("orders.csv", "text/csv", b"id;sum\r\n77;10"),
            Attachment("attachment.png", "image/png", PNG),
            Attachment("attachment.bin", "application/x-whatever", b"\0\1\2"),
            Attachment("notes.txt", "text/plain", b"not a body"),
        ),
    },
    "smime-encrypted": {
        "sealed": True,
        "attachments": (Attachment("smime.p7m", "application/pkcs7-mime", b"dummy envelope"),),
    },
    "smime-signed": {
        "sealed": True,
        "text": "Signed words",
        "attachments": (
            Attachment("smime.p7s", "application/pkcs7-signature", b"dummy signature"),
        ),
    },
    "subject-base64": {
        "subject": "Заказ принят: спасибо, что выбрали нас, доставим завтра",
        "from_": Mailbox("Иванова, Анна", "alice@example.com"),
        "to": (Mailbox("Борис", "bob@example.com"),),
        "text": "Thank you\n",
    },
    "subject-broken": {
        "subject": "Счёт тут =?utf-8?Q?never closed",
        "from_": Mailbox("AliceExample", "alice@example.com"),
        "text": "Thank you\n",
    },
    "subject-quoted-printable": {
        "subject": "Re: Заказ 77 принят (copy)",
        "from_": Mailbox("Анна Иванова", "alice@example.com"),
        "text": "Thank you\n",
    },
    "text-only": {"text": "Thank you for your order.\n\n-- \nThe shop\n"},
    "undisclosed-recipients": {
        "to": (),
        "cc": (Mailbox("Superuser", "root"), Mailbox("Carol", "carol@example.com")),
        "reply_to": (
            Mailbox("", "help@example.com"),
            Mailbox("Desk, Front", "desk@example.com"),
        ),
        "text": "Hello\n",
    },
    "unquoted-comma": {
        "from_": Mailbox("Example, Alice", "alice@example.com"),
        "to": (
            Mailbox("Doe, John", "john@example.com"),
            Mailbox("Bob", "bob@example.com"),
            Mailbox("", "eve@example.com"),
        ),
        "text": "Hello\n",
    },
    "uuencode": {
        "text": "See the file.",
        "attachments": (Attachment("data.bin", "application/octet-stream", bytes(range(100))),),
    },
    "windows-1251": {"subject": "Заказ № 77", "text": "Заказ № 77 — «принят»\n"},
    "winmail": {
        "text": "See the file.",
        "attachments": (Attachment("winmail.dat", "application/ms-tnef", b'x\x9f>"dummy'),),
    },
    "wrong-boundary": {"text": "Just words, though they said otherwise.\n"},
    "several-senders": {
        "text": "Hello\n",
        "other_senders": (
            Mailbox("Doe, Carol", "carol@example.com"),
            Mailbox("", "dave@example.com"),
        ),
        "header_fields": further(
            "several-senders", ("Sender", "Alice Example <alice@example.com>")
        ),
    },
    "no-subject": {"subject": "", "text": "Hello\n"},
    "list-letter": {
        "to": (Mailbox("News", "news@lists.example.com"),),
        "text": "News\n",
        "header_fields": further(
            "list-letter",
            ("List-Id", "News <news.lists.example.com>"),
            (
                "List-Unsubscribe",
                "<https://lists.example.com/u/77>, <mailto:leave@lists.example.com>",
            ),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("Precedence", "bulk"),
        ),
    },
    "digest": {
        "attachments": (
            Attachment(
                "One.eml",
                "message/rfc822",
                b"From: eve@example.com\r\nSubject: One\r\n\r\nfirst",
            ),
            Attachment("Two.eml", "message/rfc822", b"Subject: Two\r\n\r\nsecond"),
        ),
    },
    "calendar-alone": {"calendar": ICS + b"\r\n"},
    "pgp-signed": {
        "sealed": True,
        "text": "Спасибо",
        "attachments": (Attachment("signature.asc", "application/pgp-signature", b"dummy"),),
    },
    "mixed-charsets": {"text": "Спасибо", "html": "<p>Спасибо</p>"},
    "repeated-fields": {
        "text": "Hello\n",
        "header_fields": further(
            "repeated-fields",
            ("X-Tag", "one"),
            ("X-Tag", "two"),
            ("Comments", "first"),
            ("comments", "second"),
            ("X-Empty", ""),
        ),
    },
    "disposition-report": {
        "text": "Your letter was displayed.",
        "other_parts": ("message/disposition-notification",),
    },
    "enriched": {"text": "Thank you", "other_parts": ("text/enriched",)},
    "wrong-nesting": {
        "text": "Thank you",
        "html": "<p>Thank you</p>",
        "attachments": (pdf("one.pdf"), pdf("two.pdf")),
    },
}


def names() -> list[str]:
    """The letters, by the names of their files."""
    return sorted(EXPECTED)


def content_of(name: str) -> bytes:
    """A letter as it lies in its file."""
    return (FOLDER / f"{name}.eml").read_bytes()


def expected(name: str) -> ParsedLetter:
    """What it must become."""
    return replace(usual(name), **EXPECTED[name])
