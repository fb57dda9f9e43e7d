"""Every configuration that a page shows is one that the gateway takes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import Settings, load
from tests.documents.pages import PAGES, Block, blocks_of

SECRETS = re.compile(r"/run/(?:secrets/|credentials/mailquay\.service/secrets_)([\w/-]+)")
CONFIGURATIONS = [block for page in PAGES for block in blocks_of(page) if block.language == "yaml"]
# What a page that speaks of something else leaves out.
REST: dict[str, Any] = {
    "providers": {
        "main": {"kind": "smarthost", "host": "smtp.example.com"},
        "rest": {"kind": "rest_v1", "base_url": "https://api.example.com/v1", "api_key": "dummy"},
    }
}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration of the machine reaches these tests."""
    for name in [name for name in os.environ if name.startswith("MAILQUAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def loaded(text: str, folder: Path, rest: dict[str, Any] = REST) -> Settings:
    """A configuration, its secrets lying in a folder of ours, with what it leaves out."""
    for name in SECRETS.findall(text):
        secret = folder / "secrets" / name
        secret.parent.mkdir(parents=True, exist_ok=True)
        # A webhook's secret has a form; no other asks for one.
        secret.write_text("whsec_" + "ZHVtbXkt" * 4 + "\n")
    values = yaml.safe_load(SECRETS.sub(rf"{folder}/secrets/\1", text))
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump(rest | values, sort_keys=False))
    return load(path)


@pytest.mark.parametrize("block", CONFIGURATIONS, ids=lambda block: f"{block.page}:{block.line}")
def test_a_configuration_loads(block: Block, tmp_path: Path) -> None:
    """Copied out of the page, it is no puzzle."""
    assert loaded(block.text, tmp_path).effective_routes()
