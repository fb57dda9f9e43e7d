"""What is PostgreSQL's alone: whose database it is, what a session is set to, codes, plans."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from gateway.errors import SpoolError, SpoolFull, SpoolIncompatible, SpoolUnavailable
from gateway.spool import postgresql as module
from gateway.spool.postgresql import PostgresqlEngine
from gateway.spool.schema import metadata
from gateway.spool.sqlstate import trouble_from_error
from gateway.spool.statements import Statements
from gateway.spool.store import SqlSpool
from gateway.spool.values import Filter, Recovery
from tests.contract.spool.conftest import Admit, OpenSpool
from tests.contract.spool.engines import LEASE, ON_POSTGRESQL
from tests.contract.spool.postgresql_store import PostgresqlStore
from tests.support.letters import a_change, a_letter, a_start
from tests.support.manual_clock import ManualClock
from tests.support.postgresql import GUARDED, USER, PostgresqlServer, execute

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
PASSWORD = "dummy: not/a@secret%"


def engine_of(spool: SqlSpool) -> PostgresqlEngine:
    assert isinstance(spool._engine, PostgresqlEngine)
    return spool._engine


@ON_POSTGRESQL
async def test_gateways_that_start_at_once_make_one_spool(
    monkeypatch: pytest.MonkeyPatch, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """A fleet that is rolled out in one go: each waits for the tables that one of them makes."""
    monkeypatch.setattr(secrets, "randbelow", lambda _below: 7)  # by ill luck, all of one shard
    spools = await asyncio.gather(*(open_spool() for _ in range(6)))
    for spool in spools:
        await spool.admit(a_letter(spool, clock.now()))
    stats = await spools[0].stats(clock.now())
    assert (stats.accepted, sum(stats.active.values())) == (6, 6)


@ON_POSTGRESQL
async def test_a_gateway_that_starts_lets_go_of_nothing(
    open_spool: OpenSpool, clock: ManualClock
) -> None:
    """What another has leased is its own until the lease lapses; also what is being sent."""
    first, second = await open_spool(), await open_spool()
    letters = [a_letter(first, clock.now(), leased=True) for _ in range(2)]
    for letter in letters:
        await first.admit(letter)
    await first.start([a_start(letters[0].queue_id, clock.now())])
    assert await second.recover(clock.now()) == Recovery(0)
    assert (await second.claim("main", clock.now(), 10)).letters == ()
    clock.advance(LEASE.total_seconds())
    claimed = await second.claim("main", clock.now(), 10)
    assert [x.queue_id for x in claimed.cut_short] == [letters[0].queue_id]
    assert [x.queue_id for x in claimed.letters] == [letters[1].queue_id]
    assert await first.record([a_change(letters[0].queue_id, clock.now())]) == {0}


@ON_POSTGRESQL
async def test_an_empty_database_is_for_a_gateway_to_fill(
    store: PostgresqlStore, open_spool: OpenSpool
) -> None:
    """A command makes no tables; a gateway does."""
    with pytest.raises(SpoolIncompatible, match="empty"):
        await open_spool(exclusive=False)
    assert execute(store.url, TABLES) == []
    await open_spool()
    await open_spool(exclusive=False)


@ON_POSTGRESQL
@pytest.mark.parametrize("table", ["invoice", "message"])
async def test_a_database_of_something_else_is_refused_and_left_alone(
    store: PostgresqlStore, open_spool: OpenSpool, table: str
) -> None:
    """A wrong URL must not turn somebody's data into a spool, whatever their tables are called."""
    execute(store.url, f"CREATE TABLE {table} (id integer PRIMARY KEY)")
    for exclusive in (True, False):
        with pytest.raises(SpoolIncompatible, match="something else"):
            await open_spool(exclusive=exclusive)
    assert execute(store.url, TABLES) == [(table,)]


