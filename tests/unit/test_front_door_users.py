"""The users file: its lines, its faults, whom it lets send as whom."""

from __future__ import annotations

import pytest

from gateway.ingress.users import BadUsersFile, User, parse_users, with_user
from providers.contract.address import parse_address

# Made once by argon2 with parameters as small as it allows: these tests check no password.
HASH = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$ZkC3+pAkTEVQvqLkxYbh9Q"


def test_a_file() -> None:
    """A line for each user; comments, blank lines and blanks around are not users."""
    users = parse_users(
        f"# the shop\napp:{HASH}\n\n  printer@example.com:{HASH}:"
        "scan@example.com, @Example.NET ,<>  \n"
    )
    assert set(users) == {"app", "printer@example.com"}
    assert users["app"].senders == frozenset()
    assert users["printer@example.com"].senders == {"scan@example.com", "@example.net", "<>"}


def test_hash_shows_nowhere() -> None:
    """T25: a user in a log line or traceback does not bring its hash along."""
    assert "argon2" not in repr(parse_users(f"app:{HASH}\n")["app"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("app\n", "line 1: no argon2 hash"),
        ("app:secret\n", "line 1: no argon2 hash"),
        (f":{HASH}\n", "line 1: a name is"),
        (f"a b:{HASH}\n", "line 1: a name is"),
        (f"app:{HASH}\napp:{HASH}\n", "line 2: app was there before"),
        (f"app:{HASH}:nobody\n", "line 1: an allowed sender"),
        (f"app:{HASH}:@\n", "line 1: an allowed sender"),
        (f"app:{HASH.replace('m=8', 'm=9999999')}\n", "line 1: a hash that is too dear"),
        (f"app:{HASH.replace('t=1', 't=999')}\n", "line 1: a hash that is too dear"),
    ],
)
def test_faults_are_told_without_the_line(text: str, reason: str) -> None:
    """T25: the line's number and what to do; a password written there by mistake stays there."""
    with pytest.raises(BadUsersFile, match=reason) as caught:
        parse_users(text)
    assert "secret" not in str(caught.value)
    assert "argon2id" not in str(caught.value)


@pytest.mark.parametrize(
    ("senders", "reverse_path", "may"),
    [
        (set(), "a@example.com", True),
        (set(), None, True),
        ({"a@example.com"}, "a@example.com", True),
        ({"a@example.com"}, "A@EXAMPLE.com", True),
        ({"a@example.com"}, "b@example.com", False),
        ({"a@example.com"}, None, False),
        ({"@example.com"}, "b@example.com", True),
        ({"@example.com"}, "b@mail.example.com", False),
        ({"@example.com"}, "b@notexample.com", False),
        ({"<>"}, None, True),
        ({"<>"}, "a@example.com", False),
        ({"@xn--bcher-kva.example"}, "a@bücher.example", True),
    ],
)
def test_allowed_senders(senders: set[str], reverse_path: str | None, may: bool) -> None:
    """Addresses, domains, the null reverse-path; with none named, all."""
    user = User("app", HASH, frozenset(senders))
    assert user.may_send_as(parse_address(reverse_path) if reverse_path else None) is may


def test_new_hash_leaves_all_else() -> None:
    """Comments, order, other users, and the user's own allowed senders."""
    text = f"# ours\na:{HASH}\nb:{HASH}:@example.com\n"
    assert with_user(text, "b", "NEW") == f"# ours\na:{HASH}\nb:NEW:@example.com\n"
    assert with_user(text, "c", "NEW") == f"{text}c:NEW\n"
    assert with_user("", "c", "NEW") == "c:NEW\n"


@pytest.mark.parametrize("name", ["", "a:b", "a b", "#a", "a\n", "ä", "x" * 129])
def test_names_that_are_none(name: str) -> None:
    """A name cannot end its field or its line, nor hide as a comment."""
    with pytest.raises(ValueError, match="a name is"):
        with_user("", name, HASH)
