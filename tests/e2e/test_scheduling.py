"""Tasks that start later, from end to end, in real time."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from .conftest import LocalStack, running

#: How long after its time a task may start, at most.
WINDOW = timedelta(seconds=60)


def started(task: dict[str, Any]) -> datetime:
    """When its attempt began: it was over at `updatedAt`, and took no time."""
    return datetime.fromisoformat(task["updatedAt"])


def submit_at(stack: LocalStack, name: str, run_at: datetime) -> list[str]:
    """Tasks for a time, one submitted alone and two in a batch; their IDs."""
    ids = [f"{name}-alone", f"{name}-batch-1", f"{name}-batch-2"]
    fields = {"payload": {"seconds": 0}, "runAt": run_at.isoformat()}
    assert stack.submit(ids[0], **fields)["status"] == "PENDING"
    body = {"tasks": [{"taskId": task_id} | fields for task_id in ids[1:]]}
    answer = stack.http.post("/tasks/batch", json=body)
    assert [result["status"] for result in answer.json()["results"]] == [202, 202]
    return ids


def check(stack: LocalStack, ids: list[str], run_at: datetime) -> None:
    """Each has run once, in its window."""
    for task_id in ids:
        task = stack.finished(task_id)
        # Its submission, one claim, one settlement.
        assert (task["status"], task["attempts"], task["version"]) == ("COMPLETED", 1, 3)
        assert task["runAt"] == run_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        assert max(run_at, datetime.fromisoformat(task["createdAt"])) <= started(task) <= run_at + WINDOW


@pytest.mark.xdist_group("reliable")
def test_past_and_present_and_cancelled(reliable: LocalStack) -> None:
    past = datetime.now(UTC) - timedelta(seconds=30)
    of_the_past = submit_at(reliable, "past", past)
    # By now both functions that have to be quick have started.
    assert reliable.http.delete("/tasks/nobody").status_code == 404
    soon = datetime.now(UTC) + timedelta(seconds=5)
    cancelled = submit_at(reliable, "cancelled", soon)
    for task_id in cancelled:
        for _ in range(2):
            answer = reliable.http.delete(f"/tasks/{task_id}")
            assert (answer.status_code, answer.json()["status"]) == (200, "CANCELLED")
    of_soon = submit_at(reliable, "soon", soon)
    check(reliable, of_the_past, past)
    check(reliable, of_soon, soon)
    assert reliable.http.delete(f"/tasks/{of_soon[0]}").status_code == 409
    # Their messages have come by now, with those of the others.
    reliable.wait_until_idle()
    assert {reliable.task(task_id)["version"] for task_id in cancelled} == {2}


@pytest.mark.long
def test_in_twenty_and_in_ninety_seconds_across_a_restart_of_the_functions(tmp_path: Path) -> None:
    with running(tmp_path / "log", "failureRate=0") as stack:
        now = datetime.now(UTC)
        times = {"in-20": now + timedelta(seconds=20), "in-90": now + timedelta(seconds=90)}
        ids = {name: submit_at(stack, name, run_at) for name, run_at in times.items()}
        cancelled = submit_at(stack, "cancelled", times["in-90"])
        check(stack, ids["in-20"], times["in-20"])
        stack.configure({"RESTARTED": "1"})
        for task_id in cancelled:
            assert stack.http.delete(f"/tasks/{task_id}").status_code == 200
        # Longer than a test is patient otherwise.
        time.sleep(max(0, (times["in-90"] - datetime.now(UTC)).total_seconds()))
        check(stack, ids["in-90"], times["in-90"])
        stack.wait_until_idle()
        assert {stack.task(task_id)["version"] for task_id in cancelled} == {2}
