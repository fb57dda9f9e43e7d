"""
From settings to the front door: its rules, listeners, limits, and whom and what it trusts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from gateway.config import Settings
from gateway.config.smtp import ListenerSettings, is_loopback, networks_from
from gateway.errors import ConfigError
from gateway.ingress.limits import LimitRules
from gateway.ingress.policy import LOOPBACK, Auth, FrontDoorRules, Tls, is_in
from gateway.ingress.server import ListenerSpec, Security
from gateway.ingress.tls import BadCertificate, ServerTls, load_tls
from gateway.ingress.users import BadUsersFile, User, parse_users

_SOON = timedelta(days=14)


def front_door_rules(settings: Settings) -> FrontDoorRules:
    """The front door's rules as plain values."""
    smtp = settings.smtp
    return FrontDoorRules(
        hostname=settings.hostname,
        networks=networks_from(smtp.networks),
        max_message_size=smtp.max_message_size,
        max_recipients=smtp.max_recipients,
        max_letters=smtp.max_letters,
        max_connections=smtp.max_connections,
        max_connections_per_address=(
            smtp.max_connections_per_address or max(1, smtp.max_connections // 2)
        ),
        max_memory=smtp.max_memory,
        max_errors=smtp.max_errors,
        max_commands=max(smtp.max_commands, 2 * smtp.max_recipients),
        command_timeout_s=smtp.command_timeout.total_seconds(),
        data_timeout_s=smtp.data_timeout.total_seconds(),
        min_data_rate=smtp.min_data_rate,
    )


def listener_specs(settings: Settings) -> tuple[ListenerSpec, ...]:
    """Where the front door listens, and by which rules."""
    rules = front_door_rules(settings)
    return tuple(_spec(listener, rules) for listener in settings.smtp.listeners)


def _spec(listener: ListenerSettings, rules: FrontDoorRules) -> ListenerSpec:
    own = replace(
        rules,
        local=listener.socket is not None,
        tls=listener.tls,
        tls_profile=listener.tls_profile,
        auth=listener.auth,
        auth_without_tls=listener.auth_without_tls,
        networks=rules.networks if listener.networks is None else networks_from(listener.networks),
        max_message_size=listener.max_message_size or rules.max_message_size,
        max_recipients=listener.max_recipients or rules.max_recipients,
    )
    return ListenerSpec(
        name=listener.name,
        host=listener.host,
        port=listener.port,
        path=listener.socket,
        mode=int(listener.socket_mode, 8),
        rules=own,
        proxy_networks=networks_from(listener.proxy_networks),
    )


def limit_rules(settings: Settings) -> LimitRules:
    """How much one client may do."""
    smtp = settings.smtp
    return LimitRules(
        letters_per_address=smtp.letters_per_address,
        recipients_per_address=smtp.recipients_per_address,
        letters_per_user=smtp.letters_per_user,
        recipients_per_user=smtp.recipients_per_user,
        auth_failures=smtp.auth_failures,
        auth_delay_s=smtp.auth_delay.total_seconds(),
        shut_out_s=smtp.auth_shut_out.total_seconds(),
    )


def load_security(settings: Settings) -> Security:
    """
    Read users file and certificate.

    Raises:
        ConfigError: One of them cannot be used.
    """
    smtp = settings.smtp
    users = tls = None
    problems = []
    try:
        users = _users(smtp.users_file) if smtp.users_file else None
    except BadUsersFile as error:
        problems.append(f"smtp.users_file: {smtp.users_file}: {error}")
    try:
        tls = _tls(smtp.certificate, smtp.private_key)
    except BadCertificate as error:
        problems.append(f"smtp.certificate: {error}")
    if problems:
        raise ConfigError(tuple(problems))
    return Security(users, tls)


def front_door_gaps(settings: Settings, security: Security, now: datetime) -> Iterator[str]:
    """What an operator may not have meant, a line for each thing to look at."""
    if security.tls is not None and security.tls.expires_at - now < _SOON:
        when = f"{security.tls.expires_at:%Y-%m-%d %H:%M} UTC"
        word = "expired" if security.tls.expires_at <= now else "expires"
        yield f"smtp.certificate: {settings.smtp.certificate} {word} {when}"
    for listener, spec in zip(settings.smtp.listeners, listener_specs(settings), strict=True):
        rules = spec.rules
        if rules is None or listener.socket is not None or is_loopback(listener.host):
            continue
        where = f"smtp.listeners.{listener.name}"
        if rules.auth is not Auth.OFF and rules.auth_without_tls and rules.tls is not Tls.IMPLICIT:
            yield f"{where}: takes passwords in the clear from other machines"
        if rules.auth is Auth.OFF and all(
            is_in(str(network.network_address), LOOPBACK) for network in rules.networks
        ):
            yield f"{where}: listens to other machines, and none of them may relay; see networks"


def _users(path: Path) -> dict[str, User]:
    try:
        return dict(parse_users(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadUsersFile(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadUsersFile("not UTF-8 text") from None


def _tls(certificate: Path | None, private_key: Path | None) -> ServerTls | None:
    return load_tls(certificate, private_key) if certificate and private_key else None
