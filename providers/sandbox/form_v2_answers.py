"""
How the imitated v2 service words what it tells: results, reports, errors, and its quirks.

What the reference leaves open is a `Quirk` (part D); errors come in the dresses that part C.1
expects, chosen by the style of a fault. It must not know what a call asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from starlette.responses import JSONResponse, RedirectResponse, Response

from providers.sandbox.answers import ApiError, answer_from_fault
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.form_v2_account import Mailing, V2Account

BAD_ADDRESS = "The recipient's email address is incorrect"


class Quirk(StrEnum):
    """What the service may do otherwise than the sandbox usually does (part D)."""

    TOKEN_IN_FORM = "token_in_form"  # noqa: S105 - getEmailTemplates takes it there, too (C.10)
    SWAPPED_IDS = "swapped_ids"  # texts for numbers and numbers for texts (D 26)
    CHANGED_ADDRESSES = "changed_addresses"  # come back with blanks, in other case (D 27)
    UNKNOWN_STATUSES = "unknown_statuses"  # words that nobody has published (D 31)
    MISSING_RECIPIENTS = "missing_recipients"  # each report lacks the last one (D 32)
    NO_ERROR_KEY = "no_error_key"  # in place of an empty error (D 36)
    SEVERAL_MAILINGS = "several_mailings"  # come of each batch (C.6)
    NO_RESULT = "no_result"  # a success without ids
    LISTS_AS_OBJECTS = "lists_as_objects"  # as PHP writes an array with gaps
    LOWER_CASE_OK = "lower_case_ok"


def parse_quirk(text: str) -> Quirk:
    """
    Read a quirk's name, as the command line takes it.

    Raises:
        ValueError: There is no such quirk.
    """
    if text not in list(Quirk):
        raise ValueError(f"a quirk is one of {', '.join(Quirk)}, not {text!r}")
    return Quirk(text)


@dataclass(frozen=True, slots=True)
class Wording:
    """
    What one account's answers look like.

    Attributes:
        account: Whose statuses are told.
        quirks: In force now; the set may change at any time.
    """

    account: V2Account
    quirks: set[Quirk]

    def success(self, result: object) -> Response:
        """That a call went well, with its result; `None` where its method has none."""
        body: dict[str, object] = {"status": "ok" if Quirk.LOWER_CASE_OK in self.quirks else "OK"}
        if result is not None and Quirk.NO_RESULT not in self.quirks:
            body["result"] = result
        return JSONResponse(body)

    def report(self, mailing: Mailing) -> dict[str, object]:
        """One mailing of a batch, as statusBulkEmail tells it (C.6)."""
        return {
            "message_id": self._text(mailing.message_id),
            "name": mailing.name,
            "sender_email": mailing.sender_email,
            "sender_name": mailing.sender_name,
            "success": self.list_(self.entries(mailing, "recipient", None)),
            "errors": self.list_(
                {"email": self._shown(email), "error": error} for email, error in mailing.errors
            ),
        }

    def entries(
        self, mailing: Mailing, address: str, no_error: str | None
    ) -> list[dict[str, object]]:
        """The recipients of a mailing, under the key and with the empty error of a method."""
        entries = []
        for delivery in mailing.deliveries:
            status = self.account.status(mailing, delivery)
            entry: dict[str, object] = {
                "email_id": self._text(delivery.email_id),
                address: self._shown(delivery.recipient),
                "status": "PROCESSED_7" if Quirk.UNKNOWN_STATUSES in self.quirks else status,
                "error": delivery.error or no_error,
            }
            if Quirk.NO_ERROR_KEY in self.quirks and not delivery.error:
                del entry["error"]
            entries.append(entry)
        return entries[:-1] if Quirk.MISSING_RECIPIENTS in self.quirks else entries

    def _shown(self, email: str) -> str:
        return f" {email.swapcase()} " if Quirk.CHANGED_ADDRESSES in self.quirks else email

    def list_(self, items: Iterable[Any]) -> object:
        """A list, or the object that PHP makes of one with gaps."""
        found = list(items)
        if Quirk.LISTS_AS_OBJECTS not in self.quirks:
            return found
        return {str(number): item for number, item in enumerate(found, 1)}

    def number(self, value: int) -> int | str:
        """An id where the service writes numbers (C.1)."""
        return str(value) if Quirk.SWAPPED_IDS in self.quirks else value

    def _text(self, value: int) -> int | str:
        return value if Quirk.SWAPPED_IDS in self.quirks else str(value)


def error_answer(error: ApiError) -> Response:
    """An error in the usual dress."""
    body = {"status": "ERROR", "error": error.text}
    return JSONResponse(body, error.status, error.headers)


def faulty_answer(fault: Fault) -> Response:
    """
    The answer when a fault strikes, or what takes its place.

    Raises:
        ApiError: It is an error in the usual dress.
    """
    if fault.kind is FaultKind.REFUSE:
        match fault.style:
            case "200":
                return error_answer(ApiError(200, BAD_ADDRESS))
            case "laravel":
                body = {
                    "message": "The given data was invalid.",
                    "errors": {"email": [BAD_ADDRESS]},
                }
                return JSONResponse(body, 422)
            case "302":
                return RedirectResponse("/", 302)
    if fault.kind is FaultKind.THROTTLE and fault.style == "200":
        # Account methods of the service tell a rate excess like this (C.1).
        body = {
            "status": "error",
            "message": f"Limit exceeded, wait {fault.retry_after_s:g} seconds",
        }
        return JSONResponse(body)
    return answer_from_fault(
        fault, success=200, throttle_style="header", refusal=400, account="Invalid token"
    )
