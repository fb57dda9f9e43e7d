"""The tables: those of a fresh store and those that the steps lead to are the same."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from gateway.errors import SpoolIncompatible
from gateway.spool import upgrade
from gateway.spool.schema import VERSION, VERSION_TABLE, metadata
from gateway.spool.statements import Statements
from gateway.spool.upgrade import known_versions, prepare_store, take_steps


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def tables_of(connection: Connection) -> dict[str, str]:
    """Every table and index as SQLite keeps its making, without layout and quotes."""
    made = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    return {name: re.sub(r'[\s"]+', "", sql).lower() for name, sql in made if name[0] != "_"}


def test_the_steps_lead_to_the_schema(connection: Connection) -> None:
    """A change of the schema without its migration would break every store in the field."""
    take_steps(connection)
    context = MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
    )
    assert compare_metadata(context, metadata) == []


def test_fresh_and_stepped_stores_are_the_same(connection: Connection) -> None:
    """Down to keys, partial indexes and row layout, which Alembic does not compare."""
    take_steps(connection)
    stepped = tables_of(connection)
    fresh = create_engine("sqlite://")
    with fresh.connect() as other:
        prepare_store(other, may_change=True)
        made = tables_of(other)
        versions = other.execute(text(f"SELECT * FROM {VERSION_TABLE}")).all()  # noqa: S608 (ours)
    fresh.dispose()
    assert made == stepped
    assert versions == [(VERSION,)]


def test_steps_only_add() -> None:
    """Gateways of the version before go on beside the first new one, on the tables they know."""
    folder = resources.files("gateway.spool.migrations").joinpath("versions")
    harmless = {"create_table", "create_index", "drop_index", "add_column", "get_context"}
    for path in folder.iterdir():
        if path.name.startswith("v") and not path.name.startswith("v0001"):
            step = ast.parse(path.read_text(encoding="utf-8"))
            for call in (node for node in ast.walk(step) if isinstance(node, ast.Call)):
                if ast.unparse(call.func).startswith("op."):
                    deed = ast.unparse(call.func).removeprefix("op.")
                    assert deed in harmless, f"{path.name}: {deed}"
                    # What does not know a column leaves it out when it writes a row.
                    demanded = "nullable=False" in ast.unparse(call)
                    assert (
                        deed != "add_column"
                        or not demanded
                        or "server_default" in ast.unparse(call)
                    ), f"{path.name}: {ast.unparse(call)}"


def test_steps_are_taken_whole_or_not_at_all() -> None:
    """A gateway killed while it brings a store up leaves the old store, not half a new one."""
    engine = create_engine("sqlite://", connect_args={"isolation_level": None})
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        take_steps(connection)
        assert tables_of(connection)
        connection.exec_driver_sql("ROLLBACK")
        assert tables_of(connection) == {}
    engine.dispose()


def test_the_newest_step_is_the_version_we_are() -> None:
    """A new migration that the program does not know of would refuse its own stores."""
    assert known_versions()[0] == VERSION


def test_a_ready_store_is_left_as_it_is(connection: Connection) -> None:
    """Opening is looking, when there is nothing to do."""
    prepare_store(connection, may_change=True)
    before = tables_of(connection)
    for may_change in (True, False):
        prepare_store(connection, may_change=may_change)
    assert tables_of(connection) == before


def test_an_older_store_takes_the_steps_it_lacks(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway brings it up; a command beside an older gateway does not."""
    prepare_store(connection, may_change=True)
    taken: list[Connection] = []
    monkeypatch.setattr(upgrade, "VERSION", "9999")
    monkeypatch.setattr(upgrade, "take_steps", taken.append)
    with pytest.raises(SpoolIncompatible, match="restart the gateway"):
        prepare_store(connection, may_change=False)
    assert taken == []
    prepare_store(connection, may_change=True)
    assert taken == [connection]


def test_the_store_of_another_program_with_migrations_is_not_ours(connection: Connection) -> None:
    """Alembic's usual table says nothing: half of all Python programs have one."""
    connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
    with pytest.raises(SpoolIncompatible, match="something else"):
        prepare_store(connection, may_change=True)


def test_a_spool_on_sqlite_loads_neither_alembic_nor_postgresql() -> None:
    """A daemon would keep their 15 MiB for good, and start a third of a second later."""
    program = (
        "import sys; from pathlib import Path; from gateway.spool.sqlite import SqliteEngine;"
        "import tempfile; d = tempfile.mkdtemp();"
        "[SqliteEngine.open(Path(d) / 'x.db', exclusive=True).close() for _ in range(2)];"
        "unwanted = {'alembic', 'psycopg', 'sqlalchemy.dialects.postgresql'};"
        "sys.exit(bool(unwanted & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_schema_is_postgresqls_too() -> None:
    """Nothing in tables, indexes and hot statements stands in the way of the other engine."""
    dialect = postgresql.psycopg.dialect(paramstyle="format")
    for table in metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert "CREATE INDEX" in str(CreateIndex(index).compile(dialect=dialect))
    statements = vars(Statements(dialect))
    assert statements
    assert all("%s" in statement for statement in statements.values())


def test_a_statement_whose_parameters_stand_otherwise_is_refused() -> None:
    """Values go by position: an order that is not the declared one is caught at the start."""
    with pytest.raises(ValueError, match="stand as"):
        Statements(postgresql.psycopg.dialect())  # parameters by name: there is no order


def test_steps_are_shipped() -> None:
    """An installed gateway can bring a store up: the steps lie in its package, not beside it."""
    folder = resources.files("gateway.spool.migrations")
    assert folder.joinpath("env.py").is_file()
    steps = [path.name for path in folder.joinpath("versions").iterdir() if path.is_file()]
    assert len([name for name in steps if name.startswith("v0")]) == len(known_versions())
