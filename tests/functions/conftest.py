"""The functions under test, on the emulator of the local stack."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import Mock

import pytest
from botocore import endpoint
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.httpsession import URLLib3Session
from tasklib import aws, clock
from tasklib.clock import Deadline
from tasklib.connections import ConnectionStore
from tasklib.queue import Delivery, Queue, TaskMessage
from tasklib.record import data_part, encode, key_of, to_item, with_data
from tasklib.retry_policy import RetryPolicy
from tasklib.secret_parameters import SecretParameters
from tasklib.store import TaskStore
from tasklib.task import Status, Task, TaskData, created_key
from tasklib.task_processes import TaskProcesses
from tasklib.worker import Worker, WorkerSettings

from local.emulator import Emulator
from tests.waiting import wait_for

from . import ENVIRONMENT
from .moto_server import moto_server
from .wire import Wire

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient


def is_moto(emulator: str) -> bool:
    """Whether this value of the variable EMULATOR means moto's server; else it must mean that of the local stack."""
    if emulator not in ("ministack", "moto"):
        raise ValueError(f"EMULATOR: {emulator!r}; allowed: ministack, moto")
    return emulator == "moto"


#: Whether AWS is moto's server, and not the emulator of the local stack.
ON_MOTO = is_moto(os.environ.get("EMULATOR", "ministack"))

#: The directory of the task types that the tests' worker knows.
SAMPLE_TYPES = str(Path(__file__).parent / "sample_types")


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
        self.connections_table = f"{name}-connections"
        self.dynamodb.create_table(
            TableName=self.connections_table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"} for name in ("state", "connectionId")
            ],
            KeySchema=[
                {"AttributeName": "state", "KeyType": "HASH"},
                {"AttributeName": "connectionId", "KeyType": "RANGE"},
            ],
        )
        self.connections = ConnectionStore(dynamodb, self.connections_table)
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

    def submit_many(
        self, task_type: str, task_ids: Sequence[str], payload: str = "{}", **fields: Any
    ) -> list[str]:
        """Stores many tasks in a few calls. Returns their IDs."""
        data = TaskData("payload", payload)
        requests: list[Any] = []
        for task_id in task_ids:
            task = with_data(a_task(task_id, task_type, payload, **fields), data)
            items = [to_item(task)]
            if task.data is None:
                items.append(key_of(task_id, data_part(task)) | encode({data.kind: data.text}))
            requests += [{"PutRequest": {"Item": item}} for item in items]
        for start in range(0, len(requests), 25):
            self.dynamodb.batch_write_item(RequestItems={self.table: requests[start : start + 25]})
        return [*task_ids]

    def record(self, task_id: str) -> Task:
        """The task's record, which must be there."""
        task = self.store.get(task_id)
        assert task is not None
        return task

    def items(self, part: str = "") -> list[dict[str, Any]]:
        """Everything in the table, or all items of one part."""
        items: list[dict[str, Any]] = self.dynamodb.scan(TableName=self.table, ConsistentRead=True)["Items"]
        return [item for item in items if part in ("", item["part"]["S"])]

    def deliver(self, *tasks: Task | str) -> list[Delivery]:
        """Sends messages, of tasks or with a body of one's own, and receives them as a worker would."""
        for task in tasks:
            body = task if isinstance(task, str) else TaskMessage.of(task).body()
            self.sqs.send_message(QueueUrl=self.task_queue_url, MessageBody=body)
        return self.receive(self.task_queue_url)

    def worker(
        self,
        processes: TaskProcesses,
        settings: WorkerSettings | None = None,
        secrets: SecretParameters | None = None,
    ) -> Worker:
        """A worker of this stack, with a stack's default settings and secrets from the parameter store."""
        return Worker(
            self.store,
            self.task_queue,
            self.dead_letter_queue,
            processes,
            secrets or SecretParameters(aws.ssm, os.environ),
            settings or WorkerSettings.from_environment(ENVIRONMENT),
        )

    def receive(self, url: str) -> list[Delivery]:
        """The visible messages of a queue, at most ten."""
        answer = self.sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
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

    def wait_for_messages(self, url: str) -> list[Delivery]:
        """The messages of a queue that become visible next."""
        return wait_for(lambda: self.receive(url), "a message")

    def letters(self) -> list[str]:
        """The bodies in the dead-letter queue."""
        return [letter.body for letter in self.receive(self.dead_letter_queue_url)]


@contextmanager
def ministack() -> Generator[str]:
    """The emulator of the local stack, by its URL."""
    with Emulator(0, ENVIRONMENT["AWS_DEFAULT_REGION"]) as emulator:
        emulator.wait_until_ready()
        yield emulator.endpoint_url


