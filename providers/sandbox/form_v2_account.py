"""
What an account at the imitated v2 service remembers: lists, unsubscriptions, mailings, statuses.

Statuses advance with time, in the steps of `stages`, or by hand through the control interface. It
must not know forms or HTTP.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

FIRST_ID = 1234
STAGES = ((0.0, "NEW"), (0.5, "SENT"), (2.0, "DELIVERED"))

_ALL = "*"  # in place of a list's id


@dataclass(slots=True)
class Delivery:
    """One address that a mailing took; `status` is set where it does not follow the stages."""

    email_id: int
    recipient: str
    status: str = ""
    error: str = ""


@dataclass(slots=True)
class Mailing:
    """One mailing; `starts_at` is on the account's clock, later than now for a scheduled one."""

    message_id: int
    name: str
    sender_email: str
    sender_name: str
    starts_at: float
    deliveries: list[Delivery] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class V2Account:
    """
    The account's memory.

    Attributes:
        lists: The stored mailing lists: addresses by the list's id.
        templates: Titles by the template's id.
        stages: After how many seconds of a mailing's life its letters have which status.
        queued_s: For how long after it was taken a batch has no report at all (C.6).
        mailings: By message id.
        batches: Message ids by the batch's uuid.
        unsubscribed: Of an address in lower case, the lists it wants no mail from, `*` for all.
    """

    lists: dict[int, list[str]] = field(default_factory=dict)
    templates: dict[int, str] = field(default_factory=lambda: {11: "Welcome"})
    stages: tuple[tuple[float, str], ...] = STAGES
    queued_s: float = 0.0
    mailings: dict[int, Mailing] = field(default_factory=dict)
    batches: dict[str, list[int]] = field(default_factory=dict)
    unsubscribed: dict[str, set[str]] = field(default_factory=dict)
    monotonic: Callable[[], float] = time.monotonic
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(FIRST_ID))

    def next_id(self) -> int:
        """A number nobody has."""
        return next(self._ids)

    def open_mailing(self, name: str, sender: tuple[str, str], in_s: float = 0.0) -> Mailing:
        """A new mailing, which begins in so many seconds; its name is made up where none is."""
        number = self.next_id()
        starts_at = self.monotonic() + max(0.0, in_s)
        mailing = Mailing(number, name or f"Mailing {number}", *sender, starts_at)
        self.mailings[number] = mailing
        return mailing

    def open_batch(self, *mailings: Mailing) -> str:
        """The uuid of a new batch that became these mailings."""
        name = str(uuid.UUID(int=self.next_id()))
        self.batches[name] = [mailing.message_id for mailing in mailings]
        return name

    def reported(self, name: str) -> list[Mailing] | None:
        """The mailings of a batch that can be told already; `None` for a uuid nobody knows."""
        numbers = self.batches.get(name)
        if numbers is None:
            return None
        now = self.monotonic()
        mailings = [self.mailings[number] for number in numbers]
        return [mailing for mailing in mailings if now >= mailing.starts_at + self.queued_s]

    def status(self, mailing: Mailing, delivery: Delivery) -> str:
        """Where one letter stands now."""
        if delivery.status:
            return delivery.status
        age = self.monotonic() - mailing.starts_at - self.queued_s
        passed = [word for after_s, word in self.stages if age >= after_s]
        return passed[-1] if passed else self.stages[0][1]

    def set_status(self, recipient: str, status: str, error: str = "") -> int:
        """Set by hand the status of every letter to an address; how many there are."""
        wanted = recipient.lower()
        found = [
            delivery
            for mailing in self.mailings.values()
            for delivery in mailing.deliveries
            if delivery.recipient.lower() == wanted
        ]
        for delivery in found:
            delivery.status, delivery.error = status, error
        return len(found)

    def unsubscribe(self, email: str, list_ids: set[int]) -> None:
        """No more mailings of these lists, or of any where none is named."""
        unwanted = {str(list_id) for list_id in list_ids} or {_ALL}
        self.unsubscribed.setdefault(email.lower(), set()).update(unwanted)

    def subscribe(self, email: str, list_ids: set[int]) -> None:
        """Mailings of these lists again, or of all where none is named."""
        left = self.unsubscribed.pop(email.lower(), set())
        if not list_ids:
            return
        if _ALL in left:
            left = left - {_ALL} | set(map(str, self.lists))
        if left := left - set(map(str, list_ids)):
            self.unsubscribed[email.lower()] = left

    def is_unsubscribed(self, email: str, list_id: int | None = None) -> bool:
        """Whether an address wants no mailing, or none of this list."""
        left = self.unsubscribed.get(email.lower(), set())
        return _ALL in left or str(list_id) in left
