"""
The tables of the spool: one schema for every engine.

Plain columns only, so that values go in and out without conversion on the way: moments are
microseconds since 1970 in UTC, yes and no are 1 and 0, words are text. No foreign keys: one place
writes each table, `purge` takes whole letters, and a check per row would cost every letter. Knows
no engine; `rows` turns rows into values.

A lease needs no table and no second index: while a recipient is leased, `due_at` is the end of its
lease, and so one range of one index holds all that needs attention, lapsed leases included.

There is no index on Message-ID and forward-path. Their values come in no order, so each would
rewrite a page per letter (a fifth of what a letter costs, measured), to spare a person who searches
a walk through the table of half a second per million letters.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    event,
    literal_column,
)
from sqlalchemy.types import TypeEngine

VERSION = "0011"
"""The newest migration: what a store must be at to be used by this program."""

VERSION_TABLE = "spool_version"
"""Alembic's table under a name of our own, which tells a spool from any other database."""

metadata = MetaData()

# SQLite keeps a row under its key, without a further index, only when the key is an INTEGER.
_Number: TypeEngine[int] = BigInteger().with_variant(Integer, "sqlite")

message = Table(
    "message",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=False),  # number of the queue id
    Column("arrival", BigInteger, nullable=False),
    Column("reverse_path", Text),  # as received; NULL is the null reverse-path
    Column("body", Text, nullable=False),
    Column("smtputf8", Integer, nullable=False),
    Column("ret", Text),
    Column("envid", Text),
    Column("listener", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("size", Integer, nullable=False),  # octets
    Column("message_id", Text, nullable=False),
    Column("instructions", Text),  # JSON, see `instructions`; NULL for most
    Column("mark", BigInteger),  # with `proof`, a row of `mark`; NULL: it has none
    Column("proof", BigInteger),
    Column("user", Text, nullable=False, server_default=""),  # of AUTH; empty without
    Column("traceparent", Text),  # W3C Trace Context; NULL: it belongs to no trace
)

content = Table(
    "content",
    metadata,
    Column("message_id", _Number, primary_key=True, autoincrement=False),
    Column("body", LargeBinary),  # NULL: in a file of its own, see `bodies`
)
"""There is a row as long as a recipient is not settled."""

# Letters are mostly base64 already: PostgreSQL would spend half of their time on compressing them.
event.listen(
    content,
    "after_create",
    DDL(  # type: ignore[no-untyped-call]  # as SQLAlchemy has it
        "ALTER TABLE content ALTER COLUMN body SET STORAGE EXTERNAL"
    ).execute_if(dialect="postgresql"),
)

recipient = Table(
    "recipient",
    metadata,
    Column("message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("key", Integer, primary_key=True, autoincrement=False),
    Column("forward_path", Text, nullable=False),  # as received
    Column("orcpt", Text),
    Column("notify", Text),  # words joined by commas
    Column("state", Text, nullable=False),
    Column("settled", Integer, nullable=False),
    Column("provider", Text, nullable=False),
    Column("excluded", Text, nullable=False),  # names joined by commas
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger),  # NULL: never by itself
    Column("was_due", BigInteger),  # while leased: `due_at` as it was before
    Column("lease", BigInteger),  # who holds it: the token of a process
    Column("status", Text, nullable=False),
    Column("diagnostic", Text, nullable=False),
    Column("provider_message_id", Text, nullable=False),
    Column("started_at", BigInteger),  # of the latest attempt
    Column("warned", Integer, nullable=False),  # a delay warning is decided, for or against
    Column("priority", Integer, nullable=False, server_default="1"),  # 0 is the most urgent
    sqlite_with_rowid=False,
)

