"""What clients and receivers send, searched for in every log of a whole system that has been through everything."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from websockets.sync.client import connect

from tests.waiting import PATIENCE_SECONDS, wait_for

from .conftest import FINISHED, LocalStack, running
from .webhook_receiver import SECRET, Receiver

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("hygiene")]

#: The values of what a client sends; and everything else: names, headers, queries.
VALUE: Final = "VALUE-5f1c9a7e"
NAME: Final = "NAME-83d04b6c"

HEADERS: Final = {"authorization": f"Bearer {NAME}", "cookie": f"session={NAME}", "idempotency-key": NAME}

#: Bodies that are refused, and with which status.
REFUSED: Final = [
    ("/tasks", f'{{"answer": "{VALUE}"', 400),
    ("/tasks", VALUE, 400),
    ("/tasks", json.dumps({"answer": VALUE, "payload": {NAME: VALUE}}), 400),
    ("/tasks", json.dumps({"answer": VALUE, NAME: VALUE}), 400),
    ("/tasks", json.dumps({"answer": {NAME: VALUE}}), 400),
    ("/tasks", json.dumps({"taskId": "taken", "answer": VALUE}), 409),
    ("/tasks", json.dumps({"answer": VALUE * 50_000}), 413),
    ("/tasks", json.dumps({"answer": VALUE * 400_000}), 413),
    ("/tasks", json.dumps({"type": "invoice", "payload": {"lines": VALUE, "currency": VALUE, NAME: 1}}), 400),
    ("/tasks", json.dumps({"type": "webhook", "payload": {"url": f"http://u:{VALUE}@h/", "body": 1}}), 400),
    ("/tasks/batch", json.dumps({"tasks": VALUE, NAME: VALUE}), 400),
    ("/tasks/batch", json.dumps({"tasks": [{"answer": VALUE, NAME: 1}, {"answer": [VALUE]}]}), 207),
]

#: Requests without a body, and with which status they are answered.
REQUESTS: Final = [
    ("GET", "/tasks/good", 200),
    ("GET", f"/tasks?status={NAME}&{NAME}={NAME}", 400),
    ("GET", f"/tasks?cursor={NAME}", 400),
    ("GET", f"/tasks/{NAME}%20", 400),
    ("GET", f"/?token={NAME}", 200),
    ("GET", f"/docs?token={NAME}", 200),
    ("GET", f"/openapi.json?token={NAME}", 400),
    ("GET", f"/{NAME}", 404),
    ("PUT", f"/tasks?token={NAME}", 405),
    ("POST", "/tasks/failing/retry", 202),
    ("POST", f"/tasks/good/retry?token={NAME}", 400),
    ("DELETE", "/tasks/later", 200),
    ("DELETE", "/tasks/good", 409),
]

#: Payloads of tasks that come to different ends, with the type of each.
ENDS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "good": ("simulate", {"seconds": 0, NAME: {NAME: [VALUE]}}),
    "failing": ("simulate", {"seconds": 0, "failureRate": 1, NAME: VALUE}),
    "hopeless": ("simulate", {"seconds": VALUE, NAME: VALUE}),
    "overrunning": ("simulate", {"seconds": 5, NAME: VALUE}),
}


def deliveries(receiver: Receiver) -> dict[str, tuple[str, dict[str, Any]]]:
    """Webhooks with marks in all that they are made of."""
    return {
        f"webhook-{kind}": (
            "webhook",
            {
                "url": f"{receiver.url}/{kind}/{kind}?key={VALUE}",
                "headers": {NAME: VALUE, "authorization": VALUE},
                "body": {NAME: VALUE},
                "timeoutSeconds": 1,
            },
        )
        for kind in ("ok", "busy")
    }


def speak(stack: LocalStack) -> None:
    """What clients may say over a WebSocket, good and bad."""
    url = stack.http.post("/live", json={}).json()["webSocketUrl"]
    with connect(f"{url}&{NAME}={NAME}", additional_headers=HEADERS) as connection:
        frames = [
            VALUE,
            json.dumps({"action": VALUE, NAME: VALUE}),
            json.dumps({"action": "subscribe", "taskIds": [f"{VALUE}/"], NAME: VALUE}),
            json.dumps({"action": "ping"}),
        ]
        for frame in frames:
            connection.send(frame)
        while "pong" not in json.loads(connection.recv(PATIENCE_SECONDS)):
            pass


def break_things(stack: LocalStack) -> None:
    """A record that nobody can read, messages that are none, and events that no function expects."""
    # Someone may have put it there by hand.
    record = {name: {"S": VALUE} for name in ("part", "status", "payload", "answer")} | {
        "part": {"S": "state"}
    }
    stack.dynamodb.put_item(TableName=stack.table, Item={"taskId": {"S": "damaged"}, **record})
    message = json.dumps({"taskId": "damaged", "run": 1, "type": "simulate", "correlationId": ""})
    for url in (stack.task_queue_url, stack.dead_letter_queue_url):
        for body in (VALUE, json.dumps({"taskId": f"{VALUE}/", NAME: VALUE}), message):
            stack.sqs.send_message(QueueUrl=url, MessageBody=body)
    for function in stack.functions.list_functions()["Functions"]:
        name = function.get("FunctionName", "")
        event = {"Records": [{NAME: VALUE}], "body": VALUE, NAME: VALUE, "headers": {NAME: VALUE}}
        stack.functions.invoke(FunctionName=name, Payload=json.dumps(event).encode())


def test_nothing_of_it_is_there(tmp_path: Path) -> None:
    log = tmp_path / "log"
    config = (
        "failureRate=0",
        "backoffBaseSeconds=1",
        "maxRetries=1",
        'webhookAllowedNetworks=["127.0.0.1/32"]',
        "webhookSecret",
    )
    problems: list[str] = []

    def keep_problem(answer: httpx.Response) -> None:
        if answer.status_code >= 400:
            problems.append(answer.read().decode())

    with running(log, *config, environment={"webhookSecret": SECRET}) as stack:
        stack.http.event_hooks["response"].append(keep_problem)
        # The time limit of every type is a second then.
        stack.configure({"POWERTOOLS_LOG_LEVEL": "DEBUG", "WORKER_TIMEOUT_SECONDS": "6"})
        receiver = Receiver(())
        ends = ENDS | deliveries(receiver)
        tasks: list[dict[str, Any]] = [
            {"taskId": task_id, "type": kind, "payload": data} for task_id, (kind, data) in ends.items()
        ]
        tasks += [{"taskId": "taken", "answer": f"{VALUE} of another"}]
        tasks += [{"taskId": "later", "answer": VALUE, "delaySeconds": 600}]
        try:
            answer = stack.http.post("/tasks/batch", json={"tasks": tasks}, headers=HEADERS)
            assert {result["status"] for result in answer.json()["results"]} == {202}, answer.text
            for path, body, status in REFUSED:
                answer = stack.http.post(path, content=body, headers={"content-type": "application/json"})
                assert answer.status_code == status, (body[:200], answer.text)
            speak(stack)
            for task_id in ends:
                assert stack.finished(task_id)["status"] in FINISHED
        finally:
            receiver.close()
        for method, path, status in REQUESTS:
            assert stack.http.request(method, path, headers=HEADERS).status_code == status, (method, path)
        break_things(stack)
        stack.finished("failing")
        wait_for(lambda: _said(stack, "a record cannot be read"), "the worker's word on the damaged record")
        groups = stack.log_groups()
        names = [each.get("FunctionName") for each in stack.functions.list_functions()["Functions"]]
    lines = [line for group in groups.values() for line in group] + log.read_text().splitlines()
    marks = [VALUE, NAME, SECRET]
    marks += [base64.b64encode(mark.encode()).decode().rstrip("=")[:-1] for mark in marks]
    assert [line[:1000] for line in lines if any(mark in line for mark in marks)] == []
    assert [problem for problem in problems if VALUE in problem] == []
    assert len(problems) > 15
    # It was all said: each function's log was searched, and each of these ends is in them.
    assert groups.keys() >= {f"/aws/lambda/{name}" for name in names}
    assert [group for group, said in groups.items() if not said] == []
    for words in ("task completed", "simulated failure", "TimeLimitExceeded", "503 Service", "dead letter"):
        assert [line for line in lines if words in line], words


def _said(stack: LocalStack, words: str) -> bool:
    return any(words in line for group in stack.log_groups().values() for line in group)
