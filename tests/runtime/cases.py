"""What each function is called with here, and what it answers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tasklib import clock
from tasklib.queue import DeadLetter, TaskMessage
from tasklib.record import to_item
from tasklib.task import Status, created_key

from tests.functions import ENVIRONMENT
from tests.functions.conftest import Stack, a_task
from tests.functions.websocket_gateway import WebSocketGateway

REGION, ACCOUNT = ENVIRONMENT["AWS_DEFAULT_REGION"], "123456789012"

#: The gateway's, of every request.
REQUEST_ID = "JKJaXmPLvHcESHA="

Event = dict[str, Any]


@dataclass(frozen=True)
class World:
    """What the functions work on: a stack, and one task of it."""

    stack: Stack
    gateway: WebSocketGateway
    task_id: str


@dataclass(frozen=True)
class Case:
    """A function's events: one of its kind, and one that it fails on.

    Attributes:
        event: Makes an event of its kind, with what it is about.
        answer: The answer to it; of an answer to API Gateway, its status.
        failing: Makes an event that it fails on, or makes it fail on any.
        late: The answer to it when the invocation has no time left, if that is another.
        seen: Whether the work of the event was done.
    """

    event: Callable[[World], Event]
    answer: object
    failing: Callable[[World], Event] = lambda _: {}
    late: Callable[[Event], object] | None = None
    seen: Callable[[World], bool] = lambda _: True


def request(route: str, body: object = None, **parameters: str) -> Event:
    """An event of the HTTP API, payload format 2.0."""
    method, _, pattern = route.partition(" ")
    path = pattern.format_map(parameters)
    return {
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "host": "tasks.example",
            "content-type": "application/json",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "api",
            "domainName": "tasks.example",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "tests",
            },
            "requestId": REQUEST_ID,
            "routeKey": route,
            "stage": "$default",
            "time": "22/Nov/2026:09:34:29 +0000",
            "timeEpoch": clock.now(),
        },
        "isBase64Encoded": False,
        **({} if body is None else {"body": json.dumps(body)}),
        **({"pathParameters": parameters} if parameters else {}),
    }


def about(world: World, route: str, **fields: Any) -> Event:
    """A request about the task, which has these fields."""
    world.stack.submit(world.task_id, **fields)
    return request(route, taskId=world.task_id)


def scheduled() -> Event:
    """An event of an EventBridge rule."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": "2026-11-22T09:34:29Z",
        "region": REGION,
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/tests"],
        "detail": {},
    }


def received(stack: Stack, url: str) -> Event:
    """An event of an SQS event source: the messages of a queue."""
    deliveries = stack.wait_for_messages(url)
    return {
        "Records": [
            {
                "messageId": delivery.message_id,
                "receiptHandle": delivery.receipt_handle,
                "body": delivery.body,
                "attributes": {
                    "ApproximateReceiveCount": str(delivery.receives),
                    "SentTimestamp": str(clock.now()),
                    "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                    "ApproximateFirstReceiveTimestamp": str(clock.now()),
                },
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{url.rpartition('/')[2]}",
                "awsRegion": REGION,
            }
            for delivery in deliveries
        ]
    }


def a_task_on_the_queue(world: World) -> Event:
    task = world.stack.submit(world.task_id, "simulate", '{"seconds": 0, "failureRate": 0}')
    world.stack.task_queue.send(TaskMessage.of(task))
    return received(world.stack, world.stack.task_queue_url)


def a_task_whose_message_was_lost(world: World) -> Event:
    before = clock.now() - 3_600_000
    world.stack.submit(world.task_id, created_key=created_key(world.task_id, before))
    return scheduled()


def a_dead_letter(world: World) -> None:
    world.stack.submit(world.task_id, status=Status.FAILED, attempts=3, error_message="RuntimeError: no")
    world.stack.dead_letter_queue.send(DeadLetter(world.task_id, 1, "RuntimeError: no", "c"))


def a_dead_letter_on_a_schedule(world: World) -> Event:
    a_dead_letter(world)
    return scheduled()


def a_dead_letter_from_the_queue(world: World) -> Event:
    a_dead_letter(world)
    return received(world.stack, world.stack.dead_letter_queue_url)


def is_buried(world: World) -> bool:
    return world.stack.record(world.task_id).dead_lettered_at is not None


