"""
Which adapters there are: for each kind its settings and how to build it.

The one list of them. The gateway looks a kind up here and then knows the provider by the contract
alone; providers/README.md shows the table of abilities made here. Sits on every adapter, and
imports one when the first provider of its kind is built: each brings libraries of several MiB,
which a gateway without such a provider has no use for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeVar

from providers.contract.capabilities import ProviderCapabilities
from providers.contract.clock import Clock
from providers.contract.provider import Provider
from providers.form_v2.settings import FormV2Settings
from providers.rest_v1.settings import RestV1Settings
from providers.settings import ProviderSettings, render_rate
from providers.smarthost.settings import SmarthostSettings

S = TypeVar("S", bound=ProviderSettings)


@dataclass(frozen=True, slots=True)
class ProviderKind:
    """
    One adapter.

    Attributes:
        settings: The model of its settings.
        build: Makes a provider of its name, settings of that model and a clock; connects nothing.
            Raises `ProviderConfigError` for what shows only in use, as a CA file that is missing.
        example: The fewest settings that are valid, for documents and tests.
    """

    settings: type[ProviderSettings]
    build: Callable[[str, ProviderSettings, Clock], Provider]
    example: Mapping[str, Any]


def _kind(
    model: type[S], factory: Callable[[str, S, Clock], Provider], example: dict[str, Any]
) -> ProviderKind:
    def build(name: str, settings: ProviderSettings, clock: Clock) -> Provider:
        if not isinstance(settings, model):
            raise TypeError(
                f"provider {name} needs {model.__name__}, not {type(settings).__name__}"
            )
        return factory(name, settings, clock)

    return ProviderKind(model, build, MappingProxyType(example))


def _smarthost(name: str, settings: SmarthostSettings, clock: Clock) -> Provider:
    from providers.smarthost.provider import Smarthost  # noqa: PLC0415 (see the docstring above)

    return Smarthost(name, settings, clock)


def _rest_v1(name: str, settings: RestV1Settings, clock: Clock) -> Provider:
    from providers.rest_v1.provider import RestV1  # noqa: PLC0415 (see the docstring above)

    return RestV1(name, settings, clock)


def _form_v2(name: str, settings: FormV2Settings, clock: Clock) -> Provider:
    from providers.form_v2.provider import FormV2  # noqa: PLC0415 (see the docstring above)

    return FormV2(name, settings, clock)


PROVIDERS: Mapping[str, ProviderKind] = MappingProxyType(
    {
        "smarthost": _kind(SmarthostSettings, _smarthost, {"host": "smtp.example.com"}),
        "rest_v1": _kind(
            RestV1Settings, _rest_v1, {"base_url": "https://api.example.com/v1", "api_key": "key"}
        ),
        "form_v2": _kind(
            FormV2Settings, _form_v2, {"base_url": "https://app.example.com/api/v2", "token": "key"}
        ),
    }
)


def capabilities_table() -> str:
    """
    What each kind carries with its default settings, as a Markdown table.

    An ability that no document of the provider backs is marked `?`.
    """
    columns = {kind: _example_capabilities(kind) for kind in PROVIDERS}
    rows = [
        ("", *(f"`{kind}`" for kind in columns)),
        ("---",) * (len(columns) + 1),
        *(
            (label, *(_cell(attribute, capabilities) for capabilities in columns.values()))
            for attribute, label in _ROWS
        ),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


_ROWS = (
    ("max_recipients", "recipients in one request"),
    ("max_message_octets", "octets of a letter"),
    ("max_attachments", "attachments"),
    ("max_attachment_octets", "octets of all attachments"),
    ("rate", "requests"),
    ("connections", "connections"),
    ("raw_mime", "octet for octet"),
    ("null_reverse_path", "null reverse-path"),
    ("smtputf8", "SMTPUTF8"),
    ("html", "HTML body"),
    ("text", "text body"),
    ("text_beside_html", "text beside HTML"),
    ("inline_parts", "inline images"),
    ("calendar", "invitations"),
    ("reply_to", "Reply-To"),
    ("list_unsubscribe", "List-Unsubscribe"),
    ("other_recipients", "shows other recipients"),
    ("passed_header_fields", "further header fields"),
    ("templates", "templates"),
    ("mailing_lists", "mailing lists"),
    ("schedules", "sends at a later time"),
    ("tracking_switches", "tracking switched per letter"),
    ("payments", "choice of payment"),
    ("tags", "tags"),
    ("bulk", "several letters in a request"),
    ("tracking", "tracking"),
    ("message_ids", "an id for"),
)
# What travels by itself where the whole letter does.
_WITH_RAW_MIME = frozenset(
    ("text_beside_html", "inline_parts", "calendar", "reply_to", "list_unsubscribe")
) | {"other_recipients", "passed_header_fields"}


def _cell(attribute: str, capabilities: ProviderCapabilities) -> str:
    value = getattr(capabilities, attribute)
    if attribute in _WITH_RAW_MIME and capabilities.raw_mime:
        text = "yes"
    elif attribute == "rate":
        text = "no limit known" if value is None else render_rate(value)
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    else:
        text = "no limit known" if value is None else str(value)
    return f"{text} ?" if attribute in capabilities.assumed else text


def _example_capabilities(kind: str) -> ProviderCapabilities:
    adapter = PROVIDERS[kind]
    settings = adapter.settings(**adapter.example)
    return adapter.build("example", settings, _NoClock()).capabilities


class _NoClock:
    """For a provider that is looked at and never used."""

    def now(self) -> datetime:
        raise NotImplementedError

    def monotonic(self) -> float:
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError
