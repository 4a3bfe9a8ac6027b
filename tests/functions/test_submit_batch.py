"""`POST /tasks/batch`, through its handler: each task by itself, whatever becomes of the others."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session
from tasklib.task import Status

from .conftest import Stack, lambda_context
from .wire import FOREVER, Wire

Load = Callable[[str], ModuleType]

#: Answers with the status, the body and the headers of the request's answer.
PostBody = Callable[..., tuple[int, dict[str, Any], dict[str, str]]]

#: Answers with the results of a batch.
Post = Callable[..., list[dict[str, Any]]]

#: The operation by which many records are written.
WRITE = "BatchExecuteStatement"

#: A call's tries by botocore (tasklib.aws).
TRIES = 3


@pytest.fixture
def post_body(stack: Stack, load: Load) -> PostBody:
    module = load("submit_tasks")

    def post_body(
        body: object, *, milliseconds: int = 30_000, **headers: str
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        event = {
            "routeKey": "POST /tasks/batch",
            "rawPath": "/tasks/batch",
            "headers": {name.replace("_", "-"): value for name, value in headers.items()},
            "requestContext": {"http": {"method": "POST"}, "requestId": "r"},
            "body": body if isinstance(body, str) else json.dumps(body),
        }
        answer = module.handler(event, lambda_context(milliseconds))
        return answer["statusCode"], json.loads(answer["body"]), answer["headers"]

    return post_body


@pytest.fixture
def post(post_body: PostBody) -> Post:
    def post(*tasks: object, **more: Any) -> list[dict[str, Any]]:
        status, body, headers = post_body({"tasks": tasks}, **more)
        assert status == 207
        assert headers["content-type"] == "application/json"
        assert body.keys() == {"results"}
        assert len(body["results"]) == len(tasks)
        return body["results"]

    return post


def queued(stack: Stack) -> list[str]:
    """The tasks whose messages are on the queue."""
    ids: list[str] = []
    while deliveries := stack.receive(stack.task_queue_url):
        ids += [json.loads(delivery.body)["taskId"] for delivery in deliveries]
    return sorted(ids)


def named(count: int, **fields: object) -> list[dict[str, object]]:
    """Submissions of so many tasks, t0 and so on."""
    return [{"taskId": f"t{number}", "answer": str(number)} | fields for number in range(count)]


def codes(results: list[dict[str, Any]]) -> list[int]:
    """The status of each result."""
    return [result["status"] for result in results]


def fields_of(result: dict[str, Any]) -> list[str]:
    """The fields that a problem names."""
    return [error["field"] for error in result["problem"]["errors"]]


class TestAResult:
    def test_of_a_new_task_is_that_task(self, stack: Stack, post: Post) -> None:
        (result,) = post({"taskId": "t", "payload": {"a": 1}}, x_correlation_id="mine")
        task = result["task"]
        assert result == {"status": 202, "task": task}
        assert task | {"createdAt": "", "updatedAt": ""} == {
            "taskId": "t",
            "type": "simulate",
            "payload": {"a": 1},
            "status": "PENDING",
            "attempts": 0,
            "retries": 0,
            "run": 1,
            "version": 1,
            "createdAt": "",
            "updatedAt": "",
        }
        (message,) = stack.receive(stack.task_queue_url)
        assert json.loads(message.body) == {
            "taskId": "t",
            "run": 1,
            "type": "simulate",
            "correlationId": "mine",
        }

    def test_of_every_kind_stands_where_its_submission_stood(self, stack: Stack, post: Post) -> None:
        stack.submit("same", "simulate", '{"a":1}', status=Status.COMPLETED, attempts=1, result='"done"')
        stack.submit("other", "simulate", '{"a":1}')
        results = post(
            {"taskId": "new", "answer": "x"},
            {"taskId": "no spaces", "type": "nope", "answer": ""},
            {"taskId": "same", "payload": {"a": 1}},
            {"taskId": "other", "payload": {"a": 2}},
            "no object",
            {"payload": {"text": "x" * 300_000}},
            {"answer": "y", "color": "red"},
            {"answer": "without an ID"},
        )
        assert codes(results) == [202, 400, 200, 409, 400, 413, 400, 202]
        assert results[2]["task"]["result"] == "done"
        assert results[7]["task"]["answer"] == "without an ID"
        for result in results:
            if "problem" in result:
                assert result.keys() == {"status", "problem"}
                assert {"type", "title", "status", "detail"} <= result["problem"].keys()
                assert result["problem"]["status"] == result["status"]
        # By their names in the task, wherever in the batch it is.
        assert fields_of(results[1]) == ["taskId", "type", "answer"]
        assert fields_of(results[5]) == ["payload"]
        assert fields_of(results[6]) == ["color"]
        assert results[3]["problem"]["detail"] == "Task other exists with other content."
        assert queued(stack) == sorted(["new", results[7]["task"]["taskId"]])

    def test_of_the_same_request_again_is_the_task_as_it_is(self, stack: Stack, post: Post) -> None:
        first = post(*named(12))
        again = post(*named(12))
        assert codes(first) == [202] * 12
        assert codes(again) == [200] * 12
        assert [result["task"] for result in again] == [result["task"] for result in first]
        assert len(queued(stack)) == 12

    def test_shows_data_as_a_list_does(self, stack: Stack, post: Post) -> None:
        large = {"taskId": "large", "payload": {"text": "x" * 2000}}
        for status in (202, 200):
            (result,) = post(large)
            assert result["status"] == status
            assert result["task"]["truncated"] is True
            assert "payload" not in result["task"]
        record = stack.record("large")
        assert record.data is None
        data = stack.store.load_data(record)
        assert data
        assert data.value == large["payload"]


class TestABatch:
    @pytest.mark.parametrize(
        ("count", "calls"),
        [
            (1, {"PutItem": 1, "SendMessageBatch": 1}),
            pytest.param(
                *(100, {"BatchExecuteStatement": 4, "SendMessageBatch": 10}),
                marks=pytest.mark.batch_statements,
            ),
        ],
    )
    def test_of_the_least_and_the_most_tasks_is_stored_and_queued(
        self, stack: Stack, wire: Wire, post: Post, count: int, calls: dict[str, int]
    ) -> None:
        results = post(*named(count))
        assert codes(results) == [202] * count
        ids = [f"t{number}" for number in range(count)]
        assert [result["task"]["taskId"] for result in results] == ids
        assert [result["task"]["answer"] for result in results] == [str(number) for number in range(count)]
        assert wire.calls() == calls
        assert [task.task_id for task in stack.store.get_many(ids, consistent=True).tasks] == ids
        assert queued(stack) == sorted(ids)

    @pytest.mark.parametrize("of_the_call", [True, pytest.param(False, marks=pytest.mark.batch_statements)])
    def test_that_may_not_be_stored_together_is_stored_one_by_one_and_logged(
        self,
        stack: Stack,
        wire: Wire,
        post: Post,
        caplog: pytest.LogCaptureFixture,
        of_the_call: bool,
    ) -> None:
        if of_the_call:
            wire.refuse(WRITE, code="AccessDeniedException")
        else:
            wire.refuse_part(WRITE, "t1", code="AccessDenied")
        assert codes(post(*named(3))) == [202] * 3
        assert queued(stack) == ["t0", "t1", "t2"]
        [warning] = [record for record in caplog.records if record.levelname == "WARNING"]
        assert vars(warning)["taskIds"] == ["t0", "t1", "t2"]
        assert "AccessDenied" in vars(warning)["reason"]

    @pytest.mark.parametrize(
        ("body", "status", "fields"),
        [
            ("", 400, ["body"]),
            ("{", 400, ["body"]),
            ("[]", 400, ["body"]),
            ("null", 400, ["body"]),
            ('[{"answer": "x"}]', 400, ["body"]),
            ('{"answer": "x"}', 400, ["answer", "tasks"]),
            ("{}", 400, ["tasks"]),
            ('{"tasks": null}', 400, ["tasks"]),
            ('{"tasks": {"answer": "x"}}', 400, ["tasks"]),
            ('{"tasks": "x"}', 400, ["tasks"]),
            ('{"tasks": []}', 400, ["tasks"]),
            (json.dumps({"tasks": named(101)}), 400, ["tasks"]),
            (json.dumps({"tasks": named(1), "color": "red"}), 400, ["color"]),
            (json.dumps({"tasks": [], "Tasks": named(1)}), 400, ["Tasks", "tasks"]),
            ('{"tasks": [' + "[" * 100_000, 400, ["body"]),
            ("1e999", 400, ["body"]),
            ('{"tasks": 1e999}', 400, ["tasks"]),
            ('{"tasks": [{"answer": "x"}], "tasks": [{"answer": "y"}]}', 400, ["tasks"]),
            ('{"tasks": [{"answer": "x"}], "a": {"b": 1, "b": 1}}', 400, ["a.b"]),
            (json.dumps({"tasks": [{"answer": "x" * 250_000}] * 12}), 413, ["body"]),
        ],
    )
    def test_that_is_none_is_one_problem(
        self, stack: Stack, post_body: PostBody, body: str, status: int, fields: list[str]
    ) -> None:
        answer, problem, headers = post_body(body)
        assert answer == problem["status"] == status
        assert headers["content-type"] == "application/problem+json"
        assert [error["field"] for error in problem["errors"]] == fields
        assert all(len(error["message"]) < 250 for error in problem["errors"])
        assert stack.items() == []

    def test_of_three_megabytes_is_taken(self, stack: Stack, post: Post) -> None:
        tasks = [{"taskId": f"t{number}", "answer": "x" * 249_000} for number in range(12)]
        assert 2_980_000 < len(json.dumps({"tasks": tasks})) <= 3_000_000
        results = post(*tasks)
        assert codes(results) == [202] * 12
        # And its answer is small: Lambda's own may have 6 MB.
        assert len(json.dumps(results)) < 20_000
        assert len(queued(stack)) == 12

    def test_with_values_that_cannot_be_kept_is_good_for_its_other_tasks(
        self, stack: Stack, post_body: PostBody
    ) -> None:
        tasks = (
            '{"taskId": "t0", "payload": {"n": 1.5}}',
            '{"taskId": "t1", "payload": {"n": [0, 1e999]}}',
            '{"taskId": "t2", "taskId": "t3", "answer": "x"}',
            "1e-999",
            '{"taskId": "t4", "payload": {"n": {"n": 1, "n": 1}}}',
            '{"taskId": "t5", "answer": "x"}',
        )
        status, answer, _ = post_body(f'{{"tasks": [{",".join(tasks)}]}}')
        results = answer["results"]
        assert (status, codes(results)) == (207, [202, 400, 400, 400, 400, 202])
        assert [fields_of(result) for result in results[1:5]] == [
            ["payload.n[1]"],
            ["taskId"],
            ["task"],
            ["payload.n.n"],
        ]
        assert queued(stack) == ["t0", "t5"]

    @pytest.mark.parametrize("character", ["x", "\U0001f600", "\x01"])
    def test_of_nothing_but_errors_has_a_small_answer(self, post_body: PostBody, character: str) -> None:
        wrong = {f"{number:03}{character * 97}": 1 for number in range(45)}
        wrong |= dict.fromkeys(("taskId", "type"), character * 200)
        status, answer, _ = post_body(json.dumps({"tasks": [wrong] * 100}, ensure_ascii=False))
        assert (status, codes(answer["results"])) == (207, [400] * 100)
        # Lambda's own may have 6 MB.
        assert len(json.dumps(answer, ensure_ascii=False).encode()) < 1_000_000

    @pytest.mark.parametrize(("tasks", "told"), [(1, 50), (5, 10), (100, 3)])
    def test_shares_the_errors_that_an_answer_tells(self, post: Post, tasks: int, told: int) -> None:
        wrong = {"answer": "1"} | dict.fromkeys((f"f{number}" for number in range(60)), 1)
        for result in post(*[wrong] * tasks):
            *errors, last = result["problem"]["errors"]
            assert [error["field"] for error in errors] == [f"f{number}" for number in range(told)]
            assert last == {"field": "body", "message": f"has {60 - told} more errors"}
            assert result["problem"]["detail"].count(";") == told * 2

    def test_takes_no_query(self, load: Load, stack: Stack) -> None:
        event = {
            "routeKey": "POST /tasks/batch",
            "rawPath": "/tasks/batch",
            "requestContext": {"http": {"method": "POST"}, "requestId": "r"},
            "queryStringParameters": {"dry": "1"},
            "body": json.dumps({"tasks": named(1)}),
        }
        assert load("submit_tasks").handler(event, lambda_context())["statusCode"] == 400
        assert stack.items() == []


class TestAnIdThatComesTwice:
    def test_with_the_same_content_is_one_task(self, stack: Stack, post: Post) -> None:
        task = {"taskId": "t", "payload": {"a": 1, "b": 2}}
        results = post(task, {"answer": "between"}, {"payload": {"b": 2, "a": 1}, "taskId": "t"}, task)
        assert codes(results) == [202, 202, 200, 200]
        assert results[2]["task"] == results[3]["task"] == results[0]["task"]
        assert queued(stack).count("t") == 1

    def test_with_other_content_is_a_conflict(self, stack: Stack, post: Post) -> None:
        results = post({"taskId": "t", "answer": "first"}, {"taskId": "t", "answer": "second"})
        assert codes(results) == [202, 409]
        assert stack.record("t").data == ("answer", "first")
        assert queued(stack) == ["t"]

    def test_of_a_task_that_is_there_is_judged_by_that_one(self, post: Post) -> None:
        post({"taskId": "t", "answer": "there"})
        results = post({"taskId": "t", "answer": "other"}, {"taskId": "t", "answer": "there"})
        assert codes(results) == [409, 200]

    def test_and_is_not_good_the_first_time_is_the_second_that_counts(self, post: Post) -> None:
        results = post({"taskId": "t"}, {"taskId": "t", "answer": "x"})
        assert codes(results) == [400, 202]

    def test_is_tried_again_when_the_first_could_not_be_stored(
        self, stack: Stack, wire: Wire, post: Post
    ) -> None:
        wire.refuse("PutItem", '"t"', code="InternalServerError", times=TRIES)
        results = post({"taskId": "t", "answer": "x"}, {"taskId": "t", "answer": "x"})
        assert codes(results) == [503, 202]
        assert queued(stack) == ["t"]


class TestAnIdempotencyKey:
    def test_with_a_place_makes_one_task_of_repeated_requests(self, post: Post) -> None:
        tasks = [{"answer": "same"}, {"taskId": "mine", "answer": "same"}, {"answer": "same"}]
        first = post(*tasks, idempotency_key="order 4711")
        again = post(*tasks, idempotency_key="order 4711")
        assert codes(first) == [202] * 3
        assert codes(again) == [200] * 3
        ids = [result["task"]["taskId"] for result in first]
        assert ids == [result["task"]["taskId"] for result in again]
        assert (len(set(ids)), ids[1]) == (3, "mine")
        # By its place, whatever stands before it.
        moved = post({"bad": 1}, {"bad": 1}, tasks[2], idempotency_key="order 4711")
        assert codes(moved) == [400, 400, 200]
        assert codes(post({"answer": "other"}, idempotency_key="order 4711")) == [409]
        assert codes(post({"answer": "same"}, idempotency_key="order 4712")) == [202]

    def test_names_no_task_that_came_alone(self, load: Load, post: Post) -> None:
        (result,) = post({"answer": "x"}, idempotency_key="k")
        event = {
            "routeKey": "POST /tasks",
            "rawPath": "/tasks",
            "headers": {"idempotency-key": "k"},
            "requestContext": {"http": {"method": "POST"}, "requestId": "r"},
            "body": '{"answer": "x"}',
        }
        alone = load("submit_tasks").handler(event, lambda_context())
        assert alone["statusCode"] == 202
        assert json.loads(alone["body"])["taskId"] != result["task"]["taskId"]

    def test_that_is_not_sane_is_one_problem(self, stack: Stack, post_body: PostBody) -> None:
        status, problem, _ = post_body({"tasks": named(2)}, idempotency_key="\u00fc")
        assert (status, problem["errors"][0]["field"]) == (400, "Idempotency-Key")
        assert stack.items() == []


class TestWithoutAnAnswer:
    @pytest.mark.batch_statements
    def test_from_the_table_for_some_the_others_are_accepted(
        self, stack: Stack, wire: Wire, post: Post
    ) -> None:
        for task_id in ("t3", "t7"):
            wire.refuse_part(WRITE, f'"{task_id}"', code="ThrottlingError")
            wire.refuse("PutItem", f'"{task_id}"', code="InternalServerError", times=FOREVER)
        results = post(*named(10))
        expected = [503 if number in (3, 7) else 202 for number in range(10)]
        assert codes(results) == expected
        assert results[3]["problem"]["title"] == "Service Unavailable"
        assert stack.table not in json.dumps(results)
        accepted = [f"t{number}" for number in range(10) if number not in (3, 7)]
        assert sorted(item["taskId"]["S"] for item in stack.items()) == accepted
        assert queued(stack) == accepted

    def test_from_the_table_at_all_nothing_is_accepted(self, stack: Stack, wire: Wire, post: Post) -> None:
        wire.cut.add("dynamodb")
        assert codes(post(*named(20))) == [503] * 20
        wire.mend()
        assert (stack.items(), queued(stack)) == ([], [])

    @pytest.mark.parametrize("times", [1, TRIES], ids=["once", "to botocore"])
    def test_to_records_that_were_written_they_are_known_again(
        self, stack: Stack, wire: Wire, post: Post, times: int
    ) -> None:
        wire.lose(WRITE, times=times)
        assert codes(post(*named(30))) == [202] * 30
        assert {item["version"]["N"] for item in stack.items()} == {"1"}
        assert queued(stack) == sorted(f"t{number}" for number in range(30))

    @pytest.mark.batch_statements
    @pytest.mark.parametrize("made", [False, True], ids=["not made", "made"])
    @pytest.mark.parametrize("code", ["ThrottlingError", "InternalServerError", "ValidationError"])
    def test_to_one_record_it_is_written_by_itself(
        self, stack: Stack, wire: Wire, post: Post, code: str, made: bool
    ) -> None:
        wire.refuse_part(WRITE, '"t1"', code=code, made=made)
        assert codes(post(*named(3))) == [202] * 3
        assert (len(stack.items()), queued(stack)) == (3, ["t0", "t1", "t2"])

    def test_to_a_record_that_was_written_it_may_be_sent_again(
        self, stack: Stack, wire: Wire, post: Post
    ) -> None:
        wire.lose(WRITE, times=TRIES)
        wire.lose("PutItem", '"t1"', times=TRIES)
        assert codes(post(*named(3))) == [202, 503, 202]
        assert codes(post(*named(3))) == [200, 200, 200]
        # The sweep sends the message of the one that nobody knew of.
        assert queued(stack) == ["t0", "t2"]

    @pytest.mark.parametrize("made", [False, True], ids=["not made", "made"])
    def test_from_the_queue_the_tasks_are_accepted_and_left_to_the_sweep(
        self, stack: Stack, wire: Wire, load: Load, monkeypatch: pytest.MonkeyPatch, post: Post, made: bool
    ) -> None:
        if made:
            wire.lose("SendMessageBatch", times=TRIES)
        else:
            wire.cut.add("sqs")
        results = post(*named(5))
        wire.mend()
        assert codes(results) == [202] * 5
        assert set(queued(stack)) == ({f"t{number}" for number in range(5)} if made else set())
        monkeypatch.setenv("SWEEP_BEHIND_SECONDS", "-1")
        assert load("sweep_tasks").handler({}, lambda_context(60_000)) == {"sent": 5}
        assert queued(stack) == [f"t{number}" for number in range(5)]

    def test_from_the_queue_to_one_message_it_is_sent_by_itself(
        self, stack: Stack, wire: Wire, post: Post
    ) -> None:
        wire.refuse_part("SendMessageBatch", "t2", code="InternalFailure")
        assert codes(post(*named(5))) == [202] * 5
        assert queued(stack) == [f"t{number}" for number in range(5)]
        assert wire.calls()["SendMessage"] == 1

    def test_in_time_the_rest_is_left_to_the_client(self, stack: Stack, post: Post) -> None:
        assert codes(post(*named(3), milliseconds=3_000)) == [503] * 3
        assert (stack.items(), queued(stack)) == ([], [])
        assert codes(post(*named(3))) == [202] * 3

    @pytest.mark.usefixtures("wire")  # no backoff
    @pytest.mark.parametrize(
        ("service", "milliseconds", "hang", "code"), [("dynamodb", 8_200, 1.5, 503), ("sqs", 4_500, 1.6, 202)]
    )
    def test_for_as_long_as_it_is_waited_for_every_task_has_its_result_in_time(
        self,
        stack: Stack,
        monkeypatch: pytest.MonkeyPatch,
        post: Post,
        service: str,
        milliseconds: int,
        hang: float,
        code: int,
    ) -> None:
        to_wire = URLLib3Session.send

        def send(session: URLLib3Session, request: AWSPreparedRequest) -> AWSResponse:
            target = cast("dict[str, bytes]", request.headers)["X-Amz-Target"].decode()
            if target.startswith("DynamoDB" if service == "dynamodb" else "AmazonSQS"):
                time.sleep(hang)
                raise ReadTimeoutError(endpoint_url=request.url)
            return to_wire(session, request)

        began = time.monotonic()
        with monkeypatch.context() as patch:
            patch.setattr(URLLib3Session, "send", send)
            results = post(*named(20), {"taskId": "large", "answer": "x" * 2000}, milliseconds=milliseconds)
        assert time.monotonic() - began < milliseconds / 1000
        assert codes(results) == [code] * 21
        assert (len(stack.items()) > 0) == (code == 202)
        assert queued(stack) == []

    def test_its_calls_are_made_side_by_side_so_that_they_end_in_time(self, wire: Wire, post: Post) -> None:
        # None of the four is answered before all are made.
        all_made = threading.Barrier(4, timeout=10)
        for first in ("t0", "t25", "t50", "t75"):
            wire.meanwhile("BatchExecuteStatement", f'"{first}"', all_made.wait)
        assert codes(post(*named(100))) == [202] * 100


def test_a_damaged_record_is_the_trouble_of_its_own_task(stack: Stack, post: Post) -> None:
    stack.submit("t1")
    stack.dynamodb.update_item(
        TableName=stack.table,
        Key={"taskId": {"S": "t1"}, "part": {"S": "state"}},
        UpdateExpression="SET #status = :none",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":none": {"S": "DONE"}},
    )
    results = post(*named(3))
    assert [codes(results)[number] for number in (0, 2)] == [202, 202]
    assert codes(results)[1] >= 500
    assert queued(stack) == ["t0", "t2"]
