"""
What a client instructs the gateway to do with one letter, and how its words become values.

Pure: names and values of X-Mailquay fields in, `Instructions` or the fault out. How the fields are
found in a letter and taken out of it is `ingress.instruction_fields`'s business. Part of what is
asked is the provider's to do (`SendOptions`), the rest is ours. Sits on `routing` and `window`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, cast

from gateway.domain.routing import Mode
from gateway.domain.window import Priority
from providers.contract.capabilities import ProviderCapabilities
from providers.contract.options import NO_OPTIONS, SendOptions

PREFIX = "X-Mailquay-"

_LARGEST_PARAMS = 64 << 10  # octets of JSON: they are kept beside the letter, in one column
_PROVIDERS_WORD = re.compile(r"[!-~]{1,128}")
_KEY = re.compile(r"[!-~]{1,255}")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9-]{1,40}")
_LONGEST_TAG = 128
# RFC 3339 5.6. `fromisoformat` takes dates of weeks and moments without time zone too.
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)")
# RFC 5322 3.3 and 4.3. A letter for a zone that nobody knows would go at a moment nobody meant.
_RFC_5322_ZONE = re.compile(
    r".{10,60}\d\s*(?:[+-]\d{4}|UTC?|GMT|[ECMP][SD]T)\s*(?:\([^()]{0,40}\))?", re.IGNORECASE
)
_SWITCH = {
    **dict.fromkeys(("yes", "true", "on", "1"), True),
    **dict.fromkeys(("no", "false", "off", "0"), False),
}


@dataclass(frozen=True, slots=True)
class Instructions:
    """
    What a client asks for one letter; the defaults ask for nothing.

    Attributes:
        options: What the provider is asked to do. Its `send_at` is never set here: whether the
            provider or the gateway keeps a letter until its time is the route's to say.
        provider: The one provider that may carry it, whatever the route's order.
        route: The route to take, whatever the routes' conditions say.
        mode: Whether the client waits for the provider's verdict.
        priority: Its urgency in the queue.
        send_at: The moment before which it is not sent, aware; `None`: at once.
        idempotency_key: Whose letters are one and the same, within the window of the duplicate
            guard.
    """

    options: SendOptions = NO_OPTIONS
    provider: str = ""
    route: str = ""
    mode: Mode | None = None
    priority: Priority | None = None
    send_at: datetime | None = None
    idempotency_key: str = ""

    @property
    def outlives_admission(self) -> bool:
        """Whether something of it is needed once the letter is in the spool."""
        return bool(
            self.options != NO_OPTIONS
            or self.provider
            or self.route
            or self.priority is not None
            or self.send_at
        )

    def as_of(self, now: datetime) -> Instructions:
        """The same at this moment: a time that has come asks for nothing any more."""
        if self.send_at is None or self.send_at > now:
            return self
        return replace(self, send_at=None)


NO_INSTRUCTIONS = Instructions()
"""Nothing asked for: how most letters come."""


@dataclass(frozen=True, slots=True)
class BadInstruction:
    """A field that cannot be obeyed; `name` and `reason` are fit for a reply."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What instructions may speak of: names that are configured, and how far ahead a moment is."""

    providers: Collection[str]
    routes: Collection[str]
    ahead: timedelta


def parse_instructions(
    fields: Iterable[tuple[str, str]], vocabulary: Vocabulary, now: datetime
) -> Instructions | BadInstruction:
    """
    Read the fields of one letter.

    Args:
        fields: Names as written and values as text, unfolded and decoded.
        vocabulary: The names there are, and the furthest moment.
        now: When the letter came in, aware. A moment before it asks for nothing.

    Returns:
        What they ask for; or the first that is unknown, comes twice, or has a bad value.
    """
    given: dict[str, Any] = {}
    for name, value in fields:
        known = _FIELDS.get(name.lower())
        if known is None:
            return BadInstruction(_fit_for_a_reply(name), "there is no such instruction")
        spelling, attribute, convert = known
        if attribute in given:
            return BadInstruction(spelling, "is given twice")
        try:
            given[attribute] = convert(value.strip())
        except ValueError as error:
            return BadInstruction(spelling, str(error))
    return _judged(given, vocabulary, now)


def passed_options(options: SendOptions, capabilities: ProviderCapabilities) -> SendOptions:
    """Those of the wishes that a provider declares to know; it is not bothered with the others."""
    if options is NO_OPTIONS:
        return options
    template = options.template if capabilities.templates else None
    return SendOptions(
        track_opens=options.track_opens if capabilities.tracking_switches else None,
        track_clicks=options.track_clicks if capabilities.tracking_switches else None,
        payment=options.payment if capabilities.payments else None,
        template=template,
        params=options.params if template is not None else {},
        mailing_list=options.mailing_list if capabilities.mailing_lists else None,
        tag=options.tag if capabilities.tags else None,
        send_at=options.send_at if capabilities.schedules else None,
    )


