"""The front door as a service: start, drain, stop; and clients that others wrote."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.ingress.policy import FrontDoorRules
from gateway.ingress.server import FrontDoor, ListenerSpec
from tests.e2e.clients import CLIENTS, Client
from tests.ingress.conftest import House
from tests.support.dialogue import Dialogue
from tests.support.fake_intake import FakeIntake
from tests.support.session_counts import SessionCounts

RULES = FrontDoorRules("gateway.example.com")


def a_door(*listeners: ListenerSpec) -> tuple[FrontDoor, SessionCounts]:
    counts = SessionCounts()
    return FrontDoor(RULES, FakeIntake(), listeners, counts), counts


async def test_listeners_know_their_names() -> None:
    """Each on its port; what happens is told with the name of the listener it happened at."""
    door, counts = a_door(
        ListenerSpec("app", "127.0.0.1", 0), ListenerSpec("printers", "127.0.0.1", 0)
    )
    await door.start()
    assert set(door.ports) == {"app", "printers"}
    for name in ("printers", "app"):
        client = await Dialogue.connect(door.ports[name])
        await client.expect("220 ")
        assert await client.say("QUIT") == ["221 2.0.0 Bye"]
        await client.close()
    assert await door.drain(60)
    assert counts.connected_to == counts.disconnected_from == ["printers", "app"]
    await door.stop()


async def test_start_that_fails_listens_nowhere() -> None:
    """An address in use is an error at start, and no half of a front door stays behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        door, _ = a_door(
            ListenerSpec("free", "127.0.0.1", 0),
            ListenerSpec("taken", "127.0.0.1", taken.getsockname()[1]),
        )
        with pytest.raises(OSError, match="in use"):
            await door.start()
    assert door.ports == {}
    await door.stop()


async def test_drain_refuses_new_clients_and_ends_the_idle(house: House) -> None:
    """The port is closed, the idle get 421 4.3.2, a letter under way gets its 250 first."""
    idle, busy = await house.greeted(), await house.greeted()
    await busy.to_data()
    drained = asyncio.create_task(house.door.drain(60))
    await idle.expect("421 4.3.2")
    assert await idle.is_closed()
    with pytest.raises(ConnectionRefusedError):
        await Dialogue.connect(house.port)
    await busy.send(b"Subject: a\r\n\r\nhi\r\n.\r\n")
    await busy.expect("250 2.0.0 Ok: queued as Q0001", "421 4.3.2")
    assert await drained
    assert house.intake.contents == [b"Subject: a\r\n\r\nhi\r\n"]


async def test_stop_ends_everything(house: House) -> None:
    """Whatever a session is at, after `stop` none is left; it may be called again."""
    idle, at_data, taking = await house.greeted(), await house.greeted(), await house.greeted()
    await at_data.to_data()
    house.intake.hang()
    await taking.to_data()
    await taking.send(b"hi\r\n.\r\n")
    await house.intake.wait_until(lambda intake: intake.waiting == 1)
    assert not await house.door.drain(0.01)
    await house.door.stop()
    await house.door.stop()
    assert house.counts.disconnected_from == ["app"] * 3
    assert await idle.rest() == b"421 4.3.2 Shutting down, try again later\r\n"
    assert await at_data.is_closed()
    assert await taking.is_closed()
    assert house.intake.contents == []


async def test_many_sessions_come_and_go(house: House) -> None:
    """A connection for each letter, many at once: none is lost, none is left."""

    async def one(number: int) -> None:
        client = await Dialogue.connect(house.port)
        await client.hello()
        assert (await client.letter(b"n: %d" % number)).startswith("250 2.0.0 Ok: queued")
        assert await client.say("QUIT") == ["221 2.0.0 Bye"]
        await client.close()

    await asyncio.gather(*(one(number) for number in range(100)))
    assert sorted(house.intake.contents) == sorted(b"n: %d\r\n" % n for n in range(100))
    assert await house.door.drain(60)
    assert len(house.counts.disconnected_from) == 100


@pytest.mark.parametrize("client", CLIENTS)
async def test_clients_that_others_wrote(house: House, client: Client) -> None:
    """smtplib, swaks and curl hand in a letter unmodified: dots, 8-bit octets, two recipients."""
    letter = "Subject: a\r\n\r\n.hidden\r\n..\r\nÄ\r\n".encode()
    to = ["b@example.org", "c@example.org"]
    reply = await client(house.port, "a@example.com", to, letter)
    assert "queued as Q0001" in reply
    (submission,) = house.intake.submissions
    assert [str(r.forward_path) for r in submission.envelope.recipients] == to
    # swaks ends every letter with an empty line.
    assert submission.content.rstrip(b"\r\n") == letter.rstrip(b"\r\n")
