"""Metrics: the lines that CloudWatch makes them of."""

import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from tasklib import clock
from tasklib.clock import Deadline
from tasklib.queue import DeadLetter
from tasklib.task import Status, created_key
from tasklib.telemetry import Measurements, Metric, count
from tasklib.worker import Worker

from tests.metric_lines import Key, data_points, metric_lines

from .conftest import Stack, event_of, lambda_context

Load = Callable[[str], ModuleType]
Captured = pytest.CaptureFixture[str]


def of_type(name: str, task_type: str = "echo") -> Key:
    return name, (("type", task_type),)


def written(capsys: Captured) -> list[dict[str, Any]]:
    """The metric lines since the last call."""
    return metric_lines(capsys.readouterr().out.splitlines())


@pytest.mark.batch_statements
def test_an_invocation_of_the_worker_writes_one_line_for_each_type(
    stack: Stack, worker: Worker, deadline: Deadline, capsys: Captured
) -> None:
    tasks = [stack.submit(f"e{number}", "echo") for number in range(3)] + [stack.submit("f", "failing")]
    worker.work_off(stack.deliver(*tasks), deadline)
    lines = {line["type"]: data_points(line) for line in written(capsys)}
    assert lines.keys() == {"echo", "failing"}
    names = ("TimeInQueue", "RunTime", "Completed", "TimeToCompletion")
    assert lines["echo"].keys() == {of_type(name) for name in names}
    assert lines["echo"][of_type("Completed")] == [3]
    assert all(len(lines["echo"][of_type(name)]) == 3 for name in names if name != "Completed")
    # It will be tried again: no end yet.
    assert lines["failing"].keys() == {of_type(name, "failing") for name in ("TimeInQueue", "RunTime")}


@pytest.mark.batch_statements
def test_an_attempt_after_the_first_is_a_retry_and_the_last_failure_an_end(
    stack: Stack, worker: Worker, deadline: Deadline, capsys: Captured
) -> None:
    failed: dict[str, Any] = {
        "status": Status.RETRYING,
        "attempts": 2,
        "error_message": "bad",
        "not_before": clock.now() - 500,
    }
    worker.work_off(stack.deliver(stack.submit("t", "failing", **failed)), deadline)
    (line,) = written(capsys)
    points = data_points(line)
    assert points[of_type("Retried", "failing")] == points[of_type("Failed", "failing")] == [1]
    (waited,) = points[of_type("TimeInQueue", "failing")]
    assert 500 <= waited < 10_000


@pytest.mark.batch_statements
def test_a_task_that_can_never_run_has_failed(
    stack: Stack, worker: Worker, deadline: Deadline, capsys: Captured
) -> None:
    worker.work_off(stack.deliver(stack.submit("t", "long_gone")), deadline)
    (line,) = written(capsys)
    assert data_points(line) == {of_type("Failed", "long_gone"): [1]}


@pytest.mark.batch_statements
@pytest.mark.parametrize(
    ("fields", "least"),
    [
        ({}, 60_000),
        ({"run_at": -20_000}, 20_000),  # wanted later than it was accepted
    ],
)
def test_time_to_completion_counts_from_when_the_task_could_start(
    stack: Stack, worker: Worker, deadline: Deadline, capsys: Captured, fields: dict[str, Any], least: int
) -> None:
    now = clock.now()
    fields = {name: now + offset for name, offset in fields.items()}
    task = stack.submit("t", created_key=created_key("t", now - 60_000), **fields)
    worker.work_off(stack.deliver(task), deadline)
    (line,) = written(capsys)
    (taken,) = data_points(line)[of_type("TimeToCompletion")]
    assert least <= taken < least + 10_000


@pytest.mark.batch_statements
def test_a_later_run_completes_without_a_time(
    stack: Stack, worker: Worker, deadline: Deadline, capsys: Captured
) -> None:
    worker.work_off(stack.deliver(stack.submit("t", run=2)), deadline)
    (line,) = written(capsys)
    assert of_type("Completed") in data_points(line)
    assert of_type("TimeToCompletion") not in data_points(line)


