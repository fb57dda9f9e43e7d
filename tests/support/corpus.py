"""
Letters of every kind, made from what they say: content and truth come from the same words.

Deterministic, and written without any MIME library of ours or others', so that neither reader nor
writer is its own judge. With the hand-made ones of `letter_files` they are the corpus through which
all adapters go (trap T26).
"""

from __future__ import annotations

from base64 import b64encode, encodebytes
from binascii import b2a_qp
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import quote
from zlib import crc32

from providers.mime import Attachment, Mailbox, ParsedLetter
from tests.support import letter_files

DATE = "Mon, 1 Jan 2024 12:00:00 +0000"
ALICE = Mailbox("Alice Example", "alice@example.com")
BOB = Mailbox("", "bob@example.com")
PDF = b"%PDF-1.4\n% dummy \x00\xff\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
ICS = b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:7\r\nEND:VEVENT\r\nEND:VCALENDAR"

# In each charset words that its users write.
WORDS = {
    "us-ascii": "Thank you for order 77",
    "utf-8": "Спасибо – café ☕ 😀",
    "windows-1251": "Спасибо за заказ № 77",
    "koi8-r": "Спасибо за заказ",
    "iso-8859-1": "Grüße aus Köln, café",
    "iso-8859-2": "Zażółć gęślą jaźń",
    "iso-8859-5": "Спасибо за заказ",
    "iso-8859-7": "Ευχαριστώ πολύ",
    "iso-8859-15": "Prix : 10 €, reçu",
    "windows-1252": "“Quoted” – café",
    "windows-1250": "Příliš žluťoučký kůň",
    "gb2312": "订单已收到",
    "gb18030": "謝謝您的訂單",
    "big5": "訂單已收到",
    "shift_jis": "ご注文ありがとう",
    "euc-jp": "ご注文ありがとう",
    "iso-2022-jp": "ご注文ありがとう",
    "euc-kr": "주문해 주셔서",
}


@dataclass(frozen=True, slots=True)
class Specimen:
    """
    One letter: its octets, what they say, and how it travels.

    `smtputf8` is what the client declared, `reverse_path` is `None` for the null one.
    """

    name: str
    content: bytes
    truth: ParsedLetter
    recipient: str = "bob@example.com"
    reverse_path: str | None = "alice@example.com"
    smtputf8: bool = False

    @property
    def is_sealed(self) -> bool:
        """Whether any change breaks it."""
        return self.truth.sealed


def corpus() -> tuple[Specimen, ...]:
    """All letters, the hand-made and the generated ones, each name once."""
    return (*hand_made(), *generated())


def hand_made() -> Iterator[Specimen]:
    """The letters of `tests/data/letters` that the spool can hold: its line ends are CRLF."""
    for name in letter_files.names():
        content = letter_files.content_of(name)
        if b"\n" not in content.replace(b"\r\n", b""):
            yield Specimen(f"file: {name}", content, letter_files.expected(name))


def generated() -> Iterator[Specimen]:
    """The others, family by family."""
    yield from _texts()
    yield from _alternatives()
    yield from _subjects()
    yield from _names()
    yield from _recipients()
    yield from _header_fields()
    yield from _attachments()
    yield from _inline_images()
    yield from _invitations()
    yield from _sealed()
    yield from _other_parts()
    yield from _oddities()


# How octets are put together.


def leaf(
    content_type: str, octets: bytes, encoding: str = "7bit", *header_lines: str | bytes
) -> bytes:
    """An entity: its header and its encoded body, without a line end after it."""
    lines = [f"Content-Type: {content_type}", f"Content-Transfer-Encoding: {encoding}"]
    if encoding == "7bit":
        lines.pop()
    head = b"\r\n".join(_octets(line) for line in (*lines, *header_lines))
    return head + b"\r\n\r\n" + encoded(octets, encoding)


def encoded(octets: bytes, encoding: str) -> bytes:
    """Octets in a transfer encoding (RFC 2045 6)."""
    if encoding == "base64":
        return encodebytes(octets).replace(b"\n", b"\r\n").removesuffix(b"\r\n")
    if encoding == "quoted-printable":
        lines = [b2a_qp(line, istext=False) for line in octets.split(b"\r\n")]
        return b"\r\n".join(line.replace(b"=\n", b"=\r\n") for line in lines)
    return octets


