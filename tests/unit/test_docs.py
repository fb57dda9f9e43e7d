"""Documents that are rendered from code say what the code says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def renderer() -> dict[str, object]:
    spec = importlib.util.spec_from_file_location("docs_render", ROOT / "docs/render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PAGES  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["settings.md", "metrics.md"])
def test_rendered_page_is_up_to_date(name: str) -> None:
    """`make docs` was run after the last change of a setting or metric."""
    page = renderer()[name]
    assert callable(page)
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == page()


def test_links_between_documents_lead_somewhere() -> None:
    """A reader who follows a link finds a page."""
    for document in (*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/*.md")):
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_lock_files_hold_hashes_and_no_address() -> None:
    """Every pinned package has a hash, and no package index is named."""
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text
        pins = re.findall(r"^[a-z0-9._-]+==[^\s;]+", text, re.MULTILINE | re.IGNORECASE)
        assert len(pins) > 20
        assert text.count("--hash=sha256:") >= len(pins)
