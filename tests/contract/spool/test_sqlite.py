"""What is SQLite's alone: syncs as the kernel sees them, plans, result codes."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from gateway.errors import SpoolError, SpoolFull, SpoolUnavailable
from gateway.spool.bodies import LARGE_OCTETS
from gateway.spool.sqlite import SqliteEngine
from gateway.spool.statements import Statements
from gateway.spool.store import SqlSpool
from gateway.spool.values import Filter
from tests.contract.spool.conftest import Admit
from tests.contract.spool.engines import ON_SQLITE, SqliteStore
from tests.contract.spool.test_crash import PROJECT
from tests.support.letters import a_change, a_start
from tests.support.manual_clock import ManualClock


def traced(store: SqliteStore, tmp_path: Path, octets: int) -> list[str]:
    """Syncs and answers of a process that admits three letters, in the order they ended."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    log = tmp_path / "strace"
    trace = [strace, "-f", "-qq", "-y", "-e", "trace=fdatasync,fsync,write", "-o", str(log)]
    child = [sys.executable, "-m", "tests.support.spool_child", store.url, "admit-three"]
    with subprocess.Popen(
        [*trace, *child, str(octets)], stdout=subprocess.PIPE, text=True, cwd=PROJECT
    ) as process:
        assert process.stdout is not None
        told = process.stdout.read().split()
    if len(told) != 3:
        pytest.skip("strace may not trace here")
    found = []
    begun: dict[str, str] = {}
    for line in log.read_text().splitlines():
        thread, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            begun[thread] = call
            continue
        call = begun.pop(thread, "") + call
        if sync := re.match(r"(f(?:data)?sync)\(\d+<([^>]*)>.*= 0$", call):
            found.append(f"{sync[1]} {Path(sync[2]).name}")
        elif answer := re.match(r'write\(1<.*"([0-9A-V]{13})\\n"', call):
            found.append(f"answer {answer[1]}")
    return found


@ON_SQLITE
def test_every_answer_comes_after_a_sync(store: SqliteStore, tmp_path: Path) -> None:
    """T13: kill -9 cannot show it, a power cut would: each commit is synced before its answer."""
    seen = traced(store, tmp_path, 1000)
    first = next(n for n, word in enumerate(seen) if word.startswith("answer"))
    assert "fsync made" in seen[:first], "the file's name is durable before the first letter"
    assert seen[first - 1] == "fdatasync spool.db-wal"
    following = [word.split(" ")[0] for word in seen[first + 1 : first + 5]]
    assert following == ["fdatasync", "answer"] * 2, "a lone letter costs one sync"


@ON_SQLITE
def test_a_large_content_is_durable_before_its_row(store: SqliteStore, tmp_path: Path) -> None:
    """T13: file, then its name, then the row that names it, and only then the answer."""
    seen = traced(store, tmp_path, LARGE_OCTETS)
    answers = [n for n, word in enumerate(seen) if word.startswith("answer")]
    assert len(answers) == 3
    for place in answers:
        queue_id = seen[place].removeprefix("answer ")
        assert seen[place - 3 : place] == [
            f"fdatasync {queue_id}",
            "fsync spool.db.large",
            "fdatasync spool.db-wal",
        ]


