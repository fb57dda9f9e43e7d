"""The configuration: what people write, what the environment overrides, what is refused."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.app.front_door import limit_rules, listener_specs
from gateway.config import load
from gateway.domain.routing import Fidelity, OnUncertain
from gateway.errors import ConfigError
from gateway.ingress.policy import Auth, Tls, TlsProfile
from providers.contract.capabilities import Rate

MINIMAL = """
providers:
  main: {kind: smarthost, host: smtp.example.com, tls: "off"}
"""


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration of the machine reaches these tests."""
    for name in ("MAILQUAY_CONFIG",):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(tmp_path: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text))
    return caught.value.problems


def test_minimal_file_has_the_defaults_of_the_design(tmp_path: Path) -> None:
    """One provider is all that must be said."""
    settings = load(write(tmp_path, MINIMAL))
    listener = settings.smtp.listeners[0]
    assert (listener.host, listener.port) == ("127.0.0.1", 2525)
    assert settings.smtp.max_message_size == 25 * 1024 * 1024
    assert settings.smtp.max_recipients == 1000
    assert settings.http.port == 8025
    assert settings.spool.retention == timedelta(days=7)
    assert settings.retry.give_up_after == timedelta(days=2)


def test_without_routes_one_tries_all_providers_in_the_order_written(tmp_path: Path) -> None:
    """Design page, section 2: the order in the file is the order of preference."""
    text = MINIMAL + '  second: {kind: smarthost, host: b.example.com, tls: "off"}\n'
    routes = load(write(tmp_path, text)).effective_routes()
    assert [route.providers for route in routes] == [("main", "second")]
    assert routes[0].condition.is_catch_all


def test_route_is_read_whole(tmp_path: Path) -> None:
    """Every key of a route reaches its plain value, domains in lower case."""
    text = (
        MINIMAL
        + """
routes:
  - name: news
    when: {sender_domain: [News.Example.com], size_over: 1MiB, has_attachments: true}
    providers: [main]
    fidelity: strict
    on_uncertain: hold
"""
    )
    route = load(write(tmp_path, text)).effective_routes()[0]
    assert route.condition.sender_domains == {"news.example.com"}
    assert route.condition.size_over == 1 << 20
    assert route.condition.has_attachments is True
    assert route.fidelity is Fidelity.STRICT
    assert route.on_uncertain is OnUncertain.HOLD


def test_domains_of_a_route_are_compared_as_those_of_addresses(tmp_path: Path) -> None:
    """A domain beyond ASCII is found in letters by its A-labels; what is none is refused."""
    routes = "routes: [{name: r, when: {%s: [%s]}, providers: [main]}]\n"
    for key in ("sender_domain", "recipient_domain"):
        written = 'Пример.example, "[192.0.2.1]"'
        settings = load(write(tmp_path, MINIMAL + routes % (key, written)))
        (condition,) = (route.condition for route in settings.effective_routes())
        assert condition.sender_domains | condition.recipient_domains == {
            "xn--e1afmkfd.example",
            "[192.0.2.1]",
        }
        for wrong in ('"*.example.com"', '"@example.com"', "a@example.com", '""'):
            (problem,) = problems(tmp_path, MINIMAL + routes % (key, wrong))
            assert f"routes.0.when.{key}: " in problem
            assert "is no domain" in problem


def test_environment_alone_suffices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sidecar needs no file."""
    monkeypatch.setenv("MAILQUAY_PROVIDERS__MAIN__KIND", "rest_v1")
    monkeypatch.setenv("MAILQUAY_PROVIDERS__MAIN__BASE_URL", "https://api.example.com/v1")
    monkeypatch.setenv("MAILQUAY_PROVIDERS__MAIN__API_KEY", "0123456789")
    monkeypatch.setenv("MAILQUAY_SMTP__NETWORKS", '["10.1.0.0/16"]')
    settings = load()
    assert settings.providers["main"].kind == "rest_v1"
    assert settings.smtp.networks == ("10.1.0.0/16",)


def test_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Level by level: what the variable does not name stays as the file has it."""
    monkeypatch.setenv("MAILQUAY_PROVIDERS__MAIN__HOST", "other.example.com")
    monkeypatch.setenv("MAILQUAY_SMTP__MAX_CONNECTIONS", "7")
    settings = load(write(tmp_path, MINIMAL))
    assert settings.providers["main"].model_dump()["host"] == "other.example.com"
    assert settings.smtp.max_connections == 7
    assert settings.smtp.max_recipients == 1000


