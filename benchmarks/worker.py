"""What the worker itself costs: CPU for a task with AWS stubbed, and time for a batch beside an idle emulator."""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

from benchmarks.package import Package
from benchmarks.stack import Stack
from benchmarks.worker_process import WARM_UP, record

BATCH = 10
#: Rounds of the stubbed run are many, since the CPU of task processes is counted in steps of 10 ms.
STUBBED_ROUNDS = 100
LOCAL_ROUNDS = 30
RUNS = 5

_PROCESS = Path(__file__).with_name("worker_process.py")


@dataclass(frozen=True, slots=True)
class WorkerCost:
    """Milliseconds: CPU per task with AWS stubbed; wall time of a batch of 10 tasks without work, locally, and of 1."""

    cpu_per_task: float
    batch_overhead: float
    single_overhead: float
    #: CPU per task in events of 100 and of 1,000 messages, which the emulator never delivers.
    cpu_per_task_of_100: float
    cpu_per_task_of_1000: float


def measure(package: Package, stack: Stack) -> WorkerCost:
    """Run the worker in processes of its own."""
    return WorkerCost(
        statistics.median(_stubbed(package, BATCH, STUBBED_ROUNDS) for _ in range(RUNS)),
        _local(package, stack, BATCH),
        _local(package, stack, 1),
        _stubbed(package, 100, 10),
        _stubbed(package, 1000, 2),
    )


def _stubbed(package: Package, batch: int, rounds: int) -> float:
    return json.loads(package.run(_PROCESS, str(batch), str(rounds), "stubbed"))["cpuPerTask"] * 1000


def _local(package: Package, stack: Stack, batch: int) -> float:
    """The worker is called with messages that no queue has, so that the stack's own workers do nothing."""
    rounds = range(WARM_UP + LOCAL_ROUNDS)
    for number in rounds:
        items = [record(f"r{number}-{place}") for place in range(batch)]
        stack.dynamodb.batch_write_item(
            RequestItems={stack.table: [{"PutRequest": {"Item": item}} for item in items]}
        )
    environment = {
        "AWS_ENDPOINT_URL": stack.endpoint,
        "TASKS_TABLE": stack.table,
        "TASK_QUEUE_URL": stack.task_queue_url,
        "DEAD_LETTER_QUEUE_URL": stack.dead_letter_queue_url,
    }
    report = package.run(_PROCESS, str(batch), str(LOCAL_ROUNDS), "local", environment=environment)
    return json.loads(report)["seconds"] * 1000