@ON_POSTGRESQL
async def test_a_schema_of_ones_own_beside_something_else(
    store: PostgresqlStore, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """A database that is shared: the URL's search_path says where; none there is told."""
    execute(store.url, "CREATE TABLE invoice (id integer PRIMARY KEY)")
    store.url += "&options=-csearch_path%3Dours"
    with pytest.raises(SpoolIncompatible, match="no schema"):
        await open_spool()
    execute(store.url, "CREATE SCHEMA ours")
    spool = await open_spool()
    await spool.admit(a_letter(spool, clock.now()))
    assert (await spool.stats(clock.now())).octets > 0
    assert execute(store.url, TABLES) == [("invoice",)]


@ON_POSTGRESQL
async def test_an_encoding_that_cannot_hold_every_address_is_refused(
    store: PostgresqlStore, open_spool: OpenSpool, own_postgresql: PostgresqlServer
) -> None:
    """Told at the start, and not by the first letter to an address with an umlaut."""
    execute(own_postgresql.url, f"DROP DATABASE {store.name}")
    execute(
        own_postgresql.url,
        f"CREATE DATABASE {store.name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'",
    )
    with pytest.raises(SpoolIncompatible, match=r"encoding is LATIN1; create .* UTF8"):
        await open_spool()


@ON_POSTGRESQL
async def test_an_old_server_is_refused(
    monkeypatch: pytest.MonkeyPatch, open_spool: OpenSpool
) -> None:
    """What was never tried is not promised."""
    monkeypatch.setattr(module, "OLDEST_VERSION", 990000)
    with pytest.raises(SpoolIncompatible, match="PostgreSQL 99 or newer"):
        await open_spool()


@ON_POSTGRESQL
async def test_clocks_that_differ_are_refused(
    monkeypatch: pytest.MonkeyPatch, open_spool: OpenSpool
) -> None:
    """A gateway ahead of the others by a lease would take over whatever they have in hand."""
    await open_spool()

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + LEASE

    monkeypatch.setattr(module, "datetime", Ahead)
    with pytest.raises(SpoolUnavailable, match=r"are 300 s apart"):
        await open_spool()
    await open_spool(exclusive=False)  # who only looks may


@ON_POSTGRESQL
async def test_who_may_not_make_tables_is_told(
    store: PostgresqlStore, clock: ManualClock, own_postgresql: PostgresqlServer
) -> None:
    """Rights that are missing, in the server's own words."""
    with a_role(store.url, "LOGIN") as role, pytest.raises(SpoolError) as raised:
        await open_at(own_postgresql.tcp_url(store.url, user=role), clock)
    assert "permission denied for schema public" in raised.value.reason


@ON_POSTGRESQL
@pytest.mark.parametrize("where", ["url", "apart"])
async def test_a_password_is_used_and_never_told(
    store: PostgresqlStore, clock: ManualClock, own_postgresql: PostgresqlServer, where: str
) -> None:
    """It may stand in the URL or by itself; no text shows it, not that of an error either."""
    with a_role(store.url, f"LOGIN SUPERUSER PASSWORD '{PASSWORD}'", guarded=True) as role:
        url = own_postgresql.tcp_url(store.url, user=role)
        in_url = url.replace(role, f"{role}:dummy%3A%20not%2Fa@secret%25", 1)
        given = {"url": (in_url, None), "apart": (url, SecretStr(PASSWORD))}
        spool = await open_at(given[where][0], clock, password=given[where][1])
        await spool.admit(a_letter(spool, clock.now()))
        with engine_of(spool).writer() as connection:
            shown = repr(connection.connection.dbapi_connection)
        for text in (shown, str(vars(engine_of(spool)))):
            assert "secret" not in text.replace("SecretStr", "")
        await spool.aclose()
        execute(own_postgresql.url, f"ALTER ROLE {role} PASSWORD 'another'")
        with pytest.raises(SpoolUnavailable, match="password authentication failed") as raised:
            await open_at(given[where][0], clock, password=given[where][1])
        assert "secret" not in str(raised.value)


@ON_POSTGRESQL
async def test_nobody_there_is_told_with_the_place(
    store: PostgresqlStore, clock: ManualClock
) -> None:
    """A wrong host, port or name: one line with the URL and what the system says."""
    with pytest.raises(SpoolUnavailable, match=r"127.0.0.1:1/x: .*cannot be reached.*[Rr]efused"):
        await open_at("postgresql://127.0.0.1:1/x", clock)
    with pytest.raises(SpoolUnavailable, match=r'"gone" does not exist'):
        await open_at(store.url.replace(store.name, "gone"), clock)


@ON_POSTGRESQL
async def test_of_several_hosts_the_one_that_can_be_written_is_taken(
    store: PostgresqlStore, clock: ManualClock, own_postgresql: PostgresqlServer
) -> None:
    """A pair of servers with a failover: the URL names both."""
    url = own_postgresql.tcp_url(store.url).replace("@", "@127.0.0.1:1,")
    spool = await open_at(url, clock)
    await spool.admit(a_letter(spool, clock.now()))
    assert "read-write" in json.dumps(engine_of(spool)._parameters)
    await spool.aclose()


@ON_POSTGRESQL
async def test_commits_are_synchronous_whatever_the_defaults(
    store: PostgresqlStore, open_spool: OpenSpool
) -> None:
    """T13: neither a role nor a database can make 250 mean less; more it may mean."""
    for default, wanted in {"off": "on", "local": "on", "remote_apply": "remote_apply"}.items():
        execute(store.url, f"ALTER DATABASE {store.name} SET synchronous_commit = {default}")
        spool = await open_spool()
        with engine_of(spool).writer() as connection:
            found = connection.exec_driver_sql("SHOW synchronous_commit").scalar_one()
        assert found == wanted, default


@ON_POSTGRESQL
async def test_a_session_waits_for_nothing_without_end(
    store: PostgresqlStore, open_spool: OpenSpool
) -> None:
    """Neither for a lock, nor a statement, nor does it keep rows longer than a lease."""
    execute(
        store.url, f"ALTER DATABASE {store.name} SET default_transaction_isolation = serializable"
    )
    spool = await open_spool(patience=timedelta(seconds=3))
    with engine_of(spool).writer() as connection:
        connection.exec_driver_sql(engine_of(spool).begin)
        shown = {
            name: connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in ("lock_timeout", "statement_timeout", "transaction_isolation")
        }
        idle = connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar_one()
    assert shown == {
        "lock_timeout": "3s",
        "statement_timeout": "25s",
        "transaction_isolation": "read committed",
    }
    assert idle == "5min"


@ON_POSTGRESQL
async def test_a_server_that_does_not_sync_is_told_about(
    open_spool: OpenSpool, own_postgresql: PostgresqlServer
) -> None:
    """The session's server is such a one: one warning at each start, and none from commands."""
    assert execute(own_postgresql.url, "SHOW fsync") == [("off",)]
    with capture_logs() as lines:
        await open_spool()
        await open_spool(exclusive=False)
    assert [line["event"] for line in lines] == ["spool_not_durable"]
    assert lines[0]["server_has_off"] == ["fsync", "full_page_writes"]


@ON_POSTGRESQL
async def test_a_nul_in_a_header_field_costs_no_letter(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """PostgreSQL's text has no NUL; what is kept for people shows that there was something."""
    letter = await admit(message_id="<a\0b@example.com>", content=b"a\0b", leased=True)
    await spool.start([a_start(letter.queue_id, clock.now())])
    assert (await spool.list(Filter(), 1))[
        0
    ].message_id == "<a\N{REPLACEMENT CHARACTER}b@example.com>"
    assert await spool.find("<a\0b@example.com>", 1) == (letter.queue_id,)
    assert await spool.content(letter.queue_id) == b"a\0b"


@ON_POSTGRESQL
async def test_a_vanished_table_is_told_and_nothing_else_breaks(
    store: PostgresqlStore, spool: SqlSpool, clock: ManualClock
) -> None:
    """Somebody dropped it under us: an error to callers, and the process lives."""
    execute(store.url, "ALTER TABLE note RENAME TO away")
    letter = a_letter(spool, clock.now(), leased=True)
    await spool.admit(letter)
    with pytest.raises(SpoolUnavailable, match="tables of the spool are gone"):
        await spool.story(letter.queue_id)
    execute(store.url, "ALTER TABLE away RENAME TO note")
    assert (await spool.story(letter.queue_id)).content_kept


def _raise(statement: str) -> Callable[[psycopg.Connection[Any]], None]:
    return lambda connection: connection.execute(statement) and None


def _raise_code(code: str) -> Callable[[psycopg.Connection[Any]], None]:
    # What cannot be brought about: the server says it all the same.
    return _raise(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{code}'; END $$")


def _end_the_session(connection: psycopg.Connection[Any]) -> None:
    pid = connection.info.backend_pid
    execute(connection.info.dsn, f"SELECT pg_terminate_backend({pid}, 5000)")
    connection.execute("SELECT 1")


def _close_and_ask(connection: psycopg.Connection[Any]) -> None:
    connection.close()
    connection.execute("SELECT 1")


ILL, ILL_AGAIN, ONE_LETTER, PASSING = (True, False), (True, True), (False, False), (False, True)
UNREACHABLE = "the database cannot be reached"


@ON_POSTGRESQL
@pytest.mark.parametrize(
    ("provoke", "ill_and_again", "reason"),
    [
        (_raise_code("53100"), ILL, "no room left for letters"),
        (_raise_code("53200"), ILL, "no memory left for the spool"),
        (_raise_code("58030"), ILL, "the disk of the spool fails"),
        (_raise_code("XX001"), ILL, "the spool is damaged"),
        (_raise_code("XX000"), ILL, "the spool fails"),
        (_raise("SELECT gone"), ILL, "the tables of the spool are those of another version"),
        (_raise("SELECT * FROM gone"), ILL, "the tables of the spool are gone"),
        (
            _raise("SET transaction_read_only = on; CREATE TABLE t ()"),
            ILL,
            "the spool is read-only",
        ),
        (_raise("SET ROLE pg_monitor; CREATE TABLE t ()"), ILL, "the spool may not be written"),
        (
            _raise("SET statement_timeout = 1; SELECT pg_sleep(9)"),
            ILL,
            "the database takes too long",
        ),
        (_raise_code("57P03"), ILL_AGAIN, UNREACHABLE),
        (_end_the_session, ILL_AGAIN, UNREACHABLE),
        (_close_and_ask, ILL_AGAIN, UNREACHABLE),
        (_raise_code("40001"), PASSING, "another gateway changed the same rows"),
        (
            _raise("CREATE TABLE t (x int UNIQUE); INSERT INTO t VALUES (1), (1)"),
            ONE_LETTER,
            "the queue id is taken",
        ),
        (
            _raise("SELECT 99999999999::int"),
            ONE_LETTER,
            "the letter cannot be written into the spool",
        ),
        (_raise_code("54000"), ONE_LETTER, "the letter is too large for the spool"),
    ],
)
def test_what_postgresql_says_and_what_it_means(
    store: PostgresqlStore,
    provoke: Callable[[psycopg.Connection[Any]], None],
    ill_and_again: tuple[bool, bool],
    reason: str,
) -> None:
    """T1, T20: told in words fit for the wire: no host, no statement, no class."""
    with (
        closing(psycopg.connect(store.url, autocommit=True)) as connection,
        pytest.raises(psycopg.Error) as raised,
    ):
        provoke(connection)
    for error in (raised.value, DBAPIError("SELECT 1", {}, raised.value)):
        trouble = trouble_from_error(error)
        assert trouble is not None
        assert (trouble.ill, trouble.again, trouble.error.reason) == (*ill_and_again, reason)
        assert isinstance(trouble.error, SpoolFull) == ("room" in reason)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "x"),
        psycopg.ProgrammingError("the query has 1 placeholder but 2 parameters were passed"),
        psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"),
    ],
)
def test_what_is_no_trouble_of_the_store(error: Exception) -> None:
    """A bug is not mistaken for a full disk: it reaches its caller as it is."""
    assert trouble_from_error(error) is None