def test_secret_of_digits_stays_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key such as 1e5 must not become a number on its way through the environment."""
    monkeypatch.setenv("MAILQUAY_PROVIDERS__MAIN__PASSWORD", "1e5")
    monkeypatch.setenv("MAILQUAY_PROVIDERS__MAIN__USERNAME", "a@example.com")
    monkeypatch.setenv("MAILQUAY_PROVIDERS__MAIN__ALLOW_PLAIN_AUTH", "true")
    provider = load(write(tmp_path, MINIMAL)).providers["main"]
    assert provider.password.get_secret_value() == "1e5"  # type: ignore[attr-defined]


def test_secret_from_a_file_loses_its_line_end_only(tmp_path: Path) -> None:
    """`password_file` is read once, at start."""
    (tmp_path / "secret").write_text(" key with blanks \n", encoding="utf-8")
    text = f"""
providers:
  main: {{kind: smarthost, host: a.example.com, username: u, password_file: {tmp_path}/secret}}
"""
    provider = load(write(tmp_path, text)).providers["main"]
    assert provider.password.get_secret_value() == " key with blanks "  # type: ignore[attr-defined]


def test_secrets_are_masked_in_what_is_shown(tmp_path: Path) -> None:
    """T25: neither repr nor the dump that `check` prints holds a secret."""
    text = """
providers:
  rest: {kind: rest_v1, base_url: "https://api.example.com/v1", api_key: s3cr3t-k3y}
"""
    settings = load(write(tmp_path, text))
    assert "s3cr3t-k3y" not in repr(settings)
    assert "s3cr3t-k3y" not in str(settings.model_dump(mode="json"))


def listener(settings: str, more: str = "") -> str:
    """A front door whose one listener has these settings."""
    return f"smtp: {{listeners: [{{name: app, {settings}}}]{more}}}\n"


def test_front_door_with_everything(tmp_path: Path) -> None:
    """Several listeners with different rules, each with what it does not say from the section."""
    text = """
smtp:
  networks: 192.0.2.0/24
  users_file: users
  certificate: crt
  private_key: key
  max_message_size: 10MiB
  letters_per_address: 300/m
  listeners:
    - {name: app, tls: off, auth: off}
    - {name: printers, host: 0.0.0.0, tls: starttls, tls_profile: old, max_message_size: 50MiB}
    - {name: people, host: 0.0.0.0, port: 465, tls: implicit, auth: required, networks: []}
    - {name: local, socket: /run/mailquay.sock, socket_mode: "0600"}
