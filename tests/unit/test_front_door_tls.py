"""TLS contexts and the certificate's end, with certificates that `openssl` made."""

from __future__ import annotations

import ssl
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from gateway.ingress.policy import TlsProfile
from gateway.ingress.tls import BadCertificate, expiry, load_tls
from tests.support.certificates import Certificate, make_certificate


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_expiry_is_what_openssl_says(certificate: Certificate) -> None:
    """The metric that operators alert on must be right to the second."""
    command = ["openssl", "x509", "-noout", "-enddate", "-in", str(certificate.certificate)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    expected = datetime.strptime(said.strip() + "+0000", "notAfter=%b %d %H:%M:%S %Y GMT%z")
    assert expiry(certificate.certificate.read_text()) == expected


def test_expiry_after_2049(tmp_path: Path) -> None:
    """RFC 5280 4.1.2.5: from 2050 on the time is written in another form."""
    path = tmp_path / "long.crt"
    command = ["openssl", "req", "-x509", "-nodes", "-days", "20000", "-subj", "/CN=a"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(
        [*command, "-keyout", str(tmp_path / "key"), "-out", str(path)],
        check=True,
        capture_output=True,
    )
    assert expiry(path.read_text()).year > 2050


@pytest.mark.parametrize("cut", [0, 1, 5, 50, 100, 200])
def test_what_is_no_certificate(certificate: Certificate, cut: int) -> None:
    """A certificate cut off anywhere is told, and nothing else breaks."""
    der = ssl.PEM_cert_to_DER_cert(certificate.certificate.read_text())
    with pytest.raises(ValueError, match=r".*"):
        expiry(ssl.DER_cert_to_PEM_cert(der[:cut]))


def test_profiles(certificate: Certificate) -> None:
    """Today's clients get TLS 1.2 and newer, old devices what there is."""
    tls = load_tls(certificate.certificate, certificate.key)
    assert set(tls.contexts) == set(TlsProfile)
    modern, old = tls.contexts[TlsProfile.MODERN], tls.contexts[TlsProfile.OLD]
    assert modern.minimum_version is ssl.TLSVersion.TLSv1_2
    assert old.minimum_version < ssl.TLSVersion.TLSv1
    assert old.options & ssl.OP_NO_SSLv3
    names = {cipher["name"] for cipher in old.get_ciphers()}
    assert "AES128-SHA" in names
    assert not any("NULL" in name or name.startswith(("ADH", "AECDH")) for name in names)


def test_key_that_does_not_belong(certificate: Certificate, tmp_path: Path) -> None:
    """Told in one line, with both files."""
    other = make_certificate(tmp_path, "other")
    with pytest.raises(BadCertificate, match="are no certificate with its key"):
        load_tls(certificate.certificate, other.key)


def test_files_that_are_not_there_or_not_pem(certificate: Certificate, tmp_path: Path) -> None:
    """The file is named, and what is in it is not."""
    with pytest.raises(BadCertificate, match="No such file"):
        load_tls(tmp_path / "gone", certificate.key)
    junk = tmp_path / "junk"
    junk.write_text("secret")
    with pytest.raises(BadCertificate, match=r"junk") as caught:
        load_tls(certificate.certificate, junk)
    assert "secret" not in str(caught.value)


def test_key_with_a_pass_phrase_is_no_question_on_the_terminal(tmp_path: Path) -> None:
    """A daemon that waits for an answer nobody gives would never start."""
    key, certificate = tmp_path / "k", tmp_path / "c"
    command = ["openssl", "req", "-x509", "-days", "2", "-subj", "/CN=a", "-passout", "pass:x"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(
        [*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    with pytest.raises(BadCertificate):
        load_tls(certificate, key)
