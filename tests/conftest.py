"""What all tests may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgresql import GivenServer, NoPostgresql, PostgresqlServer, find_server


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
