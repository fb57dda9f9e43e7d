"""What the daemon does not load: memory that an idle gateway would keep for good."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from gateway.cli.lazy import hidden

UNASKED = "httpx", "aiosmtplib", "psycopg", "alembic", "rich", "gateway.web.api"


def test_libraries_of_what_is_not_configured_stay_out() -> None:
    """Each kind of provider, engine and feature brings its own when it is built, not before."""
    program = (
        "import sys; from gateway.cli.lazy import hidden\n"
        "with hidden('rich'): import gateway.cli, gateway.app.running, gateway.observe.log\n"
        "sys.exit(' '.join(set(sys.argv[1:]) & set(sys.modules)) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *UNASKED], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_hidden_is_found_again_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that need it, in the same process, still have it; also after a failure."""
    monkeypatch.delitem(sys.modules, "this", raising=False)
    with pytest.raises(ModuleNotFoundError), hidden("this"):
        import_module("this")
    assert "this" not in sys.modules


def test_what_is_loaded_already_is_not_hidden() -> None:
    """Nothing is gained by it then, and its users would break."""
    with hidden("json"):
        assert import_module("json").dumps(1) == "1"
    assert "json" in sys.modules
