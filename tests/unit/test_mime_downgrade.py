"""A letter made ASCII or 7-bit: the same after decoding, or named, or refused; seals untouched."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from providers.contract.capabilities import Part, Shortfall
from providers.mime import Downgraded, Undowngradable, downgrade, parse_letter

LETTERS = sorted((Path(__file__).parents[1] / "data" / "letters").glob("*.eml"))
SEALED = (
    'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary="b"\r\n\r\n'
    "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    "Спасибо\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\ndummy\r\n--b--\r\n"
).encode()


def done(content: bytes, *, bodies: bool = True) -> Downgraded:
    result = downgrade(content, bodies=bodies)
    assert isinstance(result, Downgraded)
    return result


def refused(content: bytes, *, bodies: bool = True) -> Undowngradable:
    result = downgrade(content, bodies=bodies)
    assert isinstance(result, Undowngradable)
    return result


def decoded_parts(content: bytes) -> list[tuple[str, bytes | None]]:
    """What the standard library reads: types and octets of all leaves."""
    read = message_from_bytes(content, policy=policy.default)
    leaves = (part for part in read.walk() if not part.is_multipart())
    return [(part.get_content_type(), part.get_payload(decode=True)) for part in leaves]


@pytest.mark.parametrize("path", LETTERS, ids=lambda path: path.stem)
@pytest.mark.parametrize("bodies", [True, False])
def test_letters_of_the_corpus_stay_what_they_are(path: Path, bodies: bool):
    """T26: every field, body and file decodes to what it was, and no line grows too long."""
    content = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if bodies and path.stem == "pgp-signed":
        assert refused(content).part is Part.SEAL
        return
    result = done(content, bodies=bodies)
    assert parse_letter(result.content) == parse_letter(content)
    assert result.losses == ()
    assert max(map(len, result.content.split(b"\r\n"))) <= 998
    if bodies:
        assert result.content.isascii()
    if content.isascii():
        assert result.content is content or result.content == content


class TestBodies:
    def test_a_readers_library_reads_the_same(self):
        """Text, HTML and a raw binary file, read by the standard library before and after."""
        letter = EmailMessage(policy=policy.SMTP.clone(cte_type="8bit"))
        letter["Subject"] = "x"
        letter.set_content("Привет, Боб\n.\nFrom me\n", cte="8bit")
        letter.add_alternative("<p>café</p>\n", subtype="html", cte="8bit")
        letter.add_attachment(bytes(range(256)) * 9, "image", "png", filename="a.png")
        before = letter.as_bytes()
        assert not before.isascii()
        assert decoded_parts(done(before).content) == decoded_parts(before)

    def test_a_mostly_ascii_text_stays_readable(self):
        """Quoted-printable where few octets need it, base64 where most do: the shorter one."""
        few = "Content-Type: text/plain; charset=utf-8\r\n\r\nThank you, José\r\n".encode()
        many = "Content-Type: text/plain; charset=utf-8\r\n\r\nСпасибо\r\n".encode()
        assert b"Jos=C3=A9" in done(few).content
        assert b"Content-Transfer-Encoding: base64" in done(many).content

    def test_a_text_that_says_nothing_gets_the_fields_it_lacks(self):
        """A script's raw text: MIME-Version, type and charset, by what the octets are."""
        utf8 = done("Subject: x\r\n\r\ncafé au lait\r\n".encode()).content
        assert b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" in utf8
        other = done("Subject: x\r\n\r\ncafé au lait\r\n".encode("latin-1")).content
        assert b"charset=unknown-8bit" in other
        assert parse_letter(other).text == "café au lait\n"

    def test_a_line_end_that_stands_alone_survives(self):
        """What quoted-printable would repair goes as base64, octet for octet."""
        content = b"Content-Type: text/csv\r\n\r\na\rb\xc3\xa9 with many letters in it\r\n"
        assert parse_letter(done(content).content).attachments == parse_letter(content).attachments

    def test_a_text_of_one_long_line(self):
        """Soft line breaks are CRLF, too, where the text has no line end of its own (T18)."""
        part = "Content-Type: text/plain; charset=utf-8\r\n\r\n" + "thank you José " * 60
        head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        content = f"{head}{part}\r\n--b--\r\n".encode()
        result = done(content).content
        assert b"\n" not in result.replace(b"\r\n", b"")
        assert max(map(len, result.split(b"\r\n"))) <= 76
        assert parse_letter(result) == parse_letter(content)

    def test_the_enclosing_parts_say_7bit_then(self):
        """RFC 2045 6.4: a multipart does not claim 8bit when nothing in it is."""
        content = (
            "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            "--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            "Subject: Счёт\r\n\r\nСпасибо\r\n--b--\r\n"
        ).encode()
        result = done(content).content
        assert b"8bit" not in result
        assert result.count(b"Content-Transfer-Encoding: 7bit") == 2
        (file,) = parse_letter(result).attachments
        assert file.filename == "Счёт.eml"
        assert parse_letter(file.content).text == "Спасибо"

    def test_text_beside_the_parts_is_a_loss(self):
        """A preamble has no encoding: nobody is shown it, and it is told all the same."""
        content = (
            "Content-Type: multipart/mixed; boundary=b\r\n\r\nПреамбула\r\n"
            "--b\r\n\r\nhello\r\n--b--\r\n"
        ).encode()
        result = done(content)
        assert result.losses == (Shortfall(Part.OTHER_PART, "text beside the parts is not ASCII"),)
        assert parse_letter(result.content).text == "hello"

    def test_a_dkim_signature_that_breaks_is_told(self):
        """The signature covers the encoded body: whoever checks it will not be content."""
        content = "DKIM-Signature: v=1; b=dummy\r\nSubject: x\r\n\r\né\r\n".encode()
        (loss,) = done(content).losses
        assert loss.part is Part.HEADER_FIELD
        assert "dkim-signature" in loss.reason

    def test_a_seal_is_never_broken(self):
        """An 8-bit part within a signature: refused, not re-encoded."""
        assert refused(SEALED).part is Part.SEAL
        assert done(SEALED, bodies=False).content == SEALED

    @pytest.mark.parametrize(
        "content",
        [
            "Content-Transfer-Encoding: x-odd\r\n\r\né\r\n",
            "Content-Type: multipart/mixed; boundary=b\r\n\r\né\r\n",
            "Content-Type: multipart/mixed; boundary=бб\r\n\r\n--бб\r\n\r\né\r\n--бб--\r\n",
        ],
        ids=["encoding", "no parts", "boundary"],
    )
    def test_what_has_no_encoding_is_refused(self, content: str):
        """Better not at all than something else."""
        assert refused(content.encode()).part is Part.OTHER_PART


class TestHeader:
    def test_names_and_domains_are_kept(self):
        """Display-names as encoded words, domains as A-labels, everybody in order (T26)."""
        content = (
            "From: Анна Иванова <anna@bücher.example>\r\n"
            'To: "Doe, Jörg" <j@example.com>,\r\n plain@example.com, Bob <b@example.com>\r\n'
            "Subject: Заказ № 77, спасибо что выбрали именно наш магазин\r\n\r\nx\r\n"
        ).encode()
        result = done(content, bodies=False).content
        assert result.isascii()
        read = message_from_bytes(result, policy=policy.default)
        assert read["Subject"] == "Заказ № 77, спасибо что выбрали именно наш магазин"
        assert [(m.display_name, m.addr_spec) for m in read["To"].addresses] == [
            ("Doe, Jörg", "j@example.com"),
            ("", "plain@example.com"),
            ("Bob", "b@example.com"),
        ]
        assert read["From"].addresses[0].addr_spec == "anna@xn--bcher-kva.example"

    def test_only_what_needs_it_is_written_anew(self):
        """Other fields keep their octets and their folding."""
        content = "X-A: 1,\r\n\t2 \r\nSubject: é\r\nX-B:b\r\n\r\nbody\r\n".encode()
        result = done(content, bodies=False).content
        assert result.startswith(b"X-A: 1,\r\n\t2 \r\nSubject: =?utf-8?")
        assert result.endswith(b"X-B:b\r\n\r\nbody\r\n")

    def test_long_file_names_fit_into_lines(self):
        """RFC 2231 sections, read back whole by the standard library."""
        name = "Очень длинное имя файла 😀 " * 20 + ".pdf"
        content = (
            f'Content-Type: application/pdf; name="{name}"\r\n'
            f'Content-Disposition: attachment; size=7; filename="{name}"\r\n\r\nx\r\n'
        ).encode()
        result = done(content, bodies=False).content
        assert max(map(len, result.split(b"\r\n"))) < 120
        read = message_from_bytes(result, policy=policy.default)
        assert read.get_filename() == name.strip()

    def test_a_local_part_needs_the_extension(self):
        """An address that only SMTPUTF8 can carry is not made another one."""
        for field in ("From: ü@example.com", "Reply-To: X <ü@example.com>", "To: é"):
            assert refused(f"{field}\r\n\r\nx\r\n".encode(), bodies=False).part is Part.SMTPUTF8

    def test_ids_travel_under_another_name(self):
        """An encoded word is no msg-id: the field is renamed, and that is told (RFC 6857)."""
        result = done("Message-ID: <é@example.com>\r\n\r\nx\r\n".encode(), bodies=False)
        assert result.content.startswith(b"Downgraded-Message-ID: =?utf-8?")
        assert "message-id" in result.losses[0].reason

    def test_the_name_of_a_group_is_told(self):
        """Its members stay; its name does not, and is in the ledger."""
        result = done("To: Друзья: a@example.com, b@example.com;\r\n\r\nx\r\n".encode())
        assert [m.address for m in parse_letter(result.content).to] == [
            "a@example.com",
            "b@example.com",
        ]
        assert len(result.losses) == 1
