"""Health and gauges, over a real spool and a clock whose hands the test turns."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from gateway.observe.metrics import Metrics
from gateway.observe.status import Status
from gateway.spool.store import SqlSpool
from tests.support.letters import a_letter
from tests.support.manual_clock import ManualClock


async def test_gauges_tell_what_readiness_tells(tmp_path: Path) -> None:
    """T22: what waits grows older between two looks at the spool, for both alike."""
    clock = ManualClock()
    spool = await SqlSpool.open(
        f"sqlite:///{tmp_path}/spool.db",
        clock=clock,
        uncertain_after=timedelta(minutes=15),
        exclusive=True,
    )
    metrics = Metrics(providers={"main": "smarthost"}, listeners=["app"], reply_reasons=["queued"])
    oldest = metrics.oldest_due.labels("main").collect
    try:
        status = Status(
            spool=spool, metrics=metrics, clock=clock, stuck_after=timedelta(milliseconds=300)
        )
        await spool.admit(a_letter(spool, clock.now(), "bob@example.org"))
        assert not await status.unready_reasons()
        clock.advance(0.5)
        [reason] = await status.unready_reasons()
        assert reason.startswith("stuck: mail for main")
        [family] = oldest()
        assert [sample.value for sample in family.samples] == [0.5]
        [ready] = metrics.ready.collect()
        assert [sample.value for sample in ready.samples] == [0]
    finally:
        await spool.aclose()
