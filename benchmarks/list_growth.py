"""What a page of the list reads when more and more tasks are stored.

The emulator looks through a whole index partition for each query, so its latency says nothing about DynamoDB;
what counts is the items that were read and the calls that were made.
"""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.meter.proxy import MeterProxy
from benchmarks.package import Package
from benchmarks.stack import Stack
from benchmarks.worker_process import record

SIZES: Sequence[int] = (100, 1_000, 10_000, 100_000)

#: Tasks of one BatchWriteItem call.
_WRITE = 25

_PROCESS = Path(__file__).with_name("list_process.py")


@dataclass(frozen=True, slots=True)
class ListPages:
    """The first page of 20 and one from the middle of a list of `stored` tasks."""

    stored: int
    calls: int
    items_read: int
    read_units: float
    milliseconds: float


def measure(package: Package, stack: Stack, say: Callable[[str], None]) -> list[ListPages]:
    """Fill the table of a stack that has nothing else to do, and read its list at each size."""
    results: list[ListPages] = []
    stored = 0
    with MeterProxy(stack.endpoint) as meter, ThreadPoolExecutor(4) as threads:
        for size in SIZES:
            starts = range(stored, size, _WRITE)
            list(threads.map(partial(_store, stack), starts))
            stored = size
            meter.reset()
            report = json.loads(
                package.run(
                    _PROCESS, stack.table, _place(size // 2), environment={"AWS_ENDPOINT_URL": meter.url}
                )
            )
            counts = meter.counts().values()
            results.append(
                ListPages(
                    size,
                    sum(count.calls for count in counts),
                    sum(count.items_read for count in counts),
                    sum(count.read_units for count in counts),
                    report["seconds"] * 1000,
                )
            )
            say(f"{size} tasks: {results[-1].items_read} items read in {results[-1].calls} calls")
    return results


def _store(stack: Stack, start: int) -> None:
    items = [
        record(f"task-{number}") | {"createdKey": {"S": _place(number)}, "status": {"S": "COMPLETED"}}
        for number in range(start, start + _WRITE)
    ]
    stack.dynamodb.batch_write_item(
        RequestItems={stack.table: [{"PutRequest": {"Item": item}} for item in items]}
    )


def _place(number: int) -> str:
    # In the future, where the sweep does not look yet.
    return f"2099-01-01T00:{number // 60_000:02}:{number // 1000 % 60:02}.{number % 1000:03}Z#task-{number}"
