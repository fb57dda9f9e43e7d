"""What each part is for: bodies, files, invitations, and what no API carries."""

from __future__ import annotations

import pytest

from providers.mime import ParsedLetter, parse_letter

COUNTER = iter(range(10_000))


def part(content_type: str, body: str = "", **more: str) -> bytes:
    """A leaf, with further header fields."""
    lines = [f"Content-Type: {content_type}"]
    lines += [f"Content-{name.title()}: {value}" for name, value in more.items()]
    return "\r\n".join([*lines, "", body or content_type]).encode()


def multipart(subtype: str, *parts: bytes) -> bytes:
    boundary = b"boundary%d" % next(COUNTER)
    head, _, parameters = subtype.partition(";")
    return (
        f"Content-Type: multipart/{head}; boundary=".encode()
        + boundary
        + f";{parameters}\r\n\r\n".encode()
        + b"".join(b"--" + boundary + b"\r\n" + content + b"\r\n" for content in parts)
        + b"--"
        + boundary
        + b"--\r\n"
    )


TEXT = part("text/plain", "text")
HTML = part("text/html", '<img src="cid:1">')
FILE = part("application/pdf", "file", disposition="attachment; filename=a.pdf")
IMAGE = part("image/png", "image", id="<1>")


def summary(letter: ParsedLetter) -> str:
    """The letter in one line: what it has, in a fixed order."""
    found = [f"text={letter.text}"] if letter.text is not None else []
    found += [f"html={letter.html}"] if letter.html is not None else []
    found += [f"file={file.filename}" for file in letter.attachments]
    found += [f"inline={file.filename}" for file in letter.inline_parts]
    found += ["calendar"] if letter.calendar else []
    found += ["sealed"] if letter.sealed else []
    found += [f"other={content_type}" for content_type in letter.other_parts]
    return " ".join(found)