@pytest.fixture(scope="session")
def emulated_aws() -> Generator[tuple[DynamoDBClient, SQSClient]]:
    """Clients of an emulator that lives as long as the tests; whoever makes another client gets to it too."""
    with (moto_server if ON_MOTO else ministack)() as url, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", url)
        yield aws.dynamodb(), aws.sqs()


@pytest.fixture(autouse=ON_MOTO)
def refused_statements(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Lets a test with the mark `batch_statements` fail on moto, but only after moto has refused its statements.

    A test that has the mark and whose statements moto does not refuse is an error: the mark must not stay where it
    is not needed.
    """
    is_marked = request.node.get_closest_marker("batch_statements") is not None
    refused: list[AWSPreparedRequest] = []
    to_aws = URLLib3Session.send

    def send(session: URLLib3Session, sent: AWSPreparedRequest) -> AWSResponse:
        answer = to_aws(session, sent)
        target = cast("dict[str, bytes]", sent.headers).get("X-Amz-Target", b"")
        failed = answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
        if failed and target.endswith(b".BatchExecuteStatement"):
            if is_marked and not refused:
                request.applymarker(pytest.mark.xfail(reason="moto refuses the statements", strict=False))
            refused.append(sent)
        return answer

    monkeypatch.setattr(URLLib3Session, "send", send)
    yield
    assert refused or not is_marked, "moto refused no statement: remove the mark batch_statements"


@pytest.fixture
def stack(emulated_aws: tuple[DynamoDBClient, SQSClient], monkeypatch: pytest.MonkeyPatch) -> Stack:
    """An empty stack of one's own."""
    stack = Stack(*emulated_aws, name=f"tasks-{uuid.uuid4()}")
    monkeypatch.setenv("TASKS_TABLE", stack.table)
    monkeypatch.setenv("CONNECTIONS_TABLE", stack.connections_table)
    monkeypatch.setenv("TASK_QUEUE_URL", stack.task_queue_url)
    monkeypatch.setenv("DEAD_LETTER_QUEUE_URL", stack.dead_letter_queue_url)
    return stack


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Generator[Wire]:
    """The wire of all clients; fails the test when something did not go wrong that should have."""
    wire = Wire()
    to_aws = URLLib3Session.send

    def send(session: URLLib3Session, request: AWSPreparedRequest) -> AWSResponse:
        return wire.send(partial(to_aws, session), request)

    monkeypatch.setattr(URLLib3Session, "send", send)
    # botocore waits up to two seconds before it sends again; here nothing is gained by it.
    monkeypatch.setattr(endpoint, "time", SimpleNamespace(sleep=Mock()))
    yield wire
    assert wire.pending() == []


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
    with pytest.MonkeyPatch.context() as path:
        path.syspath_prepend(SAMPLE_TYPES)
        processes = TaskProcesses()
    yield processes
    processes.close()


@pytest.fixture
def worker(stack: Stack, processes: TaskProcesses) -> Worker:
    """A worker with the stack's default settings."""
    return stack.worker(processes)


@pytest.fixture
def deadline() -> Deadline:
    """The start of an invocation of 30 s."""
    return Deadline(30_000)


@pytest.fixture
def policy() -> RetryPolicy:
    """The stack's default policy."""
    return RetryPolicy.from_environment(ENVIRONMENT)


def message_of(task_id: str, task_type: str = "echo", **fields: object) -> Delivery:
    """A first delivery of a task's message that no queue knows; `fields` override those of its body."""
    body = {"taskId": task_id, "run": 1, "type": task_type, "correlationId": "c"} | fields
    return Delivery(f"message of {task_id}", f"receipt of {task_id}", json.dumps(body), receives=1)


def event_of(deliveries: Sequence[Delivery]) -> dict[str, Any]:
    """An SQS event, as Lambda hands it to a handler."""
    return {
        "Records": [
            {
                "messageId": delivery.message_id,
                "receiptHandle": delivery.receipt_handle,
                "body": delivery.body,
                "attributes": {"ApproximateReceiveCount": str(delivery.receives)},
            }
            for delivery in deliveries
        ]
    }


def lambda_context(milliseconds: int = 30_000) -> Any:
    """What Lambda hands a handler, as far as ours look at it."""
    end = time.monotonic() + milliseconds / 1000
    return SimpleNamespace(
        get_remaining_time_in_millis=lambda: max(0, int((end - time.monotonic()) * 1000)),
        function_name="tests",
        aws_request_id="request",
    )
