"""What comes between 354 and the dot: smuggling, size, memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.ingress.lines import MAX_COMMAND_LINE
from tests.ingress.conftest import House, OpenHouse

MIB = 1 << 20

# What some server somewhere takes for the end of data, and ours must not.
SMUGGLERS = {
    "LF . LF": b"\n.\n",
    "LF . CR LF": b"\n.\r\n",
    "LF . CR": b"\n.\r",
    "CR . CR": b"\r.\r",
    "CR . LF": b"\r.\n",
    "CR . CR LF": b"\r.\r\n",
    "CR LF . LF": b"\r\n.\n",
    "CR LF . CR": b"\r\n.\r",
    "CR LF . CR CR LF": b"\r\n.\r\r\n",
    "CR CR LF . CR CR LF": b"\r\r\n.\r\r\n",
    "CR LF NUL . CR LF": b"\r\n\x00.\r\n",
    "CR LF . NUL CR LF": b"\r\n.\x00\r\n",
    "CR LF . blank CR LF": b"\r\n. \r\n",
    "LF LF . LF LF": b"\n\n.\n\n",
    "LF CR . LF CR": b"\n\r.\n\r",
    "VT": b"\x0b.\x0b",
    "NEL": "\u0085.\u0085".encode(),
    "LINE SEPARATOR": "\u2028.\u2028".encode(),
}
SMUGGLED = (
    b"MAIL FROM:<admin@example.com>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\n"
    b"Subject: smuggled\r\n\r\nevil"
)


@pytest.mark.parametrize("sequence", SMUGGLERS.values(), ids=SMUGGLERS)
async def test_nothing_is_smuggled_in(house: House, sequence: bytes) -> None:
    """T18: one letter arrives, to whom its own RCPT said, and no bare CR or LF goes on."""
    client = await house.greeted()
    reply = await client.letter(b"Subject: first\r\n\r\nhi" + sequence + SMUGGLED)
    assert reply == "250 2.0.0 Ok: queued as Q0001"
    assert (await client.say("NOOP"))[0] == "250 2.0.0 Ok"
    (submission,) = house.intake.submissions
    assert [str(r.forward_path) for r in submission.envelope.recipients] == ["b@example.org"]
    content = submission.content
    assert b"Subject: smuggled" in content
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")


async def test_long_lines_are_taken(house: House) -> None:
    """T15: RFC 5322's 998 octets are not ours to enforce; the way out re-encodes."""
    client = await house.greeted()
    assert (await client.letter(b"Subject: a\r\n\r\n" + b"x" * MIB)).startswith("250 ")
    assert house.intake.contents == [b"Subject: a\r\n\r\n" + b"x" * MIB + b"\r\n"]


async def test_large_letter_octet_for_octet(house: House) -> None:
    """20 MiB with dots and every octet value come in as they were sent."""
    line = bytes(octet for octet in range(256) if octet not in b"\r\n") + b"\r\n.a\r\n"
    content = line * (20 * MIB // len(line))
    client = await house.greeted()
    reply = await client.letter(content.replace(b"\r\n.", b"\r\n..").removesuffix(b"\r\n"))
    assert reply.startswith("250 ")
    assert house.intake.contents == [content]


async def test_letter_over_the_limit_is_read_to_its_end(open_house: OpenHouse) -> None:
    """552 after the dot, not before it, and the session goes on."""
    house = await open_house(max_message_size=1000)
    client = await house.greeted()
    assert (await client.letter(b"x" * 100_000)).startswith("552 5.3.4 ")
    assert (await client.letter(b"small")).startswith("250 ")
    assert house.intake.contents == [b"small\r\n"]


def resident_octets() -> int:
    """What this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize("before_data", [True, False], ids=["command", "data"])
async def test_memory_stays_flat(open_house: OpenHouse, before_data: bool) -> None:
    """T14: 200 MiB without a line end take next to no memory, and the session goes on."""
    house = await open_house(max_message_size=MIB)
    client = await house.greeted()
    if not before_data:
        await client.to_data()
    chunk = b"x" * MIB
    before = most = resident_octets()
    for _ in range(200):
        await client.send(chunk)
        most = max(most, resident_octets())
    assert most - before < 16 * MIB
    if before_data:
        await client.send(b"\r\n")
        await client.expect(f"500 5.5.2 .*{MAX_COMMAND_LINE} octets")
    else:
        await client.send(b"\r\n.\r\n")
        await client.expect("552 5.3.4")
    assert (await client.letter(b"small")).startswith("250 ")


async def test_letters_beyond_the_memory_are_put_off(open_house: OpenHouse) -> None:
    """452 4.3.1 for the letter that fits no more beside those that are coming in."""
    house = await open_house(max_message_size=MIB, max_memory=3 * MIB // 2)
    first, second = await house.greeted(), await house.greeted()
    house.intake.hang()
    await first.to_data()
    await first.send(b"x" * (MIB - 2) + b"\r\n.\r\n")
    await house.intake.wait_until(lambda intake: intake.waiting == 1)
    assert (await second.letter(b"y" * (MIB - 2))).startswith("452 4.3.1 ")
    assert (await second.say(f"MAIL FROM:<> SIZE={MIB}"))[0].startswith("452 4.3.1 ")
    house.intake.go_on()
    await first.expect("250 ")
    assert (await second.letter(b"y" * (MIB - 2))).startswith("250 ")
