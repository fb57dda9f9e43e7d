"""Every limit of the front door in the daemon: from its setting to its reply and its metric."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gateway.ingress.credentials import HASHER
from providers.sandbox.server import Sandbox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, smarthost
from tests.support.dialogue import Dialogue

MIB = 1 << 20
SETTINGS: dict[str, Any] = {
    "max_connections": 8,
    "max_connections_per_address": 3,
    "letters_per_address": "3/h",
    "letters_per_user": "1/h",
    "recipients_per_address": "6/h",
    "recipients_per_user": "4/h",
    "max_recipients": 5,
    "max_letters": 2,
    "max_commands": 100,
    "max_errors": 5,
    "max_message_size": 2 * MIB,
    "max_memory": 2 * MIB,
    "auth_failures": 2,
    "auth_delay": "10ms",
    "auth_shut_out": "1h",
}


def login(name: str, word: str = "one") -> str:
    octets = b"\0".join((b"", name.encode(), word.encode()))
    return f"AUTH PLAIN {base64.b64encode(octets).decode()}"


def recipients(count: int) -> list[str]:
    return [f"RCPT TO:<b{n}@example.org>" for n in range(count)]


MAIL = "MAIL FROM:<a@example.com>"
LETTER = [MAIL, *recipients(1), "BDAT 3 LAST\r\na"]
# Reason, reply, and what a client says after EHLO, all of it at once; the last reply is the one.
SAID: dict[str, tuple[str, list[str]]] = {
    "too_many_letters_of_address": ("450 4.7.1", [*[MAIL, "RSET"] * 3, MAIL]),
    "too_many_letters_of_user": ("450 4.7.1", [login("few"), MAIL, "RSET", MAIL]),
    "too_many_recipients_of_address": (
        "450 4.7.1",
        [MAIL, *recipients(5), "RSET", MAIL, *recipients(2)],
    ),
    "too_many_recipients_of_user": ("450 4.7.1", [login("app"), MAIL, *recipients(5)]),
    "too_many_recipients": ("452 4.5.3", [MAIL, *recipients(6)]),
    "too_many_letters": ("421 4.7.0", [*LETTER, *LETTER, MAIL]),
    "too_many_commands": ("421 4.7.0", ["NOOP"] * 100),
    "too_many_errors": ("421 4.7.0", ["XYZZY"] * 5),
    "message_too_big": ("552 5.3.4", [f"{MAIL} SIZE={2 * MIB + 1}"]),
    "auth_failed": ("535 5.7.8", [login("app", "two")]),
    "auth_shut_out": ("421 4.7.0", [login("app", "two")] * 3),
}


async def test_each_limit_has_its_setting_reply_and_metric(
    sandbox: Sandbox, make_gateway: MakeGateway, tmp_path: Path
) -> None:
    """T21: what a client meets is what was configured, and the operator sees which limit it was."""
    users = tmp_path / "users"
    users.write_text("".join(f"{name}:{HASHER.hash('one')}\n" for name in ("app", "few")))
    gateway = make_gateway({"main": smarthost(sandbox)})
    smtp = {"listeners": [{"name": "app", "port": 0, "auth": "optional"}], "users_file": str(users)}
    gateway.config["smtp"] = smtp | SETTINGS
    await gateway.start()
    # Each from an address of its own, as what is limited by address is meant to be.
    for place, (reason, (reply, lines)) in enumerate(SAID.items()):
        assert (await answered(gateway, place, lines)).startswith(reply), reason
    too_many = await refused_of(gateway, [f"127.0.1.{n}" for n in (1, 1, 1, 1)])
    assert too_many.startswith("421 4.7.0 Too many connections from your address")
    await gateway.wait_for_metric(0, "mailquay_smtp_connections", listener="app")
    too_many = await refused_of(gateway, [f"127.0.1.{2 + n // 3}" for n in range(9)])
    assert too_many.startswith("421 4.3.2 ")
    await gateway.wait_for_metric(0, "mailquay_smtp_connections", listener="app")
    assert (await beside_a_large_letter(gateway)).startswith("452 4.3.1 ")
    await told(
        gateway,
        {reason: reply for reason, (reply, _) in SAID.items()}
        | {"too_many_connections_of_address": "4", "too_many_connections": "4", "no_memory": "4"},
    )
    assert await gateway.stop() == 0

    # One at a time: a client that is slow by chance is not to run into the other.
    gateway.config["smtp"] = smtp | {"command_timeout": "200ms"}
    await gateway.start()
    assert (await last_of(await connect(gateway, 1))).startswith("421 4.4.2 ")
    await told(gateway, {"idle": "4"})
    assert await gateway.stop() == 0

    gateway.config["smtp"] = smtp | {"data_timeout": "200ms"}
    await gateway.start()
    assert (await answered(gateway, 1, [*LETTER[:-1], "DATA"], bye=())).startswith("421 4.4.2 ")
    await told(gateway, {"data_stalled": "4"})


async def connect(gateway: GatewayProcess, place: int) -> Dialogue:
    """A client from 127.0.0.`place`."""
    return await connected(gateway, f"127.0.0.{100 + place}")


async def connected(gateway: GatewayProcess, address: str) -> Dialogue:
    return Dialogue(
        *await asyncio.open_connection("127.0.0.1", gateway.smtp_port, local_addr=(address, 0))
    )


async def answered(
    gateway: GatewayProcess, place: int, lines: Iterable[str], bye: Iterable[str] = ("QUIT",)
) -> str:
    """The last reply but that to QUIT."""
    client = await connect(gateway, place)
    said = ["EHLO client.example.com", *lines, *bye]
    await client.send("".join(f"{line}\r\n" for line in said).encode())
    return await last_of(client)


async def last_of(client: Dialogue) -> str:
    async with asyncio.timeout(60):
        replies = (await client.rest()).decode().splitlines()
    await client.close()
    return next(line for line in reversed(replies) if not line.startswith("221 "))


async def refused_of(gateway: GatewayProcess, addresses: Iterable[str]) -> str:
    """What the last of several clients hears; the others are welcome."""
    clients = [await connected(gateway, address) for address in addresses]
    for client in clients[:-1]:
        await client.expect("220 ")
    reply = await last_of(clients[-1])
    for client in clients[:-1]:
        assert await client.say("QUIT") == ["221 2.0.0 Bye"]
        await client.close()
    return reply


async def beside_a_large_letter(gateway: GatewayProcess) -> str:
    """MAIL's reply while another client has sent three quarters of all there is room for."""
    large = await connected(gateway, "127.0.1.10")
    await large.hello()
    octets = MIB * 3 // 2
    await large.send(f"{MAIL}\r\n{recipients(1)[0]}\r\nBDAT {octets}\r\n".encode() + bytes(octets))
    await large.expect("250 2.1.0", "250 2.1.5", "250 2.0.0 Ok, chunk taken")
    reply = await answered(gateway, 50, [f"{MAIL} SIZE={octets}"])
    await large.close()
    return reply


async def told(gateway: GatewayProcess, classes: dict[str, str]) -> None:
    """Each of these reasons was counted, under the class of its replies."""
    for reason, reply in classes.items():
        labels = {"listener": "app", "code_class": f"{reply[0]}xx", "reason": reason}
        assert await gateway.metric("mailquay_smtp_replies_total", **labels) >= 1, reason
