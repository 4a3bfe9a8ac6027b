"""Runs the sweep's handler in this process, as Lambda would: `python sweep_process.py STRIDES PENDING|COMPLETED`.

AWS is a function of this process that answers at once, at the wire, of one shard with a hundred entries a stride,
whose tasks all have that status: what is left is what the sweep itself computes. Prints a JSON line: CPU seconds for a
hundred entries. Imports nothing but the package and the standard library: it has no more where it runs.
"""

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.httpsession import URLLib3Session

STRIDE = 100
_CREATED = "2026-01-01T00:00:00.000Z#"


class _Body(io.BytesIO):
    """The body of an answer, as urllib3 hands it to botocore."""

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.read()


class _Context:
    """What the sweep asks of Lambda."""

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


class _Shard:
    """What AWS answers of the shard."""

    def __init__(self, entries: int, status: str) -> None:
        self.entries = entries
        self.status = status
        self.sent = 0

    def send(self, request: Any) -> AWSResponse:
        operation = request.headers["X-Amz-Target"].decode().rpartition(".")[2]
        answers: Mapping[str, Callable[[Any], dict[str, Any]]] = {
            "GetItem": lambda _: {},
            "UpdateItem": lambda _: {},
            "Query": self._query,
            "BatchGetItem": self._read,
            "SendMessageBatch": self._queue,
        }
        result = answers[operation](json.loads(request.body))
        headers: Any = {}
        return AWSResponse(request.url, 200, headers, _Body(json.dumps(result).encode()))

    def _query(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        # The index of unsent tasks, and the rechecks of the table itself, are empty.
        if asked.get("IndexName") != "byCreated":
            return {"Items": []}
        first = int(asked.get("ExclusiveStartKey", {"number": {"N": "0"}})["number"]["N"])
        end = min(first + asked["Limit"], self.entries)
        items = [
            {"createdKey": {"S": f"{_CREATED}t{number:06}"}, "taskId": {"S": f"t{number:06}"}}
            for number in range(first, end)
        ]
        more = {"LastEvaluatedKey": {"number": {"N": str(end)}}} if end < self.entries else {}
        return {"Items": items, **more}

    def _read(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        ((table, keys),) = asked["RequestItems"].items()
        return {"Responses": {table: [self._record(key["taskId"]["S"]) for key in keys["Keys"]]}}

    def _queue(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self.sent += len(asked["Entries"])
        return {"Successful": [{"Id": entry["Id"], "MessageId": "m"} for entry in asked["Entries"]]}

    def _record(self, task_id: str) -> dict[str, dict[str, str]]:
        return {
            "taskId": {"S": task_id},
            "part": {"S": "state"},
            "type": {"S": "simulate"},
            "status": {"S": self.status},
            "run": {"N": "1"},
            "attempts": {"N": "0"},
            "version": {"N": "1"},
            "createdKey": {"S": f"{_CREATED}{task_id}"},
            "listShard": {"S": "0"},
            "updatedAt": {"N": "1767225600000"},
            "contentHash": {"S": "n4bQgYhMfWWaL-qgxVrQFQ"},
            "correlationId": {"S": "6dd9cdb6-7d0d-4d38-a4e1-3a0e0b1e5b5e"},
            "payload": {"S": '{"seconds":0}'},
        }


def main(strides: int, status: str) -> None:
    """Run the sweep and print the report; its own output is thrown away."""
    import sweep_tasks  # noqa: PLC0415 - only the package has it

    with os.fdopen(os.dup(1), "w") as report, Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)
        for entries in (STRIDE, strides * STRIDE):  # the first warms up
            shard = _Shard(entries, status)
            setattr(URLLib3Session, "send", shard.send)  # noqa: B010 - a type checker has the right to object
            begin = time.process_time()
            sweep_tasks.handler({}, _Context())
            cpu = time.process_time() - begin
            if shard.sent != (entries if status == "PENDING" else 0):
                raise RuntimeError(f"{shard.sent} messages were sent of {entries}")
        json.dump({"cpuPerStride": cpu / strides}, report)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
