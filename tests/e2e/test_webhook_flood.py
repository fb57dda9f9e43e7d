"""More webhooks than anybody needs: none that was answered well is lost, and letters come in."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.webhook_flood import flood


async def test_a_flood_of_webhooks(tmp_path: Path) -> None:
    """B.12: each call that was answered 2xx is stored, once, and intake goes on meanwhile."""
    result = await flood(tmp_path, 3.0)
    assert result.answered > 0
    assert (result.lost, result.refused) == (0, 0)
    assert result.letters > 0, str(result)
