"""
Which letters of the queue may share a call, and which go alone for a while.

A batch that is refused as a whole may be so for one letter of two hundred: its letters are
remembered, and each goes alone the next time. Sits on `letters` and `batches`; makes no calls.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from providers.contract.batch import Batch
from providers.contract.capabilities import ProviderCapabilities, Shortfall
from providers.contract.outcome import DeliveryRequest
from providers.form_v2.batches import Shareable, batches_from
from providers.form_v2.letters import content_from
from providers.form_v2.wire.values import Sending
from providers.http.composition import prepare

_MOST_APART = 10_000  # letters remembered; beyond them the oldest share a call again


class Sharing:
    """
    Puts letters of one account together.

    Args:
        capabilities: What the account can carry.
        sending: How a letter is sent, by its client's wishes.
        max_octets: Of one call.
    """

    def __init__(
        self,
        capabilities: ProviderCapabilities,
        sending: Callable[[DeliveryRequest], Sending],
        max_octets: int,
    ) -> None:
        self._capabilities = capabilities
        self._sending = sending
        self._max_octets = max_octets
        self._apart: OrderedDict[tuple[str, int], None] = OrderedDict()

    def batches(self, requests: Sequence[DeliveryRequest]) -> tuple[Batch, ...]:
        """Put letters together; those with a file, and list letters, stay alone (C.5)."""
        return batches_from(requests, self._sharer(), max_octets=self._max_octets)

    def set_apart(self, requests: Iterable[DeliveryRequest]) -> None:
        """Let each of these go alone the next time."""
        self._apart.update(dict.fromkeys(map(_key, requests)))
        while len(self._apart) > _MOST_APART:
            self._apart.popitem(last=False)

    def _sharer(self) -> Callable[[DeliveryRequest], Shareable | None]:
        """What letters say; one that goes to many is taken apart once."""
        parsed: dict[tuple[int, int], tuple[DeliveryRequest, Shareable | None]] = {}

        def share(request: DeliveryRequest) -> Shareable | None:
            if _key(request) in self._apart:
                return None
            key = id(request.message), id(request.options)
            # The request is kept, so that nothing else comes to have the same id.
            if key not in parsed:
                parsed[key] = (request, self._shareable(request))
            return parsed[key][1]

        return share

    def _shareable(self, request: DeliveryRequest) -> Shareable | None:
        if request.options.mailing_list is not None or request.message.needs.attachments:
            return None
        found = prepare(request, self._capabilities, lambda composition, _: composition)
        if isinstance(found, Shortfall) or found.letter.attachments:
            return None  # alone it gets its outcome
        return Shareable(content_from(found), self._sending(request), found.losses)


def _key(request: DeliveryRequest) -> tuple[str, int]:
    return request.queue_id, request.envelope.recipients[0].key
