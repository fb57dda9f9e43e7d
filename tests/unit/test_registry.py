"""The list of adapters: complete, buildable, and told truly in the README."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from providers.contract.capabilities import ProviderCapabilities
from providers.form_v2.settings import FormV2Settings
from providers.registry import PROVIDERS, capabilities_table
from providers.rest_v1.settings import RestV1Settings
from providers.settings import ProviderSettings

README = Path(__file__).parents[2] / "providers" / "README.md"


@pytest.mark.parametrize("kind", sorted(PROVIDERS))
async def test_every_kind_can_be_built(kind: str) -> None:
    """From its fewest settings, without a connection; it knows its name and kind."""
    adapter = PROVIDERS[kind]
    settings = adapter.settings(kind=kind, **adapter.example)
    provider = adapter.build("main", settings, SystemClock())
    assert (provider.name, provider.kind) == ("main", kind)
    assert provider.capabilities.connections >= 1
    await provider.aclose()


def test_all_kinds_of_the_design_are_there() -> None:
    """The three of the first day, in the order of the documents."""
    assert list(PROVIDERS) == ["smarthost", "rest_v1", "form_v2"]


def test_settings_of_another_kind() -> None:
    """A mix-up is a bug and told at once, without the settings' values."""
    settings = RestV1Settings(base_url="https://api.example.com/v1", api_key="dummy-key")
    with pytest.raises(TypeError, match="FormV2Settings") as caught:
        PROVIDERS["form_v2"].build("main", settings, SystemClock())
    assert "dummy-key" not in str(caught.value)


def test_the_readme_shows_the_table() -> None:
    """What developers read is what the router reads."""
    text = README.read_text(encoding="utf-8")
    shown = text.partition("<!-- capabilities -->\n")[2].partition("<!-- /capabilities -->")[0]
    assert shown == capabilities_table()


def test_the_table_leaves_no_ability_out() -> None:
    """A capability that is added gets its row, or a reason here."""
    not_shown = {
        "dropped_header_fields",  # a list, too long for a cell
        "assumed",  # the question marks
        "letters_at_once",  # for the gateway's lanes; it follows from the connections
    }
    rows = capabilities_table().splitlines()[2:]
    assert len(rows) == len({f.name for f in fields(ProviderCapabilities)} - not_shown)


class TestSettings:
    def test_defaults_of_the_design(self) -> None:
        """5 calls a second on v1, one on v2; nothing else is demanded than address and secret."""
        v1 = RestV1Settings(base_url="https://api.example.com/v1/", api_key="dummy-key")
        v2 = FormV2Settings(base_url="https://app.example.com/api/v2/", token="dummy-token")
        assert v1.rate.per_second == 5
        assert v2.rate.per_second == 1
        assert (v1.base_url, v2.base_url) == (
            "https://api.example.com/v1",
            "https://app.example.com/api/v2",
        )
        assert (v1.payment, v1.reserve_url) == (None, None)
        assert (v2.track_open, v2.track_click) == (None, None)

    @pytest.mark.parametrize(
        ("model", "values"),
        [
            (RestV1Settings, {"api_key": "k"}),
            (RestV1Settings, {"base_url": "https://a.example.com"}),
            (RestV1Settings, {"base_url": "https://a.example.com", "api_key": ""}),
            (RestV1Settings, {"base_url": "a.example.com", "api_key": "k"}),
            (RestV1Settings, {"base_url": "https://a.example.com", "api_key": "k", "payment": "x"}),
            (RestV1Settings, {"base_url": "https://a.example.com", "api_key": "k", "token": "t"}),
            (FormV2Settings, {"base_url": "https://a.example.com"}),
            (FormV2Settings, {"base_url": "https://a.example.com", "token": ""}),
            (FormV2Settings, {"base_url": "https://a.example.com", "token": "t", "rate": "fast"}),
            (FormV2Settings, {"base_url": "https://a.example.com", "token": "t", "connections": 0}),
        ],
    )
    def test_what_cannot_be(self, model: type[ProviderSettings], values: dict[str, object]) -> None:
        """Missing, empty, misspelt or unknown keys are errors."""
        with pytest.raises(ValueError, match="validation error"):
            model(**values)

    def test_secrets_are_masked(self, tmp_path: Path) -> None:
        """T25: settings can be shown; a secret may come from a file."""
        path = tmp_path / "key"
        path.write_text("dummy-key-from-file\n")
        settings = RestV1Settings(base_url="https://a.example.com", api_key_file=str(path))
        assert settings.api_key.get_secret_value() == "dummy-key-from-file"
        assert "dummy" not in repr(settings) + str(settings.model_dump())

    def test_words_of_the_environment(self) -> None:
        """Values from variables are text and mean the same."""
        settings = FormV2Settings(
            base_url="https://a.example.com", token="t", track_open="false", connections="2"
        )
        assert (settings.track_open, settings.connections) == (False, 2)
