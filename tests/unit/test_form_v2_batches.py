"""Which letters share a call of the v2 API: pure grouping, and its limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from providers.contract.batch import Batch, Gathering
from providers.contract.outcome import DeliveryRequest
from providers.form_v2.batches import PreparedCall, Shareable, batches_from
from providers.form_v2.cuts import cut_addresses, cut_letters
from providers.form_v2.results import not_reported, outcomes_from
from providers.form_v2.wire.forms import build_personal
from providers.form_v2.wire.values import (
    PLAIN,
    Content,
    Mailing,
    PersonalLetter,
    RecipientStatus,
    RefusedAddress,
    Sending,
)
from providers.http.forms import build_urlencoded
from tests.support.builders import a_message, a_request

MESSAGE = a_message()
ROOM = 10_000_000


def request(email: str, n: int = 0) -> DeliveryRequest:
    return a_request(email, message=MESSAGE, queue_id=f"Q{n}")


def grouped(
    contents: Sequence[Content | None],
    *,
    emails: Sequence[str] = (),
    sendings: Sequence[Sending] = (),
    max_octets: int = ROOM,
) -> list[Batch]:
    """The batches for letters of these contents, each to an address of its own."""
    requests = [
        request(emails[n] if emails else f"u{n}@example.org", n) for n in range(len(contents))
    ]

    def share(asked: DeliveryRequest) -> Shareable | None:
        n = int(asked.queue_id[1:])
        content = contents[n]
        sending = sendings[n] if sendings else PLAIN
        return None if content is None else Shareable(content, sending)

    found = list(batches_from(requests, share, max_octets=max_octets))
    given = Counter(r.queue_id for batch in found for r in batch.requests)
    assert given == Counter(r.queue_id for r in requests)  # each once, whatever the grouping
    return found


def content(subject: str = "Hi", sender: str = "news@example.com", size: int = 2) -> Content:
    return Content(sender, "Shop", subject, "x" * size)


def shapes(batches: Sequence[Batch]) -> list[tuple[str, int]]:
    """The type and size of each batch; `alone` for one without a form."""
    found = []
    for batch in batches:
        call: Any = batch.prepared
        fields = dict(call.form.fields) if isinstance(call, PreparedCall) else {}
        found.append((fields.get("message_type", "alone"), len(batch.requests)))
    return found


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ([content()], [("alone", 1)]),
        ([content()] * 3, [("bulk", 3)]),
        ([content("1"), content("2")], [("personal", 2)]),
        ([content("1"), content("1"), content("2")], [("personal", 3)]),
        ([content()] * 500, [("bulk", 500)]),
        ([content()] * 501, [("bulk", 500), ("alone", 1)]),
        ([content(str(n)) for n in range(400)], [("personal", 200), ("personal", 200)]),
        ([content()] * 250 + [content("1"), content("2")], [("bulk", 250), ("personal", 2)]),
        ([None, content(), None, content()], [("bulk", 2), ("alone", 1), ("alone", 1)]),
        ([content(sender="a@example.com"), content(sender="b@example.com")], [("alone", 1)] * 2),
    ],
    ids=lambda value: "" if not isinstance(value, list) else str(len(value)),
)
def test_who_shares_a_call(contents: list[Content | None], expected: list[tuple[str, int]]) -> None:
    """C.5, D 30: same letters 500, different ones 200 to a call, one sender each."""
    assert shapes(grouped(contents)) == expected


def test_what_is_sent_otherwise_goes_apart() -> None:
    """Switches and schedules hold for a whole call."""
    sendings = [PLAIN, Sending(track_open=False), PLAIN, Sending(track_open=False)]
    assert shapes(grouped([content()] * 4, sendings=sendings)) == [("bulk", 2), ("bulk", 2)]


def test_never_one_address_twice_in_a_call() -> None:
    """Results come by address: two letters to one need two calls, in whatever case it is."""
    emails = ["bob@example.org", "eve@example.org", "BOB@example.org", "dave@example.org"]
    batches = grouped([content(str(n)) for n in range(4)], emails=emails)
    assert shapes(batches) == [("personal", 3), ("alone", 1)]
    assert batches[1].requests[0].envelope.recipients[0].forward_path.addr_spec == emails[2]


@pytest.mark.parametrize("same", [True, False])
def test_octets_of_a_call(same: bool) -> None:
    """No call is larger than PHP takes; the estimate is never below what is sent."""
    most = 60_000
    contents = [content("Ж" if same else f"Ж{n}", size=5_000) for n in range(30)]
    for batch in grouped(contents, max_octets=most):
        call: Any = batch.prepared
        if isinstance(call, PreparedCall):
            _, body = build_urlencoded((("token", "x" * 400), *call.form.fields))
            assert len(body) <= most


def test_a_letter_too_large_for_any_call_goes_alone() -> None:
    """It is not lost, and holds nobody up."""
    contents = [content("1"), content("2", size=50_000), content("3")]
    assert sorted(shapes(grouped(contents, max_octets=20_000))) == [("alone", 1), ("personal", 2)]


def test_a_batch_has_a_letter() -> None:
    """What cannot be is not built."""
    with pytest.raises(ValueError, match="needs a letter"):
        Batch(())
    with pytest.raises(ValueError, match="one letter or more"):
        Gathering(0, timedelta(0))


def mailing(
    success: Sequence[RecipientStatus] = (), errors: Sequence[RefusedAddress] = ()
) -> Mailing:
    return Mailing("1", "", "", "", tuple(success), tuple(errors))


class TestResults:
    def test_by_folded_address(self) -> None:
        """D 27: other case, and the domain in its own script."""
        told = [mailing([RecipientStatus("1", "BOB@Bücher.example", "DELIVERED")])]
        assert list(outcomes_from(told, "u")) == ["bob@xn--bcher-kva.example"]

    def test_taken_by_one_mailing_is_taken(self) -> None:
        """A batch may become several mailings (C.6)."""
        told = [
            mailing(errors=[RefusedAddress("bob@example.org", "twice")]),
            mailing([RecipientStatus("1", "bob@example.org", "SENT")]),
        ]
        assert outcomes_from(told, "u")["bob@example.org"].diagnostic == "SENT as 1"

    def test_of_nobody(self) -> None:
        """A report that is empty names nobody; the batch's id stays with its letters."""
        assert outcomes_from([], "u") == {}
        assert not_reported("u").provider_message_id == "u"


class TestCuts:
    def test_addresses_in_their_order(self) -> None:
        """500 to a call; one that comes again begins a new call, so nothing is left behind."""
        emails = [f"u{n}@example.org" for n in range(501)]
        cut = list(cut_addresses(emails, content(), max_octets=ROOM))
        assert [len(call) for call in cut] == [500, 1]
        assert [email for call in cut for email in call] == emails
        again = ["a@example.org", "b@example.org", "A@example.org"]
        cut = list(cut_addresses(again, content(), max_octets=ROOM))
        assert cut == [tuple(again[:2]), tuple(again[2:])]

    def test_letters(self) -> None:
        """200 to a call, and fewer where they are large."""
        letters = [PersonalLetter(f"u{n}@example.org", "Hi", "x" * 1000) for n in range(201)]
        assert [len(call) for call in cut_letters(letters, max_octets=ROOM)] == [200, 1]
        for call in cut_letters(letters, max_octets=20_000):
            _, body = build_urlencoded(build_personal("a@example.com", "", call).fields)
            assert len(body) <= 20_000

    def test_of_nothing(self) -> None:
        """No letter, no call."""
        assert list(cut_letters([], max_octets=ROOM)) == []