def multipart(subtype: str, *parts: bytes, parameters: str = "") -> bytes:
    """A multipart of entities; its boundary stands in none of them."""
    boundary = f"={subtype}={len(b''.join(parts))}="
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"{parameters}\r\n\r\n'
    body = b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts)
    return head.encode() + body + f"--{boundary}--".encode()


def text(words: str = "Thank you", subtype: str = "plain") -> bytes:
    """A body part in ASCII."""
    return leaf(f"text/{subtype}; charset=us-ascii", words.encode())


def specimen(
    name: str,
    entity: bytes,
    *fields: tuple[str | bytes, str],
    subject_line: str | bytes = "Order 77",
    from_line: str | bytes = "Alice Example <alice@example.com>",
    to_line: str | bytes = "bob@example.com",
    recipient: str = "bob@example.com",
    reverse_path: str | None = "alice@example.com",
    smtputf8: bool = False,
    **truth: object,
) -> Specimen:
    """
    A letter around an entity.

    Args:
        name: Unlike all others.
        entity: Its MIME header and body.
        fields: Further header lines, each with the value it must decode to.
        subject_line: Subject as written; empty for none.
        from_line: From as written.
        to_line: To as written; empty for none.
        recipient: Of the envelope.
        reverse_path: Likewise.
        smtputf8: What the client declared.
        truth: What differs from the usual letter.
    """
    message_id = f"<{crc32(name.encode()):08x}@example.com>"
    lines: list[str | bytes] = [b"From: " + _octets(from_line)]
    lines += [b"To: " + _octets(to_line)] if to_line else []
    lines += [b"Subject: " + _octets(subject_line)] if subject_line else []
    lines += [f"Date: {DATE}", f"Message-ID: {message_id}", *(line for line, _ in fields)]
    lines += ["MIME-Version: 1.0"]
    header = b"".join(_octets(line) + b"\r\n" for line in lines)
    further = tuple((_octets(line).partition(b":")[0].decode(), value) for line, value in fields)
    usual = ParsedLetter(
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
        message_id=message_id,
        header_fields=(("Date", DATE), ("Message-ID", message_id), *_outside(further)),
    )
    return Specimen(
        name,
        header + entity + b"\r\n",
        replace(usual, **truth),  # type: ignore[arg-type] - by the names of its attributes
        recipient,
        reverse_path,
        smtputf8,
    )


def _outside(fields: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, str]]:
    """Those that have no attribute of their own."""
    return (field for field in fields if field[0].lower() not in ("cc", "bcc", "reply-to"))


