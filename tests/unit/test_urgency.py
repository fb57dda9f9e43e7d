"""How urgent a letter is by its own words."""

from __future__ import annotations

import pytest

from gateway.domain.window import Priority
from gateway.ingress.urgency import priority_from


@pytest.mark.parametrize(
    ("header", "priority"),
    [
        ("List-Id: News <news.example.com>", Priority.BULK),
        ("LIST-ID:<news.example.com>", Priority.BULK),
        ("Precedence: bulk", Priority.BULK),
        ("precedence:  List ", Priority.BULK),
        ("Precedence: junk", Priority.BULK),
        ("Precedence: first-class", Priority.NORMAL),
        ("X-Precedence: bulk", Priority.NORMAL),
        ("Subject: a\r\n List-Id: b", Priority.NORMAL),
        ("Subject: reset", Priority.NORMAL),
        ("Subject: a\r\n\r\nList-Id: b", Priority.NORMAL),
    ],
)
def test_newsletters_say_what_they_are(header: str, priority: Priority) -> None:
    """Only header fields count, in any case, and not their folds or the body."""
    assert priority_from(f"Received: x\r\n{header}\r\n\r\nHello\r\n".encode()) is priority
