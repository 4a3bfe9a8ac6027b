"""The command line: `python -m benchmarks.celery_baseline --endpoint URL [--count N]`.

Prints one JSON line: `count`, `submissionsPerSecond`, and `tasksPerSecond` from the first submission to the last
result. Exit status 1, with the worker's log on standard error, when a task was not done in time.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING

import boto3

from benchmarks.celery_baseline.settings import CREDENTIAL, REGION, SUBMITTERS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: Tasks before the first one that counts: every process and connection has worked by then.
_WARM_UP = 4 * SUBMITTERS
#: Seconds in which the tasks submitted so far must be done, the worker's start included.
_PATIENCE = 60
#: Seconds between two looks at the results. When a result was put is read from the result itself, so this may be
#: long, and a look takes next to nothing from the emulator.
_PAUSE = 0.25


class NotDoneError(Exception):
    """The tasks were not done; the text says why."""


class Results:
    """The table that Celery puts one item into for each task that is done."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def wait(self, count: int, worker: "subprocess.Popen[bytes]") -> float:
        """Wait until so many are there; return when the last one was put, in seconds as `time.time()`.

        Raises:
            NotDoneError: the worker ended, or it takes too long.
        """
        end = time.monotonic() + _PATIENCE
        while len(times := self._times()) < count:
            if worker.poll() is not None:
                raise NotDoneError(f"the worker ended with status {worker.returncode}")
            if time.monotonic() > end:
                raise NotDoneError(f"{len(times)} of {count} tasks were done within {_PATIENCE} s")
            time.sleep(_PAUSE)
        return max(times)

    def _times(self) -> list[float]:
        pages = self._dynamodb.get_paginator("scan").paginate(
            TableName=self._table,
            ProjectionExpression="#timestamp",
            ExpressionAttributeNames={"#timestamp": "timestamp"},
        )
        return [float(item["timestamp"].get("N", "0")) for page in pages for item in page["Items"]]


def main() -> int:
    """Run what the command line asks for and return the exit status."""
    # Told to stop, it ends what it has started, as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = _parse()
    with tempfile.TemporaryFile() as log:
        try:
            report = measure(options.endpoint, options.count, log)
        except NotDoneError as error:
            log.seek(0)
            sys.stderr.write(f"{log.read().decode(errors='replace')[-4000:]}\nerror: {error}\n")
            return 1
    print(json.dumps(report))  # noqa: T201 - the report
    return 0


def measure(endpoint: str, count: int, log: IO[bytes]) -> dict[str, float]:
    """Run `count` tasks through a queue, a table and a worker that are made for it, and removed again.

    Args:
        endpoint: where the emulator listens.
        count: tasks.
        log: takes what the worker prints.

    Raises:
        NotDoneError: a task was not done.
    """
    with _queue_and_table(endpoint) as results, _worker(log) as worker:
        # Reads the environment, which names the queue and the table from here on.
        from benchmarks.celery_baseline.app import no_operation  # noqa: PLC0415

        def submit(_number: int) -> None:
            no_operation.delay({"seconds": 0})

        with ThreadPoolExecutor(SUBMITTERS) as submitters:
            list(submitters.map(submit, range(_WARM_UP)))
            results.wait(_WARM_UP, worker)
            started = time.time()
            list(submitters.map(submit, range(count)))
            submitted = time.time()
        done = results.wait(_WARM_UP + count, worker)
    return {
        "count": count,
        "submissionsPerSecond": round(count / (submitted - started), 1),
        "tasksPerSecond": round(count / (done - started), 1),
    }


@contextlib.contextmanager
def _queue_and_table(endpoint: str) -> Generator[Results]:
    """A queue and a table of this run's own; the environment names them, for this process and for the worker."""
    os.environ |= {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": CREDENTIAL,
        "AWS_SECRET_ACCESS_KEY": CREDENTIAL,
        # No setting of this machine's user is to lead to AWS.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    sqs, dynamodb = boto3.client("sqs"), boto3.client("dynamodb")
    name = f"celery-{uuid.uuid4().hex[:8]}"
    queue_url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "180"})["QueueUrl"]
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    os.environ |= {"TASK_QUEUE_URL": queue_url, "RESULTS_TABLE": name}
    try:
        yield Results(dynamodb, name)
    finally:
        dynamodb.delete_table(TableName=name)
        sqs.delete_queue(QueueUrl=queue_url)


@contextlib.contextmanager
def _worker(log: IO[bytes]) -> Generator["subprocess.Popen[bytes]"]:
    """A running worker; leaving the context ends it with every process that it started."""
    # Without --quiet the worker opens its DynamoDB connection for the banner, then forks: its processes share the
    # connection, take each other's answers, and one may wait a minute for its own.
    command = [sys.executable, "-m", "celery", "--app", "benchmarks.celery_baseline.app", "--quiet", "worker"]
    # What workers tell each other, which SQS has no way for.
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
    worker = subprocess.Popen(
        command,
        cwd=Path(__file__).resolve().parents[2],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield worker
    finally:
        # Its results are read or given up, its queue is about to go: nothing to wait for.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.celery_baseline",
        description="Tasks that do nothing, run by Celery over SQS.",
    )
    parser.add_argument("--endpoint", required=True, help="where the emulator listens: http://127.0.0.1:PORT")
    parser.add_argument("--count", type=_whole, default=300, help="tasks (default: 300)")
    return parser.parse_args()


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
