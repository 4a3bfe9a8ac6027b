"""The load test's run and report."""

from __future__ import annotations

import asyncio
import threading

import pytest

from client.api import TasksClient
from client.load import HOPELESS_FAILURES, LoadReport, load
from client.report import Outcome
from client.work import Work
from tests.client.fake_api import (
    FakeApi,
    as_usual,
    gateway,
    hang,
    html,
    one_result_too_few,
    problem,
    problem_fields,
    reset,
    slow,
)


def run(
    api: FakeApi,
    count: int,
    concurrency: int,
    *,
    batch: int = 1,
    work: Work | None = None,
    request_timeout: float = 20,
) -> LoadReport:
    report = LoadReport(api.url, count, concurrency, batch)
    steps: list[str] = []

    async def main() -> None:
        async with TasksClient(api.url, timeout=request_timeout, connections=concurrency) as client:
            await load(client, work or Work(), report, advance=steps.append)

    asyncio.run(main())
    if report.error is None:
        assert len(steps) == count
    return report


def test_as_many_as_asked_for_are_submitted_once_each(api: FakeApi) -> None:
    report = run(api, 100, 8)
    assert report.outcome is Outcome.OK
    assert len(api.stored) == len(api.requests("POST")) == 100
    assert {seen.path for seen in api.seen} == {"/tasks"}
    measured = report.as_json()
    assert (measured["sent"], measured["accepted"], measured["unanswered"], measured["errors"]) == (
        100,
        100,
        0,
        {},
    )
    assert measured["throughputPerSecond"] == pytest.approx(100 / report.elapsed, rel=0.01)
    assert measured["latencySeconds"]["submit"]["max"] <= report.elapsed


def test_every_worker_is_at_work_on_a_connection_of_its_own_that_is_kept(api: FakeApi) -> None:
    api.barrier = threading.Barrier(20)  # passes when 20 requests are there at once
    report = run(api, 100, 20)
    assert report.accepted == 100
    assert api.connections == api.most_at_once == 20


def test_every_kind_of_error_is_counted_and_nothing_is_sent_again(api: FakeApi) -> None:
    api.faults["POST"].extend([as_usual] * 3)
    api.faults["POST"].extend([gateway(429, "x"), gateway(429, "x"), gateway(503, "x"), html(403)])
    api.faults["POST"].extend([problem(400, "Invalid task"), html(200), reset, hang])
    report = run(api, 30, 2, request_timeout=1)
    assert report.outcome is Outcome.INCOMPLETE
    assert report.errors == {
        "HTTP 429": 2,
        "HTTP 503": 1,
        "HTTP 403": 1,
        "HTTP 400": 1,
        "bad answer": 1,
        "reset": 1,
        "timeout": 1,
    }
    assert report.accepted == 22
    assert len(api.requests("POST")) == 30
    assert report.facts["errors"].startswith("HTTP 429: 2, ")
    measured = report.latencies["submit"]
    assert measured is not None
    assert measured.max < 1, "the time that an error took is among the latencies"


def test_a_client_that_may_be_what_sets_the_rate_says_so(api: FakeApi) -> None:
    report = run(api, 20, 2)
    assert report.as_json()["clientBusy"] > 0
    report.elapsed, report.cpu_seconds = 10.0, 7.9
    assert report.facts["client"] == ""
    report.cpu_seconds = 9.0
    assert report.facts["client"].startswith("busy 90% of the time")
    assert report.as_json()["clientBusy"] == 0.9


@pytest.mark.parametrize("concurrency", [1, 10])
def test_it_gives_up_when_nothing_at_all_is_accepted(api: FakeApi, concurrency: int) -> None:
    api.always["POST"] = html(403)
    report = run(api, 1000, concurrency)
    assert report.outcome is Outcome.REFUSED
    assert report.errors["HTTP 403"] >= max(concurrency, HOPELESS_FAILURES)
    assert len(api.requests("POST")) <= 2 * max(concurrency, HOPELESS_FAILURES)


def test_a_few_tasks_that_all_fail_are_a_wall_too(api: FakeApi) -> None:
    api.always["POST"] = reset
    report = run(api, HOPELESS_FAILURES - 2, 20)
    assert report.outcome is Outcome.UNREACHABLE
    assert report.errors == {"reset": HOPELESS_FAILURES - 2}


