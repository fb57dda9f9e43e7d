"""
The configuration: a YAML file, the environment over it, checked as a whole before any start.

Pydantic stays at this edge: `load` gives settings, and `app` hands plain frozen values inward. It
reads files and the environment, opens no socket and starts nothing. Met by `app` and `cli` alone.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    SerializeAsAny,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.delivery.report_rules import PER_SENDER, TOTAL
from gateway.domain.retry import RetrySchedule
from gateway.domain.routing import Condition, Fidelity, OnThrottled, OnUncertain, Route
from gateway.errors import ConfigError
from gateway.spool.url import parse_spool_url
from providers.contract.address import InvalidAddress, parse_address
from providers.registry import PROVIDERS
from providers.settings import Duration, ProviderSettings, RateLimit, Size, StrictModel

ENV_PREFIX = "MAILQUAY_"
_NOT_SETTINGS = {"MAILQUAY_CONFIG"}
_SEARCHED = (Path("gateway.yaml"), Path("/etc/mailquay/gateway.yaml"))
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")
_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?\Z")


def _own_name() -> str:
    name = socket.gethostname()
    return name if _HOSTNAME.match(name) else "localhost"


def _off_is_a_word(value: object) -> object:
    """YAML 1.1 reads a bare `off` as false."""
    return "off" if value is False else value


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


Off = Annotated[Literal["off"], BeforeValidator(_off_is_a_word)]
Words = Annotated[tuple[str, ...], BeforeValidator(_one_or_many)]
Port = Annotated[int, Field(ge=0, le=65535)]


def _checked_name(value: str) -> str:
    if not _NAME.match(value):
        raise ValueError(
            "a name is made of lower-case letters, digits, - and _, 32 at most, "
            "so that it can be a metric label and part of an environment variable"
        )
    return value


class ListenerSettings(StrictModel):
    """One SMTP listener."""

    name: str = Field(description="Its name in logs, metrics and routes.")
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=2525, description="Port to listen on; 0 takes a free one.")
    tls: Off = Field(default="off", description="TLS of the listener; only `off` so far.")
    auth: Off = Field(default="off", description="AUTH of the listener; only `off` so far.")

    _name_is_plain = field_validator("name")(_checked_name)


class SmtpSettings(StrictModel):
    """The front door."""

    listeners: tuple[ListenerSettings, ...] = Field(
        default=(ListenerSettings(name="app"),), min_length=1, description="Where letters come in."
    )
    networks: tuple[str, ...] = Field(
        default=("127.0.0.0/8", "::1/128"),
        description="Clients in these networks may relay; nobody else may.",
    )
    max_message_size: Size = Field(
        default=25 << 20, ge=1024, description="Largest letter, advertised as SIZE."
    )
    max_recipients: int = Field(default=1000, ge=1, description="Recipients of one letter.")
    max_connections: int = Field(default=500, ge=1, description="Sessions at once, in all.")
    max_memory: Size = Field(
        default=256 << 20,
        ge=1 << 20,
        description="Content that all sessions together hold while it comes in; past it 452 4.3.1.",
    )
    command_timeout: Duration = Field(
        default=timedelta(minutes=5), description="Silence before a session is closed."
    )
    data_timeout: Duration = Field(
        default=timedelta(minutes=3), description="Silence within a letter before it is dropped."
    )

    @field_validator("networks")
    @classmethod
    def _networks_are_no_open_relay(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            network = ipaddress.ip_network(text)
            if network.prefixlen < (8 if network.version == 4 else 16):
                raise ValueError(
                    f"{text} would let strangers relay; name the networks of your applications"
                )
        return value

    @field_validator("listeners")
    @classmethod
    def _names_are_unique(cls, value: tuple[ListenerSettings, ...]) -> tuple[ListenerSettings, ...]:
        names = [listener.name for listener in value]
        if len(set(names)) != len(names):
            raise ValueError("two listeners have the same name")
        return value


class HttpSettings(StrictModel):
    """The HTTP side: metrics and health."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=8025, description="Port to listen on; 0 takes a free one.")


