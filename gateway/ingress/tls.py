"""
TLS for the front door: contexts from certificate and key, and when the certificate expires.

A context is made whole or not at all, so that a wrong new certificate leaves the old one in place.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.ingress.policy import TlsProfile

# What OpenSSL still has: TLS 1.0, SHA-1, short keys. Nothing without a key or a certificate.
_OLD_CIPHERS = "ALL:!aNULL:!eNULL:@SECLEVEL=0"

_UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x17, 0x18, 0xA0  # tags of ASN.1


class BadCertificate(ValueError):
    """Certificate and key cannot be used; the text says why, and never holds the key."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Contexts for handshakes to come, and the moment at which their certificate expires."""

    contexts: dict[TlsProfile, ssl.SSLContext]
    expires_at: datetime


def load_tls(certificate: Path, private_key: Path) -> ServerTls:
    """
    Read a certificate chain and its key, both PEM, the key without a pass phrase.

    Raises:
        BadCertificate: One cannot be read, or the two do not belong together.
    """
    try:
        contexts = {
            profile: build_context(certificate, private_key, profile) for profile in TlsProfile
        }
        return ServerTls(contexts, expiry(certificate.read_text(encoding="ascii")))
    except ssl.SSLError as error:
        raise BadCertificate(
            f"{certificate} and {private_key} are no certificate with its key: "
            f"{error.reason or 'not PEM'}"
        ) from None
    except OSError as error:
        raise BadCertificate(f"{error.filename or certificate}: {error.strerror}") from None
    except ValueError:
        raise BadCertificate(f"{certificate}: not a certificate in PEM") from None


def build_context(certificate: Path, private_key: Path, profile: TlsProfile) -> ssl.SSLContext:
    """
    A server's context.

    `modern` is TLS 1.2 and newer with the ciphers that Python chooses. `old` takes TLS 1.0 and
    what ciphers there are, for devices that nobody will update; better than a password in the
    clear, and no more than that.

    Raises:
        OSError, ssl.SSLError: Certificate and key cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if profile is TlsProfile.OLD:
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.options |= ssl.OP_NO_SSLv3
        context.set_ciphers(_OLD_CIPHERS)
    else:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, private_key, password=_no_pass_phrase)
    return context


def expiry(pem: str) -> datetime:
    """
    When the first certificate of a PEM text expires, aware.

    Read from its DER (RFC 5280 4.1): the standard library tells a peer's certificate only.

    Raises:
        ValueError: It is no certificate.
    """
    begin = pem.index("-----BEGIN CERTIFICATE-----")
    end = pem.index("-----END CERTIFICATE-----", begin) + len("-----END CERTIFICATE-----")
    try:
        ((_, certificate),) = _elements(ssl.PEM_cert_to_DER_cert(pem[begin:end]))
        (_, to_be_signed), *_ = _elements(certificate)
        fields = _elements(to_be_signed)
        _serial, _algorithm, _issuer, (_, validity) = fields[fields[0][0] == _VERSION :][:4]
        _not_before, (kind, text) = _elements(validity)
    except IndexError:
        raise ValueError("cut off") from None
    return _time(kind, text.decode("ascii"))


def _no_pass_phrase() -> bytes:
    """Else OpenSSL would ask for one on the terminal, and the daemon would wait."""
    return b""


def _elements(der: bytes) -> list[tuple[int, bytes]]:
    """The elements that stand one after the other, as tag and contents (X.690 8.1)."""
    elements = []
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            octets = length & 0x7F
            length = int.from_bytes(der[at : at + octets])
            at += octets
        if at + length > len(der):
            raise ValueError("cut off")
        elements.append((tag, der[at : at + length]))
        at += length
    return elements


def _time(kind: int, text: str) -> datetime:
    if kind == _UTC_TIME:
        # RFC 5280 4.1.2.5.1: 50 and more are years of the last century.
        text = ("19" if text >= "50" else "20") + text
    elif kind != _GENERALIZED_TIME:
        raise ValueError("not a time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
