"""What people do with a running stack and expect of it: a function each, for several tests.

A scenario raises AssertionError when a person misses what its docstring says.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from tasklib import clock
from tasklib.connections import ConnectionStore
from tasklib.queue import DeadLetter, TaskMessage
from tasklib.store import Recheck, TaskStore
from tasklib.task import Status, Task, TaskData, created_key
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from .conftest import FINISHED, LocalStack
from .live_client import ask, connected

#: Large enough for an item of its own.
LARGE: Final = "x" * 2000

Found = TypeVar("Found")


class Wait(Protocol):
    """`wait_for`, or a wait that is less patient."""

    def __call__(self, look: Callable[[], Found | None], what: str) -> Found: ...


Scenario = Callable[[LocalStack, Wait], None]


def tasks_run_at_once(stack: LocalStack, wait: Wait) -> None:
    """A submitted task is run, by the message that its submission sent."""
    task_id = new_id()
    stack.submit(task_id)
    assert ended(stack, task_id, wait)["status"] == "COMPLETED"


def large_tasks_run(stack: LocalStack, wait: Wait) -> None:
    """A task whose data has an item of its own is run."""
    task_id = new_id()
    stack.submit(task_id, payload={"seconds": 0, "text": LARGE})
    assert ended(stack, task_id, wait)["status"] == "COMPLETED"


def batches_are_stored_together(stack: LocalStack, wait: Wait) -> None:
    """A batch is taken in the calls that it should cost; more calls leave a warning."""
    story = new_id()
    body = {"tasks": [{"payload": {"seconds": 0}}] * 2}
    answer = stack.http.post("/tasks/batch", json=body, headers={"x-correlation-id": story})
    assert [result["status"] for result in answer.json()["results"]] == [202, 202]

    def submission() -> list[dict[str, Any]] | None:
        lines = [
            line
            for line in stack.logs()
            if (line.get("correlationId"), line.get("service")) == (story, "submit-tasks")
        ]
        return lines if lines and lines[-1]["message"] == "tasks accepted" else None

    assert {line["level"] for line in wait(submission, "the log of a submission")} == {"INFO"}


def conflicts_are_told(stack: LocalStack, wait: Wait) -> None:
    """Other content for an ID that is taken is answered 409; its data, which was written first, does not stay."""
    task_id = new_id()
    stack.submit(task_id)
    body = {"taskId": task_id, "payload": {"seconds": 0, "text": LARGE}}
    assert stack.http.post("/tasks", json=body).status_code == 409
    assert stack.data_items(task_id) == []


def tasks_are_shown(stack: LocalStack, wait: Wait) -> None:
    """A task can be looked at."""
    task_id = new_id()
    stack.submit(task_id)
    assert stack.task(task_id)["taskId"] == task_id


def tasks_are_listed(stack: LocalStack, wait: Wait) -> None:
    """A task is in the list."""
    task_id = new_id()
    stack.submit(task_id)
    assert task_id in {task["taskId"] for task in stack.tasks()}


def failed_tasks_are_listed(stack: LocalStack, wait: Wait) -> None:
    """A failed task is in the list of those."""
    task_id = failed(stack, wait)["taskId"]
    assert task_id in {task["taskId"] for task in stack.tasks(status="FAILED")}


def failed_attempts_are_repeated_in_time(stack: LocalStack, wait: Wait) -> None:
    """A failed attempt is followed by another after its backoff, not after the queue's visibility timeout."""
    task_id = new_id()
    stack.submit(task_id, payload={"seconds": 0, "failureRate": 1})
    assert ended(stack, task_id, wait)["attempts"] == 2


def webhooks_are_delivered(stack: LocalStack, wait: Wait) -> None:
    """A webhook is signed and delivered; its receiver is this stack's own API, which takes it for a new task."""
    stack.configure({"RESTARTED": new_id()})  # a worker keeps secrets for minutes
    task_id, api = new_id(), urlsplit(stack.url).netloc.partition(".")[0]
    url = f"{stack.endpoint_url.replace('localhost', '127.0.0.1')}/_aws/execute-api/{api}/$default/tasks"
    stack.submit(task_id, type="webhook", payload={"url": url, "body": {"payload": {"seconds": 0}}})
    task = ended(stack, task_id, wait)
    assert (task["status"], task.get("result", {}).get("status")) == ("COMPLETED", 202), task