def scheduled(options: SendOptions, send_at: datetime) -> SendOptions:
    """The same wishes, with the moment at which the provider shall send."""
    return replace(options, send_at=send_at)


def _judged(
    given: dict[str, Any], vocabulary: Vocabulary, now: datetime
) -> Instructions | BadInstruction:
    """Values that are good in themselves, held against each other and against what there is."""
    ours = {name: given.pop(name) for name in _OURS if name in given}
    if "params" in given and "template" not in given:
        return _bad("params", "is for a template, and X-Mailquay-Template names none")
    for attribute, names in (("provider", vocabulary.providers), ("route", vocabulary.routes)):
        if attribute in ours and ours[attribute] not in names:
            return _bad(attribute, f"names no {attribute} that is configured")
    send_at = ours.get("send_at")
    if send_at is not None:
        if send_at > now + vocabulary.ahead:
            return _bad("send_at", f"lies more than {_days(vocabulary.ahead)} ahead")
        if send_at <= now:
            del ours["send_at"]
    return Instructions(SendOptions(**given) if given else NO_OPTIONS, **ours)


def _bad(attribute: str, reason: str) -> BadInstruction:
    return BadInstruction(_SPELLING[attribute], reason)


def _days(span: timedelta) -> str:
    return f"{span.days} days" if span.days > 1 else f"{span.total_seconds() / 3600:.0f} hours"


def _fit_for_a_reply(name: str) -> str:
    """A name that a client made up, where it is one that can be shown."""
    return name if _PLAIN_NAME.fullmatch(name) else f"a field that begins with {PREFIX}"


def _name(text: str) -> str:
    if not text:
        raise ValueError("is empty")
    return text


def _mode(text: str) -> Mode:
    try:
        return Mode(text.lower())
    except ValueError:
        raise ValueError("is neither queue nor direct") from None


def _switch(text: str) -> bool:
    try:
        return _SWITCH[text.lower()]
    except KeyError:
        raise ValueError("is neither yes nor no") from None


def _word(text: str) -> str:
    if not _PROVIDERS_WORD.fullmatch(text):
        raise ValueError("is not one word of at most 128 ASCII characters")
    return text


def _idempotency_key(text: str) -> str:
    if not _KEY.fullmatch(text):
        raise ValueError("is not one word of at most 255 ASCII characters")
    return text


def _tag(text: str) -> str:
    if not text or len(text) > _LONGEST_TAG or not text.isprintable():
        raise ValueError(f"is not a line of at most {_LONGEST_TAG} characters")
    return text


def _moment(text: str) -> datetime:
    moment = None
    try:
        if _RFC_3339.fullmatch(text):
            moment = datetime.fromisoformat(text.upper())
        elif _RFC_5322_ZONE.fullmatch(text):
            moment = parsedate_to_datetime(text)
        if moment is not None:
            # RFC 5322 3.3: with the zone -0000 the time is UTC, and the library gives it none.
            return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError, TypeError):
        pass
    raise ValueError("is no moment of RFC 3339 or RFC 5322 with its time zone")


def _params(text: str) -> dict[str, str | int | float | bool]:
    if len(text) > _LARGEST_PARAMS:
        raise ValueError(f"is larger than {_LARGEST_PARAMS >> 10} KiB")
    try:
        params = json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON with each name once") from None
    fault = _fault_of(params)
    if fault:
        raise ValueError(fault)
    return cast("dict[str, str | int | float | bool]", params)


def _fault_of(params: object) -> str:
    """What keeps a JSON value from being filled into a template; empty when nothing does."""
    if not isinstance(params, dict):
        return "is not a JSON object"
    for name, value in params.items():
        if not isinstance(value, (str, int, float)):
            return "holds more than text, numbers, true and false"
        if isinstance(value, float) and not math.isfinite(value):
            return "holds a number that is none"
        if not name or not _is_unicode(name) or (isinstance(value, str) and not _is_unicode(value)):
            return "holds an empty name or half a character"
    return ""


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _is_unicode(text: str) -> bool:
    """Whether it has no half of a surrogate pair, which JSON can write and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_Field = tuple[str, str, Callable[[str], object]]
_OURS = ("provider", "route", "mode", "priority", "send_at", "idempotency_key")
_FIELDS: dict[str, _Field] = {
    f"{PREFIX}{name}".lower(): (f"{PREFIX}{name}", attribute, convert)
    for name, attribute, convert in (
        ("Provider", "provider", _name),
        ("Route", "route", _name),
        ("Mode", "mode", _mode),
        ("Send-At", "send_at", _moment),
        ("Track-Opens", "track_opens", _switch),
        ("Track-Clicks", "track_clicks", _switch),
        ("Payment", "payment", _word),
        ("Template", "template", _word),
        ("Params", "params", _params),
        ("List", "mailing_list", _word),
        ("Tag", "tag", _tag),
        ("Priority", "priority", Priority.from_word),
        ("Idempotency-Key", "idempotency_key", _idempotency_key),
    )
}
_SPELLING = {attribute: spelling for spelling, attribute, _ in _FIELDS.values()}
