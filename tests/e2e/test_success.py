"""Tasks that succeed, on a stack without failures."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.waiting import wait_for

from . import scenarios
from .conftest import LocalStack, run_client

pytestmark = pytest.mark.xdist_group("reliable")


@pytest.mark.parametrize("count", [3, pytest.param(100, marks=pytest.mark.long)])
def test_all_tasks_complete_at_their_first_attempt(reliable: LocalStack, count: int) -> None:
    before = {task["taskId"] for task in reliable.tasks()}
    code, report = run_client(reliable, "smoke", "--count", str(count), "--timeout", "90")
    assert code == 0, report
    assert report["statuses"] == {"COMPLETED": count}
    tasks = [task for task in reliable.tasks() if task["taskId"] not in before]
    assert len(tasks) == count
    assert {(task["status"], task["attempts"], task["version"]) for task in tasks} == {("COMPLETED", 1, 3)}
    reliable.wait_until_idle()


def test_one_id_submitted_by_eight_clients_at_once_is_one_task(reliable: LocalStack) -> None:
    def post(number: int) -> int:
        body = {"taskId": "race", "payload": {"seconds": 0.2, "client": number}}
        return reliable.http.post("/tasks", json=body).status_code

    with ThreadPoolExecutor(8) as clients:
        statuses = sorted(clients.map(post, range(8)))
    assert statuses == [202, *[409] * 7]
    task = reliable.finished("race")
    assert (task["attempts"], task["version"]) == (1, 3)


def test_a_message_delivered_five_times_at_once_runs_its_task_once(reliable: LocalStack) -> None:
    reliable.submit("duplicated", payload={"seconds": 1})
    message = '{"taskId":"duplicated","run":1,"type":"simulate","correlationId":"c"}'
    for _ in range(5):
        reliable.sqs.send_message(QueueUrl=reliable.task_queue_url, MessageBody=message)
    # All five are delivered while the task runs; they go back until its lease ends.
    task = reliable.finished("duplicated")
    assert (task["attempts"], task["version"]) == (1, 3)


def test_a_large_payload_arrives_whole(reliable: LocalStack) -> None:
    payload = {"seconds": 0, "text": "ü" * 100_000, "numbers": [1, 2.5, 1e300, -0.0, 2**70]}
    reliable.submit("large", payload=payload)
    task = reliable.finished("large")
    assert task["status"] == "COMPLETED"
    assert task["payload"] == payload


def test_conflicts_are_told(reliable: LocalStack) -> None:
    scenarios.conflicts_are_told(reliable, wait_for)


def test_a_correlation_id_goes_from_the_request_to_the_worker(reliable: LocalStack) -> None:
    body = {"taskId": "traced", "payload": {"seconds": 0}}
    answer = reliable.http.post("/tasks", json=body, headers={"x-correlation-id": "trace-me"})
    assert answer.headers["x-correlation-id"] == "trace-me"

    def services() -> bool:
        lines = [line for line in reliable.logs() if line.get("correlationId") == "trace-me"]
        return {"submit-tasks", "process-tasks"} <= {line["service"] for line in lines}

    wait_for(services, "the log lines of both functions")


def test_bad_messages_are_dead_lettered_and_their_neighbours_complete(reliable: LocalStack) -> None:
    reliable.submit("neighbour", payload={"seconds": 0.1})
    bodies = {
        "garbage": "this is no JSON",
        "unknown": '{"taskId":"unheard-of","run":1,"type":"simulate","correlationId":"lost"}',
        "again": '{"taskId":"neighbour","run":1,"type":"simulate","correlationId":"c"}',
    }
    entries = [{"Id": name, "MessageBody": body} for name, body in bodies.items()]
    reliable.sqs.send_message_batch(QueueUrl=reliable.task_queue_url, Entries=entries)  # pyright: ignore[reportArgumentType]

    def letters() -> bool:
        lines = [line for line in reliable.logs() if line.get("eventType") == "DLQ_MESSAGE"]
        reasons = {(line.get("taskId"), line["errorMessage"]) for line in lines}
        return {
            (None, "not a task message: not JSON"),
            ("unheard-of", "no such task"),
        } <= reasons

    wait_for(letters, "both dead letters with their reasons")
    assert reliable.finished("neighbour")["attempts"] == 1
    wait_for(lambda: reliable.messages(reliable.dead_letter_queue_url) == 0, "an empty dead-letter queue")
    assert reliable.http.get("/tasks/unheard-of").status_code == 404


def test_unknown_routes_are_explained(reliable: LocalStack) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("DELETE", "/tasks", 405),
        ("PUT", "/tasks/x", 405),
    ):
        answer = reliable.http.request(method, path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
