"""Many tasks in one request of the typed client, against a real server."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest

from client.api import TasksClient
from client.batch import MAX_BATCH, BatchResult
from client.errors import BadAnswerError, FieldError, NoAnswerError, StatusError, TasksError
from client.task import Submission, Task
from tests.client.fake_api import (
    FakeApi,
    Fault,
    Handler,
    answer,
    gateway,
    html,
    one_result_too_few,
    problem,
    problem_fields,
    reset,
)


def submit(api: FakeApi, *submissions: Submission) -> list[BatchResult]:
    async def run() -> list[BatchResult]:
        async with TasksClient(api.url) as client:
            return await client.submit_batch(submissions)

    return asyncio.run(run())


def tasks(*names: str) -> list[Submission]:
    return [Submission(task_id=name, answer=f"of {name}") for name in names]


def task_ids(results: list[BatchResult]) -> list[str]:
    """Of results that are all tasks."""
    assert all(isinstance(result, Task) for result in results), results
    return [result.task_id for result in results if isinstance(result, Task)]


def test_one_request_carries_the_tasks_and_answers_each_in_its_order(api: FakeApi) -> None:
    results = submit(
        api,
        Submission(task_id="b:1", task_type="report", payload={"n": [1]}),
        Submission(task_id="a", answer="x"),
    )
    assert [(seen.method, seen.path) for seen in api.seen] == [("POST", "/tasks/batch")]
    assert api.seen[0].body == {
        "tasks": [
            {"taskId": "b:1", "type": "report", "payload": {"n": [1]}},
            {"taskId": "a", "answer": "x"},
        ]
    }
    assert task_ids(results) == ["b:1", "a"]
    first = results[0]
    assert isinstance(first, Task)
    assert (first.status, first.type, first.payload) == ("PENDING", "report", {"n": [1]})


def test_as_many_as_the_api_takes(api: FakeApi) -> None:
    names = [f"t{n}" for n in range(MAX_BATCH)]
    assert task_ids(submit(api, *tasks(*names))) == names == list(api.stored)
    assert len(api.seen) == 1


def test_ids_are_made_where_there_are_none(api: FakeApi) -> None:
    results = submit(api, Submission(answer="x"), *tasks("t"), Submission(answer="x"))
    first, named, last = task_ids(results)
    assert named == "t"
    assert UUID(first).version == UUID(last).version == 4
    assert first != last
    assert [task["taskId"] for task in api.seen[0].body["tasks"]] == [first, named, last]


def test_a_task_that_is_there_already_is_shown_as_it_is_now(api: FakeApi) -> None:
    submit(api, *tasks("t"))
    api.stored["t"].fields |= {"status": "COMPLETED", "attempts": 1}
    results = submit(api, *tasks("t", "u"))
    assert [result.status for result in results] == ["COMPLETED", "PENDING"]


def test_large_data_is_left_out_of_the_answer(api: FakeApi) -> None:
    (result,) = submit(api, Submission(task_id="t", payload={"text": "x" * 2000}))
    assert isinstance(result, Task)
    assert result.payload is None


def test_each_task_that_is_refused_has_its_own_error_among_the_accepted(api: FakeApi) -> None:
    submit(api, *tasks("taken"))
    unavailable = problem_fields(503, "Service Unavailable", "Send it again.")
    api.refusals.extend([None, None, None, unavailable])
    first, conflict, invalid, not_stored, last = submit(
        api,
        *tasks("a"),
        Submission(task_id="taken", answer="another"),
        Submission(task_id="empty"),
        *tasks("b", "c"),
    )
    assert task_ids([first, last]) == ["a", "c"]
    assert set(api.stored) == {"taken", "a", "c"}

    assert isinstance(conflict, StatusError)
    assert (conflict.kind, conflict.transient) == ("HTTP 409", False)
    assert conflict.detail == "Task taken exists with other content."

    assert isinstance(invalid, StatusError)
    assert (invalid.kind, invalid.transient) == ("HTTP 400", False)
    assert invalid.errors == (FieldError("answer", "is wrong"),)
    assert str(invalid) == "400 Bad Request: answer: is wrong"

    assert isinstance(not_stored, StatusError)
    assert (not_stored.kind, not_stored.transient) == ("HTTP 503", True)
    assert (not_stored.from_api, not_stored.correlation_id) == (True, "corr-1")


@pytest.mark.parametrize("count", [0, MAX_BATCH + 1])
def test_a_number_of_tasks_that_the_api_does_not_take_is_its_to_refuse(api: FakeApi, count: int) -> None:
    with pytest.raises(StatusError, match="1 to 100 tasks") as caught:
        submit(api, *[Submission(answer="x")] * count)
    assert (caught.value.status, caught.value.from_api) == (400, True)
    assert not api.stored


@pytest.mark.parametrize(
    ("fault", "error", "kind"),
    [
        (problem(413, "Content Too Large"), StatusError, "HTTP 413"),
        (gateway(429, "Too Many Requests"), StatusError, "HTTP 429"),
        (html(200), BadAnswerError, "bad answer"),
        (reset, NoAnswerError, "reset"),
    ],
)
def test_a_request_that_fails_as_a_whole_raises(
    api: FakeApi, fault: Fault, error: type[TasksError], kind: str
) -> None:
    api.always["POST"] = fault
    with pytest.raises(error) as caught:
        submit(api, *tasks("a", "b"))
    assert caught.value.kind == kind


def results_like(*changes: dict[str, Any]) -> Fault:
    """The results of as many tasks, each with some other fields; None takes one away."""

    def fault(handler: Handler) -> None:
        results: list[dict[str, Any]] = []
        for task, change in zip(handler.body["tasks"], changes, strict=True):
            result = {"status": 202, "task": handler.api.store(task)[1]} | change
            results.append({name: value for name, value in result.items() if value is not None})
        handler.send(207, {"results": results})

    return fault


def answered(body: object) -> Fault:
    return answer(207, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (answered([]), "not the results of this batch: not an object"),
        (answered({}), "no results"),
        (answered({"results": {}}), "results is not of type list"),
        (one_result_too_few, "there are 1 for 2 tasks"),
        (answered({"results": [1, 2, 3]}), "there are 3 for 2 tasks"),
        (answered({"results": [1, 2]}), "result 1: not an object"),
        (results_like({}, {"status": None}), "result 2: no status"),
        (results_like({"status": True}, {}), "result 1: status is not of type int"),
        (results_like({"status": 302}, {}), "result 1: its status is 302"),
        (results_like({}, {"task": None}), "result 2: no task"),
        (results_like({"task": {"taskId": "a"}}, {}), "result 1: no type"),
        (results_like({"status": 503}, {}), "result 1: no problem"),
        (results_like({"status": 503, "problem": "x"}, {}), "result 1: problem is not of type dict"),
        (answer(207, b'{"results": ' + b"[" * 100_000), "not the results of this batch"),
    ],
)
def test_an_answer_that_does_not_fit_is_a_bad_answer(api: FakeApi, fault: Fault, says: str) -> None:
    api.always["POST"] = fault
    with pytest.raises(BadAnswerError) as caught:
        submit(api, *tasks("a", "b"))
    assert says in str(caught.value)


def test_results_in_another_order_are_a_bad_answer(api: FakeApi) -> None:
    def swapped(handler: Handler) -> None:
        stored = [handler.api.store(task)[1] for task in handler.body["tasks"]]
        handler.send(207, {"results": [{"status": 202, "task": task} for task in reversed(stored)]})

    api.always["POST"] = swapped
    with pytest.raises(BadAnswerError, match="result 1: it is of another task: b"):
        submit(api, *tasks("a", "b"))


def test_a_problem_that_says_nothing_is_named_by_its_status(api: FakeApi) -> None:
    api.always["POST"] = results_like({"status": 409, "problem": {}}, {})
    conflict, _ = submit(api, *tasks("a", "b"))
    assert isinstance(conflict, StatusError)
    assert str(conflict) == "409 Conflict"
