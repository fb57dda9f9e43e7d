"""The front door of the real daemon: what it refuses to be, and what SIGHUP changes under way."""

from __future__ import annotations

import os
import signal
import ssl
import sys
from pathlib import Path

import pytest
import yaml

from gateway.ingress.credentials import HASHER
from gateway.ingress.tls import expiry
from providers.sandbox.server import Sandbox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, run, smarthost
from tests.support.certificates import Certificate, make_certificate
from tests.support.dialogue import Dialogue

CONFIG = """
providers: {main: {kind: smarthost, host: smtp.example.com, tls: "off"}}
smtp:
  listeners:
    - {name: app, host: 0.0.0.0, port: 0, tls: "off", auth: "off", networks: NETWORKS}
"""


@pytest.mark.parametrize("command", ["serve", "check"])
@pytest.mark.parametrize("networks", ["[0.0.0.0/0]", "['::/0']", "[0.0.0.0/1, 128.0.0.0/1]"])
async def test_open_relay_does_not_start(tmp_path: Path, command: str, networks: str) -> None:
    """Exit 78, in one line that names file, key and reason."""
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG.replace("NETWORKS", networks))
    code, out, err = await run(sys.executable, "-m", "gateway", command, "-c", str(path))
    assert (code, out) == (78, "")
    line = err.splitlines()[0]
    assert "gateway.yaml: smtp.listeners.0.networks" in line
    assert "would let strangers relay" in line


@pytest.mark.parametrize("command", ["serve", "check"])
async def test_wrong_users_and_certificate_do_not_start(tmp_path: Path, command: str) -> None:
    """Exit 78 with a line for each; what stands in the files is not in it."""
    (tmp_path / "users").write_text("app:hunter2\n")
    (tmp_path / "key").write_text("hunter2")
    path = tmp_path / "gateway.yaml"
    config = yaml.safe_load(CONFIG.replace("NETWORKS", "[]"))
    config["smtp"] |= {
        "users_file": str(tmp_path / "users"),
        "certificate": str(tmp_path / "key"),
        "private_key": str(tmp_path / "key"),
    }
    path.write_text(yaml.safe_dump(config))
    code, _, err = await run(sys.executable, "-m", "gateway", command, "-c", str(path))
    assert code == 78
    assert "smtp.users_file" in err
    assert "line 1: no argon2 hash" in err
    assert "smtp.certificate" in err
    assert "hunter2" not in err


async def log_in(gateway: GatewayProcess, certificate: Certificate, secret: str) -> Dialogue:
    """A client that has begun TLS and sent AUTH."""
    client = await Dialogue.connect(gateway.smtp_port)
    await client.hello()
    assert (await client.say("STARTTLS"))[0].startswith("220")
    await client.start_tls(certificate.client_context())
    await client.say("EHLO client.example.com")
    await client.send(b"AUTH LOGIN\r\nYXBw\r\n" + secret.encode() + b"\r\n")
    await client.expect("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6")
    return client


async def test_users_and_certificate_are_reloaded(
    sandbox: Sandbox, make_gateway: MakeGateway, tmp_path: Path
) -> None:
    """SIGHUP: new clients meet the new ones, a session stays under the old; wrong ones are not."""
    old, new = make_certificate(tmp_path), make_certificate(tmp_path, "new")
    live = Certificate(tmp_path / "live.crt", tmp_path / "live.key")
    users = tmp_path / "users"

    def put(certificate: Certificate, password: str) -> None:
        live.certificate.write_bytes(certificate.certificate.read_bytes())
        live.key.write_bytes(certificate.key.read_bytes())
        users.write_text(f"app:{HASHER.hash(password)}:@example.com\n")

    put(old, "one")
    gateway = make_gateway({"main": smarthost(sandbox)})
    gateway.config["smtp"] = {
        "listeners": [{"name": "app", "port": 0, "tls": "required", "auth": "required"}],
        "certificate": str(live.certificate),
        "private_key": str(live.key),
        "users_file": str(users),
        "auth_delay": "10ms",
    }
    await gateway.start()
    before = await log_in(gateway, old, "b25l")
    await before.expect("235 ")
    await before.to_data()

    put(new, "two")
    os.kill(gateway.pid, signal.SIGHUP)
    await gateway.wait_for(lambda line: line["event"] == "reloaded")
    with pytest.raises(ssl.SSLError):
        await log_in(gateway, old, "b25l")
    trusting = Certificate(new.certificate, new.key)
    context = trusting.client_context()
    context.check_hostname = False
    client = await Dialogue.connect(gateway.smtp_port)
    await client.hello()
    await client.say("STARTTLS")
    await client.start_tls(context)
    await client.say("EHLO client.example.com")
    assert (await client.say("AUTH PLAIN AGFwcABvbmU="))[0].startswith("535 ")  # app, one
    assert (await client.say("AUTH PLAIN AGFwcAB0d28="))[0].startswith("235 ")  # app, two
    assert (await client.say("MAIL FROM:<a@example.org>"))[0].startswith("553 5.7.1")
    expires = expiry(new.certificate.read_text()).timestamp()
    assert await gateway.metric("mailquay_tls_certificate_expiry_timestamp_seconds") == expires

    users.write_text("app:nonsense\n")
    os.kill(gateway.pid, signal.SIGHUP)
    line = await gateway.wait_for(lambda line: line["event"] == "not_reloaded")
    assert "smtp.users_file" in line["problems"][0]
    await before.send(b"Subject: a\r\n\r\nhi\r\n.\r\n")
    await before.expect("250 2.0.0 Ok: queued")
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1)
    assert b" with ESMTPSA id " in sandbox.letterbox.letters[0].content
    for each in (before, client):
        await each.close()