@ON_POSTGRESQL
async def test_the_queue_is_never_walked_on_a_letters_way(
    store: PostgresqlStore, spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """With many letters in store, settled or waiting, claims, counts and contents cost the same."""
    asked: list[tuple[str, Any]] = []

    def note(_c: object, _k: object, statement: str, values: Any, *_more: object) -> None:
        asked.append((statement, values))

    engine = engine_of(spool)
    for pool in (engine._readers, engine._writers):
        event.listen(pool, "before_cursor_execute", note)
    letter = await admit()
    await spool.claim("main", clock.now(), 10)
    await spool.claim_strays(frozenset({"main"}), clock.now(), 10)
    await spool.content(letter.queue_id)
    await spool.story(letter.queue_id)
    await spool.find("id-77", 10)
    for name, statement in vars(Statements(engine.dialect)).items():
        asked.append((statement, [1] * statement.count("%s")))
        assert statement.count("%s") > 0, name
    walks: list[str] = []
    # Known to the planner or not: a queue that has just filled has no statistics yet.
    for settled, analyzed in ((0, "SELECT"), (0, "ANALYZE"), (1, "SELECT"), (1, "ANALYZE")):
        for deed in ("TRUNCATE recipient, message, content", *_filled(settled), analyzed):
            execute(store.url, deed)
        for statement, values in asked:
            if re.match(
                r"(SELECT|UPDATE|DELETE)\b.*\b(recipient|message|content)\b", statement, re.DOTALL
            ):
                walks += _walks(store.url, statement, values)
    assert walks == []
    assert len(asked) > 15
    execute(store.url, "TRUNCATE recipient, message, content; UPDATE tally SET n = 0")


def _filled(settled: int, letters: int = 20_000) -> Iterator[str]:
    """Statements that fill each table with a row for each letter."""
    special = {"id": "n", "message_id": "n", "settled": str(settled), "due_at": "n"}
    for name in ("message", "content", "recipient"):
        values = ", ".join(
            special.get(column.name, "NULL" if column.nullable else "'0'")
            for column in metadata.tables[name].columns
        )
        yield f"INSERT INTO {name} SELECT {values} FROM generate_series(1, {letters}) n"  # noqa: S608 (our names)


def _walks(url: str, statement: str, values: Any) -> list[str]:
    """Where a plan would go through a whole table, or through all that is due for one letter."""
    with psycopg.connect(url) as connection:
        ((plan,),) = connection.execute(f"EXPLAIN (FORMAT JSON) {statement}", values).fetchall()
        connection.rollback()
    found = []
    steps = [plan[0]["Plan"]]
    while steps:
        step = steps.pop()
        steps += step.get("Plans", ())
        table, index = step.get("Relation Name"), step.get("Index Name")
        if step["Node Type"] == "Seq Scan" and table in {"recipient", "message", "content"}:
            found.append(f"all of {table}: {statement}")
        if index == "recipient_due" and not (
            "due_at" in step.get("Index Cond", "") or "min(" in statement
        ):
            found.append(f"all that is due: {statement}")
    return found


@contextmanager
def a_role(url: str, rights: str, *, guarded: bool = False) -> Iterator[str]:
    """A role for one test on one database; a guarded one needs its password."""
    name = f"role_{secrets.token_hex(4)}"
    execute(url, f"CREATE ROLE {name} {rights}")
    if guarded:
        execute(url, f"CREATE ROLE {GUARDED} ROLE {name}")
    try:
        yield name
    finally:
        execute(url, f"REASSIGN OWNED BY {name} TO {USER}")
        for role in (name, *([GUARDED] if guarded else [])):
            execute(url, f"DROP ROLE {role}")


async def open_at(url: str, clock: ManualClock, **more: Any) -> SqlSpool:
    """Open a spool, as a gateway would, that the caller closes."""
    return await SqlSpool.open(
        url, clock=clock, uncertain_after=timedelta(0), exclusive=True, **more
    )