class SpoolSettings(StrictModel):
    """Where letters are kept."""

    url: str = Field(
        default="sqlite:///var/mailquay.db",
        description="`sqlite:///relative`, `sqlite:////absolute`, or for several gateways on one "
        "queue `postgresql://user@host/database` with all that libpq knows, as `?sslmode=`.",
    )
    password: SecretStr | None = Field(
        default=None,
        description="Of the PostgreSQL user. One in the URL is taken out of it and never shown; "
        "with none, libpq's own ways stand (PGPASSFILE, peer, certificates).",
    )
    retention: Duration = Field(
        default=timedelta(days=7), description="How long records of settled letters are kept."
    )
    lease: Duration = Field(
        default=timedelta(minutes=5),
        ge=timedelta(seconds=5),
        description="How long a letter stays with a gateway that gives no sign of life, before "
        "others on the same queue take it over. The gateways' clocks must agree much better. "
        "At least `5s`; alone on SQLite, a restart lets go of all at once.",
    )

    @model_validator(mode="before")
    @classmethod
    def _password_stands_by_itself(cls, data: Any) -> Any:  # noqa: ANN401 - whatever YAML holds
        if not isinstance(data, dict) or not isinstance(data.get("url"), str):
            return data
        try:
            url = parse_spool_url(data["url"])
        except ValueError:
            return data  # told of the field
        if url.password is None:
            return data
        if data.get("password") is not None:
            raise ValueError("the password is given twice, in the url and by itself")
        return {**data, "url": url.text, "password": url.password}

    @field_validator("url")
    @classmethod
    def _engine_is_known(cls, value: str) -> str:
        parse_spool_url(value)
        return value

    @model_validator(mode="after")
    def _password_is_for_postgresql(self) -> Self:
        if self.password is not None and parse_spool_url(self.url).engine == "sqlite":
            raise ValueError("password: a SQLite file has none")
        return self


class RetrySettings(StrictModel):
    """When to try again."""

    first: Duration = Field(default=timedelta(seconds=30), description="Wait after one failure.")
    factor: float = Field(default=2.0, ge=1.0, description="Each wait is so many times the last.")
    longest: Duration = Field(default=timedelta(hours=1), description="No wait is longer.")
    give_up_after: Duration = Field(
        default=timedelta(days=2), description="Age at which a letter fails."
    )
    uncertain_after: Duration = Field(
        default=timedelta(minutes=5),
        description="Wait before a letter whose answer was lost is sent again.",
    )

    @model_validator(mode="after")
    def _waits_make_sense(self) -> Self:
        self.schedule()
        return self

    def schedule(self) -> RetrySchedule:
        """The same as a plain value."""
        return RetrySchedule(
            self.first, self.factor, self.longest, self.give_up_after, self.uncertain_after
        )


class WhenSettings(StrictModel):
    """When a route applies: every key given must hold, one of its values suffices."""

    sender: Words = Field(default=(), description="Reverse-paths.")
    sender_domain: Words = Field(default=(), description="Domains of the reverse-path.")
    recipient_domain: Words = Field(default=(), description="Domains of the recipient.")
    listener: Words = Field(default=(), description="Names of listeners.")
    size_over: Size | None = Field(default=None, description="Letters larger than this.")
    has_attachments: bool | None = Field(default=None, description="Whether files are attached.")

    @field_validator("sender")
    @classmethod
    def _senders_are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(parse_address(text).folded for text in value)
        except InvalidAddress as error:
            raise ValueError(str(error)) from None

    def condition(self) -> Condition:
        """The same as a plain value."""
        return Condition(
            senders=frozenset(self.sender),
            sender_domains=frozenset(map(str.lower, self.sender_domain)),
            recipient_domains=frozenset(map(str.lower, self.recipient_domain)),
            listeners=frozenset(self.listener),
            size_over=self.size_over,
            has_attachments=self.has_attachments,
        )


