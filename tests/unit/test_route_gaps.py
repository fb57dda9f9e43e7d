"""What an operator is warned of about routes and providers, and what not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app.parts import build_providers
from gateway.app.route_gaps import entrances, route_gaps
from gateway.config import load
from gateway.ingress.server import Security
from gateway.ingress.users import User

USERS = {name: User(name, "hash") for name in ("shop", "crm")}
PROVIDERS = """
  main: {kind: smarthost, host: smtp.example.com, tls: "off"}
  small: {kind: smarthost, host: smtp.example.com, tls: "off", max_message_size: 10MiB}
  rest: {kind: rest_v1, base_url: "https://api.example.com/v1", api_key: key}
  bulk: {kind: form_v2, base_url: "https://app.example.com/api/v2", token: key}
"""
MORE = "smtp: {users_file: u, listeners: [{name: app}, {name: office, auth: optional}]}\n"


def gaps(tmp_path: Path, routes: str, *, used: str = "main, small, rest, bulk") -> list[str]:
    """The warnings about some routes, before a last one that `used` providers are of."""
    last = f"\n  - {{name: last, providers: [{used}]}}\n" if used else "\n"
    return of(tmp_path, f"{MORE}providers:{PROVIDERS}\nroutes:\n{routes}{last}")


def of(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    settings = load(path)
    return list(route_gaps(settings, build_providers(settings), Security(USERS, None)))


def test_nothing_to_tell(tmp_path: Path) -> None:
    """Without routes, and with sound ones, there is no word."""
    assert of(tmp_path, f"providers:{PROVIDERS}") == []
    assert gaps(tmp_path, "") == []
    sound = "  - {name: news, when: {sender_domain: news.example.com}, providers: [bulk, main]}"
    assert gaps(tmp_path, sound) == []


ROUTES = {
    "shadowed": (
        "  - {name: all, providers: [main, small, rest, bulk]}",
        "route last: never taken: all before it takes all of its letters",
    ),
    "shadowed by two": (
        """
  - {name: files, when: {has_attachments: true}, providers: [main, small]}
  - {name: plain, when: {has_attachments: false}, providers: [main, rest, bulk]}""",
        "route last: never taken: plain and files before it take all of its letters",
    ),
    "contradictory": (
        "  - {name: odd, when: {sender: a@x.example, sender_domain: y.example}, providers: [main]}",
        "route odd: never taken: none of its senders is in one of its sender domains",
    ),
    "no such user": (
        "  - {name: odd, when: {user: [shop, bob, eve]}, providers: [main]}",
        "route odd: no user is called bob or eve",
    ),
    "no users at its listener": (
        "  - {name: odd, when: {user: shop, listener: app}, providers: [main]}",
        "nobody can log in where its letters come in",
    ),
    "no such door": (
        "  - {name: odd, when: {listener: api}, providers: [main]}",
        "route odd: never taken: nothing comes in by api",
    ),
    "larger than the largest": (
        "  - {name: odd, when: {size_over: 25MiB}, providers: [main]}",
        "route odd: never taken: it is for letters over 26214400 octets, and 26214400 are",
    ),
    "nobody carries any": (
        "  - {name: odd, when: {listener: app}, providers: [rest, bulk], fidelity: strict}",
        "route odd: refuses all letters, since nobody can carry them: rest: header field date",
    ),
    "one carries none": (
        "  - {name: odd, when: {size_over: 11MiB}, providers: [main, small]}",
        "route odd: small carries none of its letters: 11534337 octets, at most 10485760",
    ),
    "too small": (
        "  - {name: odd, when: {listener: office}, providers: [small]}",
        "route odd: refuses letters over 10MiB, and office takes letters of 25MiB",
    ),
}


@pytest.mark.parametrize("case", ROUTES)
def test_one_line_for_each_mistake(tmp_path: Path, case: str) -> None:
    """It names the route and says what is wrong with it, and there is no other line."""
    routes, words = ROUTES[case]
    (line,) = gaps(tmp_path, routes)
    assert words in line


def test_kinds_and_sizes_that_a_route_refuses(tmp_path: Path) -> None:
    """In one line each, however many there are."""
    route = "  - {name: odd, when: {listener: app}, providers: [rest]}"
    kinds, sizes = gaps(tmp_path, route)
    assert kinds == (
        "route odd: none of its providers carries inline images, invitations, signed or "
        "encrypted letters, addresses beyond ASCII or letters from <>"
    )
    assert sizes == (
        "route odd: refuses letters with files over 5000000 together, "
        "and app takes letters of 25MiB"
    )


def test_letters_that_no_route_is_for(tmp_path: Path) -> None:
    """Refused, which may be meant and is easily forgotten; routes may share all of them, too."""
    some = "  - {name: a, when: {listener: app}, providers: [main, rest, bulk, small]}"
    (line,) = gaps(tmp_path, some, used="")
    assert line.startswith("routes: letters that fit none of them are refused")
    rest = "  - {name: b, when: {listener: [office, maildrop]}, providers: [main]}"
    assert gaps(tmp_path, f"{some}\n{rest}", used="") == []


def test_providers_that_no_route_uses(tmp_path: Path) -> None:
    """Named by none, or by one that is never taken."""
    (line,) = gaps(tmp_path, "", used="main, small, rest")
    assert line == "provider bulk: no route names it, so only X-Mailquay-Provider chooses it"
    never = "  - {name: odd, when: {listener: api}, providers: [bulk]}"
    *_, line = gaps(tmp_path, never, used="main, small, rest")
    assert line.startswith("provider bulk: no route that is ever taken names it")


def test_providers_with_another_use(tmp_path: Path) -> None:
    """An account that follows another's letters, or is told of unsubscriptions, needs no route."""
    text = (
        "providers:\n"
        '  main: {kind: smarthost, host: smtp.example.com, tls: "off", tracked_by: rest}\n'
        '  rest: {kind: rest_v1, base_url: "https://api.example.com/v1", api_key: key}\n'
        '  bulk: {kind: form_v2, base_url: "https://app.example.com/api/v2", token: key, '
        "sync_unsubscriptions: true}\n"
        "routes: [{name: all, providers: [main]}]\n"
    )
    assert of(tmp_path, text) == []


def test_ways_in(tmp_path: Path) -> None:
    """Listeners with their users and sizes; maildrop and API where there are any."""
    path = tmp_path / "gateway.yaml"
    path.write_text(
        f"providers:{PROVIDERS}http: {{token: '{'t' * 32}'}}\n"
        "smtp: {users_file: u, max_message_size: 5MiB, listeners: ["
        "{name: app, max_message_size: 1MiB}, {name: office, auth: optional}]}\n"
    )
    found = {e.name: (len(e.users), e.max_octets) for e in entrances(load(path), Security(USERS))}
    assert found == {
        "app": (0, 1 << 20),
        "office": (2, 5 << 20),
        "maildrop": (0, 5 << 20),
        "api": (0, 5 << 20),
    }