def _octets(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def word(value: str, charset: str = "utf-8", way: str = "B") -> bytes:
    """An encoded word (RFC 2047)."""
    octets = value.encode(charset)
    if way == "B":
        return f"=?{charset}?B?".encode() + b64encode(octets) + b"?="
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    q = b"".join(bytes((x,)) if x in plain else f"={x:02X}".encode() for x in octets)
    return f"=?{charset}?Q?".encode() + q + b"?="


# The families.


def _texts() -> Iterator[Specimen]:
    """Plain text in every charset and encoding."""
    for charset, words in WORDS.items():
        said = f"{words}\r\nsecond line: {words}"
        octets = said.encode(charset)
        plain = "7bit" if octets.isascii() else "8bit"
        for encoding in (plain, "quoted-printable", "base64"):
            entity = leaf(f"text/plain; charset={charset}", octets, encoding)
            ends = "" if encoding == "base64" else "\n"
            yield specimen(
                f"text {charset} {encoding}", entity, text=said.replace("\r\n", "\n") + ends
            )


def _alternatives() -> Iterator[Specimen]:
    """HTML alone and beside text, also in two charsets."""
    for charset in ("utf-8", "windows-1251", "iso-8859-1", "shift_jis"):
        words = WORDS[charset]
        html = f"<p>{words}</p>"
        page = leaf(f"text/html; charset={charset}", html.encode(charset), "base64")
        yield specimen(f"html {charset}", page, html=html)
        beside = leaf("text/plain; charset=utf-8", words.encode(), "quoted-printable")
        both = multipart("alternative", beside, page)
        yield specimen(f"alternative {charset}", both, text=words, html=html)
        mixed = multipart("mixed", both)
        yield specimen(f"alternative within mixed {charset}", mixed, text=words, html=html)
    blank = multipart("alternative", text(" "), text("<p>Thank you</p>", "html"))
    yield specimen("alternative with a blank text", blank, text=" ", html="<p>Thank you</p>")


def _subjects() -> Iterator[Specimen]:
    """Encoded words in every charset, cut, long, raw and missing."""
    for charset, words in WORDS.items():
        if charset != "us-ascii":
            way = "Q" if len(charset) % 2 else "B"
            line = word(words, charset, way)
            yield specimen(f"subject {charset} {way}", text(), subject_line=line, **_said(words))
    halves = word("Спасибо за ") + b"\r\n " + word("заказ")
    said = _said("Спасибо за заказ")
    yield specimen("subject in two words", text(), subject_line=halves, **said)
    long = "word " * 180 + "end"
    yield specimen("subject of 900 octets", text(), subject_line=long, **_said(long))
    yield specimen("subject missing", text(), subject_line="", **_said(""))
    raw = _said("Заказ 77")
    yield specimen("subject in UTF-8", text(), subject_line="Заказ 77", smtputf8=True, **raw)


def _said(subject: str) -> dict[str, object]:
    return {"subject": subject, "text": "Thank you\n"}


def _names() -> Iterator[Specimen]:
    """Senders with names of all kinds, several, and on behalf of others."""
    body = {"text": "Thank you\n"}
    for charset in ("utf-8", "koi8-r", "iso-2022-jp", "iso-8859-7"):
        line = word(WORDS[charset], charset) + b" <alice@example.com>"
        sender = Mailbox(WORDS[charset], "alice@example.com")
        yield specimen(f"from {charset}", text(), from_line=line, from_=sender, **body)
    for name, line, sender in (
        ("quoted", '"Example, \\"Alice\\"" <alice@example.com>', 'Example, "Alice"'),
        ("comment", "alice@example.com (Alice Example)", "Alice Example"),
        ("bare", "alice@example.com", ""),
    ):
        mailbox = Mailbox(sender, "alice@example.com")
        yield specimen(f"from {name}", text(), from_line=line, from_=mailbox, **body)
    idn = Mailbox("Alice", "alice@xn--bcher-kva.example")
    line = "Alice <alice@xn--bcher-kva.example>"
    yield specimen("from an A-label domain", text(), from_line=line, from_=idn, **body)
    raw = Mailbox("Алиса", "alice@bücher.example")
    line = "Алиса <alice@bücher.example>"
    yield specimen(
        "from a U-label domain", text(), from_line=line, smtputf8=True, from_=raw, **body
    )
    two = "Alice Example <alice@example.com>, Carol <carol@example.com>"
    others = {"other_senders": (Mailbox("Carol", "carol@example.com"),)}
    on_behalf = ("Sender: carol@example.com", "carol@example.com")
    yield specimen("from two", text(), on_behalf, from_line=two, **others, **body)
    yield specimen("sender beside from", text(), on_behalf, **body)


def _recipients() -> Iterator[Specimen]:
    """Who is shown: names, others, groups, nobody; who gets it is the envelope's to say (T8)."""
    body = {"text": "Thank you\n"}
    carol = Mailbox("", "carol@example.com")
    shown: tuple[tuple[str, str | bytes, tuple[Mailbox, ...]], ...] = (
        ("a name", "Bob <bob@example.com>", (Mailbox("Bob", "bob@example.com"),)),
        (
            "an encoded name",
            word("Борис") + b" <bob@example.com>",
            (Mailbox("Борис", BOB.address),),
        ),
        ("two", "bob@example.com, carol@example.com", (BOB, carol)),
        ("a group", "Friends: bob@example.com, carol@example.com;", (BOB, carol)),
        ("an empty group", "undisclosed-recipients:;", ()),
        ("nobody", "", ()),
        ("a list", "list@lists.example.com", (Mailbox("", "list@lists.example.com"),)),
        ("forty", ", ".join(f"u{n}@example.com" for n in range(40)), _users(40)),
        ("a quoted local part", '"b ob"@example.com', (Mailbox("", '"b ob"@example.com'),)),
    )
    for name, line, mailboxes in shown:
        yield specimen(f"to {name}", text(), to_line=line, to=mailboxes, **body)
    yield specimen("cc", text(), ("Cc: carol@example.com", ""), cc=(carol,), **body)
    yield specimen("bcc kept in the header", text(), ("Bcc: eve@example.com", ""), **body)
    yield specimen(
        "an A-label recipient",
        text(),
        to_line="bob@xn--bcher-kva.example",
        recipient="bob@bücher.example",
        to=(Mailbox("", "bob@xn--bcher-kva.example"),),
        **body,
    )
    yield specimen(
        "a local part beyond ASCII",
        text(),
        to_line="jörg@example.com",
        recipient="jörg@example.com",
        smtputf8=True,
        to=(Mailbox("", "jörg@example.com"),),
        **body,
    )
    yield specimen("the null reverse-path", text(), reverse_path=None, **body)


def _users(count: int) -> tuple[Mailbox, ...]:
    return tuple(Mailbox("", f"u{n}@example.com") for n in range(count))


def _header_fields() -> Iterator[Specimen]:
    """What stands in the header beside the usual."""
    body = {"text": "Thank you\n"}
    help_ = Mailbox("Help Desk", "help@example.com")
    line = ("Reply-To: Help Desk <help@example.com>", "")
    yield specimen("reply-to", text(), line, reply_to=(help_,), **body)
    line = (b"Reply-To: " + word("Помощь") + b" <help@example.com>, b@example.com", "")
    two = (Mailbox("Помощь", "help@example.com"), Mailbox("", "b@example.com"))
    yield specimen("reply-to two", text(), line, reply_to=two, **body)
    line = ("Reply-To: Desk: help@example.com;", "")
    desk = (Mailbox("", "help@example.com"),)
    yield specimen("reply-to a group", text(), line, reply_to=desk, **body)
    line = ("Reply-To: alice@example.com", "")
    own = (Mailbox("", "alice@example.com"),)
    yield specimen("reply-to the sender", text(), line, reply_to=own, **body)
    line = ("Reply-To: root, b@example.com", "")
    half = (Mailbox("", "root"), Mailbox("", "b@example.com"))
    yield specimen("reply-to half an address", text(), line, reply_to=half, **body)
    url = "<https://example.com/u/7>, <mailto:leave@example.com>"
    click = "List-Unsubscribe=One-Click"
    lines = ((f"List-Unsubscribe: {url}", url), (f"List-Unsubscribe-Post: {click}", click))
    yield specimen("list-unsubscribe", text(), *lines, **body)
    ids = " ".join(f"<{n}.{n * n}@mail.example.com>" for n in range(700))
    folded = ids.replace(" ", "\r\n ")
    threading = (
        ("In-Reply-To: <1@example.com>", "<1@example.com>"),
        (f"References: {folded}", ids),
    )
    yield specimen("references of 20 KiB", text(), *threading, **body)
    many = tuple((f"X-Field-{n}: value {n}", f"value {n}") for n in range(100))
    yield specimen("a hundred fields", text(), *many, **body)
    huge = "word " * 8000 + "end"
    lines = ((f"X-Huge: {huge}".replace("word word word ", "word word\r\n word "), huge),)
    yield specimen("a field of 40 KiB", text(), *lines, **body)
    twice = (("X-Tag: one", "one"), ("X-Tag: two", "two"), ("x-tag: three", "three"))
    yield specimen("a field three times", text(), *twice, **body)
    yield specimen("an empty field", text(), ("X-Empty:", ""), **body)
    line = (b"X-Shop: " + word("Лавка"), "Лавка")
    yield specimen("an encoded field", text(), line, **body)
    lines = (("X-Priority: 1", "1"), ("Importance: high", "high"), ("Organization: Shop", "Shop"))
    yield specimen("priority", text(), *lines, **body)
    line = ("DKIM-Signature: v=1; a=rsa-sha256; b=dummy", "v=1; a=rsa-sha256; b=dummy")
    yield specimen("dkim", text(), line, **body)
    line = ("Received: from a by b; Mon, 1 Jan 2024 12:00:00 +0000",) * 2
    value = line[0].partition(": ")[2]
    yield specimen("received twice", text(), (line[0], value), (line[0], value), **body)
    line = ("Return-Path: <alice@example.com>", "<alice@example.com>")
    yield specimen("return-path", text(), line, **body)
    for field in ("Auto-Submitted: auto-generated", "Feedback-ID: 7:shop", "X.Odd_Name-1: x"):
        yield specimen(f"field {field}", text(), (field, field.partition(": ")[2]), **body)


def attached(name: str, content_type: str = "application/pdf", octets: bytes = PDF) -> bytes:
    """A file, its name written as ASCII or by RFC 2231."""
    given = f'filename="{name}"' if name.isascii() else f"filename*=utf-8''{quote(name)}"
    return leaf(content_type, octets, "base64", f"Content-Disposition: attachment; {given}")


def _attachments() -> Iterator[Specimen]:
    """Files: how many, how named, of which types."""
    for count in (1, 2, 5, 50, 200):
        names = [f"file-{n}.pdf" for n in range(count)]
        files = tuple(Attachment(name, "application/pdf", PDF) for name in names)
        entity = multipart("mixed", text(), *(attached(name) for name in names))
        yield specimen(f"{count} attachments", entity, text="Thank you", attachments=files)
    for name in ("Счёт за январь.pdf", "naïve café.pdf", "請求書.pdf", "a b;c=d.pdf", "😀.pdf"):
        yield _with_file(f"file named {name}", attached(name), name)
    encoded_name = (word("Счёт") + b".pdf").decode()
    disposition = f'Content-Disposition: attachment; filename="{encoded_name}"'
    entity = leaf("application/pdf", PDF, "base64", disposition)
    yield _with_file("file named by RFC 2047", entity, "Счёт.pdf")
    sections = "filename*0*=utf-8''%D0%A1; filename*1*=%D1%87; filename*2=.pdf"
    entity = leaf("application/pdf", PDF, "base64", f"Content-Disposition: attachment; {sections}")
    yield _with_file("file named in sections", entity, "Сч.pdf")
    entity = leaf('application/pdf; name="invoice.pdf"', PDF, "base64")
    yield _with_file("file named in its type", entity, "invoice.pdf")
    entity = leaf("application/pdf", PDF, "base64", "Content-Disposition: attachment")
    yield _with_file("file without a name", entity, "attachment.pdf")
    for content_type, name, octets in (
        ("image/png", "photo.png", PNG),
        ("text/csv", "orders.csv", b"id;sum\r\n77;10\r\n"),
        ("text/html", "page.html", b"<p>a file, no body</p>"),
        ("text/plain", "notes.txt", "заметки".encode()),
        ("text/calendar", "meeting.ics", ICS),
        ("application/ms-tnef", "winmail.dat", b'x\x9f>"' + bytes(200)),
        ("application/octet-stream", "data.bin", bytes(range(256)) * 8),
        ("application/zip", "empty.zip", b""),
        ("audio/mpeg", "call.mp3", b"ID3" + bytes(99)),
        ("application/vnd.ms-excel", "table.xls", b"\xd0\xcf\x11\xe0"),
        ("application/pgp-keys", "key.asc", b"-----BEGIN PGP PUBLIC KEY BLOCK-----"),
    ):
        part = attached(name, content_type, octets)
        yield _with_file(f"file {content_type}", part, name, content_type, octets)
    inner = b"From: eve@example.com\r\nSubject: inner\r\n\r\nhello"
    entity = multipart("mixed", text(), leaf("message/rfc822", inner))
    letter = (Attachment("inner.eml", "message/rfc822", inner),)
    yield specimen("an attached letter", entity, text="Thank you", attachments=letter)
    yield specimen(
        "a file and no body",
        attached("invoice.pdf"),
        attachments=(Attachment("invoice.pdf", "application/pdf", PDF),),
    )


def _with_file(
    title: str,
    part: bytes,
    name: str,
    content_type: str = "application/pdf",
    octets: bytes = PDF,
) -> Specimen:
    """A text and a file."""
    file = Attachment(name, content_type, octets)
    entity = multipart("mixed", text(), part)
    return specimen(title, entity, text="Thank you", attachments=(file,))


def _image(content_id: str, name: str = "logo.png") -> bytes:
    return leaf(
        "image/png",
        PNG,
        "base64",
        f"Content-ID: <{content_id}>",
        f'Content-Disposition: inline; filename="{name}"',
    )


def _inline_images() -> Iterator[Specimen]:
    """Pictures that the HTML shows, in every nesting that programs make."""
    html = '<p>Thank you <img src="cid:logo@example.com"></p>'
    page = text(html, "html")
    logo = Attachment("logo.png", "image/png", PNG, "logo@example.com")
    both = {"text": "Thank you", "html": html, "inline_parts": (logo,)}
    image = _image("logo@example.com")
    file = Attachment("invoice.pdf", "application/pdf", PDF)
    related = multipart("related", page, image)
    alone = {"html": html, "inline_parts": (logo,)}
    yield specimen("inline image alone", related, **alone)
    yield specimen("inline in alternative", multipart("alternative", text(), related), **both)
    outside = multipart("related", multipart("alternative", text(), page), image)
    yield specimen("inline around alternative", outside, **both)
    whole = multipart("mixed", multipart("alternative", text(), related), attached("invoice.pdf"))
    yield specimen("inline and a file", whole, attachments=(file,), **both)
    flat = multipart("mixed", page, image)
    yield specimen("inline within mixed", flat, **alone)
    two = '<img src="cid:a@example.com"><img src="cid:b@example.com">'
    images = tuple(Attachment(f"{x}.png", "image/png", PNG, f"{x}@example.com") for x in "ab")
    entity = multipart(
        "related", text(two, "html"), *(_image(f"{x}@example.com", f"{x}.png") for x in "ab")
    )
    yield specimen("inline two", entity, html=two, inline_parts=images)
    unused = multipart("related", text("<p>no image</p>", "html"), image)
    yield specimen("inline that is not shown", unused, html="<p>no image</p>", attachments=(logo,))


def _invitations() -> Iterator[Specimen]:
    """Calendar parts that programs act on (RFC 6047)."""
    for method in ("REQUEST", "CANCEL", "REPLY", "COUNTER"):
        octets = ICS.replace(b"REQUEST", method.encode())
        part = leaf(f"text/calendar; method={method}; charset=utf-8", octets, "base64")
        entity = multipart("alternative", text("Meeting"), part)
        yield specimen(f"invitation {method}", entity, text="Meeting", calendar=octets)
    part = leaf("text/calendar; method=REQUEST", ICS)
    html = "<p>Meeting</p>"
    entity = multipart("alternative", text("Meeting"), text(html, "html"), part)
    yield specimen("invitation with html", entity, text="Meeting", html=html, calendar=ICS)
    copy = attached("invite.ics", "application/ics", ICS)
    file = Attachment("invite.ics", "application/ics", ICS)
    yield specimen(
        "invitation and its file",
        multipart("mixed", entity, copy),
        text="Meeting",
        html=html,
        calendar=ICS,
        attachments=(file,),
    )


def _sealed() -> Iterator[Specimen]:
    """Signed and encrypted letters (RFC 1847, RFC 3156, RFC 8551)."""
    for title, inner, said in (
        ("ASCII", text("Signed"), "Signed"),
        ("8-bit", leaf("text/plain; charset=utf-8", "Подпись".encode(), "8bit"), "Подпись"),
    ):
        for kind, name in (("pgp-signature", "signature.asc"), ("pkcs7-signature", "smime.p7s")):
            mark = leaf(f"application/{kind}; name={name}", b"dummy", "base64")
            file = Attachment(name, f"application/{kind}", b"dummy")
            protocol = f'; protocol="application/{kind}"'
            entity = multipart("signed", inner, mark, parameters=protocol)
            sealed = {"sealed": True, "text": said, "attachments": (file,)}
            yield specimen(f"signed {kind} {title}", entity, **sealed)
    mark = leaf("application/pgp-signature; name=signature.asc", b"dummy", "base64")
    file = Attachment("signature.asc", "application/pgp-signature", b"dummy")
    within = multipart("mixed", multipart("signed", text("Signed"), mark), attached("a.pdf"))
    files = (file, Attachment("a.pdf", "application/pdf", PDF))
    yield specimen("signed within mixed", within, sealed=True, text="Signed", attachments=files)
    version = leaf("application/pgp-encrypted", b"Version: 1")
    secret = leaf("application/octet-stream; name=encrypted.asc", b"-----BEGIN PGP MESSAGE-----")
    files = (
        Attachment("attachment.bin", "application/pgp-encrypted", b"Version: 1"),
        Attachment("encrypted.asc", "application/octet-stream", b"-----BEGIN PGP MESSAGE-----"),
    )
    entity = multipart("encrypted", version, secret)
    yield specimen("encrypted pgp", entity, sealed=True, attachments=files)
    for content_type in ("application/pkcs7-mime", "application/x-pkcs7-mime"):
        file = Attachment("smime.p7m", content_type, b"dummy envelope")
        entity = leaf(f"{content_type}; name=smime.p7m", b"dummy envelope", "base64")
        yield specimen(f"encrypted {content_type}", entity, sealed=True, attachments=(file,))


def _other_parts() -> Iterator[Specimen]:
    """Parts that are neither body nor file."""
    html = "<p>Thank you</p>"
    for kind in ("text/x-amp-html", "text/watch-html", "text/enriched", "application/json"):
        part = leaf(kind, b"<other>")
        entity = multipart("alternative", text(), part, text(html, "html"))
        yield specimen(
            f"alternative {kind}", entity, text="Thank you", html=html, other_parts=(kind,)
        )
    for kind in (
        "message/delivery-status",
        "message/disposition-notification",
        "message/feedback-report",
        "message/global-delivery-status",
    ):
        entity = multipart("report", text("A report."), leaf(kind, b"Status: 5.0.0"))
        yield specimen(f"report {kind}", entity, text="A report.", other_parts=(kind,))
    for kind in ("message/partial; id=7; number=1", "message/external-body; access-type=URL"):
        entity = multipart("mixed", text(), leaf(kind, b"Content-Type: text/plain"))
        other = (kind.partition(";")[0],)
        yield specimen(f"a part {other[0]}", entity, text="Thank you", other_parts=other)


def _oddities() -> Iterator[Specimen]:
    """Bodies that transports like to spoil."""
    dots = ".\r\n..\r\n.a\r\n\r\n.\r\nFrom me\r\nend."
    html = "<p>.</p>\r\n.\r\n<p>&amp; &lt;</p>"
    plain = "text/plain; charset=us-ascii"
    for title, said in (
        ("dots", dots),
        ("blanks at line ends", "a \r\nb\t\r\n  c"),
        ("lines of 998 octets", "\r\n".join(["x" * 998] * 3)),
        ("markup", "<b>no HTML</b> & \"quotes\" 'too' &amp;"),
        ("empty lines", "\r\n\r\na\r\n\r\n\r\nb"),
        ("one megabyte", "\r\n".join(["seventy octets of text that say nothing at all"] * 20000)),
    ):
        yield specimen(f"text of {title}", leaf(plain, said.encode()), text=_lf(said) + "\n")
    yield specimen("html of dots", text(html, "html"), html=_lf(html) + "\n")
    yield specimen("an empty text", leaf(plain, b""), text="\n")
    yield specimen("blanks alone", leaf(plain, b" \r\n\t "), text=" \n\t \n")
    flowed = leaf(f"{plain}; format=flowed", b"soft \r\nbreak\r\n  stuffed")
    yield specimen("flowed text", flowed, text="soft break\n stuffed\n")
    entity = multipart("mixed", text("one"), text("two"))
    yield specimen("two texts", entity, text="one\ntwo")


def _lf(said: str) -> str:
    return said.replace("\r\n", "\n")