"""
    settings = load(write(tmp_path, MINIMAL + text))
    app, printers, people, local = listener_specs(settings)
    assert app.rules is not None
    assert (app.rules.tls, app.rules.auth) == (Tls.OFF, Auth.OFF)
    assert app.rules.networks == (ip_network("192.0.2.0/24"),)
    assert printers.rules is not None
    assert printers.rules.tls_profile is TlsProfile.OLD
    assert (app.rules.max_message_size, printers.rules.max_message_size) == (10 << 20, 50 << 20)
    assert people.rules is not None
    assert (people.port, people.rules.networks, people.rules.auth) == (465, (), Auth.REQUIRED)
    assert local.rules is not None
    assert (local.path, local.mode, local.rules.local) == (Path("/run/mailquay.sock"), 0o600, True)
    assert limit_rules(settings).letters_per_address == Rate(300, timedelta(minutes=1))
    assert app.rules.max_connections_per_address == 250


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("providers: {}\n", "providers", "at least 1"),
        ("", "providers", "required"),
        ("providers: {main: {kind: pigeon}}\n", "providers.main.kind", "one of smarthost"),
        ("providers: {Main: {kind: smarthost}}\n", "providers", "lower-case"),
        (MINIMAL + "smpt: {}\n", "smpt", "no such setting"),
        (MINIMAL + "retry: {first: soon}\n", "retry.first", "written like"),
        (MINIMAL + "retry: {first: 2h, longest: 1h}\n", "retry", "longest wait"),
        (MINIMAL + "smtp: {max_message_size: huge}\n", "smtp.max_message_size", "25MiB"),
        (MINIMAL + "smtp: {networks: [0.0.0.0/0]}\n", "smtp.networks", "strangers"),
        (MINIMAL + "smtp: {networks: [0.0.0.0/1, 128.0.0.0/1]}\n", "smtp.networks", "strangers"),
        (MINIMAL + listener("networks: ['::/0']"), "smtp.listeners.0.networks", "strangers"),
        (MINIMAL + listener("proxy_networks: 0.0.0.0/0"), "proxy_networks", "narrowly"),
        (MINIMAL + listener("tls: required"), "smtp", "no smtp.certificate"),
        (MINIMAL + listener("auth: optional"), "smtp", "no smtp.users_file"),
        (
            MINIMAL + listener("auth: required, host: 0.0.0.0", ", users_file: u"),
            "smtp",
            "never offered",
        ),
        (MINIMAL + "smtp: {certificate: c}\n", "smtp", "one without the other"),
        (MINIMAL + listener("socket: /s, proxy_networks: 10.0.0.1"), "smtp", "no networks"),
        (MINIMAL + listener("socket_mode: rw"), "socket_mode", "octal"),
        (MINIMAL + "spool: {url: /tmp/x}\n", "spool.url", "not an address"),
        (MINIMAL + "routes: [{name: a, providers: [gone]}]\n", "routes.a", "gone"),
        (MINIMAL + "hostname: 'a b'\n", "hostname", "host name"),
        ("providers: [\n", "", "not valid YAML"),
        ("- a list\n", "", "key: value"),
    ],
)
def test_bad_configuration_is_told_in_one_line_with_file_key_and_reason(
    tmp_path: Path, text: str, key: str, reason: str
) -> None:
    """Bad input gets a clear error that says what to do."""
    found = problems(tmp_path, text)
    assert all("\n" not in line for line in found)
    assert any("gateway.yaml" in line and key in line and reason in line for line in found), found


def test_error_names_the_variable_a_bad_value_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who set it in the environment must not search the file."""
    monkeypatch.setenv("MAILQUAY_SMTP__MAX_CONNECTIONS", "many")
    found = problems(tmp_path, MINIMAL)
    assert any("MAILQUAY_SMTP__MAX_CONNECTIONS" in line for line in found)


def test_bad_secret_is_not_repeated_in_the_error(tmp_path: Path) -> None:
    """T25: an error about a provider's settings holds none of its values."""
    text = """
providers:
  rest: {kind: rest_v1, base_url: "https://api.example.com/v1", api_key: s3cr3t-k3y, rates: 5/s}
"""
    assert not any("s3cr3t-k3y" in line for line in problems(tmp_path, text))


def test_off_may_be_written_without_quotes(tmp_path: Path) -> None:
    """YAML 1.1 reads a bare off as false; people write it all the same."""
    text = """
smtp: {listeners: [{name: app, tls: off}]}
providers: {main: {kind: smarthost, host: a.example.com, tls: off}}
"""
    settings = load(write(tmp_path, text))
    assert settings.smtp.listeners[0].tls == "off"
    assert settings.providers["main"].model_dump()["tls"] == "off"


def test_routes_by_user_and_header(tmp_path: Path) -> None:
    """Who logged in, and what the letter says of itself; names in any case."""
    text = (
        MINIMAL
        + """
routes:
  - name: news
    when: {user: shop, header: {List-Id: "*", X-Campaign: [spring, "autumn-*"]}}
    providers: main
"""
    )
    (route,) = load(write(tmp_path, text)).effective_routes()
    assert route.condition.users == {"shop"}
    assert route.condition.header == (
        ("list-id", ("*",)),
        ("x-campaign", ("spring", "autumn-*")),
    )


@pytest.mark.parametrize(
    ("header", "reason"),
    [("{'List Id': '*'}", "no name of a header field"), ("{List-Id: []}", "what shall it hold")],
)
def test_a_header_condition_that_cannot_hold(tmp_path: Path, header: str, reason: str) -> None:
    """Told at the start, not by mail that takes another way."""
    text = (
        MINIMAL
        + f"""
routes:
  - {{name: news, when: {{header: {header}}}, providers: main}}
"""
    )
    (problem,) = problems(tmp_path, text)
    assert reason in problem