attempt = Table(
    "attempt",
    metadata,
    Column("message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("key", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("provider", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("diagnostic", Text, nullable=False),
    Column("provider_message_id", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""Attempts that have ended; one under way shows in its recipient alone."""

note = Table(
    "note",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("message_id", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("key", Integer),  # NULL: of the whole letter
    Column("text", Text, nullable=False),
)

mark = Table(
    "mark",
    metadata,
    Column("key", _Number, primary_key=True, autoincrement=False),
    Column("proof", BigInteger, nullable=False),
    Column("message_id", BigInteger, nullable=False),
)
"""
What letters are known by when they come again; see `repeats`. No moment when it is over: the number
of a letter holds its arrival. On SQLite it is empty and a table in memory stands in its place: its
keys come in no order, and so each would write a page or two to disk for a letter.
"""

tally = Table(
    "tally",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),  # `accepted`, or a settled state
    Column("n", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Recipients ever admitted and ever settled, purged ones too; the sum over shards counts."""

pace = Table(
    "pace",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("next_free", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""From when on an account has a place free, for gateways that share the spool; see `places`."""

pause = Table(
    "pause",
    metadata,
    Column("kind", Text, primary_key=True),  # provider, route
    Column("name", Text, primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
)

tracking_event = Table(
    "tracking_event",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("message_id", BigInteger, nullable=False),
    Column("key", Integer, nullable=False),
    Column("told_at", BigInteger, nullable=False),  # when it was stored first
    Column("told_by", Text, nullable=False),  # the account
    Column("source", Text, nullable=False),
    Column("event", Text, nullable=False),  # the word of `EventType`
    Column("at", BigInteger, nullable=False),  # of the happening, or of asking
    Column("recipient", Text, nullable=False),  # empty: the forward-path; else who is on a list
    Column("reason", Text, nullable=False),
    Column("mta_response", Text, nullable=False),
    Column("click_url", Text, nullable=False),
    Column("raw", Text, nullable=False),
    # No number is given twice, whatever was purged: those who follow go on from the last they saw.
    sqlite_autoincrement=True,
)
"""What providers told of letters, each thing that happened once."""

stray_event = Table(
    "stray_event",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("provider_message_id", Text, nullable=False),
    Column("told_at", BigInteger, nullable=False),
    Column("told_by", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("recipient", Text, nullable=False),  # as told; empty where it was not
    Column("reason", Text, nullable=False),
    Column("mta_response", Text, nullable=False),
    Column("click_url", Text, nullable=False),
    Column("raw", Text, nullable=False),
)
"""The same of ids that no letter has, or none yet: a webhook can be faster than our own record."""

inquiry = Table(
    "inquiry",
    metadata,
    Column("provider", Text, primary_key=True),  # who carried it; who told, where that is unknown
    Column("provider_message_id", Text, primary_key=True),
    Column("unknown", Integer, nullable=False),  # 1: no letter has the id; asked what it is
    Column("since", BigInteger, nullable=False),  # when it was handed over, or first told of
    Column("asked", Integer, nullable=False),  # how often
    Column("due_at", BigInteger),  # NULL: nothing more to ask
    sqlite_with_rowid=False,
)
"""Ids that providers are asked about. One row for all letters that share an id."""

suppression = Table(
    "suppression",
    metadata,
    Column("address", Text, primary_key=True),  # folded
    Column("reason", Text, primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("turn", BigInteger, nullable=False),  # in the order of commits
    sqlite_with_rowid=False,
)
"""Addresses that are sent nothing."""

subscription_call = Table(
    "subscription_call",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("subscribed", Integer, nullable=False),  # 0: mailings are to be kept from it
    Column("due_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("said", Text, nullable=False),  # why it could not be told the last time
    sqlite_with_rowid=False,
)
"""Accounts that are to be told of a change of the list; gone once they are."""

webhook_call = Table(
    "webhook_call",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("endpoint", Text, nullable=False),
    Column("event", Text, nullable=False),  # a settled state, or a word of `EventType`
    Column("message_id", BigInteger, nullable=False),
    Column("key", Integer, nullable=False),
    Column("tracking_event", BigInteger, nullable=False),  # its id, or 0
    Column("at", BigInteger, nullable=False),
    Column("due_at", BigInteger),  # NULL: given up
    Column("attempts", Integer, nullable=False),
    Column("said", Text, nullable=False),
    # The id of a call is what its application knows it by: none is given twice.
    sqlite_autoincrement=True,
)
"""Calls to applications' webhooks; gone once they are answered. It holds no address."""

turn = Table(
    "turn",
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""How far those have come who follow what the spool keeps, and the list of suppressed addresses."""

ACCEPTED = "accepted"

# Literals: with bound parameters no planner can prove that a partial index applies.
UNSETTLED = recipient.c.settled == literal_column("0")
# The same of one letter, in words that no planner takes for the index of what is due: PostgreSQL,
# which knows little of a table that fills and empties, walked all of it.
UNSETTLED_OF_LETTER = recipient.c.settled < literal_column("1")
HAS_PROVIDER_ID = recipient.c.provider_message_id != literal_column("''")

_ONLY = "only"  # of an index: the rows it is of

Index(
    "recipient_due",
    recipient.c.provider,
    recipient.c.priority,
    recipient.c.due_at,
    info={_ONLY: UNSETTLED},
)
Index(
    "recipient_provider_message_id",
    recipient.c.provider_message_id,
    info={_ONLY: HAS_PROVIDER_ID},
)
Index("note_message", note.c.message_id)
Index("suppression_turn", suppression.c.turn)
Index("mark_message", mark.c.message_id)
Index("tracking_event_message", tracking_event.c.message_id)
Index("stray_event_provider_message_id", stray_event.c.provider_message_id)
Index(
    "inquiry_due",
    inquiry.c.due_at,
    info={_ONLY: inquiry.c.due_at.is_not(None)},
)
Index("webhook_call_message", webhook_call.c.message_id)
Index(
    "webhook_call_due",
    webhook_call.c.due_at,
    info={_ONLY: webhook_call.c.due_at.is_not(None)},
)


@event.listens_for(metadata, "before_create")
def _make_indexes_partial(_metadata: MetaData, connection: Connection, **_told: object) -> None:
    # Options that name a dialect import it: PostgreSQL's alone takes 2 MiB, for nobody on SQLite.
    for index in (index for table in metadata.tables.values() for index in table.indexes):
        if _ONLY in index.info:
            index.dialect_options[connection.dialect.name]["where"] = index.info[_ONLY]