IMG = 'html=<img src="cid:1">'


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (multipart("alternative", TEXT, HTML), f"text=text {IMG}"),
        (multipart("mixed", multipart("alternative", TEXT, HTML), FILE),
         f"text=text {IMG} file=a.pdf"),
        (multipart("alternative", TEXT, multipart("related", HTML, IMAGE)),
         f"text=text {IMG} inline=attachment.png"),
        (multipart("related", multipart("alternative", TEXT, HTML), IMAGE),
         f"text=text {IMG} inline=attachment.png"),
        (multipart("mixed", HTML, IMAGE), f"{IMG} inline=attachment.png"),
        (multipart("mixed", TEXT, IMAGE), "text=text file=attachment.png"),
        (multipart("related", part("text/html", "no picture"), IMAGE),
         "html=no picture file=attachment.png"),
        (multipart("x-unknown", TEXT, FILE), "text=text file=a.pdf"),
        (multipart("related;start=<r>", IMAGE, part("text/html", "cid:1", id="<r>")),
         "html=cid:1 inline=attachment.png"),
        (multipart("related", HTML, part("text/css", "p{}", id="<2>")),
         f"{IMG} file=attachment.txt"),
        (multipart("related", TEXT, part("text/plain", "more")), "text=text file=attachment.txt"),
    ],
)  # fmt: skip
def test_usual_nestings(content: bytes, expected: str) -> None:
    """Bodies, files and pictures are found wherever programs put them."""
    assert summary(parse_letter(content)) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (multipart("mixed", TEXT, part("text/plain", "footer")), "text=text\nfooter"),
        (multipart("mixed", HTML, FILE, part("text/html", "more")), f"{IMG}\nmore file=a.pdf"),
        (multipart("alternative", TEXT, multipart("mixed", HTML, FILE, part("text/html", "more"))),
         f"text=text {IMG}\nmore file=a.pdf"),
        (multipart("mixed", multipart("alternative", TEXT, HTML), part("text/plain", "footer")),
         f"text=text {IMG} file=attachment.txt"),
        (multipart("mixed", TEXT, HTML), "text=text file=attachment.html"),
        (multipart("mixed", part("text/plain", " \r\n"), HTML), IMG),
        (multipart("mixed", HTML, part("text/plain", " \r\n")), IMG),
        (multipart("mixed", part("text/plain", " "), FILE), "text=  file=a.pdf"),
        (multipart("mixed", TEXT, part("text/plain; name=a.log")), "text=text file=a.log"),
        (multipart("mixed", TEXT, part("text/html", disposition="attachment")),
         "text=text file=attachment.html"),
        (multipart("mixed", FILE), "file=a.pdf"),
    ],
)  # fmt: skip
def test_a_sequence_has_one_body(content: bytes, expected: str) -> None:
    """Bodies of one kind are read one after the other; of another kind they are files, not lost."""
    assert summary(parse_letter(content)) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (multipart("alternative", TEXT, part("text/x-amp-html"), HTML),
         f"text=text {IMG} other=text/x-amp-html"),
        (multipart("alternative", TEXT, HTML, part("text/html", "better")),
         "text=text html=better other=text/html"),
        (multipart("alternative", TEXT, HTML, part("text/plain", " ")), f"text=text {IMG}"),
        (multipart("alternative", part("text/plain", " "), TEXT), "text=text"),
        (multipart("alternative", TEXT, part("application/json")),
         "text=text other=application/json"),
        (multipart("alternative", TEXT, HTML, FILE), f"text=text {IMG} file=a.pdf"),
        (multipart("alternative", TEXT, HTML, IMAGE), f"text=text {IMG} inline=attachment.png"),
        (multipart("alternative", part("text/plain; name=body.txt", "text")), "text=text"),
    ],
)  # fmt: skip
def test_an_alternative_has_each_kind_once(content: bytes, expected: str) -> None:
    """The later one is the better; what falls away is named, and misplaced files are files."""
    assert summary(parse_letter(content)) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (part("text/plain; name=body.txt", "text"), "text=text"),
        (part("text/plain", "text", disposition="attachment"), "file=attachment.txt"),
        (part("text/markdown"), "file=attachment.txt"),
        (part("application/octet-stream"), "file=attachment.bin"),
        (part("message/rfc822", "Subject: a/b\r\n\r\nHi"), "file=a_b.eml"),
        (part("message/rfc822", "Subject: ..\r\n\r\nHi"), "file=message.eml"),
        (part("message/partial; number=1"), "other=message/partial"),
        (multipart("mixed", TEXT, part("message/external-body", disposition="attachment")),
         "text=text other=message/external-body"),
        (multipart("report", TEXT, part("message/disposition-notification")),
         "text=text other=message/disposition-notification"),
    ],
)  # fmt: skip
def test_single_parts_and_messages(content: bytes, expected: str) -> None:
    """One part is body, file or neither, by what it is."""
    assert summary(parse_letter(content)) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (multipart("alternative", TEXT, part("text/calendar; name=a.ics")), "text=text calendar"),
        (part("text/calendar; method=REQUEST"), "calendar"),
        (multipart("mixed", TEXT, part("text/calendar; method=REPLY")), "text=text calendar"),
        (multipart("mixed", TEXT, part("text/calendar")), "text=text file=attachment.ics"),
        (multipart("alternative", TEXT, part("text/calendar", disposition="attachment")),
         "text=text file=attachment.ics"),
        (multipart("alternative", part("text/calendar"), part("text/calendar")),
         "calendar other=text/calendar"),
    ],
)  # fmt: skip
def test_an_invitation_is_no_file(content: bytes, expected: str) -> None:
    """RFC 6047: beside the bodies or with a method it is an invitation, attached it is a file."""
    assert summary(parse_letter(content)) == expected


@pytest.mark.parametrize(
    ("content", "is_sealed"),
    [
        (multipart("signed", TEXT, part("application/pgp-signature")), True),
        (multipart("mixed", multipart("signed", TEXT), part("text/plain", "footer")), True),
        (multipart("encrypted", part("application/pgp-encrypted"), FILE), True),
        (part("application/x-pkcs7-mime; name=smime.p7m"), True),
        (multipart("mixed", TEXT, part("application/pkcs7-signature")), False),
        (multipart("mixed", TEXT, part("message/rfc822", "Content-Type: multipart/signed")), False),
        (part("text/plain", "-----BEGIN PGP MESSAGE-----"), False),
    ],
)
def test_sealed_letters_are_told(content: bytes, is_sealed: bool) -> None:
    """A seal anywhere around what is read counts; within an attached letter it stays whole."""
    assert parse_letter(content).sealed is is_sealed
