"""
What the API does, and the routes that lead there.

Each operation takes a request whose caller may ask, and returns a model or raises a `Problem`.
Nothing is done twice by asking again: removing what is gone changes nothing, and sending takes an
Idempotency-Key.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TypeVar, cast

import structlog
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.domain.suppression import Suppression, SuppressionReason
from gateway.errors import SpoolError, UnknownQueueId
from gateway.ingress.limits import Limits
from gateway.ingress.submission import Client, Intake, Reply, Submission
from gateway.spool.store import SqlSpool
from gateway.spool.values import Filter, Listed
from gateway.web.api import models
from gateway.web.api.guard import Guard, read_body
from gateway.web.api.openapi import build_page
from gateway.web.api.problems import Problem
from gateway.web.api.sending import submission_from_letter, submission_from_raw
from gateway.web.api.table import Operation
from providers.contract.address import InvalidAddress, parse_address
from providers.contract.clock import Clock

log = structlog.get_logger("gateway.web")

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R", bound=models.RecipientOut)
Hand = Callable[[Filter, datetime], Awaitable[int]]

_SMALL_BODY = 64 << 10
_GROWN = 3  # what JSON may add to a letter: base64 by a third, escapes up to twice a text


@dataclass(slots=True)
class Api:
    """
    What the operations work on.

    Attributes:
        spool: Read and moved.
        clock: Time.
        limits: How much one client may hand in.
        max_octets: The largest letter.
        max_recipients: Of one letter.
        accounts: Who is told of changes of the suppression list.
        intake: Takes letters; `None` while the gateway starts.
    """

    spool: SqlSpool
    clock: Clock
    limits: Limits
    max_octets: int
    max_recipients: int
    accounts: tuple[str, ...] = ()
    intake: Intake | None = None

    def operations(self) -> tuple[Operation, ...]:
        """All there are."""
        letter = "/api/letters/{queue_id}"
        hands: tuple[tuple[str, Hand, str], ...] = (
            ("hold", self.spool.hold, "Set its recipients aside until released."),
            ("release", self.spool.release, "Let held recipients go on."),
            ("retry", self.spool.retry, "Make waiting and uncertain recipients due at once."),
            ("remove", self.spool.remove, "Take its recipients out for good."),
        )
        return (
            Operation(
                "POST",
                "/api/letters",
                "send",
                "Send a letter: JSON, or as it is (message/rfc822) with its envelope in the query.",
                self.send,
                models.Taken,
                query=models.NoQuery,
                body=models.LetterIn,
                raw=models.EnvelopeQuery,
                headers=_OF_SENDING,
                status=202,
            ),
            Operation(
                "GET",
                "/api/letters",
                "find_letters",
                "Find letters.",
                self.find,
                models.LettersOut,
                query=models.SearchQuery,
            ),
            Operation("GET", letter, "show_letter", "Show a letter.", self.show, models.LetterOut),
            Operation(
                "GET",
                f"{letter}/story",
                "tell_story",
                "Tell what happened to a letter.",
                self.story,
                models.StoryOut,
            ),
            *(
                Operation("POST", f"{letter}/{name}", name, text, self._by_hand(hand), models.Count)
                for name, hand, text in hands
            ),
            Operation(
                "GET",
                "/api/recipients",
                "list_recipients",
                "List recipients, the oldest letter first.",
                self.recipients,
                models.RecipientPage,
                query=models.RecipientQuery,
            ),
            Operation(
                "GET",
                "/api/events",
                "list_events",
                "List what providers told of letters.",
                self.events,
                models.EventPage,
                query=models.EventQuery,
            ),
            Operation(
                "GET",
                "/api/suppressions",
                "list_suppressions",
                "List who is sent nothing.",
                self.suppressions,
                models.SuppressionPage,
                query=models.SuppressionQuery,
            ),
            Operation(
                "POST",
                "/api/suppressions",
                "suppress",
                "Send an address nothing from now on.",
                self.suppress,
                models.Count,
                body=models.SuppressionIn,
            ),
            Operation(
                "DELETE",
                "/api/suppressions/{address}",
                "unsuppress",
                "Send to an address again.",
                self.unsuppress,
                models.Count,
                query=models.RemovalQuery,
            ),
        )

    async def send(self, request: Request, _: BaseModel) -> models.Taken:
        """Have a letter taken."""
        intake = self.intake
        if intake is None:
            raise Problem(503, "the gateway is starting", headers={"Retry-After": "1"})
        if refusal := intake.refusal():
            raise _refused(refusal)
        submission = await self._submission(request)
        if len(submission.content) > self.max_octets:
            raise Problem(413, f"the letter is larger than {self.max_octets} octets")
        if len(submission.envelope.recipients) > self.max_recipients:
            raise Problem(422, f"a letter has {self.max_recipients} recipients at most")
        if refusal := self.limits.refuse_letter(submission.client):
            raise _refused(refusal)
        for _recipient in submission.envelope.recipients:
            if refusal := self.limits.refuse_recipient(submission.client):
                raise _refused(refusal)
        taken = await intake.take(submission)
        if isinstance(taken, Reply):
            reply = taken
            queue_id = reply.text.rpartition(" ")[2] if reply.code == 250 else ""
        else:
            queue_id = taken.queue_id
            reply = await taken.reply(lambda: False)
        if reply.code != 250:
            raise _refused(reply)
        return models.Taken(queue_id=queue_id, reply=f"{reply.code} {reply.status} {reply.text}")

    async def find(self, _: Request, query: BaseModel) -> models.LettersOut:
        """Find letters."""
        asked = cast("models.SearchQuery", query)
        before = _cursor(asked.cursor, (str,)) or ("",)
        found = await self.spool.find(asked.search, asked.limit, before=cast("str", before[0]))
        full = len(found) == asked.limit
        return models.LettersOut(queue_ids=found, next=_cursor_text(found[-1]) if full else None)

    async def show(self, request: Request, _: BaseModel) -> models.LetterOut:
        """Show a letter."""
        story = await self.spool.story(_queue_id(request))
        return models.LetterOut(
            **{name: getattr(story, name) for name in _OF_A_LETTER},
            trace_id=None if story.trace is None else story.trace.trace_id,
            recipients=tuple(
                _recipient(one, models.TrackedRecipientOut) for one in story.recipients
            ),
        )

    async def story(self, request: Request, _: BaseModel) -> models.StoryOut:
        """Tell what happened to a letter."""
        story = await self.spool.story(_queue_id(request))
        names = models.StoryLineOut.model_fields
        return models.StoryOut(
            lines=tuple(
                models.StoryLineOut(**{name: getattr(line, name) for name in names})
                for line in story.lines
            )
        )

    async def recipients(self, _: Request, query: BaseModel) -> models.RecipientPage:
        """List recipients."""
        asked = cast("models.RecipientQuery", query)
        wanted = Filter(
            queue_id=asked.queue_id.upper(),
            provider=asked.provider,
            states=frozenset(() if asked.state is None else (asked.state,)),
            address=asked.address,
        )
        after = _cursor(asked.cursor, (str, int))
        queue_id, key = cast("tuple[str, int]", after) if after else ("", -1)
        rows = await self.spool.page(wanted, asked.limit, after=(queue_id, key))
        full = len(rows) == asked.limit
        return models.RecipientPage(
            recipients=tuple(_recipient(row, models.RecipientOut) for row in rows),
            next=_cursor_text(rows[-1].queue_id, rows[-1].key) if full else None,
        )

    async def events(self, _: Request, query: BaseModel) -> models.EventPage:
        """List what providers told of letters."""
        asked = cast("models.EventQuery", query)
        found = await self.spool.tracking.after(int(asked.cursor), asked.limit)
        return models.EventPage(
            events=tuple(
                models.EventOut(
                    number=one.number,
                    at=one.at,
                    happened_at=one.event.timestamp,
                    queue_id=one.queue_id,
                    key=one.recipient_key,
                    recipient=one.event.recipient or one.forward_path,
                    provider=one.provider,
                    event=one.event.event_type.value,
                    reason="" if one.event.reject_reason is None else one.event.reject_reason,
                    mta_response=one.event.mta_response,
                    click_url=one.event.click_url,
                )
                for one in found
            ),
            next=str(found[-1].number) if found else asked.cursor,
        )

    async def suppressions(self, _: Request, query: BaseModel) -> models.SuppressionPage:
        """List who is sent nothing."""
        asked = cast("models.SuppressionQuery", query)
        after = _cursor(asked.cursor, (str, str)) or ("", "")
        rows = await self.spool.suppressions.page(
            asked.limit,
            after=cast("tuple[str, str]", after),
            reason=asked.reason,
            text=asked.address,
        )
        full = len(rows) == asked.limit
        return models.SuppressionPage(
            suppressions=tuple(models.SuppressionOut(**asdict(row)) for row in rows),
            next=_cursor_text(rows[-1].address, rows[-1].reason.value) if full else None,
        )

    async def suppress(self, request: Request, _: BaseModel) -> models.Count:
        """Put an address on the list."""
        given = _checked(models.SuppressionIn, await read_body(request, _SMALL_BODY))
        address = parse_address(given.address).folded
        comment = " ".join(given.comment.split())
        entry = Suppression(address, given.reason, self.clock.now(), "api", comment)
        added = await self.spool.suppressions.add([entry], self.accounts)
        return models.Count(changed=added)

    async def unsuppress(self, request: Request, query: BaseModel) -> models.Count:
        """Take an address off the list."""
        reason: SuppressionReason | None = cast("models.RemovalQuery", query).reason
        try:
            address = parse_address(request.path_params["address"]).folded
        except InvalidAddress as error:
            raise Problem(422, f"not an address: {error}") from None
        removed = await self.spool.suppressions.remove(
            [address], self.clock.now(), reason, self.accounts
        )
        return models.Count(changed=removed)

    def _by_hand(self, hand: Hand) -> Callable[[Request, BaseModel], Awaitable[models.Count]]:
        async def do(request: Request, _: BaseModel) -> models.Count:
            queue_id = _queue_id(request)
            await self.spool.story(queue_id)  # says whether there is such a letter
            return models.Count(changed=await hand(Filter(queue_id=queue_id), self.clock.now()))

        return do

    async def _submission(self, request: Request) -> Submission:
        host = request.client.host if request.client else ""
        client = Client(host, "api", esmtp=True, user="")
        key = request.headers.get("Idempotency-Key", "")
        trace = request.headers.get("traceparent", "")
        content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if content_type == "message/rfc822":
            params = request.query_params
            given = {"from": params.get("from", ""), "to": tuple(params.getlist("to"))}
            envelope = _validated(models.EnvelopeQuery, given)
            body = await read_body(request, self.max_octets)
            return submission_from_raw(body, envelope, client, key, trace)
        if content_type != "application/json":
            raise Problem(415, "send application/json or message/rfc822")
        body = await read_body(request, self.max_octets * _GROWN)
        return submission_from_letter(_checked(models.LetterIn, body), client, key, trace)


_OF_SENDING = {
    "Idempotency-Key": "The same key again is the same letter, for as long as keys are kept.",
    "traceparent": "W3C Trace Context; the letter belongs to this trace.",
}
_OF_A_LETTER = (
    "queue_id",
    "arrival",
    "listener",
    "client",
    "reverse_path",
    "message_id",
    "size",
    "content_kept",
)


def api_routes(api: Api, guard: Guard) -> Sequence[BaseRoute]:
    """The routes of the API, its page among them, which anybody may read."""
    operations = api.operations()
    page = build_page(operations)

    async def show_page(_: Request) -> Response:
        return JSONResponse(page)

    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    routes: list[BaseRoute] = [Route("/api/openapi.json", show_page)]
    for path, methods in by_path.items():
        routes.append(Route(path, _endpoint(methods, guard), methods=list(methods)))
    return routes


def _endpoint(
    methods: dict[str, Operation], guard: Guard
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            guard.check(request)
            operation = methods["GET" if request.method == "HEAD" else request.method]
            # With `raw`, what stands there depends on the body: `do` looks at it.
            given = {} if operation.raw else dict(request.query_params)
            done = await operation.do(request, _validated(operation.query, given))
            return JSONResponse(done.model_dump(mode="json"), status_code=operation.status)
        except Problem as problem:
            return problem.response()
        except UnknownQueueId:
            return Problem(404, "there is no such letter").response()
        except SpoolError as error:
            log.warning("api_spool_trouble", reason=error.reason)
            return Problem(
                503, "the spool is not to be had", headers={"Retry-After": "5"}
            ).response()
        except Exception:
            log.exception("api_bug", path=request.url.path)
            return Problem(500, "something went wrong here; the log tells").response()

    return answer


def _checked(model: type[M], body: bytes) -> M:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem(400, "the body is not JSON") from None
    return _validated(model, given)


def _validated(model: type[M], given: object) -> M:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        errors = [
            {"where": ".".join(map(str, one["loc"])), "what": one["msg"]}
            for one in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise Problem(422, "the request is not as described", more={"errors": errors}) from None


def _queue_id(request: Request) -> str:
    return str(request.path_params["queue_id"]).upper()


def _refused(reply: Reply) -> Problem:
    """What an SMTP client would be told, as a problem."""
    status = 503 if reply.code < 500 else 422
    headers = {"Retry-After": "60"} if reply.code < 500 else {}
    if reply.reason.startswith("too_many"):
        status = 429
    smtp = {"code": reply.code, "status": reply.status, "reason": reply.reason}
    return Problem(status, reply.text, more={"smtp": smtp}, headers=headers)


def _recipient(row: Listed, model: type[R]) -> R:
    return model(**{name: getattr(row, name) for name in model.model_fields})


def _cursor_text(*values: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def _cursor(text: str, kinds: tuple[type, ...]) -> tuple[object, ...] | None:
    """
    The key of the last that was seen; `None` at the beginning.

    Raises:
        Problem: 422, it is none of ours.
    """
    if not text:
        return None
    try:
        padded = text + "=" * (-len(text) % 4)
        values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        values = None
    if not isinstance(values, list) or [type(value) for value in values] != list(kinds):
        raise Problem(422, "the cursor is none of ours")
    return tuple(values)