class RouteSettings(StrictModel):
    """A way for letters."""

    name: str = Field(description="Its name in logs and `explain`.")
    when: WhenSettings = Field(default=WhenSettings(), description="Which letters take it.")
    providers: Words = Field(min_length=1, description="Who carries them, in this order.")
    mode: Literal["queue"] = Field(default="queue", description="Only `queue` so far.")
    fidelity: Fidelity = Field(
        default=Fidelity.FAITHFUL, description="How much of a letter is guarded against loss."
    )
    on_uncertain: OnUncertain = Field(
        default=OnUncertain.RETRY, description="What to do when the answer was lost."
    )
    on_throttled: OnThrottled = Field(
        default=OnThrottled.WAIT, description="What to do when a provider is too busy."
    )

    _name_is_plain = field_validator("name")(_checked_name)

    @model_validator(mode="after")
    def _providers_are_distinct(self) -> Self:
        self.route()
        return self

    def route(self) -> Route:
        """The same as a plain value."""
        return Route(
            name=self.name,
            providers=self.providers,
            condition=self.when.condition(),
            fidelity=self.fidelity,
            on_uncertain=self.on_uncertain,
            on_throttled=self.on_throttled,
        )


class BouncesSettings(StrictModel):
    """Reports to senders about their letters."""

    from_: str | None = Field(
        default=None,
        alias="from",
        description="Whom reports are from: an address that every provider takes letters from. "
        "They also leave from it where a provider takes none from `<>`; without it senders get no "
        "reports there. Default: MAILER-DAEMON at `hostname`.",
    )
    delay_warning: Duration = Field(
        default=timedelta(hours=4),
        description="Age at which the sender of a letter that still waits is told so, once; `0s`: "
        "never.",
    )
    return_content: Size = Field(
        default=50 << 10,
        description="The largest letter that comes back whole where its client asked for that "
        "(`RET=FULL`); of others the header does.",
    )
    postmaster: str | None = Field(
        default=None,
        description="Who gets a copy of each report of a failure, with the letter's header.",
    )
    per_sender: RateLimit = Field(
        default=PER_SENDER,
        description="Reports to one sender; those beyond it show in log and metric only.",
    )
    total: RateLimit = Field(default=TOTAL, description="Reports in all, likewise.")

    @field_validator("from_", "postmaster")
    @classmethod
    def _everybody_can_write_there(cls, value: str | None) -> str | None:
        try:
            if value is not None and parse_address(value).needs_smtputf8:
                raise ValueError("not every provider can carry an address that is not ASCII")
        except InvalidAddress as error:
            raise ValueError(str(error)) from None
        return value


class LogSettings(StrictModel):
    """What is told, and how."""

    format: Literal["auto", "json", "human"] = Field(
        default="auto", description="`auto`: human on a terminal, JSON elsewhere."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important that is told."
    )


class DeliverySettings(StrictModel):
    """The active window."""

    window: int = Field(
        default=1000, ge=1, description="Recipients in the active window of one provider."
    )
    hand_off_memory: Size = Field(
        default=64 << 20,
        description="Content of fresh letters kept in memory for their first attempt.",
    )
    stuck_after: Duration = Field(
        default=timedelta(minutes=5),
        description="A recipient due for so long and untouched makes readiness fail.",
    )