@ON_SQLITE
async def test_the_queue_is_never_walked_on_a_letters_way(
    store: SqliteStore, spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """With a million settled letters in store, claims, counts and contents cost the same."""
    asked: list[tuple[str, Any]] = []

    def note(_c: object, _k: object, statement: str, values: Any, *_more: object) -> None:
        asked.append((statement, values))

    engine = spool._engine
    assert isinstance(engine, SqliteEngine)
    for pool in (engine._readers, engine._writers):
        event.listen(pool, "before_cursor_execute", note)
    letter = await admit()
    await spool.claim("main", clock.now(), 10)
    await spool.claim_strays(frozenset({"main"}), clock.now(), 10)
    await spool.content(letter.queue_id)
    await spool.stats(clock.now())
    await spool.story(letter.queue_id)
    await spool.find("id-77", 10)
    for name, statement in vars(Statements(engine.dialect)).items():
        asked.append((statement, [0] * statement.count("?")))
        assert statement.count("?") > 0, name
    with closing(sqlite3.connect(store.path)) as connection:
        for statement, values in asked:
            if not re.match(
                r"(SELECT|UPDATE|DELETE)\b.*\b(recipient|message|content)\b", statement, re.DOTALL
            ):
                continue
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
            walks = [
                step[3]
                for step in plan
                if step[3].startswith("SCAN ") and "INDEX recipient_due" not in step[3]
            ]
            assert not walks, statement
    assert len(asked) > 15


def _full(connection: sqlite3.Connection, _path: Path) -> None:
    connection.execute("CREATE TABLE t (x)")
    connection.execute("PRAGMA max_page_count=2")
    connection.execute("INSERT INTO t VALUES (zeroblob(100000))")


def _read_only(connection: sqlite3.Connection, _path: Path) -> None:
    connection.execute("PRAGMA query_only=ON")
    connection.execute("CREATE TABLE t (x)")


def _locked(connection: sqlite3.Connection, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        connection.execute("CREATE TABLE t (x)")


def _damaged(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("CREATE TABLE t (x)")
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * 4096)
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT * FROM t").fetchall()


def _taken(connection: sqlite3.Connection, _path: Path) -> None:
    connection.execute("CREATE TABLE t (x INTEGER PRIMARY KEY)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.execute("INSERT INTO t VALUES (1)")


def _too_big(connection: sqlite3.Connection, _path: Path) -> None:
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1000)
    connection.execute("SELECT zeroblob(2000)").fetchall()


def _gone(_connection: sqlite3.Connection, path: Path) -> None:
    sqlite3.connect(f"file:{path}.gone?mode=rw", uri=True)


def _other(connection: sqlite3.Connection, _path: Path) -> None:
    connection.execute("SELECT * FROM gone").fetchall()


@pytest.mark.parametrize(
    ("provoke", "kind", "ill", "reason"),
    [
        (_full, SpoolFull, True, "no room left for letters"),
        (_read_only, SpoolUnavailable, True, "the spool is read-only"),
        (_locked, SpoolUnavailable, True, "another process keeps the spool locked"),
        (_damaged, SpoolUnavailable, True, "the spool is damaged"),
        (_gone, SpoolUnavailable, True, "the spool cannot be opened"),
        (_other, SpoolUnavailable, True, "the spool fails"),
        (_taken, SpoolUnavailable, False, "the queue id is taken"),
        (_too_big, SpoolUnavailable, False, "the letter is too large for the spool"),
    ],
)
def test_what_sqlite_says_and_what_it_means(
    tmp_path: Path,
    provoke: Callable[[sqlite3.Connection, Path], None],
    kind: type[SpoolError],
    ill: bool,
    reason: str,
) -> None:
    """T1, T20: real failures, told in words fit for the wire: no path, no statement, no class."""
    engine = SqliteEngine.open(tmp_path / "spool.db", exclusive=True)
    other = tmp_path / "other.db"
    try:
        with (
            closing(sqlite3.connect(other, isolation_level=None, timeout=0)) as connection,
            pytest.raises(sqlite3.Error) as raised,
        ):
            provoke(connection, other)
        trouble = engine.trouble_from(raised.value)
        assert trouble is not None
        assert (type(trouble.error), trouble.ill, trouble.error.reason) == (kind, ill, reason)
    finally:
        engine.close()


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        sqlite3.ProgrammingError("closed"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "x"),
    ],
)
def test_what_is_no_trouble_of_the_store(tmp_path: Path, error: Exception) -> None:
    """A bug is not mistaken for a full disk: it reaches its caller as it is."""
    engine = SqliteEngine.open(tmp_path / "spool.db", exclusive=True)
    try:
        assert engine.trouble_from(error) is None
    finally:
        engine.close()


@ON_SQLITE
async def test_what_lies_in_the_file_is_never_a_content_for_long(
    store: SqliteStore, spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Free pages are used again: a steady flow of letters does not grow the file."""
    sizes = []
    for _ in range(3):
        for _ in range(20):
            letter = await admit(content=bytes(LARGE_OCTETS - 1), leased=True)
            await spool.start([a_start(letter.queue_id, clock.now())])
            await spool.record([a_change(letter.queue_id, clock.now())])
        clock.advance(1)
        await spool.purge(clock.now())
        with store.connect() as connection:
            sizes.append(connection.exec_driver_sql("PRAGMA page_count").scalar_one())
    assert sizes[2] <= sizes[0] + 8
    assert await spool.list(Filter(), 10) == ()
