"""
A real PostgreSQL server for tests, installed and started by themselves.

Found in this order: MAILQUAY_TEST_PG (the URL of a server where databases may be made, or the
folder of an installation's programs), then /usr/lib/postgresql/*/bin, which `tests/system-packages`
fills where it may. What we start listens on a socket in its own folder and on a port of the
loopback, and ends with the tests.
"""

from __future__ import annotations

import os
import pwd
import secrets
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bench.ports import free_port

VARIABLE = "MAILQUAY_TEST_PG"
USER = "mailquay"
GUARDED = "guarded"  # members of this role, once it is there, need their passwords on the loopback
_HOMES = Path("/usr/lib/postgresql")
# Waits until whoever made the server closes its input, or is gone.
_KEEPER = 'read -r _; cd /; "$1" stop -m immediate -D "$2/data"; rm -rf "$2"'
_TO_THE_LIMIT = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class NoPostgresql(Exception):
    """There is no PostgreSQL here; the text says why."""


def find_programs() -> Path:
    """
    The folder of initdb and pg_ctl, of the newest version there is.

    Raises:
        NoPostgresql: There is none.
    """
    given = os.environ.get(VARIABLE, "")
    if given.startswith("/"):
        return Path(given)
    found = sorted(_HOMES.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not found:
        raise NoPostgresql(
            f"PostgreSQL is not installed; {VARIABLE} may name a server or a folder of programs"
        )
    return found[-1].parent


def find_server() -> PostgresqlServer | GivenServer:
    """
    The server that is given, else one of our own, started.

    Raises:
        NoPostgresql: There is none.
    """
    given = os.environ.get(VARIABLE, "")
    if given and not given.startswith("/"):
        return GivenServer(given)
    server = PostgresqlServer()
    server.start()
    return server


class GivenServer:
    """A server that somebody lets us make databases on."""

    def __init__(self, url: str) -> None:
        self.url = url

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a fresh database, which is gone at the end."""
        with fresh_database(self.url) as url:
            yield url

    def remove(self) -> None:
        """It stays."""


class PostgresqlServer:
    """
    A server of our own, in a folder of its own.

    Args:
        safe: Syncs as it would anywhere else; else it spares the disk.
        options: Further settings, as `max_connections=20`.
    """

    def __init__(self, *, safe: bool = False, options: tuple[str, ...] = ()) -> None:
        """
        Make it; `start` must follow.

        Raises:
            NoPostgresql: It cannot be had here.
        """
        self._programs = find_programs()
        self._as_owner: dict[str, Any] = {}
        # Not in pytest's folder, which its owner may not enter.
        self.folder = Path(tempfile.mkdtemp(prefix="mailquay-pg-"))
        self.port = free_port()
        if (owner := _owner()) is not None:
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            ids = {"user": owner.pw_uid, "group": owner.pw_gid}
            self._as_owner = {**ids, "extra_groups": ()}
        self._settings = [
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self.folder}",
            "log_min_messages=fatal",
            *(() if safe else _TO_THE_LIMIT),
            *options,
        ]
        self._data = self.folder / "data"
        self._keeper = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "keeper", self._programs / "pg_ctl", self.folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **self._as_owner,
        )
        try:
            self._initialise()
        except BaseException:
            self.remove()
            raise

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "log"

    @property
    def url(self) -> str:
        """By its socket, to a database that is none of the tests'."""
        return f"postgresql:///postgres?host={self.folder}&port={self.port}&user={USER}"

    def tcp_url(self, url: str, *, port: int = 0, user: str = USER) -> str:
        """The same database by the loopback; `port` is that of something before the server."""
        name = conninfo_to_dict(url)["dbname"]
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{name}"

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        words = [word for setting in self._settings for word in ("-c", setting)]
        self._control("start", "-l", str(self.log), "-o", " ".join(words))

    def stop(self, mode: str = "fast") -> None:
        """End it: `fast` undoes what is under way, `immediate` is a crash."""
        self._control("stop", "-m", mode)

    def remove(self) -> None:
        """Stop it, if it runs, and delete its folder; happens too when the tests are killed."""
        self._keeper.communicate()

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a fresh database, which is gone at the end."""
        with fresh_database(self.url) as url:
            yield url

    def _initialise(self) -> None:
        trusting = ("-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        self._run("initdb", "-D", str(self._data), *trusting)
        rules = self._data / "pg_hba.conf"
        guarded = f"host all +{GUARDED} 127.0.0.1/32 scram-sha-256\n"
        rules.write_text(guarded + rules.read_text())

    def _control(self, deed: str, *words: str) -> None:
        self._run("pg_ctl", deed, "-w", "-t", "60", "-D", str(self._data), *words)

    def _run(self, program: str, *words: str) -> None:
        # The server keeps what it is started with: nothing to wait for may be among it.
        done = subprocess.run(
            [self._programs / program, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            check=False,
            **self._as_owner,
        )
        if done.returncode != 0:
            said = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
            raise NoPostgresql(f"{program} {words[0]} ended with {done.returncode}: {said}")


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """The URL of a fresh database on a server, which is gone at the end."""
    name = f"mailquay_test_{secrets.token_hex(6)}"
    execute(server, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    try:
        yield _url_of_database(server, name)
    finally:
        execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def execute(url: str, statement: str, values: Sequence[object] | None = None) -> list[Any]:
    """Run a statement on a connection of its own, outside any transaction; the rows it gives."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def _url_of_database(server: str, name: str) -> str:
    parameters = conninfo_to_dict(server)
    parameters.pop("dbname", None)
    return f"postgresql:///{name}?{urlencode(parameters)}"


def _owner() -> pwd.struct_passwd | None:
    """Whom the server runs as: ourselves, unless we are root, whom it refuses."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoPostgresql("PostgreSQL does not run as root, and there is nobody else")
