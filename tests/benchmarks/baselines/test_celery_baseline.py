"""The Celery baseline as far as it goes without Celery: its settings, and how it sees the last result."""

import subprocess
import sys
from collections.abc import Generator

import boto3
import pytest

from benchmarks.celery_baseline.__main__ import NotDoneError, Results
from benchmarks.celery_baseline.settings import QUEUE, SUBMITTERS, settings

QUEUE_URL = "http://127.0.0.1:4566/000000000000/some-queue"


def test_everything_goes_to_the_emulator() -> None:
    made = settings("http://127.0.0.1:4567", QUEUE_URL, "some-table")

    assert made["broker_url"] == "sqs://test:test@127.0.0.1:4567//"
    assert made["broker_transport_options"]["is_secure"] is False
    assert made["broker_transport_options"]["predefined_queues"][QUEUE]["url"] == QUEUE_URL
    assert made["result_backend"] == "dynamodb://test:test@127.0.0.1:4567/some-table"


def test_tasks_go_to_the_one_queue_that_exists_over_as_many_connections_as_submit() -> None:
    made = settings("http://127.0.0.1:4567", QUEUE_URL, "some-table")

    assert list(made["broker_transport_options"]["predefined_queues"]) == [made["task_default_queue"]]
    assert made["broker_pool_limit"] == SUBMITTERS
    assert (made["worker_concurrency"], made["task_acks_late"]) == (4, True)


@pytest.fixture
def worker() -> Generator["subprocess.Popen[bytes]"]:
    """A process that runs until its input ends."""
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.fixture
def results(aws: None) -> Results:
    dynamodb = boto3.client("dynamodb")
    dynamodb.create_table(
        TableName="some-table",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    for task, timestamp in {"one": "12.5", "two": "13.25", "three": "11"}.items():
        dynamodb.put_item(TableName="some-table", Item={"id": {"S": task}, "timestamp": {"N": timestamp}})
    return Results(dynamodb, "some-table")


def test_the_end_is_when_the_last_result_was_put(results: Results, worker: "subprocess.Popen[bytes]") -> None:
    assert results.wait(3, worker) == 13.25


def test_nobody_waits_for_a_worker_that_ended(results: Results, worker: "subprocess.Popen[bytes]") -> None:
    worker.kill()
    worker.wait()
    with pytest.raises(NotDoneError, match="ended with status -9"):
        results.wait(4, worker)
