"""A session given any octets in any pieces, and what must hold whatever they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from gateway.ingress.limits import LimitRules, Limits
from gateway.ingress.policy import Auth, FrontDoorRules
from gateway.ingress.reception import Reception
from gateway.ingress.sasl import Credentials
from gateway.ingress.session import Session
from gateway.ingress.users import User
from tests.support.fake_intake import FakeIntake
from tests.support.fake_wire import FakeTransport, HandTurnedLoop
from tests.support.session_counts import SessionCounts

RULES = FrontDoorRules(
    "gateway.example.com",
    max_message_size=4000,
    max_recipients=4,
    max_memory=6000,
    max_errors=6,
    auth=Auth.OPTIONAL,
)
LIMITS = LimitRules(auth_failures=3, auth_delay_s=0.0)
# Only AUTH's first challenge may be empty.
_REPLIES = re.compile(rb"(?:(?:[2-5][0-9]{2}-[ -~]*\r\n)*(?:334 |[2-5][0-9]{2} [ -~]+)\r\n)*\Z")


class _AppMayIn:
    """Checks credentials without a hash: `app` is in, whatever the password."""

    async def verify(self, credentials: Credentials) -> User | None:
        return User("app", "") if credentials.username == "app" else None

    def knows(self, name: str) -> bool:
        return name == "app"


async def try_session(said: bytes, cuts: Sequence[int] = ()) -> list[bytes]:
    """
    Say these octets to a fresh session, cut at these places, then send no more.

    Returns:
        The contents that were taken.

    Raises:
        AssertionError: A reply is none, or tells of a mistake of ours; a letter was taken without
            a 250 or answered without being taken; something is held when all is over.
        TimeoutError: The session does not end.
    """
    intake = FakeIntake()
    reception = Reception(
        RULES,
        intake,
        SessionCounts(),
        limits=Limits(LIMITS, lambda: 0.0),
        credentials=_AppMayIn(),  # type: ignore[arg-type]
    )
    session = Session(reception, "app", HandTurnedLoop())  # type: ignore[arg-type]
    wire = FakeTransport(session, ("127.0.0.1", 40000))
    session.connection_made(wire)
    places = [0, *sorted(min(cut, len(said)) for cut in cuts), len(said)]
    for start, end in pairwise(places):
        if wire.lost:
            break
        session.data_received(said[start:end])
        if not wire.reading:
            await wire.until(lambda wire: wire.reading or wire.lost)
        await wire.turn()
        assert reception.held <= RULES.memory + end - start
    if not wire.lost:
        session.eof_received()
    await wire.until(lambda wire: wire.lost)
    assert await reception.drain(5)
    assert reception.held == 0
    assert _REPLIES.match(wire.sent), wire.sent
    assert b"Internal error" not in wire.sent
    assert wire.sent.count(b" queued as ") == len(intake.submissions)
    for submission in intake.submissions:
        content = submission.content
        assert len(content) <= RULES.max_message_size
        assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
        assert 1 <= len(submission.envelope.recipients) <= RULES.max_recipients
    return intake.contents
