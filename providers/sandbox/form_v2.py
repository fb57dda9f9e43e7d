"""
The v2 formData API imitated (provider reference, part C): all eight methods of one account.

Strict about what the reference demands, with PHP's habits behind it (`form_v2_fields`); how answers
look is `form_v2_answers`'s. Knows the common letterbox and fault plan, never the adapter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from providers.sandbox.answers import ApiError, is_accepted_despite
from providers.sandbox.faults import FaultKind, FaultPlan
from providers.sandbox.form_v2_account import Delivery, Mailing, V2Account
from providers.sandbox.form_v2_answers import (
    BAD_ADDRESS,
    Quirk,
    Wording,
    error_answer,
    faulty_answer,
)
from providers.sandbox.form_v2_fields import (
    check_files,
    check_sending,
    demand,
    demand_address,
    demand_number,
    is_deliverable,
    php_fields,
    texts,
)
from providers.sandbox.forms import FormFile, UnreadableRequest, read_form
from providers.sandbox.letterbox import Letterbox, ReceivedAttachment, ReceivedLetter

PROVIDER = "form_v2"
UNSUBSCRIBED = "The recipient has unsubscribed"

_PARAMETERS = ("track_open", "track_click", "d_schedule", "message_type", "name", "list_id")


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(slots=True)
class SandboxFormV2:
    """
    One account of the v2 service.

    Attributes:
        letterbox: Where accepted letters go.
        faults: What goes wrong; `method` is the API's. Styles of `refuse`: `200` (an error body
            with HTTP 200), `laravel` (422 with Laravel's validation body), `302` (a redirect to a
            page), else HTTP 400. For an address of a batch it concerns that one alone, and
            `undelivered` lets it be taken and then fail.
        token: The one token it takes.
        quirks: In what it differs.
        account: What it remembers.
        methods: How often each was called.
    """

    letterbox: Letterbox
    faults: FaultPlan
    token: str = field(repr=False)
    quirks: set[Quirk] = field(default_factory=set)
    account: V2Account = field(default_factory=V2Account)
    methods: Counter[str] = field(default_factory=Counter)

    @property
    def _wording(self) -> Wording:
        return Wording(self.account, self.quirks)

    def routes(self) -> list[Route]:
        """The methods, relative to the base URL."""
        handlers = {
            "sendEmail": self._send_email,
            "sendEmailByList": self._send_email_by_list,
            "getEmailDeliveryList": self._delivery_list,
            "sendBulkEmail": self._send_bulk_email,
            "statusBulkEmail": self._status_bulk_email,
            "unsubscribeEmail": self._unsubscribe_email,
            "subscribeEmail": self._subscribe_email,
            "getEmailTemplates": self._templates,
        }
        known = [
            Route(f"/{name}", self._method(name, handler), methods=["POST"])
            for name, handler in handlers.items()
        ]
        others = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return [*known, Route("/{path:path}", self._method("", _unknown), methods=others)]

    def _method(self, name: str, handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            self.letterbox.count_call(PROVIDER)
            self.methods[name] += 1
            try:
                return await handler(request)
            except ApiError as error:
                if error.status == 429:
                    self.letterbox.count_throttled(PROVIDER)
                return error_answer(error)
            except UnreadableRequest as error:
                return error_answer(ApiError(400, str(error)))

        return endpoint

    async def _send_email(self, request: Request) -> Response:
        form = await read_form(request)
        fields = self._signed(form.fields)
        _check_letter(fields, form.files)
        demand(fields, "email")
        demand_address(fields, "email")
        email_id = self.account.next_id()

        def accept() -> object:
            self._put(fields["email"], email_id, fields, files=form.files)
            return {"email_id": self._wording.number(email_id)}

        return self._answer("sendEmail", accept, recipient=fields["email"])

    async def _send_email_by_list(self, request: Request) -> Response:
        form = await read_form(request)
        fields = self._signed(form.fields)
        in_s = _check_letter(fields, form.files)
        list_id = demand_number(fields, "list_id")
        stored = self.account.lists.get(list_id)
        if stored is None:
            raise ApiError(400, "The list is not found")

        def accept() -> object:
            mailing = self._mailing(fields, in_s)
            for email in stored:
                if not self.account.is_unsubscribed(email, list_id):
                    self._take(mailing, email, fields, files=form.files)
            message_id = self._wording.number(mailing.message_id)
            return {"message_id": message_id, "count_emails": len(mailing.deliveries)}

        return self._answer("sendEmailByList", accept)

    async def _delivery_list(self, request: Request) -> Response:
        fields = self._signed((await read_form(request)).fields)
        mailing = self.account.mailings.get(demand_number(fields, "message_id"))
        if mailing is None:
            raise ApiError(400, "The mailing is not found")
        return self._answer(
            "getEmailDeliveryList",
            lambda: self._wording.list_(self._wording.entries(mailing, "email", "")),
        )

    async def _send_bulk_email(self, request: Request) -> Response:
        form = await read_form(request)
        nested = php_fields(form.fields)
        fields = self._signed(form.fields)
        in_s = _check_batch(fields, nested)

        def accept() -> object:
            entries = list(nested["delivery_list"].values())
            step = len(entries)
            if Quirk.SEVERAL_MAILINGS in self.quirks:
                step = (step + 1) // 2
            mailings = []
            for start in range(0, len(entries), step):
                mailing = self._mailing(fields, in_s)
                mailings.append(mailing)
                for entry in entries[start : start + step]:
                    self._take_entry(mailing, entry, fields)
            return {"uuid": self.account.open_batch(*mailings)}

        return self._answer("sendBulkEmail", accept)

    async def _status_bulk_email(self, request: Request) -> Response:
        fields = self._signed((await read_form(request)).fields)
        demand(fields, "uuid")
        mailings = self.account.reported(fields["uuid"])
        if mailings is None:
            raise ApiError(400, "The uuid is not found")
        return self._answer(
            "statusBulkEmail", lambda: self._wording.list_(map(self._wording.report, mailings))
        )

    async def _unsubscribe_email(self, request: Request) -> Response:
        fields = self._signed((await read_form(request)).fields)
        email, list_ids = self._subscription(fields)
        return self._answer(
            "unsubscribeEmail",
            lambda: self.account.unsubscribe(email, list_ids),
            recipient=email,
        )

    async def _subscribe_email(self, request: Request) -> Response:
        fields = self._signed((await read_form(request)).fields)
        email, list_ids = self._subscription(fields)
        return self._answer(
            "subscribeEmail", lambda: self.account.subscribe(email, list_ids), recipient=email
        )

    async def _templates(self, request: Request) -> Response:
        token = {"token": request.query_params.get("token", "")}
        if Quirk.TOKEN_IN_FORM in self.quirks and not token["token"]:
            token = dict((await read_form(request)).fields)
        self._check_token(token)
        templates = self.account.templates.items()
        return self._answer(
            "getEmailTemplates",
            lambda: self._wording.list_(
                {"id": self._wording.number(id_), "title": title} for id_, title in templates
            ),
        )

    def _signed(self, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
        fields = texts(php_fields(pairs))
        self._check_token(fields)
        return fields

    def _check_token(self, fields: Mapping[str, str]) -> None:
        if fields.get("token") != self.token:
            raise ApiError(401, "Invalid token")

    def _subscription(self, fields: Mapping[str, str]) -> tuple[str, set[int]]:
        demand(fields, "email")
        demand_address(fields, "email")
        words = fields.get("list_ids", "").split(",") if fields.get("list_ids") else []
        numbers = {demand_number({"list_ids": word}, "list_ids") for word in words}
        if numbers - set(self.account.lists):
            raise ApiError(400, "The list is not found")
        return fields["email"], numbers

    def _answer(
        self, method: str, accept: Callable[[], object], *, recipient: str = ""
    ) -> Response:
        """The answer to a call that is right, unless a fault strikes; `accept` acts on it."""
        fault = self.faults.strike(PROVIDER, recipient, *FaultKind, method=method)
        if fault is None:
            return self._wording.success(accept())
        if is_accepted_despite(fault):
            accept()
        return faulty_answer(fault)

    def _mailing(self, fields: Mapping[str, str], in_s: float) -> Mailing:
        sender = fields["sender_email"], fields.get("sender_name", "")
        return self.account.open_mailing(fields.get("name", ""), sender, in_s)

    def _take_entry(self, mailing: Mailing, entry: object, fields: Mapping[str, str]) -> None:
        """One entry of `delivery_list`: a letter, or an error that shows in the report."""
        letter = {"email": entry} if isinstance(entry, str) else dict(_dict(entry))
        email = str(letter.get("email", ""))
        fault = self.faults.strike(PROVIDER, email, FaultKind.REFUSE, method="sendBulkEmail")
        if not is_deliverable(email) or (fault is not None and fault.style != "undelivered"):
            mailing.errors.append((email, BAD_ADDRESS))
        elif self.account.is_unsubscribed(email):
            mailing.errors.append((email, UNSUBSCRIBED))
        elif missing := [n for n in ("subject", "message") if not {**fields, **letter}.get(n)]:
            mailing.errors.append((email, f"The {missing[0]} field is required"))
        else:
            delivery = self._take(mailing, email, {**fields, **letter})
            if fault is not None:
                delivery.status, delivery.error = "UNDELIVERED", "Mailbox unavailable"

    def _take(
        self,
        mailing: Mailing,
        email: str,
        fields: Mapping[str, str],
        files: Iterable[FormFile] = (),
    ) -> Delivery:
        delivery = Delivery(self.account.next_id(), email)
        mailing.deliveries.append(delivery)
        self._put(email, delivery.email_id, fields, files=files)
        return delivery

    def _put(
        self, email: str, email_id: int, fields: Mapping[str, str], files: Iterable[FormFile]
    ) -> None:
        attachments = (
            ReceivedAttachment(file.filename, file.content_type, file.content) for file in files
        )
        self.letterbox.put(
            ReceivedLetter(
                provider=PROVIDER,
                provider_message_id=str(email_id),
                recipient=email,
                from_email=fields["sender_email"],
                from_name=fields.get("sender_name", ""),
                subject=fields["subject"],
                html=fields["message"],
                attachments=tuple(attachments),
                parameters={name: fields[name] for name in _PARAMETERS if name in fields},
            )
        )


async def _unknown(_request: Request) -> Response:
    raise ApiError(404, "Page not found")


def _check_letter(fields: Mapping[str, str], files: tuple[FormFile, ...]) -> float:
    """What one letter needs; in how many seconds it goes."""
    demand(fields, "sender_email", "subject", "message")
    demand_address(fields, "sender_email")
    in_s = _seconds_until(check_sending(fields))
    check_files(fields, files)
    return in_s


def _check_batch(fields: Mapping[str, str], nested: Mapping[str, Any]) -> float:
    """What a batch as a whole needs; in how many seconds it goes."""
    demand(fields, "sender_email")
    demand_address(fields, "sender_email")
    match fields.get("message_type", "bulk"):
        case "bulk":
            demand(fields, "subject", "message")
            kind: type = str
        case "personal":
            kind = dict
        case _:
            raise ApiError(400, "The selected message_type is invalid")
    entries = nested.get("delivery_list")
    if not isinstance(entries, dict) or not entries:
        raise ApiError(400, "The delivery_list field is required")
    if not all(isinstance(entry, kind) for entry in entries.values()):
        raise ApiError(400, "The delivery_list does not fit the message_type")
    return _seconds_until(check_sending(fields))


def _seconds_until(moment: datetime | None) -> float:
    return 0.0 if moment is None else (moment - datetime.now(UTC)).total_seconds()


def _dict(entry: object) -> dict[str, str]:
    return entry if isinstance(entry, dict) else {}
