"""Webhooks from end to end: a real receiver that fails, is slow and redirects to where nobody may go."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pytest

from tests.waiting import wait_for

from .conftest import FINISHED, LocalStack, running
from .webhook_receiver import KEY, SECRET, Receiver, Request

pytestmark = pytest.mark.xdist_group("webhook")

COUNT: Final = 200
ATTEMPTS: Final = 3
METADATA: Final = "http://169.254.169.254/latest/meta-data/"


@contextmanager
def listening(host: str) -> Generator[tuple[str, list[str]]]:
    """A place where nobody may go: its URL, and who came."""
    visitors: list[str] = []
    with socket.create_server((host, 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, (peer, *_) = listener.accept()
                    visitors.append(peer)
                    connection.close()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://{host}:{listener.getsockname()[1]}/", visitors


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Generator[LocalStack]:
    """A stack with a secret that may deliver to 127.0.0.1, and to no other address."""
    # By the environment: the command line would show the secret to everybody on this machine.
    environment = {"webhookSecret": SECRET}
    config = (
        "failureRate=0",
        "backoffBaseSeconds=1",
        'webhookAllowedNetworks=["127.0.0.1/32"]',
        "webhookSecret",
    )
    with running(tmp_path_factory.mktemp("webhook") / "log", *config, environment=environment) as stack:
        yield stack


def submit(stack: LocalStack, payloads: dict[str, dict[str, Any]]) -> None:
    """Submits webhooks by their task IDs, in batches."""
    tasks = [{"taskId": task_id, "type": "webhook", "payload": each} for task_id, each in payloads.items()]
    for start in range(0, len(tasks), 100):
        answer = stack.http.post("/tasks/batch", json={"tasks": tasks[start : start + 100]})
        assert {result["status"] for result in answer.json()["results"]} == {202}, answer.text


def finished(stack: LocalStack, count: int) -> dict[str, dict[str, Any]]:
    """Waits until so many tasks are finished; all tasks by their IDs."""

    def look() -> dict[str, dict[str, Any]] | None:
        tasks = {task["taskId"]: task for task in stack.tasks()}
        if sum(task["status"] in FINISHED for task in tasks.values()) == count:
            return tasks
        time.sleep(0.5)  # a look reads the whole list, which the stack pays for
        return None

    return wait_for(look, f"the end of {count} tasks")


def expected(requests: list[Request]) -> tuple[str, int, str]:
    """How a task ends whose attempts were answered thus: its status, its attempts, and what its error says."""
    last = requests[-1].answered
    assert all(request.answered in ("busy", "slow") for request in requests[:-1])
    match last:
        case "ok":
            return "COMPLETED", len(requests), ""
        case "busy":
            return "FAILED", ATTEMPTS, "answered 503 Service Unavailable"
        case "slow":
            return "FAILED", ATTEMPTS, "gave no answer within 1 s"
        case _:
            return "FAILED", len(requests), "has no address in webhookAllowedNetworks"


def check_signature(request: Request) -> None:
    """As a receiver does that knows the secret and Standard Webhooks."""
    identity, timestamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    code = hmac.digest(KEY, f"{identity}.{timestamp}.".encode() + request.body, hashlib.sha256)
    assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(code).decode()}"
    assert abs(time.time() - int(timestamp)) < 300


@pytest.mark.long
def test_deliveries_to_a_bad_receiver_end_as_their_rules_say_and_never_where_they_must_not_go(
    stack: LocalStack,
) -> None:
    with listening("127.0.0.2") as (forbidden, visitors):
        receiver = Receiver((forbidden, METADATA))
        payloads: dict[str, dict[str, Any]] = {}
        for number in range(COUNT):
            task_id, is_slow = f"hook-{number}", number % 10 == 0
            kind, timeout = ("slow", 1) if is_slow else ("any", 15)
            url = f"{receiver.url}/{kind}/{task_id}"
            payloads[task_id] = {"url": url, "body": {"number": number}, "timeoutSeconds": timeout}
        refused = {"direct": forbidden, "metadata": METADATA, "private": "http://10.0.0.1/"}
        direct: dict[str, dict[str, Any]] = {
            task_id: {"url": url, "body": {}} for task_id, url in refused.items()
        }
        try:
            submit(stack, payloads | direct)
            tasks = finished(stack, COUNT + len(direct))
        finally:
            receiver.close()
        assert visitors == []
    for task_id in direct:
        task = tasks[task_id]
        assert (task["status"], task["attempts"]) == ("FAILED", 1)
        assert "has no address in webhookAllowedNetworks" in task["errorMessage"]
    for task_id, payload in payloads.items():
        task, requests = tasks[task_id], receiver.requests[task_id]
        is_slow = requests[-1].answered == "slow"
        status, attempts, error = expected(requests)
        assert (status, attempts) == (task["status"], task["attempts"]), task
        assert error in task.get("errorMessage", "")
        # One that has a second may use it up before it gets there.
        assert len(requests) == attempts or (is_slow and len(requests) < attempts)
        for request in requests:
            assert json.loads(request.body) == payload["body"]
            check_signature(request)
        assert len({request.headers["webhook-id"] for request in requests}) == 1
        if status == "COMPLETED":
            assert task["result"] | {"durationMs": 0} == {
                "status": 200,
                "excerpt": "thanks",
                "truncated": False,
                "durationMs": 0,
            }
    assert len({requests[0].headers["webhook-id"] for requests in receiver.requests.values()}) == COUNT
    # The dice left nothing out.
    answers = {request.answered for requests in receiver.requests.values() for request in requests}
    assert answers == {"ok", "busy", "slow", forbidden, METADATA}
    assert SECRET not in "".join(map(json.dumps, stack.logs()))