def dead_letters_are_reported(stack: LocalStack, wait: Wait) -> None:
    """A task that failed for good has its line in the logs."""
    task_id = failed(stack, wait)["taskId"]

    def reported() -> bool:
        stack.examine_dead_letters()
        return bool(stack.dead_letters(task_id))

    wait(reported, f"the dead letter of {task_id}")


def reported_tasks_are_marked(stack: LocalStack, wait: Wait) -> None:
    """A reported dead letter is marked on its task, so that nobody reports it twice."""
    task = failed(stack, wait)

    def marked() -> bool:
        stack.examine_dead_letters()
        return stack.task(task["taskId"])["version"] == task["version"] + 1

    wait(marked, f"the mark on {task['taskId']}")


def reported_letters_are_deleted(stack: LocalStack, wait: Wait) -> None:
    """The dead-letter queue is empty once all is reported."""
    stack.sqs.purge_queue(QueueUrl=stack.dead_letter_queue_url)  # of letters that are hidden for minutes
    letter = DeadLetter(None, 0, "a letter of no task", "c")
    stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody=letter.body())

    def empty() -> bool:
        stack.examine_dead_letters()
        return stack.messages(stack.dead_letter_queue_url) == 0

    wait(empty, "an empty dead-letter queue")


def letters_of_running_tasks_are_examined_in_time(stack: LocalStack, wait: Wait) -> None:
    """A letter about a task that is running comes back when its lease ends, not minutes later."""
    stack.examine_dead_letters()  # so that it has started when the lease begins
    now = clock.now()
    task = stored(stack, lambda task: task, created=now)
    claimed = task.claimed("claim", lease_until=now + 4_000, now=now)
    assert TaskStore(stack.dynamodb, stack.table).change(task, claimed)
    stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody=TaskMessage.of(task).body())

    def given_up() -> bool:
        stack.examine_dead_letters()
        return stack.task(task.task_id)["status"] == "FAILED"

    wait(given_up, f"the end of {task.task_id}")


def failed_tasks_are_retried(stack: LocalStack, wait: Wait) -> None:
    """A failed task can be started anew, and is run at once."""
    task_id = failed(stack, wait)["taskId"]
    assert stack.http.post(f"/tasks/{task_id}/retry").status_code == 202
    wait(lambda: stack.task(task_id)["attempts"] == 1, f"the second run of {task_id}")


def data_outlives_a_retry(stack: LocalStack, wait: Wait) -> None:
    """The data of a task that is started anew does not expire before its new run can have ended."""
    task_id = failed(stack, wait, text=LARGE)["taskId"]
    soon = clock.now() // 1000 + 3600
    [item] = stack.data_items(task_id)
    stack.dynamodb.put_item(TableName=stack.table, Item={**item, "expiresAt": {"N": str(soon)}})
    assert stack.http.post(f"/tasks/{task_id}/retry").status_code == 202
    [item] = stack.data_items(task_id)
    assert int(item["expiresAt"]["N"]) > soon