def a_change(world: World) -> Event:
    """Of a task that a client wants to hear of."""
    world.stack.connections.subscribe("client", [world.task_id])
    task = a_task(world.task_id, "simulate")
    return {
        "Records": [
            {
                "eventID": uuid.uuid4().hex,
                "eventName": "INSERT",
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": REGION,
                "dynamodb": {
                    "ApproximateCreationDateTime": clock.now() // 1000,
                    "Keys": {"taskId": {"S": world.task_id}, "part": {"S": "state"}},
                    "NewImage": to_item(task),
                    "SequenceNumber": "4421584500000000017450439091",
                    "SizeBytes": 512,
                    "StreamViewType": "NEW_IMAGE",
                },
                "eventSourceARN": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/tests/stream/2026-11-22T00:00:00.000",
            }
        ]
    }


def a_connection(world: World) -> Event:
    return {
        "headers": {"Host": "live.example"},
        "queryStringParameters": {"ticket": world.stack.connections.issue_ticket()},
        "requestContext": {
            "routeKey": "$connect",
            "eventType": "CONNECT",
            "messageDirection": "IN",
            "connectionId": "L0SM9cOFvHcCIhw=",
            "requestId": "L0SM9ERBPHcFfNw=",
            "stage": "live",
        },
        "isBase64Encoded": False,
    }


def without_tables(world: World) -> Event:
    """The function finds no tables; neither does whoever comes after."""
    for table in (world.stack.table, world.stack.connections_table):
        world.stack.dynamodb.delete_table(TableName=table)
    return scheduled()


def without_queues(world: World) -> Event:
    for url in (world.stack.task_queue_url, world.stack.dead_letter_queue_url):
        world.stack.sqs.delete_queue(QueueUrl=url)
    return scheduled()


def all_kept(event: Event) -> object:
    """Every message of the batch stays on its queue."""
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in event["Records"]]}


def all_again(event: Event) -> object:
    """The batch of changes comes again from its first."""
    first = event["Records"][0]["dynamodb"]
    return {"batchItemFailures": [{"itemIdentifier": first["SequenceNumber"]}]}


ALL_DONE: Event = {"batchItemFailures": []}

#: By stack and function: the monitor has one event in dev, another in local.
CASES: Mapping[tuple[str, str], Case] = {
    ("dev", "submit-tasks"): Case(
        lambda world: request("POST /tasks", {"taskId": world.task_id, "answer": "42"}),
        answer=202,
        late=lambda _: 503,
        seen=lambda world: world.stack.store.get(world.task_id) is not None,
    ),
    ("dev", "read-tasks"): Case(
        lambda world: about(world, "GET /tasks/{taskId}"),
        answer=200,
    ),
    ("dev", "process-tasks"): Case(
        a_task_on_the_queue,
        answer=ALL_DONE,
        late=all_kept,
        seen=lambda world: world.stack.record(world.task_id).status is Status.COMPLETED,
    ),
    ("dev", "retry-tasks"): Case(
        lambda world: about(world, "POST /tasks/{taskId}/retry", status=Status.FAILED, attempts=3),
        answer=202,
        seen=lambda world: world.stack.record(world.task_id).run == 2,
    ),
    ("dev", "cancel-tasks"): Case(
        lambda world: about(world, "DELETE /tasks/{taskId}"),
        answer=200,
        seen=lambda world: world.stack.record(world.task_id).status is Status.CANCELLED,
    ),
    ("dev", "sweep-tasks"): Case(
        a_task_whose_message_was_lost,
        answer={"sent": 1},
        failing=without_tables,
        late=lambda _: {"sent": 0},
        seen=lambda world: bool(world.stack.receive(world.stack.task_queue_url)),
    ),
    ("dev", "monitor-dlq"): Case(
        a_dead_letter_on_a_schedule,
        answer=None,
        failing=without_queues,
        late=lambda _: None,
        seen=is_buried,
    ),
    ("local", "monitor-dlq"): Case(
        a_dead_letter_from_the_queue,
        answer=ALL_DONE,
        failing=lambda _: {"Records": [{}]},
        late=all_kept,
        seen=is_buried,
    ),
    ("dev", "track-connections"): Case(a_connection, answer=200),
    ("dev", "notify-clients"): Case(
        a_change,
        answer=ALL_DONE,
        late=all_again,
        seen=lambda world: "client" in world.gateway.frames,
    ),
    ("dev", "dashboard"): Case(lambda _: request("GET /"), answer=200),
    ("dev", "issue-tickets"): Case(lambda _: request("POST /live"), answer=200),
    ("dev", "describe-api"): Case(lambda _: request("GET /openapi.json"), answer=200),
}
