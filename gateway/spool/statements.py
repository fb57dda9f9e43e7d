"""
The statements that every letter takes, compiled once to text with positional parameters.

SQLAlchemy's cost for each execution (compile cache, parameter processing, result objects) is
several times that of the statement itself; these run on the driver's cursor. `schema` keeps its
columns plain, so that values need no processing. Everything else uses SQLAlchemy as it is.
"""

from __future__ import annotations

from sqlalchemy import (
    BindParameter,
    ClauseElement,
    Dialect,
    bindparam,
    delete,
    exists,
    func,
    insert,
    null,
    select,
    text,
    update,
)

from gateway.spool.schema import (
    UNSETTLED_OF_LETTER,
    attempt,
    content,
    mark,
    message,
    note,
    recipient,
    tally,
    webhook_call,
)

MESSAGE = tuple(message.c.keys())
CONTENT = tuple(content.c.keys())
RECIPIENT = tuple(recipient.c.keys())
ATTEMPT = tuple(attempt.c.keys())
MARK = tuple(mark.c.keys())
NOTE = ("message_id", "at", "key", "text")
WEBHOOK_CALL = (
    "endpoint",
    "event",
    "message_id",
    "key",
    "tracking_event",
    "at",
    "due_at",
    "attempts",
    "said",
)
START = (
    *("state", "provider", "attempts", "started_at"),
    *("of_message_id", "of_key", "of_lease", "of_attempts", "of_state"),
)


# SQLAlchemy has this clause only for each engine by itself.
_INSERT_MARK = text(
    "INSERT INTO mark (key, proof, message_id) VALUES (:key, :proof, :message_id)"
    " ON CONFLICT DO NOTHING"
)


class Statements:
    """
    Each attribute is the text of a statement; beside it stands the order of its parameters.

    Parameters named `of_…` choose the row, the others are what is set.
    """

    def __init__(self, dialect: Dialect) -> None:
        def compiled(clause: ClauseElement, *names: str) -> str:
            return _compiled(dialect, clause, names)

        self.insert_message = compiled(insert(message), *MESSAGE)
        self.insert_content = compiled(insert(content), *CONTENT)
        self.insert_recipient = compiled(insert(recipient), *RECIPIENT)
        self.insert_attempt = compiled(insert(attempt), *ATTEMPT)
        self.insert_mark = compiled(_INSERT_MARK, *MARK)
        self.delete_mark = compiled(
            delete(mark).where(mark.c.message_id == bindparam("of_message_id")), "of_message_id"
        )
        # Inline, both: PostgreSQL would be asked for the id it gave.
        self.insert_webhook_call = compiled(
            insert(webhook_call).values({name: _set(name) for name in WEBHOOK_CALL}).inline(),
            *WEBHOOK_CALL,
        )
        self.insert_note = compiled(
            insert(note).values({name: _set(name) for name in NOTE}).inline(), *NOTE
        )

        ours = (
            recipient.c.message_id == bindparam("of_message_id"),
            recipient.c.key == bindparam("of_key"),
            recipient.c.lease == bindparam("of_lease"),
        )
        as_known = (
            *ours,
            recipient.c.attempts == bindparam("of_attempts"),
            recipient.c.state == bindparam("of_state"),
        )
        identity = ("of_message_id", "of_key", "of_lease")
        self.start = compiled(
            update(recipient)
            .where(*as_known)
            .values({name: _set(name) for name in START if not name.startswith("of_")}),
            *START,
        )
        self.confirm = compiled(
            update(recipient).where(*as_known).values(due_at=_set("due_at")),
            *("due_at", "of_message_id", "of_key", "of_lease", "of_attempts", "of_state"),
        )
        outcome = (
            *("state", "settled", "provider", "excluded", "due_at"),
            *("status", "diagnostic", "provider_message_id", "warned"),
        )
        self.record = compiled(
            update(recipient)
            .where(*as_known)
            .values({name: _set(name) for name in outcome} | {"was_due": null(), "lease": null()}),
            *outcome,
            *identity,
            *("of_attempts", "of_state"),
        )
        self.lease = compiled(
            update(recipient)
            .where(*ours[:2])
            .values(due_at=_set("due_at"), was_due=_set("was_due"), lease=_set("lease")),
            *("due_at", "was_due", "lease", "of_message_id", "of_key"),
        )
        self.renew = compiled(
            update(recipient).where(*ours).values(due_at=_set("due_at")), "due_at", *identity
        )
        self.give_back = compiled(
            update(recipient)
            .where(*ours, recipient.c.state != bindparam("of_state"))
            .values(
                due_at=func.coalesce(recipient.c.was_due, recipient.c.due_at),
                was_due=null(),
                lease=null(),
            ),
            *identity,
            "of_state",
        )
        self.lock_content = compiled(
            select(content.c.message_id)
            .where(content.c.message_id == bindparam("of_content"))
            .with_for_update(),
            "of_content",
        )
        settled_content = (
            content.c.message_id == bindparam("of_content"),
            ~exists().where(
                recipient.c.message_id == bindparam("of_message_id"), UNSETTLED_OF_LETTER
            ),
        )
        self.delete_settled_content = compiled(
            delete(content).where(*settled_content, content.c.body.is_not(None)),
            *("of_content", "of_message_id"),
        )
        self.settled_content_in_file = compiled(
            select(content.c.message_id).where(*settled_content, content.c.body.is_(None)),
            *("of_content", "of_message_id"),
        )
        self.delete_content = compiled(
            delete(content).where(content.c.message_id == bindparam("of_content")), "of_content"
        )
        self.add_to_tally = compiled(
            update(tally)
            .where(tally.c.shard == bindparam("of_shard"), tally.c.name == bindparam("of_name"))
            .values(n=tally.c.n + bindparam("more")),
            *("more", "of_shard", "of_name"),
        )


def _set(name: str) -> BindParameter[object]:
    return bindparam(name)


def _compiled(dialect: Dialect, clause: ClauseElement, names: tuple[str, ...]) -> str:
    """The text of a statement whose parameters stand in this order, or a `ValueError`."""
    compiled = clause.compile(dialect=dialect)
    order = tuple(getattr(compiled, "positiontup", None) or ())
    if order != names:
        raise ValueError(f"parameters stand as {order}, not as {names}: {compiled}")
    return str(compiled)