def test_what_a_batch_of_any_size_measured_fits_the_format(capsys: Captured) -> None:
    measured = Measurements()
    for number in range(200):
        measured.add("echo", Metric.RUN_TIME, number)
        measured.add("echo", Metric.COMPLETED)
    measured.write()
    lines = [data_points(line) for line in written(capsys)]
    values = [line[of_type("RunTime")] for line in lines]
    assert all(len(each) <= 100 for each in values)
    assert [value for each in values for value in each] == [*range(200)]
    assert [line[of_type("Completed")] for line in lines if of_type("Completed") in line] == [[200]]
    measured.write()
    assert written(capsys) == []


def test_each_dead_letter_is_counted_when_it_is_reported(stack: Stack, load: Load, capsys: Captured) -> None:
    task = stack.submit("t", status=Status.FAILED, attempts=3, error_message="bad")
    letters = [DeadLetter("t", 1, "bad", "c").body(), '{"taskId": "nobody", "run": 1}']
    for letter in letters:
        stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody=letter)
    deliveries = stack.receive(stack.dead_letter_queue_url)
    load("monitor_dlq").handler(event_of(deliveries), lambda_context())
    overall: Key = ("DeadLetters", ())
    points = [data_points(line) for line in written(capsys)]
    assert sorted(points, key=len) == [{overall: [1]}, {overall: [1], of_type("DeadLetters", task.type): [1]}]


@pytest.mark.batch_statements
def test_a_task_that_the_queue_gave_up_has_failed_and_is_dead(
    stack: Stack, load: Load, capsys: Captured
) -> None:
    task = stack.submit("t", status=Status.RETRYING, attempts=1)
    stack.deliver(task)
    body = f'{{"taskId": "t", "run": 1, "type": "{task.type}", "correlationId": "c"}}'
    stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody=body)
    load("monitor_dlq").handler(event_of(stack.receive(stack.dead_letter_queue_url)), lambda_context())
    names = [name for line in written(capsys) for name, dimensions in data_points(line) if dimensions]
    assert names == ["Failed", "DeadLetters"]


def test_units(capsys: Captured) -> None:
    measured = Measurements()
    for metric in Metric:
        if metric not in (Metric.DEAD_LETTERS, Metric.DEAD_LETTERS_PARKED, Metric.DAMAGED_RECORDS):
            measured.add("echo", metric, 1)
    measured.write()
    count(Metric.DEAD_LETTERS_PARKED, None)
    units = {
        metric["Name"]: metric["Unit"]
        for line in written(capsys)
        for directive in line["_aws"]["CloudWatchMetrics"]
        for metric in directive["Metrics"]
    }
    times = {"TimeInQueue", "RunTime", "TimeToCompletion"}
    assert {name for name, unit in units.items() if unit == "Milliseconds"} == times
    assert {name for name, unit in units.items() if unit == "Count"} == units.keys() - times


def test_submissions_say_how_many_of_a_type_there_are(
    stack: Stack, load: Load, caplog: pytest.LogCaptureFixture, capsys: Captured
) -> None:
    """CloudWatch counts them by the fields `submitted` and `type`."""
    caplog.set_level(logging.INFO)
    submit = load("submit_tasks").handler
    submit(request("POST /tasks", '{"answer": "1"}'), lambda_context())
    submit(request("POST /tasks", '{"answer": ""}'), lambda_context())
    webhook = '{"type": "webhook", "payload": {"url": "https://hooks.example.com", "body": {}}}'
    tasks = f'{{"tasks": [{{"answer": "1"}}, {webhook}, {{"answer": "2"}}]}}'
    submit(request("POST /tasks/batch", tasks), lambda_context())
    lines = [vars(record) for record in caplog.records]
    said = [(line["type"], line["submitted"]) for line in lines if "submitted" in line]
    assert said == [("simulate", 1), ("simulate", 2), ("webhook", 1)]
    assert written(capsys) == []  # a line of its own would cost as much as the log line


def request(route: str, body: str) -> dict[str, Any]:
    method, _, path = route.partition(" ")
    return {
        "routeKey": route,
        "rawPath": path,
        "requestContext": {"http": {"method": method}, "requestId": "r"},
        "body": body,
    }
