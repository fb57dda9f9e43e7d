"""
Which letters share a call: the same content to many as `bulk`, different letters as `personal`.

Pure. Never one address twice in a call, since results come by address; no call above the limits of
`wire.forms` or the octets that PHP takes. Source: provider reference, part C.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from providers.contract.batch import Batch
from providers.contract.capabilities import Shortfall
from providers.contract.outcome import DeliveryRequest
from providers.form_v2.wire.forms import (
    Form,
    build_bulk,
    build_personal,
    folded,
)
from providers.form_v2.wire.values import (
    MAX_ADDRESSES,
    MAX_LETTERS,
    Content,
    PersonalLetter,
    Sending,
)
from providers.http.forms import urlencoded_octets

# For the token, the sender and the names of fields: two brackets with an index are 45 octets at
# most when percent-encoded, and a personal letter has three such names.
CALL_OCTETS = 4_000
NAME_OCTETS = 48


@dataclass(frozen=True, slots=True)
class Shareable:
    """A letter that may share a call: what it says, how it is sent, what of it was lost."""

    content: Content
    sending: Sending
    losses: tuple[Shortfall, ...] = ()


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A batch as one form; `emails` and `losses` by request, in their order."""

    form: Form
    emails: tuple[str, ...]
    losses: tuple[tuple[Shortfall, ...], ...]


def batches_from(
    requests: Sequence[DeliveryRequest],
    share: Callable[[DeliveryRequest], Shareable | None],
    *,
    max_octets: int,
) -> tuple[Batch, ...]:
    """
    Put letters together.

    Args:
        requests: One recipient each.
        share: What a letter says; `None` where it cannot share a call.
        max_octets: Of one call.

    Returns:
        Batches of which those with several letters hold a `PreparedCall`.
    """
    alone: list[Batch] = []
    by_sender: dict[tuple[str, str, Sending], list[_Letter]] = {}
    for request in requests:
        shareable = share(request)
        if shareable is None:
            alone.append(Batch((request,)))
            continue
        content = shareable.content
        key = (content.sender_email, content.sender_name, shareable.sending)
        by_sender.setdefault(key, []).append(_Letter(request, shareable))
    calls = [call for letters in by_sender.values() for call in _calls(letters, max_octets)]
    return (*map(_batch, calls), *alone)


@dataclass(frozen=True, slots=True)
class _Letter:
    request: DeliveryRequest
    shareable: Shareable

    @property
    def email(self) -> str:
        return self.request.envelope.recipients[0].forward_path.addr_spec

    @property
    def octets(self) -> int:
        """Of its content in a form."""
        content = self.shareable.content
        return urlencoded_octets(content.subject) + urlencoded_octets(content.message)


@dataclass(slots=True)
class _Call:
    """One call while it is filled."""

    is_personal: bool
    octets: int = CALL_OCTETS
    letters: list[_Letter] = field(default_factory=list)
    addresses: set[str] = field(default_factory=set)

    def takes(self, address: str, octets: int, max_octets: int) -> bool:
        most = MAX_LETTERS if self.is_personal else MAX_ADDRESSES
        return (
            len(self.letters) < most
            and self.octets + octets <= max_octets
            and address not in self.addresses
        )


def _calls(letters: Sequence[_Letter], max_octets: int) -> list[_Call]:
    """The calls for letters of one sender, sent alike."""
    by_content: dict[Content, list[_Letter]] = {}
    for letter in letters:
        by_content.setdefault(letter.shareable.content, []).append(letter)
    calls: list[_Call] = []
    different: list[_Letter] = []
    for same in by_content.values():
        # Fewer than fill a call of personal letters go along there: a call of their own is slower.
        if len(by_content) == 1 or len(same) >= MAX_LETTERS:
            calls += _filled(same, max_octets, is_personal=False)
        else:
            different += same
    return calls + _filled(different, max_octets, is_personal=True)


def _filled(letters: Sequence[_Letter], max_octets: int, *, is_personal: bool) -> list[_Call]:
    calls: list[_Call] = []
    body = 0 if is_personal or not letters else letters[0].octets
    for letter in letters:
        address = folded(letter.email)
        octets = urlencoded_octets(letter.email) + NAME_OCTETS
        if is_personal:
            octets += letter.octets + 2 * NAME_OCTETS
        call = next((c for c in calls if c.takes(address, octets, max_octets)), None)
        if call is None:
            call = _Call(is_personal, CALL_OCTETS + body)
            calls.append(call)
        call.letters.append(letter)
        call.addresses.add(address)
        call.octets += octets
    return calls


def _batch(call: _Call) -> Batch:
    letters = call.letters
    requests = tuple(letter.request for letter in letters)
    if len(letters) == 1:
        return Batch(requests)
    emails = tuple(letter.email for letter in letters)
    losses = tuple(letter.shareable.losses for letter in letters)
    return Batch(requests, PreparedCall(_form(call, emails), emails, losses))


def _form(call: _Call, emails: Sequence[str]) -> Form:
    first = call.letters[0]
    content, sending = first.shareable.content, first.shareable.sending
    # Our id, so that a batch can be found in the account's panel (D 35).
    name = f"mailquay {first.request.queue_id} +{len(call.letters) - 1}"
    if not call.is_personal:
        return build_bulk(content, emails, sending, name=name)
    personal = [
        PersonalLetter(
            letter.email, letter.shareable.content.subject, letter.shareable.content.message
        )
        for letter in call.letters
    ]
    return build_personal(content.sender_email, content.sender_name, personal, sending, name=name)