def test_batches_carry_every_task_once_and_the_last_one_the_rest(api: FakeApi) -> None:
    report = run(api, 250, 2, batch=100)
    assert report.outcome is Outcome.OK
    assert {seen.path for seen in api.seen} == {"/tasks/batch"}
    assert sorted(len(seen.body["tasks"]) for seen in api.seen) == [50, 100, 100]
    sent = [task for seen in api.seen for task in seen.body["tasks"]]
    assert len({task["taskId"] for task in sent}) == len(api.stored) == 250
    assert sorted(int(task["answer"].removeprefix("task ")) for task in sent) == list(range(1, 251))
    measured = report.as_json()
    assert (measured["batchSize"], measured["sent"], measured["accepted"]) == (100, 250, 250)
    assert measured["throughputPerSecond"] == pytest.approx(250 / report.elapsed, rel=0.01)
    assert "tasks/s with 2 requests of 100 at a time" in report.headline


def test_type_and_payload_of_a_batch_are_those_asked_for(api: FakeApi) -> None:
    run(api, 2, 1, batch=2, work=Work("report", {"n": 1}))
    assert [(task["type"], task["payload"]) for task in api.seen[0].body["tasks"]] == [
        ("report", {"n": 1})
    ] * 2


def test_every_worker_sends_batches_on_a_connection_of_its_own(api: FakeApi) -> None:
    api.barrier = threading.Barrier(5)  # passes when 5 requests are there at once
    report = run(api, 100, 5, batch=10)
    assert report.accepted == 100
    assert api.connections == api.most_at_once == 5


def test_the_latency_of_a_batch_is_that_of_its_request(api: FakeApi) -> None:
    api.always["POST"] = slow  # a quarter of a second
    report = run(api, 20, 1, batch=10)
    assert len(report.request_seconds) == 2
    measured = report.latencies["submit"]
    assert measured is not None
    assert 0.25 <= measured.p50 <= measured.max <= report.elapsed


def test_each_refused_task_of_a_batch_is_counted_among_the_accepted(api: FakeApi) -> None:
    conflict, invalid, unavailable = (problem_fields(status, "x") for status in (409, 400, 503))
    api.refusals.extend([None, conflict, None, invalid, None, unavailable])
    report = run(api, 25, 2, batch=10)
    assert report.outcome is Outcome.INCOMPLETE
    assert report.errors == {"HTTP 409": 1, "HTTP 400": 1, "HTTP 503": 1}
    assert (report.sent, report.accepted, len(api.stored)) == (25, 22, 22)
    assert len(report.request_seconds) == len(api.seen) == 3, "something was sent again"
    assert report.facts["unanswered"] == ""


def test_a_batch_that_fails_as_a_whole_fails_each_of_its_tasks(api: FakeApi) -> None:
    api.faults["POST"].extend([as_usual, gateway(429, "x"), one_result_too_few, reset, hang])
    report = run(api, 55, 1, batch=10, request_timeout=1)
    assert report.outcome is Outcome.INCOMPLETE
    assert report.errors == {"HTTP 429": 10, "bad answer": 10, "reset": 10, "timeout": 10}
    assert (report.sent, report.accepted) == (55, 15)
    assert report.facts["unanswered"] == ""
    assert len(report.request_seconds) == 2, "the time that an error took is among the latencies"


@pytest.mark.parametrize("concurrency", [1, 10])
def test_batches_are_given_up_by_the_request_and_not_by_the_task(api: FakeApi, concurrency: int) -> None:
    api.always["POST"] = html(403)
    report = run(api, 10_000, concurrency, batch=100)
    assert report.outcome is Outcome.REFUSED
    wall = max(concurrency, HOPELESS_FAILURES)
    assert report.errors["HTTP 403"] >= 100 * wall
    assert wall <= len(api.requests("POST")) <= 2 * wall


def test_one_batch_after_failed_ones_keeps_the_run_going(api: FakeApi) -> None:
    api.faults["POST"].extend([reset] * (HOPELESS_FAILURES - 1))
    report = run(api, 100, 1, batch=10)
    assert report.outcome is Outcome.INCOMPLETE
    assert report.accepted == 100 - 10 * (HOPELESS_FAILURES - 1)


def test_fewer_batches_than_workers_that_all_fail_end_the_run_with_their_error(api: FakeApi) -> None:
    api.always["POST"] = reset
    report = run(api, 200, 20, batch=100)
    assert report.outcome is Outcome.UNREACHABLE
    assert report.errors == {"reset": 200}


def test_it_gives_up_when_every_task_of_every_batch_is_refused(api: FakeApi) -> None:
    api.refusals.extend([problem_fields(400, "Invalid task", "no such type")] * 1000)
    report = run(api, 1000, 1, batch=10)
    assert report.outcome is Outcome.REFUSED
    assert str(report.error) == "400 Invalid task: no such type"
    assert len(api.seen) == HOPELESS_FAILURES
