"""The program sendmail against the real daemon: up, down, and in between."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
import yaml

from bench.ports import free_port
from providers.sandbox.server import Sandbox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, environment, run, smarthost

TEXT = b"Subject: Hi\nTo: a@example.org\nCc: Team: b@example.org;\nBcc: c@example.org\n\nhello\n"


def on_a_port(make_gateway: MakeGateway, sandbox: Sandbox) -> GatewayProcess:
    """A gateway whose port is known before it runs."""
    listeners = [{"name": "app", "host": "127.0.0.1", "port": free_port()}]
    gateway = make_gateway({"it": smarthost(sandbox)}, smtp={"listeners": listeners})
    gateway.config_path.write_text(yaml.safe_dump(gateway.config), encoding="utf-8")
    return gateway


async def sendmail(
    gateway: GatewayProcess, *words: str, stdin: bytes = TEXT
) -> tuple[int, str, str]:
    """Call it on the gateway's configuration."""
    config = ("-C", str(gateway.config_path))
    return await run(sys.executable, "-m", "gateway", "sendmail", *config, *words, stdin=stdin)


def maildrop(gateway: GatewayProcess) -> list[str]:
    folder = gateway.folder / "maildrop"
    return sorted(path.suffix for path in folder.iterdir()) if folder.exists() else []


async def test_a_letter_goes_by_the_daemon(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """-t: To, Cc with its group and Bcc get it, nobody sees the Bcc, and it is complete."""
    gateway = on_a_port(make_gateway, sandbox)
    await gateway.start()
    code, out, err = await sendmail(
        gateway, "-t", "-i", "-v", "-F", "The App", "-f", "app@x.example"
    )
    assert (code, err) == (0, "")
    assert out.startswith("250 2.0.0 Ok: queued as ")
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 3, timeout_s=60)
    assert sorted(letter.recipient for letter in sandbox.letterbox.letters) == [
        "a@example.org",
        "b@example.org",
        "c@example.org",
    ]
    content = sandbox.letterbox.letters[0].content
    assert b"\r\nFrom: The App <app@x.example>\r\n" in content
    assert b"\r\nMessage-ID: <" in content
    assert b"c@example.org" not in content
    assert maildrop(gateway) == []


async def test_while_the_daemon_is_down_it_waits(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """Exit 0 and a durable file; the daemon takes it when it starts, and while it runs."""
    gateway = on_a_port(make_gateway, sandbox)
    await gateway.start()
    await gateway.stop()
    code, out, _ = await sendmail(gateway, "-v", "a@example.org")
    assert (code, out.startswith("left in the maildrop as ")) == (0, True)
    assert maildrop(gateway) == [".letter"]
    begun = len(gateway.log)
    await gateway.start()
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1, timeout_s=60)
    line = await gateway.wait_for(
        lambda line: line.get("listener") == "maildrop", since=begun, timeout_s=60
    )
    assert line["event"] == "received"
    assert await gateway.metric("mailquay_messages_received_total", listener="maildrop") == 1


