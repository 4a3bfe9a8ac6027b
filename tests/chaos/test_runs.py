"""Small runs of what `make chaos` and `make killer` do at length."""

from pathlib import Path

import pytest
from tasklib.task import Status

from tests.chaos import killer
from tests.chaos.checker import Kind
from tests.chaos.plans import Child
from tests.chaos.storm import storm


@pytest.mark.long
@pytest.mark.xdist_group("chaos")
def test_no_task_is_lost_stuck_or_run_twice_in_a_storm(tmp_path: Path) -> None:
    report = storm(40, seed=3, evidence=tmp_path, max_retries=1)
    assert {kind: report[kind] for kind in Kind} == dict.fromkeys(Kind, 0), report
    assert report["accepted"] == 40
    assert report["completed"] + report["failed"] == 40
    assert report["completed"], report
    assert report["failed"], report
    # It was a storm: every kind of fault there is was made.
    expected = {"duplicated delivery", "killed process-tasks", "task killed its worker", "task overran"}
    expected |= {f"{service} {fault}" for service in ("dynamodb", "sqs") for fault in ("reset", "throttled")}
    expected |= {f"task forked a child: {child}" for child in Child} | {"damaged record: for good"}
    fired = {kind for kind, number in report["faultsFired"].items() if number}
    assert expected <= fired
    assert any(kind.startswith("dynamodb answer lost") for kind in fired)
    assert any(f"damaged record: {status}" in fired for status in Status)
    # No damaged record held up the reader of the stream.
    assert report["toldLive"] > 20, report


@pytest.mark.long
@pytest.mark.xdist_group("killer")
@pytest.mark.parametrize("victim", killer.VICTIMS)
def test_a_killer_among_the_innocent_fails_alone(victim: str, tmp_path: Path) -> None:
    report = killer.killer(tmp_path, seed=1, victim=victim, max_retries=1)
    assert killer.is_well(report, max_retries=1), report
