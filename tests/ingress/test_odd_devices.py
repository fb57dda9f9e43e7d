"""Dialogues of odd devices (tests/data/dialogues), replayed line by line against a real door."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.ingress import trace
from tests.ingress.conftest import House

DIALOGUES = sorted((Path(__file__).parents[1] / "data" / "dialogues").glob("*.txt"))
NOW = datetime(2026, 11, 23, 10, 20, 30, tzinfo=UTC)
SAID = re.compile(r"(C|C-LF|C\.\.\.): ?(.*)\Z")
ENDS = {"C": b"\r\n", "C-LF": b"\n", "C...": b""}
OCTET = re.compile(rb"\\x([0-9a-f]{2})")


def octets(text: str, end: bytes) -> bytes:
    return OCTET.sub(lambda match: bytes.fromhex(match[1].decode()), text.encode()) + end


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
async def test_odd_device(house: House, path: Path) -> None:
    """T16, T18, T26: each device gets the replies it can bear, and its letter is made right."""
    client = await house.dialogue()
    expected: dict[str, list[str]] = {"from": [], "to": [], "letter": [], "repairs": []}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if said := SAID.match(line):
            await client.send(octets(said[2], ENDS[said[1]]))
        elif name == "S":
            await client.expect(re.escape(value.removeprefix(" ")))
        elif line == "S closes":
            assert await client.is_closed()
        elif name in expected:
            expected[name].append(value.strip())
        else:
            assert line.startswith("#"), line
    assert len(house.intake.submissions) == len(expected["from"])
    for submission in house.intake.submissions:
        envelope = submission.envelope
        assert [str(envelope.reverse_path)] == expected["from"]
        assert [str(r.forward_path) for r in envelope.recipients] == expected["to"]
        done = trace.complete(submission, queue_id="Q1", hostname="gateway.example.com", now=NOW)
        assert " ".join(done.repairs) == expected["repairs"][0]
        lines = done.content.decode("latin-1").split("\r\n")
        for start in expected["letter"]:
            assert any(found.startswith(start) for found in lines), start
