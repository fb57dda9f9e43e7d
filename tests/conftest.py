"""What all tests may ask for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import count

import pytest
import structlog
from hypothesis import HealthCheck, settings

from gateway.domain.queue_id import QueueIdSource
from tests.support.postgresql import GivenServer, NoPostgresql, PostgresqlServer, find_server

# The same examples at every run, however long one takes: what fails was changed, and no machine was
# slow. `--hypothesis-profile default` tries others.
settings.register_profile(
    "steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """
    The next test starts with an unconfigured log.

    Its configuration is the process's, and keeps the stream of the test that made it, which is
    closed when the next one writes.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        root.handlers[:] = [handler for handler in root.handlers if handler in handlers]
        root.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def _gateways_by_number() -> Iterator[None]:
    """
    No two spools of this process give out the same queue id.

    Their numbers are drawn by lot otherwise, which is enough where clocks run; on a clock that
    stands still one pair in 2,048 would collide.
    """
    numbers = count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "gateway.spool.store.QueueIdSource", lambda _by_lot: QueueIdSource(next(numbers))
        )
        yield


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer | GivenServer]:
    """One server for the whole session, started when the first test wants it."""
    try:
        server = find_server()
    except NoPostgresql as error:
        pytest.skip(str(error))
    yield server
    server.remove()


@pytest.fixture
def own_postgresql(postgresql: PostgresqlServer | GivenServer) -> PostgresqlServer:
    """The same, where a test does to it what is not done to somebody else's."""
    if isinstance(postgresql, GivenServer):
        pytest.skip("it is not ours to stop, fill or cut off")
    return postgresql
