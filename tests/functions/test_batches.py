"""The worker with many deliveries at once: what a batch costs, and that nobody in it pays for another."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from botocore.awsrequest import AWSHTTPConnection
from botocore.session import Session
from tasklib import clock
from tasklib.clock import Deadline
from tasklib.record import to_item
from tasklib.task import Status, Task, created_key
from tasklib.worker import CONCURRENCY, Worker

from .conftest import SAMPLE_TYPES, Stack, event_of, lambda_context, message_of
from .wire import Wire

Process = Callable[..., list[str]]


def starts(directory: Path) -> Counter[str]:
    """How often the code of each task was started, as it wrote down itself."""
    diary = directory / "diary"
    lines = [line.split() for line in diary.read_text().splitlines()] if diary.exists() else []
    return Counter(task_id for _, task_id, _, what in lines if what == "start")


def work(directory: Path, seconds: float = 0, **more: object) -> str:
    """The payload of a task that writes down what it does."""
    return json.dumps({"diary": str(directory), "seconds": seconds} | more)


@pytest.fixture
def process_tasks(
    stack: Stack, load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> Generator[ModuleType]:
    """The handler's module after a cold start, with the sample types."""
    monkeypatch.syspath_prepend(SAMPLE_TYPES)
    module = load("process_tasks")
    yield module
    module._worker.threads.shutdown()
    module._worker.messenger.shutdown()
    module._processes.close()


@pytest.fixture
def process(process_tasks: ModuleType) -> Process:
    """One invocation by the messages of these tasks; returns the messages that it keeps."""

    def process(task_ids: list[str], milliseconds: int = 60_000) -> list[str]:
        event = event_of([message_of(task_id) for task_id in task_ids])
        failures = process_tasks.handler(event, lambda_context(milliseconds))["batchItemFailures"]
        return [failure["itemIdentifier"] for failure in failures]

    return process


def statuses(stack: Stack, task_ids: list[str]) -> Counter[tuple[Status, int, int]]:
    """How many records stand where: status, attempts and version."""
    records = stack.store.get_many(task_ids, consistent=True).tasks
    assert len(records) == len(task_ids)
    return Counter((record.status, record.attempts, record.version) for record in records)


class TestAnEvent:
    @pytest.mark.batch_statements
    @pytest.mark.parametrize("count", [100, 1000])
    def test_of_many_records_completes_each_once_in_few_calls(
        self, stack: Stack, wire: Wire, process: Process, tmp_path: Path, count: int
    ) -> None:
        ids = stack.submit_many("busy", [f"t{n}" for n in range(count)], work(tmp_path))
        wire.made.clear()
        assert process(ids) == []
        calls = wire.calls()
        assert statuses(stack, ids) == {(Status.COMPLETED, 1, 3): count}
        assert starts(tmp_path) == dict.fromkeys(ids, 1)
        # Read by the hundred; a claim and a settlement share their calls with others, most of the time.
        assert calls.pop("BatchGetItem") == count / 100
        assert calls.pop("BatchExecuteStatement") <= count
        assert not calls

    @pytest.mark.batch_statements
    def test_makes_no_client_thread_connection_or_process_for_a_record(
        self, stack: Stack, monkeypatch: pytest.MonkeyPatch, process: Process
    ) -> None:
        made: Counter[str] = Counter()

        def counted(what: str, call: Callable[..., Any]) -> Callable[..., Any]:
            def count(*args: Any, **kwargs: Any) -> Any:
                made[what] += 1
                return call(*args, **kwargs)

            return count

        for owner, name in (
            (Session, "create_client"),
            (threading.Thread, "start"),
            (AWSHTTPConnection, "connect"),
        ):
            monkeypatch.setattr(owner, name, counted(name, getattr(owner, name)))
        # Large data is read by each attempt's own thread.
        ids = stack.submit_many("process", [f"t{n}" for n in range(120)], json.dumps({"long": "x" * 2000}))
        assert process(ids[:60]) == []
        assert process(ids[60:]) == []
        assert made["create_client"] == 0
        assert made["start"] <= CONCURRENCY
        assert made["connect"] <= CONCURRENCY + 1
        # Each result is the process that the task ran in.
        assert len({task.result for task in stack.store.get_many(ids, consistent=True).tasks}) <= CONCURRENCY

    def test_that_comes_too_late_is_given_back_in_few_calls(
        self, stack: Stack, wire: Wire, process: Process
    ) -> None:
        ids = stack.submit_many("echo", [f"t{n}" for n in range(200)])
        wire.made.clear()
        assert process(ids, 5_000) == [f"message of {task_id}" for task_id in ids]
        assert wire.calls() == {"BatchGetItem": 2, "ChangeMessageVisibilityBatch": 20}
        assert statuses(stack, ids) == {(Status.PENDING, 0, 1): 200}