def waiting_tasks_are_cancelled(stack: LocalStack, wait: Wait) -> None:
    """A task that has not started can be cancelled."""
    task_id = new_id()
    stack.submit(task_id, runAt=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    assert stack.http.delete(f"/tasks/{task_id}").status_code == 200


def unsent_messages_are_sent(stack: LocalStack, wait: Wait) -> None:
    """A task that was stored and never queued is run all the same."""
    # The sweep comes to it in a second; it cannot have passed it.
    swept(stack, stored(stack, lambda task: task, created=clock.now() - 119_000), wait)


def lost_messages_are_sent_again(stack: LocalStack, wait: Wait) -> None:
    """A task that was due three minutes ago, and whose message was lost, is run all the same."""
    due = clock.now() - 180_000
    swept(stack, stored(stack, lambda task: task.put_off(due, due - 1), created=due - 1), wait)


def dropped_messages_are_replaced(stack: LocalStack, wait: Wait) -> None:
    """A task whose message SQS has dropped gets another one, and no more when it has ended."""
    long_ago = clock.now() - 15 * clock.DAY
    store = TaskStore(stack.dynamodb, stack.table)

    def attempted(task: Task) -> Task:
        return replace(task, status=Status.RETRYING, attempts=1, not_before=long_ago)

    task = stored(stack, attempted, created=long_ago)
    store.add_recheck(Recheck.at(long_ago, "0", [task.task_id]))
    swept(stack, task, wait)
    due = created_key("", clock.now())
    wait(lambda: not [*store.rechecks("0", due)], "the end of the recheck")


def clients_are_let_in(stack: LocalStack, wait: Wait) -> None:
    """A client is told where to connect, and can."""
    try:
        with connected(stack) as connection:
            # Not a ping: its answer needs another right.
            assert ask(connection, action="unsubscribe") == {"unsubscribed": True}
    except InvalidStatus as refusal:
        raise AssertionError(str(refusal)) from None


def clients_subscribe(stack: LocalStack, wait: Wait) -> None:
    """A client is told that it will hear of all tasks."""
    with connected(stack) as connection:
        assert ask(connection, action="subscribe") == {"subscribed": "all"}


def pings_tell_who_is_subscribed(stack: LocalStack, wait: Wait) -> None:
    """A client learns from its ping that its subscription is no more, though its connection is."""
    connections = ConnectionStore(stack.dynamodb, stack.table.replace("-tasks", "-connections"))
    task_id = new_id()
    with connected(stack) as connection:
        ask(connection, action="subscribe", taskIds=[task_id])
        assert ask(connection, action="ping") == {"pong": True, "isSubscribed": True}
        # As notify-clients does when it can neither push to a connection nor end it.
        for one in connections.subscriptions():
            if one.task_ids == frozenset({task_id}):
                connections.unsubscribe(one.connection_id)
        assert ask(connection, action="ping") == {"pong": True, "isSubscribed": False}


def clients_hear_of_tasks(stack: LocalStack, wait: Wait) -> None:
    """A subscribed client hears of a task as it changes."""
    task_id = new_id()
    with connected(stack) as connection:
        ask(connection, action="subscribe", taskIds=[task_id])
        stack.submit(task_id)

        def news() -> dict[str, Any] | None:
            try:
                return received(connection)
            except ConnectionClosed:
                raise AssertionError("disconnected") from None

        wait(news, f"news of {task_id}")


def clients_that_left_are_forgotten(stack: LocalStack, wait: Wait) -> None:
    """Nobody pushes for ever to a client whose end the gateway did not tell."""
    task_id = new_id()
    connections = ConnectionStore(stack.dynamodb, stack.table.replace("-tasks", "-connections"))
    connections.subscribe(task_id, [task_id])
    stack.submit(task_id)
    wait(
        lambda: task_id not in {one.connection_id for one in connections.subscriptions()},
        "the end of a subscription",
    )


# -- tasks in the states that the scenarios begin with


def new_id() -> str:
    return f"task-{uuid4().hex[:12]}"


def ended(stack: LocalStack, task_id: str, wait: Wait) -> dict[str, Any]:
    """A task, when it is finished."""

    def look() -> dict[str, Any] | None:
        task = stack.task(task_id)
        return task if task["status"] in FINISHED else None

    return wait(look, f"the end of {task_id}")


def failed(stack: LocalStack, wait: Wait, **payload: Any) -> dict[str, Any]:
    """A task that has failed for good, at its first attempt."""
    task_id = new_id()
    stack.submit(task_id, payload={"seconds": -1, **payload})
    task = ended(stack, task_id, wait)
    assert (task["status"], task["attempts"]) == ("FAILED", 1)
    return task


def stored(stack: LocalStack, change: Callable[[Task], Task], *, created: int) -> Task:
    """A task that was stored at this time (ms), changed before it was, and never queued."""
    task_id, data = new_id(), TaskData("payload", json.dumps({"seconds": 0}))
    task = change(
        Task(
            task_id=task_id,
            type="simulate",
            status=Status.PENDING,
            run=1,
            attempts=0,
            version=1,
            created_key=created_key(task_id, created),
            list_shard="0",
            updated_at=created,
            content_hash=data.content_hash("simulate"),
            correlation_id="c",
        )
    )
    assert TaskStore(stack.dynamodb, stack.table).create(task, data, data_lifetime=0) is None
    return task


def swept(stack: LocalStack, task: Task, wait: Wait) -> None:
    """Waits until a task that was not queued is finished, while the sweep runs again and again."""

    def finished() -> bool:
        stack.sweep()
        return stack.task(task.task_id)["status"] == "COMPLETED"

    wait(finished, f"the end of {task.task_id}")


def received(connection: ClientConnection) -> dict[str, Any] | None:
    """What came within a moment, or None. Raises ConnectionClosed."""
    try:
        return json.loads(connection.recv(0.1))
    except TimeoutError:
        return None