class Settings(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    hostname: str = Field(
        default_factory=_own_name,
        description="Our name in the greeting, Received and Message-ID.",
    )
    smtp: SmtpSettings = SmtpSettings()
    http: HttpSettings = HttpSettings()
    spool: SpoolSettings = SpoolSettings()
    providers: dict[str, SerializeAsAny[ProviderSettings]] = Field(
        min_length=1, description="The accounts that letters can leave by."
    )
    routes: tuple[RouteSettings, ...] = Field(
        default=(), description="Tried in order; with none, all providers in the order written."
    )
    retry: RetrySettings = RetrySettings()
    bounces: BouncesSettings = BouncesSettings()
    delivery: DeliverySettings = DeliverySettings()
    log: LogSettings = LogSettings()

    @field_validator("hostname")
    @classmethod
    def _hostname_is_one(cls, value: str) -> str:
        if not _HOSTNAME.match(value):
            raise ValueError("a host name is letters, digits, dots and hyphens")
        return value

    @field_validator("providers", mode="before")
    @classmethod
    def _providers_by_kind(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {name: _provider_settings(str(name), given) for name, given in value.items()}

    @model_validator(mode="after")
    def _routes_lead_somewhere(self) -> Self:
        listeners = {listener.name for listener in self.smtp.listeners}
        names: set[str] = set()
        for route in self.routes:
            if route.name in names:
                raise ValueError(f"routes: two are called {route.name}")
            names.add(route.name)
            for provider in route.providers:
                if provider not in self.providers:
                    known = ", ".join(self.providers)
                    raise ValueError(
                        f"routes.{route.name}: no provider is called {provider}; there are: {known}"
                    )
            for listener in route.when.listener:
                if listener not in listeners:
                    raise ValueError(f"routes.{route.name}: no listener is called {listener}")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library names them
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment over the file, which comes in as arguments."""
        return _Environment(settings_cls), init_settings

    def effective_routes(self) -> tuple[Route, ...]:
        """The routes as plain values; with none configured, one that tries all providers."""
        if not self.routes:
            return (Route("default", tuple(self.providers)),)
        return tuple(route.route() for route in self.routes)


def _provider_settings(name: str, given: object) -> object:
    _checked_name(name)
    if isinstance(given, ProviderSettings) or not isinstance(given, Mapping):
        return given
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in PROVIDERS:
        known = ", ".join(PROVIDERS)
        raise ValueError(f"{name}.kind: one of {known} is needed, not {kind!r}")
    try:
        return PROVIDERS[kind].settings(**given)
    except ValidationError as error:
        # Told as one value error, each line with the key inside the provider.
        lines = (
            f"{name}.{key}: {text}" if key else f"{name}: {text}" for key, text in _told(error)
        )
        raise ValueError("\n".join(lines)) from None


class _Environment(PydanticBaseSettingsSource):
    """
    `MAILQUAY_A__B__C=value` as nested settings.

    Values stay text, so that a key of digits does not become a number on its way to a secret;
    only those that begin with [ or { are read as JSON. The library's own source decodes more.
    """

    def get_field_value(
        self,
        field: FieldInfo,  # noqa: ARG002 - the library's signature
        field_name: str,
    ) -> tuple[Any, str, bool]:
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for variable, text in sorted(os.environ.items()):
            if not variable.startswith(ENV_PREFIX) or variable in _NOT_SETTINGS:
                continue
            *path, leaf = variable.removeprefix(ENV_PREFIX).lower().split("__")
            branch = tree
            for word in path:
                below = branch.setdefault(word, {})
                if not isinstance(below, dict):
                    raise ConfigError((f"{variable}: its value is given as a whole elsewhere",))
                branch = below
            branch[leaf] = _value_from_text(variable, text)
        return tree


def _value_from_text(variable: str, text: str) -> object:
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise ConfigError((f"{variable}: not valid JSON",)) from None


def find_file(given: Path | None) -> Path | None:
    """
    The configuration file: the given one, else that of the environment, else the usual places.

    Returns:
        A path, or `None` when there is no file anywhere and the environment must suffice.
    """
    if given is not None:
        return given
    if named := os.environ.get("MAILQUAY_CONFIG"):
        return Path(named)
    return next((path for path in _SEARCHED if path.is_file()), None)


def load(given: Path | None = None) -> Settings:
    """
    Read and check the configuration.

    Raises:
        ConfigError: With a line for each thing to mend.
    """
    path = find_file(given)
    values = _read(path) if path else {}
    try:
        return Settings(**values)
    except ValidationError as error:
        where = str(path) if path else "environment"
        raise ConfigError(
            tuple(f"{where}: {_sourced(key)}: {text}" for key, text in _told(error))
        ) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError((f"{path}: cannot be read: {error.strerror}",)) from None
    except UnicodeDecodeError:
        raise ConfigError((f"{path}: not UTF-8 text",)) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not readable"
        raise ConfigError((f"{path}: not valid YAML{place}: {problem}",)) from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError((f"{path}: must hold settings as `key: value`",))
    return values


def _told(error: ValidationError) -> Iterator[tuple[str, str]]:
    """Each problem as key and reason, one line, without the value."""
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        key = ".".join(str(word) for word in problem["loc"])
        if problem["type"] == "extra_forbidden":
            yield key, "no such setting; see the settings table for the names"
            continue
        for line in problem["msg"].removeprefix("Value error, ").split("\n"):
            inner, colon, text = line.partition(": ")
            # A provider's own settings are checked one level deeper and bring their keys along.
            yield (f"{key}.{inner}", text) if key == "providers" and colon else (key, line)


def _sourced(key: str) -> str:
    variable = ENV_PREFIX + key.upper().replace(".", "__")
    return f"{key} (from {variable})" if variable in os.environ else key or "settings"