class TestTwoDeliveriesOfOneTask:
    """In one batch."""

    @pytest.mark.batch_statements
    def test_run_it_once(self, stack: Stack, worker: Worker, deadline: Deadline, tmp_path: Path) -> None:
        task = stack.submit("t", "busy", work(tmp_path))
        other = stack.submit("other", "busy", work(tmp_path))
        assert worker.work_off(stack.deliver(task, other, task, task), deadline) == []
        assert starts(tmp_path) == {"t": 1, "other": 1}
        assert statuses(stack, ["t", "other"]) == {(Status.COMPLETED, 1, 3): 2}

    @pytest.mark.batch_statements
    def test_that_failed_both_go_back_until_it_is_due(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        task = stack.submit("t", "failing")
        deliveries = stack.deliver(task, task)
        assert worker.work_off(deliveries, deadline) == [delivery.message_id for delivery in deliveries]
        assert statuses(stack, ["t"]) == {(Status.RETRYING, 1, 3): 1}
        assert stack.receive(stack.task_queue_url) == []

    @pytest.mark.batch_statements
    def test_that_failed_for_good_are_both_done(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        task = stack.submit("t", "hopeless")
        assert worker.work_off(stack.deliver(task, task), deadline) == []
        assert statuses(stack, ["t"]) == {(Status.FAILED, 1, 3): 1}
        # The second finds the record FAILED and makes sure of the letter.
        assert 1 <= len(stack.letters()) <= 2

    @pytest.mark.batch_statements
    def test_of_which_one_is_of_an_older_run_are_told_apart(
        self, stack: Stack, worker: Worker, deadline: Deadline, tmp_path: Path
    ) -> None:
        task = stack.submit("t", "busy", work(tmp_path), run=2)
        older = message_of("t", "busy").body
        assert worker.work_off(stack.deliver(task, older), deadline) == []
        assert starts(tmp_path) == {"t": 1}
        assert statuses(stack, ["t"]) == {(Status.COMPLETED, 1, 3): 1}

    @pytest.mark.batch_statements
    def test_that_has_no_attempts_left_write_its_record_once(
        self, stack: Stack, wire: Wire, worker: Worker, deadline: Deadline
    ) -> None:
        task = stack.submit("t", status=Status.PROCESSING, attempts=3, lease_until=1)
        assert worker.work_off(stack.deliver(task, task), deadline) == []
        assert statuses(stack, ["t"]) == {(Status.FAILED, 3, 2): 1}
        for call in wire.bodies("BatchExecuteStatement"):
            ids = [json.dumps(statement["Parameters"][-4]) for statement in call["Statements"]]
            assert len(ids) == len(set(ids))

    def test_that_nobody_can_claim_both_go_back(
        self, stack: Stack, wire: Wire, worker: Worker, deadline: Deadline
    ) -> None:
        wire.refuse_part("BatchExecuteStatement", '"PROCESSING"', code="ThrottlingError", times=3)
        task = stack.submit("t")
        deliveries = stack.deliver(task, task, task)
        assert worker.work_off(deliveries, deadline) == [delivery.message_id for delivery in deliveries]
        assert statuses(stack, ["t"]) == {(Status.PENDING, 0, 1): 1}


#: What somebody's hand may have done to a record, as an update expression with a value.
DAMAGES: dict[str, tuple[str, Any]] = {
    "no status": ("REMOVE #status", None),
    "a status that is none": ("SET #status = :value", {"S": "DONE"}),
    "no version": ("REMOVE version", None),
    "a version that is no number": ("SET version = :value", {"S": "three"}),
    "half an attempt": ("SET attempts = :value", {"N": "0.5"}),
    "attempts that are no number": ("SET attempts = :value", {"S": "none"}),
    "a due time that is no number": ("SET notBefore = :value", {"S": "soon"}),
    "a history that is not JSON": (
        "SET history = :value, #status = :processing, leaseUntil = :past",
        {"S": "long ago"},
    ),
    "a history that is not JSON, and no attempts left": (
        "SET history = :value, #status = :processing, leaseUntil = :past, attempts = :past + :past + :past",
        {"S": "long ago"},
    ),
}


def damage(stack: Stack, task_id: str, how: str) -> None:
    """Does to the record of a task what no function would."""
    expression, value = DAMAGES[how]
    values = {":value": value, ":processing": {"S": "PROCESSING"}, ":past": {"N": "1"}}
    used: dict[str, Any] = {
        "ExpressionAttributeNames": {"#status": "status"} if "#status" in expression else {},
        "ExpressionAttributeValues": {name: values[name] for name in values if name in expression},
    }
    stack.dynamodb.update_item(
        TableName=stack.table,
        Key={"taskId": {"S": task_id}, "part": {"S": "state"}},
        UpdateExpression=expression,
        **{name: value for name, value in used.items() if value},
    )


@pytest.mark.batch_statements
class TestADamagedRecord:
    @pytest.mark.parametrize("how", DAMAGES)
    def test_leaves_its_neighbours_alone(
        self, stack: Stack, worker: Worker, deadline: Deadline, tmp_path: Path, how: str
    ) -> None:
        ids = stack.submit_many("busy", ["a", "bad", "b", "c"], work(tmp_path))
        damage(stack, "bad", how)
        deliveries = stack.deliver(*(message_of(task_id).body for task_id in ids))
        bad = [delivery.message_id for delivery in deliveries if '"bad"' in delivery.body]
        assert worker.work_off(deliveries, deadline) == bad
        assert statuses(stack, ["a", "b", "c"]) == {(Status.COMPLETED, 1, 3): 3}
        assert starts(tmp_path) == {"a": 1, "b": 1, "c": 1}
        # It is put off, for somebody to mend it meanwhile.
        assert stack.receive(stack.task_queue_url) == []

    def test_does_not_make_them_wait_for_each_other(
        self, stack: Stack, worker: Worker, deadline: Deadline, tmp_path: Path
    ) -> None:
        ids = stack.submit_many("busy", [f"t{n}" for n in range(9)], work(tmp_path, 0.2))
        stack.submit("bad")
        damage(stack, "bad", "a status that is none")
        worker.work_off(stack.deliver(*(message_of(task_id).body for task_id in ["bad", *ids])), deadline)
        running, most = 0, 0
        for line in sorted((tmp_path / "diary").read_text().splitlines()):
            running += 1 if line.endswith("start") else -1
            most = max(most, running)
        assert most == 9

    @pytest.mark.parametrize(
        ("operation", "text", "how"),
        [
            *(("BatchGetItem", "", how) for how in DAMAGES),
            ("BatchExecuteStatement", '"PROCESSING"', "no status"),
            ("BatchExecuteStatement", '"PROCESSING"', "half an attempt"),
        ],
    )
    def test_that_was_whole_when_it_was_looked_at_leaves_them_alone_too(
        self,
        stack: Stack,
        wire: Wire,
        worker: Worker,
        deadline: Deadline,
        tmp_path: Path,
        operation: str,
        text: str,
        how: str,
    ) -> None:
        ids = stack.submit_many("busy", ["a", "bad", "b"], work(tmp_path))
        deliveries = stack.deliver(*(message_of(task_id).body for task_id in ids))
        bad = [delivery.message_id for delivery in deliveries if '"bad"' in delivery.body]

        def act() -> None:
            stack.dynamodb.update_item(
                TableName=stack.table,
                Key={"taskId": {"S": "bad"}, "part": {"S": "state"}},
                UpdateExpression="SET version = :else",
                ExpressionAttributeValues={":else": {"N": "9"}},
            )
            damage(stack, "bad", how)

        wire.meanwhile(operation, text, act)
        assert worker.work_off(deliveries, deadline) == bad
        assert statuses(stack, ["a", "b"]) == {(Status.COMPLETED, 1, 3): 2}


@pytest.mark.parametrize("task_type", ["echo", "failing", "hopeless"])
def test_a_record_that_took_the_place_of_an_expired_one_is_not_written_by_the_worker_of_that_one(
    stack: Stack, wire: Wire, worker: Worker, deadline: Deadline, task_type: str
) -> None:
    deliveries = stack.deliver(stack.submit("t", task_type))
    newer: list[Task] = []

    def act() -> None:
        # While the old worker is at it: ended by another, expired, submitted anew, and claimed, at the same version.
        created = {"created_key": created_key("t", clock.now() + 1), "correlation_id": "newer"}
        newer.append(replace(stack.record("t"), claim_id="newer", **created))
        stack.dynamodb.put_item(TableName=stack.table, Item=to_item(newer[0]))

    wire.meanwhile("BatchExecuteStatement", '"PROCESSING"', act)
    assert worker.work_off(deliveries, deadline) == [deliveries[0].message_id]
    assert [stack.record("t")] == newer
    assert stack.letters() == []
