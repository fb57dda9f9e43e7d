"""Letters taken: whole, durable, many to a commit, and each caller's trouble its own."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from gateway.domain.lifecycle import State
from gateway.errors import SpoolUnavailable, UnknownQueueId
from gateway.spool.bodies import LARGE_OCTETS
from gateway.spool.store import SqlSpool
from gateway.spool.values import Filter, QueuedMessage, QueuedRecipient
from providers.contract.address import parse_address
from providers.contract.envelope import BodyType, Envelope, Notify, Recipient, Ret
from tests.contract.spool.conftest import Admit, OpenSpool
from tests.contract.spool.engines import SpoolEngine
from tests.support.builders import an_envelope
from tests.support.letters import CONTENT, a_letter
from tests.support.manual_clock import ManualClock

LARGE = b"x" * LARGE_OCTETS
SIZES = pytest.mark.parametrize("content", [b"", CONTENT, LARGE], ids=["empty", "small", "large"])


@SIZES
async def test_admitted_letter_survives_the_spool_object(
    open_spool: OpenSpool, clock: ManualClock, content: bytes
) -> None:
    """T13: what admit returned for is there for whoever opens the store next."""
    first = await open_spool()
    letter = a_letter(first, clock.now(), content=content)
    await first.admit(letter)
    await first.aclose()
    second = await open_spool()
    assert await second.content(letter.queue_id) == content
    (claimed,) = (await second.claim("main", clock.now(), 10)).letters
    assert claimed.queue_id == letter.queue_id


@pytest.mark.parametrize(
    "envelope",
    [
        an_envelope("bob@example.org"),
        an_envelope("bob@example.org", reverse_path=None),
        an_envelope("b\u00f6b@b\u00fccher.example", smtputf8=True, body=BodyType.EIGHT_BIT_MIME),
        an_envelope("a@x.example", "b@x.example", ret=Ret.HEADERS, envid="QQ314159"),
        an_envelope('"a b"@x.example', ret=Ret.FULL, orcpt="rfc822;ab@x.example"),
        an_envelope("a@x.example", notify=frozenset({Notify.NEVER})),
        an_envelope("a@x.example", notify=frozenset({Notify.SUCCESS, Notify.DELAY})),
        an_envelope("a@x.example", notify=frozenset()),
        Envelope(
            None,
            (
                Recipient(7, parse_address("A@X.EXAMPLE")),
                Recipient(3, parse_address("b@[192.0.2.1]")),
            ),
        ),
    ],
)
async def test_envelope_comes_back_as_it_went_in(
    spool: SqlSpool, clock: ManualClock, admit: Admit, envelope: Envelope
) -> None:
    """The envelope is the truth about a letter: nothing of it is lost or changed on disk."""
    letter = await admit(envelope=envelope)
    (found,) = (await spool.claim("main", clock.now(), 10)).letters
    assert found == QueuedMessage(
        queue_id=letter.queue_id,
        arrival=letter.arrival,
        reverse_path=envelope.reverse_path,
        body=envelope.body,
        smtputf8=envelope.smtputf8,
        ret=envelope.ret,
        envid=envelope.envid,
        listener="app",
        size=len(CONTENT),
        message_id="<order-77@example.com>",
        recipients=tuple(
            QueuedRecipient(recipient, State.WAITING, "main", 0)
            for recipient in sorted(envelope.recipients, key=lambda r: r.key)
        ),
    )
    texts = [queued.recipient.forward_path.text for queued in found.recipients]
    assert sorted(texts) == sorted(r.forward_path.text for r in envelope.recipients)


async def test_queue_ids_rise_even_when_the_clock_falls_back(
    spool: SqlSpool, clock: ManualClock
) -> None:
    """Each queue id is greater than all before it, and none is given twice."""
    moments = [clock.now() - timedelta(seconds=n) for n in range(50)]
    queue_ids = [spool.new_queue_id(moment) for moment in moments]
    assert sorted(set(queue_ids)) == queue_ids


async def test_unknown_letters_have_no_content(spool: SqlSpool, clock: ManualClock) -> None:
    """An id that is none, and one that was never admitted, are told apart from trouble."""
    for queue_id in ("", "nonsense", "V" * 13, spool.new_queue_id(clock.now())):
        with pytest.raises(UnknownQueueId):
            await spool.content(queue_id)


async def test_letters_that_come_during_a_commit_share_the_next(
    store: SpoolEngine, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """Group commit: many sessions, few syncs, and every one of them answered after its own."""
    commits: list[int] = []
    spool = await open_spool(on_commit=lambda _s, letters: commits.append(letters))
    with store.locked():
        first = asyncio.ensure_future(spool.admit(a_letter(spool, clock.now())))
        await asyncio.sleep(0)
        others = [
            asyncio.ensure_future(spool.admit(a_letter(spool, clock.now()))) for _ in range(99)
        ]
        await asyncio.sleep(0)
        assert not first.done()
        assert not any(other.done() for other in others)
    await asyncio.gather(first, *others)
    assert sum(commits) == 100
    assert len(commits) <= 3  # the locked one, what waited, perhaps what came while it was taken


async def test_a_taken_queue_id_fails_its_own_letter_alone(
    store: SpoolEngine, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """One letter that cannot be written does not fail those that share its commit."""
    spool = await open_spool()
    taken = a_letter(spool, clock.now(), "first@example.org")
    await spool.admit(taken)
    good = [a_letter(spool, clock.now()) for _ in range(3)]
    bad = a_letter(spool, clock.now(), "second@example.org", queue_id=taken.queue_id)
    with store.locked():
        admitting = [
            asyncio.ensure_future(spool.admit(letter)) for letter in (*good[:2], bad, good[2])
        ]
        await asyncio.sleep(0)
    results = await asyncio.gather(*admitting, return_exceptions=True)
    assert [type(result) for result in results] == [
        type(None),
        type(None),
        SpoolUnavailable,
        type(None),
    ]
    assert spool.trouble() is None
    assert {row.queue_id for row in await spool.list(Filter(), 10)} == {
        letter.queue_id for letter in (taken, *good)
    }
    assert (await spool.story(taken.queue_id)).recipients[0].forward_path == "first@example.org"


async def test_a_value_that_cannot_be_written_fails_its_own_caller_alone(
    store: SpoolEngine, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """A bug of one caller, here half a character, reaches neither others nor the thread."""
    spool = await open_spool()
    good, bad = a_letter(spool, clock.now()), a_letter(spool, clock.now(), client="\ud800")
    with store.locked():
        admitting = [asyncio.ensure_future(spool.admit(letter)) for letter in (bad, good)]
        await asyncio.sleep(0)
    results = await asyncio.gather(*admitting, return_exceptions=True)
    assert isinstance(results[0], UnicodeEncodeError)
    assert results[1] is None
    assert [row.queue_id for row in await spool.list(Filter(), 10)] == [good.queue_id]


@SIZES
async def test_a_cancelled_caller_disturbs_nobody(
    store: SpoolEngine, open_spool: OpenSpool, clock: ManualClock, content: bytes
) -> None:
    """A client that goes away leaves its letter whole or not there, and the others their own."""
    spool = await open_spool()
    letters = [a_letter(spool, clock.now(), content=content) for _ in range(5)]
    with store.locked():
        tasks = [asyncio.ensure_future(spool.admit(letter)) for letter in letters]
        await asyncio.sleep(0)
        tasks[1].cancel()
        tasks[3].cancel()
        await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [result is None for result in results] == [True, False, True, False, True]
    await spool.aclose()
    again = await open_spool()
    there = {row.queue_id for row in await again.list(Filter(), 10)}
    assert there >= {letters[n].queue_id for n in (0, 2, 4)}
    for queue_id in there:
        assert await again.content(queue_id) == content


async def test_closing_finishes_what_waits(open_spool: OpenSpool, clock: ManualClock) -> None:
    """Stopping loses nothing that was begun; afterwards the spool says that it is closed."""
    spool = await open_spool()
    contents = [CONTENT, LARGE, CONTENT]
    letters = [a_letter(spool, clock.now(), content=content) for content in contents]
    admitting = [asyncio.ensure_future(spool.admit(letter)) for letter in letters]
    await asyncio.sleep(0)
    await spool.aclose()
    assert await asyncio.gather(*admitting) == [None, None, None]
    await spool.aclose()
    for refused in (
        spool.admit(letters[0]),
        spool.claim("main", clock.now(), 1),
        spool.content(letters[0].queue_id),
        spool.stats(clock.now()),
    ):
        with pytest.raises(SpoolUnavailable, match="closed"):
            await refused
    again = await open_spool()
    assert len(await again.list(Filter(), 10)) == 3
