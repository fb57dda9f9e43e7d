"""The mark of a letter: the same for the same, another for anything else."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.duplicates import Mark, mark_of_key, mark_of_letter

SINCE = datetime(2026, 11, 23, tzinfo=UTC)


def test_whatever_differs_makes_another() -> None:
    """Client, Message-ID, octets; where one word ends and the next begins; a key is no letter."""
    marks = [
        mark_of_letter("app", "<1@a>", b"hi", SINCE),
        mark_of_letter("other", "<1@a>", b"hi", SINCE),
        mark_of_letter("app", "<2@a>", b"hi", SINCE),
        mark_of_letter("app", "<1@a>", b"ho", SINCE),
        mark_of_letter("app", "<1@a>h", b"i", SINCE),
        mark_of_letter("app<1@a>", "", b"hi", SINCE),
        mark_of_key("app", "<1@a>", SINCE),
        mark_of_key("app<1", "@a>", SINCE),
    ]
    assert all(a.key != b.key and a.proof != b.proof for a, b in combinations(marks, 2))
    assert marks[0] == mark_of_letter("app", "<1@a>", b"hi", SINCE)


@given(st.text(), st.text(), st.binary())
def test_a_mark_fits_into_columns(client: str, message_id: str, content: bytes) -> None:
    """Two signed numbers of 64 bits, whatever a client sends."""
    mark = mark_of_letter(client, message_id, content, SINCE)
    assert isinstance(mark, Mark)
    assert 0 <= mark.key < 1 << 63
    assert 0 <= mark.proof < 1 << 63
