"""The bench itself: it runs anywhere, counts right and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "bench", "--reps", "1", "--letters", "30")
    return subprocess.run(
        (*command, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
    )


def test_without_postfix_every_letter_is_counted(tmp_path: Path) -> None:
    """`make bench` measures Mailquay also where Postfix cannot be had, closed loop and open."""
    done = bench(*_alone(tmp_path), "--workload", "s1", "--workload", "lat", "--json")
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
    # The smarthost may have counted the last letter before its client has read the 250.
    assert min(closed_loop["accepted/s"], closed_loop["delivered/s"]) > 0
    assert 0 < open_loop["accept p50 ms"] <= open_loop["accept p99 ms"]
    assert not list(tmp_path.iterdir()), "the bench left files behind"


def test_what_metrics_cost_is_a_share_of_a_letter(tmp_path: Path) -> None:
    """Counted as often as the gateway did, and less than the letter they are of."""
    done = bench("--folder", str(tmp_path), "--metrics-cost", "--letters", "200", "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert 0 < figures["counting us"] < figures["letter us"]
    assert figures["share"] == pytest.approx(figures["counting us"] / figures["letter us"])
    assert not list(tmp_path.iterdir()), "the bench left files behind"


def test_a_relay_that_does_not_start_is_told_and_fails_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken relay gives no figures and no zero that looks like one."""
    monkeypatch.setenv("MAILQUAY_SPOOL__URL", "sqlite:////proc/no/such/place.db")
    done = bench(*_alone(tmp_path), "--workload", "s1")
    assert done.returncode == 1
    assert "mailquay is out after 0 rounds" in done.stdout
    assert not list(tmp_path.iterdir()), "the bench left files behind"


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("postfix") is None,
    reason="a private Postfix needs its package, and root",
)
def test_beside_postfix_there_are_ratios() -> None:
    """Both relays get the same letters from the same tools, and what each did is compared."""
    done = bench("--workload", "s1", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    if not document["machine"]["postfix"][0].isdigit():
        pytest.skip(document["machine"]["postfix"])  # the checkout lies where it cannot get in
    mailquay, postfix = document["workloads"][0]["relays"]
    for relay in (mailquay, postfix):
        assert (relay["failure"], relay["lost"], relay["duplicated"]) == ("", 0, 0)
    ratio = mailquay["rounds"][0]["accepted/s"] / postfix["rounds"][0]["accepted/s"]
    assert mailquay["ratios"]["accepted/s"] == pytest.approx(ratio)
    assert postfix["ratios"]["accepted/s"] == 1.0


def test_requests_of_the_http_providers_are_all_answered() -> None:
    """What `python -m bench.http` counts are successes, and a failure would be its exit code."""
    done = subprocess.run(
        (sys.executable, "-m", "bench.http", "--reps", "1", "--requests", "64"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    title, *lines = done.stdout.splitlines()
    assert "per core" in title
    assert [line.split()[:2] for line in lines] == [
        [kind, at_once] for kind in ("call", "rest_v1", "form_v2") for at_once in ("1", "16", "64")
    ]


def _alone(folder: Path) -> tuple[str, ...]:
    return ("--no-postfix", "--folder", str(folder))
