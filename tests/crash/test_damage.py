"""Letters that rot in the spool of a running gateway: told, set aside, and the others flow."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gateway.domain.queue_id import number_from_queue_id
from providers.sandbox.faults import Fault, FaultKind
from tests.crash.campaign import LARGE, campaign
from tests.support.load import a_load_letter

Damage = Callable[[Path, str], None]


def in_the_database(statement: str) -> Damage:
    """A statement that takes the letter's number."""

    def damage(spool: Path, queue_id: str) -> None:
        with closing(sqlite3.connect(spool, timeout=5)) as connection, connection:
            done = connection.execute(statement, (number_from_queue_id(queue_id),))
            assert done.rowcount == 1

    return damage


def cut_the_file(spool: Path, queue_id: str) -> None:
    os.truncate(spool.with_name(f"{spool.name}.large") / queue_id, LARGE // 2)


def delete_the_file(spool: Path, queue_id: str) -> None:
    (spool.with_name(f"{spool.name}.large") / queue_id).unlink()


@pytest.mark.parametrize(
    ("octets", "damage"),
    [
        pytest.param(LARGE, cut_the_file, id="file cut"),
        pytest.param(LARGE, delete_the_file, id="file deleted"),
        pytest.param(
            100,
            in_the_database("UPDATE content SET body = substr(body, 1, 99) WHERE message_id = ?"),
            id="content cut",
        ),
        pytest.param(
            100, in_the_database("DELETE FROM content WHERE message_id = ?"), id="content deleted"
        ),
        pytest.param(
            100,
            in_the_database("UPDATE recipient SET forward_path = '@' WHERE message_id = ?"),
            id="recipient overwritten",
        ),
    ],
)
async def test_letter_that_rots_while_it_waits(
    tmp_path: Path, chance: random.Random, octets: int, damage: Damage
) -> None:
    """T2: it is held for a person and never sent shorter; whoever else waits gets the letter."""
    rotten = a_load_letter(1, octets=octets)
    async with campaign(tmp_path, chance, letters=iter(()), sessions=0) as drill:
        gateway, load = drill.gateway, drill.load
        drill.sandbox.faults.add(Fault(FaultKind.DEFER, "smarthost", None, recipient="@"))
        await drill.live()
        await load.send(rotten)
        (queue_id,) = load.taken
        await load.send(a_load_letter(2))
        await load.send(a_load_letter(3, octets=LARGE))
        await gateway.seen("deferred", queue_id=queue_id)
        damage(gateway.spool_path, queue_id)
        await gateway.seen("corrupt", queue_id=queue_id)
        drill.sandbox.faults.clear()
        for sound in load.taken.keys() - {queue_id}:
            await gateway.seen("handed_over", queue_id=sound)
        metrics = await gateway.metrics()
        assert metrics["mailquay_corrupt_letters_total", ()] == 1
        assert metrics["mailquay_recipients", (("state", "held"),)] == 1
        assert (await gateway.get("/readyz")).status_code == 200
        assert await gateway.stop() == 0
    arrived = {letter.recipient for letter in drill.sandbox.letterbox.letters}
    assert arrived == {"r2@example.org", "r3@example.org"}