async def test_both_ways_at_once_send_it_once(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """The daemon has it and is killed before it says so: what is left is found to be the same."""
    gateway = on_a_port(make_gateway, sandbox)
    await gateway.start()
    letter = b"From: x@y.example\nMessage-ID: <1@a>\nDate: now\n\nhi\n"
    assert (await sendmail(gateway, "-f", "x@y.example", "a@example.org", stdin=letter))[0] == 0
    # Recorded, or the kill would leave it in doubt, and it would be sent again.
    await gateway.wait_for(lambda line: line["event"] == "handed_over")
    await gateway.kill()
    assert (await sendmail(gateway, "-f", "x@y.example", "a@example.org", stdin=letter))[0] == 0
    begun = len(gateway.log)
    await gateway.start()
    await gateway.wait_for(lambda line: line["event"] == "repeated", since=begun, timeout_s=60)
    assert len(sandbox.letterbox.letters) == 1


async def test_neither_works(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """No daemon, no folder: 75, so that the caller tries again."""
    gateway = on_a_port(make_gateway, sandbox)
    code, _, err = await sendmail(gateway, "a@example.org")
    assert code == os.EX_TEMPFAIL
    assert "not sent" in err


@pytest.mark.parametrize(
    ("words", "stdin", "code"),
    [
        (("-Z",), TEXT, os.EX_USAGE),
        ((), TEXT, os.EX_USAGE),
        (("a@@b",), TEXT, os.EX_DATAERR),
        (("a@example.org",), b"X-Mailquay-Mode: sideways\n\nhi\n", os.EX_UNAVAILABLE),
        (("-bd",), b"", os.EX_USAGE),
        (("-bi",), b"", os.EX_OK),
        (("-q",), b"", os.EX_OK),
    ],
)
async def test_exit_codes(
    sandbox: Sandbox,
    make_gateway: MakeGateway,
    words: tuple[str, ...],
    stdin: bytes,
    code: int,
) -> None:
    """Those of sysexits, with one line on standard error that says what to do."""
    gateway = on_a_port(make_gateway, sandbox)
    await gateway.start()
    found, _, err = await sendmail(gateway, *words, stdin=stdin)
    assert found == code
    assert len(err.splitlines()) == (code != 0)
    assert maildrop(gateway) == []


async def test_too_large(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """Told before anything is sent; no more than the limit is read into memory."""
    gateway = on_a_port(make_gateway, sandbox)
    gateway.config["smtp"]["max_message_size"] = "64KiB"
    await gateway.start()
    found, _, err = await sendmail(gateway, "-i", "a@example.org", stdin=b"x" * (65 << 10))
    assert found == os.EX_DATAERR
    assert "larger than 65536 octets" in err


async def test_under_its_other_name(
    sandbox: Sandbox, make_gateway: MakeGateway, tmp_path: Path
) -> None:
    """A link called sendmail, the daemon told by the environment: what PHP and cron have."""
    program = Path(sys.executable).with_name("mailquay")
    if not program.exists():
        pytest.skip("the program is not installed beside Python")
    gateway = on_a_port(make_gateway, sandbox)
    await gateway.start()
    link = tmp_path / "sendmail"
    link.symlink_to(program)
    process = await asyncio.create_subprocess_exec(
        *(str(link), "-ti"),
        stdin=asyncio.subprocess.PIPE,
        env={**environment(), "MAILQUAY_SMTP": f"127.0.0.1:{gateway.smtp_port}"},
        cwd=tmp_path,
    )
    await process.communicate(TEXT)
    assert process.returncode == 0
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 3, timeout_s=60)


async def test_smtp_on_standard_input(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """-bs: the daemon's own dialogue; 421 and 75 where it is down."""
    gateway = on_a_port(make_gateway, sandbox)
    said = (
        b"EHLO here\r\nMAIL FROM:<x@y.example>\r\nRCPT TO:<a@example.org>\r\nDATA\r\n"
        b"Subject: a\r\n\r\nhi\r\n.\r\nQUIT\r\n"
    )
    code, out, _ = await sendmail(gateway, "-bs", stdin=said)
    assert (code, out[:4]) == (os.EX_TEMPFAIL, "421 ")
    await gateway.start()
    code, out, _ = await sendmail(gateway, "-bs", stdin=said)
    assert code == 0
    assert out.startswith("220 gateway.example.com")
    assert "250 2.0.0 Ok: queued as " in out
    assert out.endswith("221 2.0.0 Bye\r\n")
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1, timeout_s=60)


async def test_many_at_once(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """Callers beside each other while the daemon stops and starts: each letter once."""
    gateway = on_a_port(make_gateway, sandbox)
    await gateway.start()
    calls = [
        asyncio.create_task(sendmail(gateway, f"r{n}@example.org", stdin=b"Subject: a\n\nhi\n"))
        for n in range(6)
    ]
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    await gateway.stop()
    assert [code for code, _, _ in await asyncio.gather(*calls)] == [0] * len(calls)
    await gateway.start()
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == len(calls), timeout_s=60)
    assert len({letter.recipient for letter in sandbox.letterbox.letters}) == len(calls)
