"""What erasing reaches, held against the schema: no column is forgotten."""

from __future__ import annotations

from sqlalchemy import LargeBinary, Text

from gateway.spool.erasing import TOLD, spellings_of
from gateway.spool.inquiries import NAMING
from gateway.spool.schema import metadata

BY_HAND = {
    "message": {"reverse_path", "user"},
    "recipient": {"forward_path"},
}
"""Columns that are an address and nothing else, replaced one by one."""

STAYS = {
    "content": {"body": "gone with the last recipient that waits for it"},
    "suppression": {
        "address": "the list is what keeps letters from a person; taken off by command",
        "source": "who put it there",
        "comment": "the operator's words, gone with the entry",
    },
    "subscription_call": {
        "address": "a change of the list, until the account knows it",
        "said": "an account's answer about that change",
    },
    "webhook_call": {
        "endpoint": "a name of the configuration",
        "said": "a code or the name of an error",
    },
    "pause": {"name": "of the configuration", "reason": "the operator's words"},
    "turn": {"name": "of our own"},
    "tally": {"name": "of our own"},
    "pace": {"provider": "a name of the configuration"},
}
"""Columns that keep what they hold, and why; such words as the next ones need no reason."""

CLOSED = {
    *("body", "ret", "listener", "notify", "state", "provider", "excluded", "status"),
    *("kind", "scope", "told_by", "source", "event", "reason", "traceparent"),
}
"""Words from closed sets, names of the configuration, ids that we make."""


def test_every_column_that_may_hold_an_address_is_decided_upon() -> None:
    """A new table or column fails here until somebody has said what erasing does to it."""
    cleaned = {table.name: set(names) for table, names in (TOLD | NAMING).items()}
    undecided = []
    for table in metadata.tables.values():
        decided = cleaned.get(table.name, set()) | BY_HAND.get(table.name, set())
        decided |= STAYS.get(table.name, {}).keys()
        for column in table.columns:
            if not isinstance(column.type, Text | LargeBinary) or column.name in decided:
                continue
            if column.name not in CLOSED or isinstance(column.type, LargeBinary):
                undecided.append(str(column))
    assert undecided == []


def test_what_is_decided_upon_is_there() -> None:
    """A column that is gone or has another name leaves no decision behind."""
    named = {table.name: set(names) for table, names in (TOLD | NAMING).items()}
    for table, names in (*named.items(), *BY_HAND.items(), *STAYS.items()):
        assert set(names) <= set(metadata.tables[table].columns.keys()), table


def test_an_address_is_known_in_other_clothes() -> None:
    """In a link, in JSON and in ORCPT it is written otherwise, and is the same person."""
    assert spellings_of({"bob+x@b\u00fccher.example"}) == {
        "bob+x@b\u00fccher.example",
        "bob%2bx%40b%c3%bccher.example",
        "bob+x@b\\u00fccher.example",
        "bob+2bx@b+fccher.example",
    }
