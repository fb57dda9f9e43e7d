"""
The eight methods of the v2 API for one account, typed, each at the account's pace.

For the command line and whoever else speaks to the service directly; letters of the queue go by
`provider`. Expected trouble is an outcome, as everywhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from providers.contract.clock import Clock
from providers.contract.outcome import Cause, DeliveryOutcome
from providers.form_v2.client import FormV2Client
from providers.form_v2.settings import FormV2Settings
from providers.form_v2.wire import answers, forms
from providers.form_v2.wire.answers import Read
from providers.form_v2.wire.forms import Form
from providers.form_v2.wire.values import (
    PLAIN,
    BatchTaken,
    Content,
    Done,
    EmailSent,
    ListSent,
    Mailing,
    PersonalLetter,
    RecipientStatus,
    Sending,
    Template,
)
from providers.form_v2.zone import zone_from
from providers.http.forms import FormFile
from providers.pacing import TokenBucket

T = TypeVar("T")

_PATIENCE_S = 300.0  # with a service that is too busy, for one call
_FIRST_WAIT_S = 1.0  # where it names no wait; twice as long each time


class FormV2Account:
    """
    One account.

    Every method takes a place in the pace, makes one call within the account's `timeout`, and
    returns what the service tells; or the outcome that says why it tells nothing, and whether the
    call may have been acted on (`uncertain`). A call that the service is too busy for is made again
    after the wait it names, for five minutes at most.
    """

    def __init__(self, settings: FormV2Settings, clock: Clock) -> None:
        """
        Connects nothing.

        Raises:
            ProviderConfigError: The settings cannot work.
        """
        self._settings = settings
        self._clock = clock
        self._zone = zone_from(settings.timezone)
        self._pace = TokenBucket(settings.rate)
        self._client = FormV2Client(settings, clock, self._pace)

    @property
    def max_call_octets(self) -> int:
        """How large a call with several letters may be."""
        return self._settings.max_call_size

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.http.aclose()

    def sending(
        self,
        *,
        track_open: bool | None = None,
        track_click: bool | None = None,
        send_at: datetime | None = None,
    ) -> Sending:
        """
        How to send: as given, else as the settings say.

        Args:
            track_open: Whether openings are tracked.
            track_click: Whether clicks are.
            send_at: When, with its time zone; what has passed is sent at once.
        """
        settings = self._settings
        return Sending(
            settings.track_open if track_open is None else track_open,
            settings.track_click if track_click is None else track_click,
            forms.schedule_from(send_at, self._zone, self._clock.now()),
        )

    async def send_email(
        self,
        content: Content,
        email: str,
        sending: Sending = PLAIN,
        attachment: FormFile | None = None,
    ) -> EmailSent | DeliveryOutcome:
        """Send one letter to one address, with one file at most (C.2)."""
        form = forms.build_send_email(content, email, sending, attachment)
        return await self._ask(form, answers.read_email_sent)

    async def send_email_by_list(
        self,
        content: Content,
        list_id: str,
        sending: Sending = PLAIN,
        *,
        name: str = "",
        attachment: FormFile | None = None,
    ) -> ListSent | DeliveryOutcome:
        """Send one letter to a list that the account keeps (C.3)."""
        form = forms.build_send_by_list(content, list_id, sending, name=name, attachment=attachment)
        return await self._ask(form, answers.read_list_sent)

    async def get_email_delivery_list(
        self, message_id: str
    ) -> tuple[RecipientStatus, ...] | DeliveryOutcome:
        """The recipients of a mailing and what became of each (C.4)."""
        return await self._ask(forms.build_delivery_list(message_id), answers.read_delivery_list)

    async def send_bulk_email(
        self, content: Content, emails: Sequence[str], sending: Sending = PLAIN, *, name: str = ""
    ) -> BatchTaken | DeliveryOutcome:
        """
        Send the same letter to many addresses (C.5).

        Raises:
            ValueError: No address, more than `MAX_ADDRESSES`, or one of them twice.
        """
        form = forms.build_bulk(content, emails, sending, name=name)
        return await self._ask(form, answers.read_batch_taken)

    async def send_personal_email(
        self,
        sender_email: str,
        sender_name: str,
        letters: Sequence[PersonalLetter],
        sending: Sending = PLAIN,
        *,
        name: str = "",
    ) -> BatchTaken | DeliveryOutcome:
        """
        Send a letter of its own to each address (C.5).

        Raises:
            ValueError: No letter, more than `MAX_LETTERS`, or two to one address.
        """
        form = forms.build_personal(sender_email, sender_name, letters, sending, name=name)
        return await self._ask(form, answers.read_batch_taken)

    async def status_bulk_email(self, uuid: str) -> tuple[Mailing, ...] | DeliveryOutcome:
        """What became of a batch; nothing while it waits (C.6)."""
        return await self._ask(forms.build_bulk_status(uuid), answers.read_mailings)

    async def unsubscribe_email(
        self, email: str, list_ids: Sequence[str] = (), reason: str = ""
    ) -> Done | DeliveryOutcome:
        """Keep mailings from an address, those of certain lists or all; may be repeated (C.8)."""
        form = forms.build_unsubscribe(email, list_ids, reason)
        return await self._ask(form, answers.read_done)

    async def subscribe_email(
        self, email: str, list_ids: Sequence[str] = ()
    ) -> Done | DeliveryOutcome:
        """Lift that again; may be repeated (C.9)."""
        return await self._ask(forms.build_subscribe(email, list_ids), answers.read_done)

    async def get_email_templates(self) -> tuple[Template, ...] | DeliveryOutcome:
        """The account's templates (C.10)."""
        return await self._patiently(lambda: self._client.templates(deadline=self._deadline()))

    async def _ask(self, form: Form, read: Read[T]) -> T | DeliveryOutcome:
        return await self._patiently(
            lambda: self._client.ask(form, read, deadline=self._deadline())
        )

    async def _patiently(
        self, call: Callable[[], Awaitable[T | DeliveryOutcome]]
    ) -> T | DeliveryOutcome:
        """Call, and again after the wait while the service only says that it is too busy."""
        until = self._clock.monotonic() + _PATIENCE_S
        wait_s = _FIRST_WAIT_S
        while True:
            await self._place()
            found = await call()
            if not isinstance(found, DeliveryOutcome) or found.cause is not Cause.THROTTLED:
                return found
            if found.retry_after is not None:
                wait_s = found.retry_after.total_seconds()
            now = self._clock.monotonic()
            if now + wait_s > until:
                return found
            self._pace.hold_off(now, wait_s)
            wait_s *= 2

    async def _place(self) -> None:
        while (wait := self._pace.take(self._clock.monotonic())) > 0:
            await self._clock.sleep(wait)

    def _deadline(self) -> float:
        return self._clock.monotonic() + self._settings.timeout.total_seconds()
