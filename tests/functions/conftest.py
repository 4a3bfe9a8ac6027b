"""The functions under test, on AWS mocked at its wire by moto."""

from __future__ import annotations

import importlib
import sys
import time
import uuid
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from moto import mock_aws
from tasklib import aws, clock
from tasklib.clock import Deadline
from tasklib.queue import Delivery, Queue, TaskMessage
from tasklib.retry_policy import RetryPolicy
from tasklib.store import TaskStore
from tasklib.task import Status, Task, TaskData, created_key
from tasklib.task_processes import TaskProcesses
from tasklib.worker import Worker, WorkerSettings

from . import ENVIRONMENT

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient


def a_task(task_id: str, task_type: str, payload: str = "{}", **fields: Any) -> Task:
    """A new task; `fields` override what it has."""
    values: dict[str, Any] = {
        "task_id": task_id,
        "type": task_type,
        "status": Status.PENDING,
        "run": 1,
        "attempts": 0,
        "version": 1,
        "created_key": created_key(task_id, clock.now()),
        "list_shard": "0",
        "updated_at": clock.now(),
        "content_hash": TaskData("payload", payload).content_hash(task_type),
        "correlation_id": f"correlation-{task_id}",
    }
    return Task(**values | fields)


class Stack:
    """The table and the two queues, and the short ways in which tests use them."""

    def __init__(self, dynamodb: DynamoDBClient, sqs: SQSClient, name: str) -> None:
        self.dynamodb = dynamodb
        self.sqs = sqs
        self.table = name
        self.dynamodb.create_table(
            TableName=self.table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"}
                for name in (
                    *("taskId", "part", "listShard", "failedShard", "createdKey"),
                    *("unsentShard", "unsentKey"),
                )
            ],
            KeySchema=[
                {"AttributeName": "taskId", "KeyType": "HASH"},
                {"AttributeName": "part", "KeyType": "RANGE"},
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": name,
                    "KeySchema": [
                        {"AttributeName": shard, "KeyType": "HASH"},
                        {"AttributeName": place, "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
                for name, shard, place in (
                    ("byCreated", "listShard", "createdKey"),
                    ("byFailed", "failedShard", "createdKey"),
                    ("byUnsent", "unsentShard", "unsentKey"),
                )
            ],
        )
        self.task_queue_url = self.sqs.create_queue(QueueName=f"{name}-tasks")["QueueUrl"]
        self.dead_letter_queue_url = self.sqs.create_queue(QueueName=f"{name}-dead-letters")["QueueUrl"]
        self.task_queue = Queue(self.sqs, self.task_queue_url)
        self.dead_letter_queue = Queue(self.sqs, self.dead_letter_queue_url)
        self.store = TaskStore(dynamodb, name)

    def submit(self, task_id: str, task_type: str = "echo", payload: str = "{}", **fields: Any) -> Task:
        """A stored task; `fields` override those of a new one."""
        task = a_task(task_id, task_type, payload, **fields)
        assert self.store.create(task, TaskData("payload", payload), data_lifetime=clock.DAY) is None
        return task

    def record(self, task_id: str) -> Task:
        """The task's record, which must be there."""
        task = self.store.get(task_id)
        assert task is not None
        return task

    def items(self) -> list[dict[str, Any]]:
        """Everything in the table."""
        return self.dynamodb.scan(TableName=self.table, ConsistentRead=True)["Items"]

    def deliver(self, *tasks: Task | str) -> list[Delivery]:
        """Sends messages, of tasks or with a body of one's own, and receives them as a worker would."""
        for task in tasks:
            body = task if isinstance(task, str) else TaskMessage.of(task).body()
            self.sqs.send_message(QueueUrl=self.task_queue_url, MessageBody=body)
        return self.receive(self.task_queue_url)

    def receive(self, url: str, **options: Any) -> list[Delivery]:
        """The visible messages of a queue."""
        answer = self.sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
            **options,
        )
        messages: list[Any] = answer.get("Messages", [])
        return [
            Delivery(
                message["MessageId"],
                message["ReceiptHandle"],
                message["Body"],
                int(message["Attributes"]["ApproximateReceiveCount"]),
            )
            for message in messages
        ]

    def letters(self) -> list[str]:
        """The bodies in the dead-letter queue."""
        return [letter.body for letter in self.receive(self.dead_letter_queue_url)]


@pytest.fixture(scope="session")
def mocked_aws() -> Generator[tuple[DynamoDBClient, SQSClient]]:
    """Clients of an AWS that lives as long as the tests: making them is what costs time."""
    with mock_aws():
        yield aws.dynamodb(), aws.sqs()


@pytest.fixture
def stack(mocked_aws: tuple[DynamoDBClient, SQSClient], monkeypatch: pytest.MonkeyPatch) -> Stack:
    """An empty stack of one's own."""
    stack = Stack(*mocked_aws, name=f"tasks-{uuid.uuid4()}")
    monkeypatch.setenv("TASKS_TABLE", stack.table)
    monkeypatch.setenv("TASK_QUEUE_URL", stack.task_queue_url)
    monkeypatch.setenv("DEAD_LETTER_QUEUE_URL", stack.dead_letter_queue_url)
    return stack


@pytest.fixture
def load(stack: Stack) -> Callable[[str], ModuleType]:
    """Imports a handler module anew, as a cold start does."""

    def load(name: str) -> ModuleType:
        sys.modules.pop(name, None)
        return importlib.import_module(name)

    return load


@pytest.fixture(scope="session")
def processes() -> Generator[TaskProcesses]:
    """Task processes that know the sample types."""
    here = str(Path(__file__).parent / "sample_types")
    sys.path.insert(0, here)
    try:
        processes = TaskProcesses()
    finally:
        sys.path.remove(here)
    yield processes
    processes.close()


@pytest.fixture
def worker(stack: Stack, processes: TaskProcesses) -> Worker:
    """A worker with the stack's default settings."""
    return Worker(
        stack.store,
        stack.task_queue,
        stack.dead_letter_queue,
        processes,
        WorkerSettings.from_environment(ENVIRONMENT),
    )


@pytest.fixture
def deadline() -> Deadline:
    """The start of an invocation of 30 s."""
    return Deadline(30_000)


@pytest.fixture
def policy() -> RetryPolicy:
    """The stack's default policy."""
    return RetryPolicy.from_environment(ENVIRONMENT)


def lambda_context(milliseconds: int = 30_000) -> Any:
    """What Lambda hands a handler, as far as ours look at it."""
    end = time.monotonic() + milliseconds / 1000
    return SimpleNamespace(
        get_remaining_time_in_millis=lambda: max(0, int((end - time.monotonic()) * 1000)),
        function_name="tests",
        aws_request_id="request",
    )
