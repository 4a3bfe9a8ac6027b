"""What bad clients send, over the wire: a 4xx that names each field, and never a stored record."""

import base64
import json

import httpx
import pytest

from .conftest import LocalStack

pytestmark = pytest.mark.xdist_group("reliable")


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        (b"", 400, ["body"]),
        (b"not JSON", 400, ["body"]),
        (b"\xff\xfe\x00", 400, ["body"]),
        (b'[{"answer": "x"}]', 400, ["body"]),
        (b'{"payload": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}", 400, ["body"]),
        (b'{"payload": ' + b'{"a":' * 150 + b"1" + b"}" * 150 + b"}", 400, ["payload"]),
        (b'{"answer": "\\ud800"}', 400, ["answer"]),
        (b'{"payload": {"\\udc00": "\\ud800"}}', 400, ["payload"]),
        (b'{"payload": {"a": 1e999}}', 400, ["payload"]),
        (json.dumps({"payload": {"text": "x" * 300_000}}).encode(), 413, ["payload"]),
        (json.dumps({"answer": "x" * 5_300_000}).encode(), 413, ["body"]),
        (b'{"taskId": "a/b", "answer": "x"}', 400, ["taskId"]),
        (b'{"type": "rm -rf", "answer": "x"}', 400, ["type"]),
        (b'{"answer": "x", "payload": {}}', 400, ["payload"]),
        (b"{}", 400, ["answer"]),
        (b'{"taskId": 1, "type": 2, "answer": 3, "extra": 4}', 400, ["extra", "taskId", "type", "answer"]),
    ],
)
def test_of_a_submission(reliable: LocalStack, body: bytes, status: int, fields: list[str]) -> None:
    before = {task["taskId"] for task in reliable.tasks()}
    answer = reliable.http.post("/tasks", content=body, headers={"content-type": "application/json"})
    assert_problem(answer, status, fields)
    assert {task["taskId"] for task in reliable.tasks()} == before


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/tasks?limit=0", ["limit"]),
        ("/tasks?limit=1&limit=2", ["limit"]),
        ("/tasks?limit=%00&status=DONE", ["status", "limit"]),
        ("/tasks?cursor=" + base64.urlsafe_b64encode(b'{"taskId":{"S":"x"}}').decode(), ["cursor"]),
        ("/tasks?cursor=%F0%9F%92%A9", ["cursor"]),
        ("/tasks?Limit=5", ["Limit"]),
        ("/tasks/" + "x" * 129, ["taskId"]),
        ("/tasks/%20", ["taskId"]),
        ("/tasks/%ED%A0%80", ["taskId"]),
        ("/tasks/a?full=1", ["full"]),
    ],
)
def test_of_a_reader(reliable: LocalStack, path: str, fields: list[str]) -> None:
    assert_problem(reliable.http.get(path), 400, fields)


def assert_problem(answer: httpx.Response, status: int, fields: list[str]) -> None:
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-correlation-id"]
    problem = answer.json()
    assert {"type", "title", "status", "detail", "errors"} == problem.keys()
    assert problem["status"] == status
    assert [error["field"] for error in problem["errors"]] == fields
