"""Runs the worker's handler in this process, as Lambda would: `python worker_process.py BATCH ROUNDS stubbed|local`.

With `stubbed`, AWS is a function of this process that answers at once, at the wire: what is left is what the worker
itself computes. With `local`, it is the emulator named by the environment, whose table must hold the tasks
`r<round>-<number>`. Prints a JSON line: CPU seconds per task, of this process and its children, and the median wall
seconds of a round. Imports nothing but the package and the standard library: it has no more where it runs.
"""

import contextlib
import io
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.httpsession import URLLib3Session

WARM_UP = 5


class _Body(io.BytesIO):
    """The body of an answer, as urllib3 hands it to botocore."""

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.read()


class _Context:
    """What the worker asks of Lambda."""

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def answer(_session: URLLib3Session, request: Any) -> AWSResponse:
    """What DynamoDB answers to the worker's calls."""
    body = json.loads(request.body)
    operation = request.headers["X-Amz-Target"].decode()
    if operation.endswith("BatchGetItem"):
        ((table, keys),) = body["RequestItems"].items()
        result: dict[str, Any] = {"Responses": {table: [record(key["taskId"]["S"]) for key in keys["Keys"]]}}
    elif operation.endswith("BatchExecuteStatement"):
        result = {"Responses": [{} for _ in body["Statements"]]}
    else:
        raise RuntimeError(f"the worker made a call that nobody answers here: {operation}")
    headers: Any = {}
    return AWSResponse(request.url, 200, headers, _Body(json.dumps(result).encode()))


def record(task_id: str) -> dict[str, dict[str, str]]:
    """A task that waits for its first attempt and has no work."""
    return {
        "taskId": {"S": task_id},
        "part": {"S": "state"},
        "type": {"S": "simulate"},
        "status": {"S": "PENDING"},
        "run": {"N": "1"},
        "attempts": {"N": "0"},
        "version": {"N": "1"},
        "createdKey": {"S": f"2026-01-01T00:00:00.000Z#{task_id}"},
        "listShard": {"S": "0"},
        "updatedAt": {"N": "1767225600000"},
        "contentHash": {"S": "n4bQgYhMfWWaL-qgxVrQFQ"},
        "correlationId": {"S": "6dd9cdb6-7d0d-4d38-a4e1-3a0e0b1e5b5e"},
        "payload": {"S": '{"seconds":0}'},
    }


def event(batch: int, number: int) -> dict[str, Any]:
    """A delivery of `batch` messages."""
    return {
        "Records": [
            {
                "messageId": f"{number}-{place}",
                "receiptHandle": "handle",
                "body": json.dumps(
                    {"taskId": f"r{number}-{place}", "run": 1, "type": "simulate", "correlationId": "c"}
                ),
                "attributes": {"ApproximateReceiveCount": "1"},
            }
            for place in range(batch)
        ]
    }


def cpu_of_children(pid: int) -> float:
    """CPU seconds that the descendants of a process have used so far."""
    seconds = 0.0
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            ticks = int(fields[11]) + int(fields[12])
            seconds += ticks / os.sysconf("SC_CLK_TCK") + cpu_of_children(int(child))
    return seconds


def main(batch: int, rounds: int, aws: str) -> None:
    """Run the rounds and print the report; the functions' own output is thrown away."""
    import process_tasks  # noqa: PLC0415 - the benchmark takes `record` from here, and has no package

    if aws == "stubbed":
        setattr(URLLib3Session, "send", answer)  # noqa: B010 - a type checker has the right to object
    walls: list[float] = []
    cpu = 0.0
    with os.fdopen(os.dup(1), "w") as report, Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)
        for number in range(WARM_UP + rounds):
            if number == WARM_UP:
                cpu = time.process_time() + cpu_of_children(os.getpid())
            begin = time.perf_counter()
            if process_tasks.handler(event(batch, number), _Context())["batchItemFailures"]:
                raise RuntimeError("a task was not completed")
            walls.append(time.perf_counter() - begin)
        cpu = time.process_time() + cpu_of_children(os.getpid()) - cpu
        counted = walls[WARM_UP:]
        json.dump({"cpuPerTask": cpu / (batch * rounds), "seconds": statistics.median(counted)}, report)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
