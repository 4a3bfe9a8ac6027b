"""Tasks that fail: retries, backoff, the dead-letter queue and its monitor."""

from collections import defaultdict
from collections.abc import Generator
from datetime import datetime
from itertools import pairwise

import pytest

from tests.waiting import wait_for

from . import scenarios
from .conftest import LocalStack, run_client, running

pytestmark = pytest.mark.xdist_group("failing")


@pytest.fixture(scope="module")
def flaky(tmp_path_factory: pytest.TempPathFactory) -> Generator[LocalStack]:
    """A stack on which three simulated tasks of ten fail."""
    log = tmp_path_factory.mktemp("flaky") / "log"
    with running(log, "failureRate=0.3", "maxRetries=2", "backoffBaseSeconds=1") as stack:
        yield stack


def test_a_failing_task_is_tried_three_times_then_dead_lettered(failing: LocalStack) -> None:
    ids = [f"doomed-{number}" for number in range(5)]
    for task_id in ids:
        failing.http.post(
            "/tasks",
            json={"taskId": task_id, "payload": {"seconds": 0}},
            headers={"x-correlation-id": f"story-of-{task_id}"},
        )
    tasks = [failing.finished(task_id) for task_id in ids]
    assert {(task["status"], task["attempts"], task["retries"]) for task in tasks} == {("FAILED", 3, 2)}
    assert {task["errorMessage"] for task in tasks} == {"RuntimeError: simulated failure of attempt 3"}
    failing.wait_until_idle()

    def dead_letters() -> list[dict[str, object]] | None:
        lines = [line for line in failing.logs() if line.get("eventType") == "DLQ_MESSAGE"]
        mine = [line for line in lines if line.get("taskId") in ids]
        return mine if len(mine) >= len(ids) else None

    lines = wait_for(dead_letters, "a DLQ_MESSAGE line for each task")
    assert sorted(str(line["taskId"]) for line in lines) == ids
    for line in lines:
        expected = {
            "type": "simulate",
            "attempts": 3,
            "retryCount": 2,
            "errorMessage": "RuntimeError: simulated failure of attempt 3",
            "correlationId": f"story-of-{line['taskId']}",
        }
        assert expected.items() <= line.items()
    # Each version of the record is one write: submit, three claims, three settlements, the monitor's mark.
    assert {failing.task(task_id)["version"] for task_id in ids} == {8}


def test_a_dead_task_can_be_retried_and_remembers_its_attempts(failing: LocalStack) -> None:
    failing.submit("revenant")
    failing.finished("revenant")
    wait_for(lambda: failing.task("revenant")["version"] == 8, "the monitor's mark")
    answer = failing.http.post("/tasks/revenant/retry")
    assert answer.status_code == 202
    task = answer.json()
    assert (task["status"], task["run"], task["attempts"]) == ("PENDING", 2, 0)
    assert failing.http.post("/tasks/nobody/retry").status_code == 404
    task = failing.finished("revenant")
    assert (task["run"], task["attempts"]) == (2, 3)
    attempts = [(past["run"], past["attempt"]) for past in task["history"]]
    assert attempts == [(1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]


@pytest.mark.long
def test_the_attempts_of_a_failing_task_keep_their_distance(failing: LocalStack) -> None:
    failing.submit("paced")
    failing.finished("paced")

    def failures() -> list[dict[str, object]] | None:
        lines = [
            line
            for line in failing.logs()
            if line.get("taskId") == "paced" and line["message"] in ("attempt failed", "task failed")
        ]
        return lines if len(lines) == 3 else None

    ends = [
        datetime.fromisoformat(str(line["timestamp"])).timestamp()
        for line in wait_for(failures, "the lines of three attempts")
    ]
    gaps = [later - earlier for earlier, later in pairwise(ends)]
    # The work takes no time, so the gaps between the ends are those between end and start, too.
    assert gaps[0] >= 1
    assert gaps[1] >= 2


def test_failed_tasks_are_listed(failing: LocalStack) -> None:
    scenarios.failed_tasks_are_listed(failing, wait_for)


def test_data_outlives_a_retry(failing: LocalStack) -> None:
    scenarios.data_outlives_a_retry(failing, wait_for)


def test_letters_of_running_tasks_are_examined_in_time(failing: LocalStack) -> None:
    scenarios.letters_of_running_tasks_are_examined_in_time(failing, wait_for)


@pytest.mark.long
def test_tasks_that_fail_sometimes_all_end(flaky: LocalStack) -> None:
    code, report = run_client(flaky, "smoke", "--count", "200", "--timeout", "120")
    assert code == 0, report
    attempts: dict[str, list[int]] = defaultdict(list)
    for task in flaky.tasks():
        attempts[task["status"]].append(task["attempts"])
    assert attempts.keys() <= {"COMPLETED", "FAILED"}
    assert sum(map(len, attempts.values())) == 200
    assert set(attempts["FAILED"]) <= {3}
    # 200 * 0.3^3 = 5.4 on average; more than 20, or none that needed a retry, happens once in millions of runs.
    assert len(attempts["FAILED"]) <= 20
    assert sum(count > 1 for count in attempts["COMPLETED"]) >= 20
    flaky.wait_until_idle()
