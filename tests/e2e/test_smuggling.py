"""Known smuggling sequences against the real daemon, and what of them a strict smarthost sees."""

from __future__ import annotations

from providers.sandbox.server import Sandbox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, smarthost
from tests.ingress.test_data import SMUGGLED, SMUGGLERS
from tests.support.dialogue import Dialogue


async def started(sandbox: Sandbox, make_gateway: MakeGateway) -> tuple[GatewayProcess, Dialogue]:
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    dialogue = await Dialogue.connect(gateway.smtp_port)
    await dialogue.hello()
    return gateway, dialogue


async def assert_no_more_than(sandbox: Sandbox, letters: int) -> None:
    """So many letters came behind the door, from and to whom their own envelopes said, clean."""
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) >= letters, 60)
    assert len(sandbox.letterbox.letters) == letters
    for letter in sandbox.letterbox.letters:
        assert letter.reverse_path == "a@example.com"
        assert letter.recipient == "b@example.org"
        content = letter.content
        assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
        assert b"\0" not in content
    assert sandbox.smtp_violations == ()


async def test_no_sequence_ends_data(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """T18: each sequence stays within its letter, at the door and behind it."""
    gateway, client = await started(sandbox, make_gateway)
    for sequence in SMUGGLERS.values():
        reply = await client.letter(b"Subject: first\r\n\r\nhi" + sequence + SMUGGLED)
        assert reply.startswith("250 2.0.0 Ok: queued as ")
        assert await client.say("NOOP") == ["250 2.0.0 Ok"]
    await client.close()
    await assert_no_more_than(sandbox, len(SMUGGLERS))
    assert all(b"smuggled" in letter.content for letter in sandbox.letterbox.letters)
    assert await gateway.stop() == 0


async def test_no_sequence_in_a_chunk_ends_it(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """T18: in BDAT even a true end of data is content, and goes on as content."""
    gateway, client = await started(sandbox, make_gateway)
    sequences = [*SMUGGLERS.values(), b"\r\n.\r\n", b"\r\nRSET\r\n"]
    for sequence in sequences:
        content = b"Subject: first\r\n\r\nhi" + sequence + SMUGGLED
        await client.send(
            b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n"
            b"BDAT %d LAST\r\n" % len(content) + content
        )
        await client.expect("250 2.1.0", "250 2.1.5", "250 2.0.0 Ok: queued as ")
    await client.close()
    await assert_no_more_than(sandbox, len(sequences))
    assert await gateway.stop() == 0


async def test_commands_behind_a_bare_line_feed(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """T18: an address that hides a command behind LF ends the session, not another's letter."""
    gateway, client = await started(sandbox, make_gateway)
    await client.send(b"MAIL FROM:<a@example.com>\nRCPT TO:<victim@example.org>\r\nDATA\r\n")
    await client.expect("521 5.5.2")
    assert await client.is_closed()
    await client.close()
    other = await Dialogue.connect(gateway.smtp_port)
    await other.hello()
    assert (await other.letter(b"Subject: a\r\n\r\nhi")).startswith("250 ")
    await other.close()
    await assert_no_more_than(sandbox, 1)
    assert await gateway.stop() == 0
