"""The bench itself: it runs anywhere, counts right and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
LETTERS = 30


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = (
        sys.executable,
        "-m",
        "bench",
        "--no-postfix",
        "--folder",
        str(folder),
        "--reps",
        "1",
    )
    return subprocess.run(
        (*command, "--letters", str(LETTERS), *arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_without_postfix_every_letter_is_counted(tmp_path: Path) -> None:
    """`make bench` measures Mailquay also where Postfix cannot be had, closed loop and open."""
    done = bench(tmp_path, "--workload", "s1", "--workload", "lat", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["machine"]["postfix"] == "left out"
    closed, opened = (workload["relays"] for workload in document["workloads"])
    for relays in (closed, opened):
        (mailquay,) = relays
        assert (mailquay["relay"], mailquay["lost"], mailquay["duplicated"]) == ("mailquay", 0, 0)
        assert mailquay["ratios"] == {}
        assert mailquay["peak_octets"] >= mailquay["idle_octets"] > 0
        assert mailquay["medians"]["CPU s/1000"] > 0
    (closed_loop,), (open_loop,) = closed[0]["rounds"], opened[0]["rounds"]
    assert closed_loop["accepted/s"] >= closed_loop["delivered/s"] > 0
    assert 0 < open_loop["accept p50 ms"] <= open_loop["accept p99 ms"]
    assert not list(tmp_path.iterdir()), "the bench left files behind"


def test_a_relay_that_does_not_start_is_told_and_fails_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken relay gives no figures and no zero that looks like one."""
    monkeypatch.setenv("MAILQUAY_SPOOL__URL", "sqlite:////proc/no/such/place.db")
    done = bench(tmp_path, "--workload", "s1")
    assert done.returncode == 1
    assert "mailquay is out after 0 rounds" in done.stdout
    assert not list(tmp_path.iterdir()), "the bench left files behind"
