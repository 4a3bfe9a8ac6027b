"""Tasks per second from the first submission to the last completed task, ours and the baselines', in one emulator.

The contenders' rounds alternate, so that whatever else the machine does meets them alike; a figure is the median
of its rounds. Every contender is warmed up by a round that does not count.
"""

import json
import statistics
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from benchmarks import cpu
from benchmarks.http_load import Reply, post_all
from benchmarks.plain.deployment import deploy
from benchmarks.stack import NO_WORK, REPOSITORY, Stack

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

COUNT = 300
CLIENTS = 16
ROUNDS = 5

#: A batch as large as the API takes.
BATCH = 100
#: More than one batch for each of a few clients; Celery, which is compared with them, gets as many tasks.
BATCH_COUNT = 1200
BATCH_CLIENTS = 4

#: Seconds between two looks at the tasks. When each was completed is read from its record, so this may be long,
#: and a look takes little from the emulator.
_PAUSE = 0.25
_PATIENCE = 120


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a contender. Seconds; `latencies` are those of tasks, from their submission to their end."""

    tasks: int
    submitted: float
    completed: float
    latencies: Sequence[float]
    cpu: Mapping[str, float] = field(default_factory=dict[str, float])  #: of one task, by kind of process

    @property
    def submissions_per_second(self) -> float:
        """Until the last submission was answered."""
        return self.tasks / self.submitted

    @property
    def tasks_per_second(self) -> float:
        """Until the last task was completed."""
        return self.tasks / self.completed


@dataclass(frozen=True, slots=True)
class Figures:
    """The median of a contender's rounds; latencies of all of them together, in seconds."""

    tasks_per_second: float
    submissions_per_second: float
    p50: float
    p99: float
    cpu: Mapping[str, float]

    @classmethod
    def of(cls, rounds: Sequence[Round]) -> "Figures":
        """The figures of some rounds."""
        cuts = statistics.quantiles(
            (each for one in rounds for each in one.latencies), n=100, method="inclusive"
        )
        return cls(
            statistics.median(one.tasks_per_second for one in rounds),
            statistics.median(one.submissions_per_second for one in rounds),
            cuts[49],
            cuts[98],
            {kind: statistics.median(one.cpu[kind] for one in rounds) for kind in cpu.KINDS},
        )


@dataclass(frozen=True, slots=True)
class Celery:
    """What the Celery baseline reports."""

    tasks_per_second: float
    submissions_per_second: float


@dataclass(frozen=True, slots=True)
class Throughput:
    """The figures of all contenders; for `empty` and `printing`, tasks are requests that are only answered.

    The emulator waits up to 50 ms for the log of a function that prints nothing, which limits `empty`, not what the
    machine could do; `printing` is the same function with a line for the log, as all the others have.
    """

    empty: Figures
    printing: Figures
    plain: Figures
    single: Figures
    batch: Figures
    celery: Celery
    ratios: "Ratios"


@dataclass(frozen=True, slots=True)
class Ratios:
    """Tasks a second over those of another, each the median of the ratios within one round."""

    single_over_empty: float
    single_over_printing: float
    single_over_plain: float
    batch_over_plain: float
    batch_over_celery: float


def measure(stack: Stack, say: Callable[[str], None]) -> Throughput:
    """Run every contender's rounds in the emulator of a stack, which has nothing else to do meanwhile."""
    plain = deploy(stack.endpoint)

    def ours(ids: Sequence[str]) -> Mapping[str, float]:
        keys = [{"taskId": {"S": task_id}, "part": {"S": "state"}} for task_id in ids]
        return _completions(
            stack.dynamodb, stack.table, keys, lambda item: int(item["updatedAt"]["N"]) / 1000
        )

    def theirs(ids: Sequence[str]) -> Mapping[str, float]:
        keys = [{"taskId": {"S": task_id}} for task_id in ids]
        return _completions(
            stack.dynamodb,
            plain.table,
            keys,
            lambda item: datetime.fromisoformat(item["updatedAt"]["S"]).timestamp(),
        )

    contenders: Mapping[str, Callable[[], Round]] = {
        "empty": lambda: _empty(f"{plain.api_url}/empty", {}),
        "printing": lambda: _empty(f"{plain.api_url}/empty", {"print": True}),
        "plain": lambda: single(f"{plain.api_url}/tasks", COUNT, CLIENTS, theirs),
        "single": lambda: single(f"{stack.url}/tasks", COUNT, CLIENTS, ours),
        "batch": lambda: batch(f"{stack.url}/tasks/batch", BATCH_COUNT, BATCH_CLIENTS, ours),
    }
    rounds: dict[str, list[Round]] = {name: [] for name in contenders}
    celery: list[Celery] = []
    for number in range(1 + ROUNDS):
        for name, run in contenders.items():
            clock = cpu.Clock()
            result = run()
            used = clock.used()
            result = replace(result, cpu={kind: used[kind] / result.tasks for kind in cpu.KINDS})
            say(f"{name}: {result.tasks_per_second:.0f}/s" + ("" if number else " (warm-up)"))
            rounds[name].append(result)
        if number:
            celery.append(measure_celery(stack.endpoint))
            say(f"celery: {celery[-1].tasks_per_second:.0f}/s")
    counted = {name: each[1:] for name, each in rounds.items()}
    speeds = {name: [one.tasks_per_second for one in each] for name, each in counted.items()}
    speeds["celery"] = [one.tasks_per_second for one in celery]

    def over(name: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(speeds[name], speeds[other], strict=True))

    return Throughput(
        **{name: Figures.of(each) for name, each in counted.items()},
        celery=Celery(
            statistics.median(speeds["celery"]),
            statistics.median(one.submissions_per_second for one in celery),
        ),
        ratios=Ratios(
            over("single", "empty"),
            over("single", "printing"),
            over("single", "plain"),
            over("batch", "plain"),
            over("batch", "celery"),
        ),
    )


def single(
    url: str, count: int, clients: int, completions: Callable[[Sequence[str]], Mapping[str, float]]
) -> Round:
    """Submit tasks one a request and wait until all are completed."""
    ids = [str(uuid.uuid4()) for _ in range(count)]
    replies = post_all(url, [{"taskId": task_id, "payload": NO_WORK} for task_id in ids], clients)
    return _round(replies, dict(zip(ids, replies, strict=True)), completions(ids))


def batch(
    url: str, count: int, clients: int, completions: Callable[[Sequence[str]], Mapping[str, float]]
) -> Round:
    """Submit tasks in batches and wait until all are completed."""
    ids = [str(uuid.uuid4()) for _ in range(count)]
    groups = [ids[start : start + BATCH] for start in range(0, count, BATCH)]
    bodies = [{"tasks": [{"taskId": task_id, "payload": NO_WORK} for task_id in group]} for group in groups]
    replies = post_all(url, bodies, clients)
    for reply in replies:
        statuses = {result["status"] for result in json.loads(reply.body)["results"]}
        if statuses != {202}:
            raise RuntimeError(f"not every task of a batch was accepted: {statuses}")
    by_task = {task_id: reply for group, reply in zip(groups, replies, strict=True) for task_id in group}
    return _round(replies, by_task, completions(ids))


def _empty(url: str, fields: Mapping[str, Any]) -> Round:
    replies = post_all(url, [{"payload": NO_WORK, **fields}] * COUNT, CLIENTS)
    seconds = max(reply.answered for reply in replies) - min(reply.sent for reply in replies)
    return Round(COUNT, seconds, seconds, [reply.seconds for reply in replies])


def _round(replies: Iterable[Reply], by_task: Mapping[str, Reply], ends: Mapping[str, float]) -> Round:
    begin = min(reply.sent for reply in replies)
    return Round(
        len(by_task),
        max(reply.answered for reply in replies) - begin,
        max(ends.values()) - begin,
        [ends[task_id] - reply.sent for task_id, reply in by_task.items()],
    )


def _completions(
    dynamodb: "DynamoDBClient",
    table: str,
    keys: Sequence[Any],
    when: Callable[[Mapping[str, Any]], float],
) -> Mapping[str, float]:
    """When each task was completed, in seconds since 1970; waits for all. The last submitted ends late: watch it."""
    ends: dict[str, float] = {}
    deadline = time.monotonic() + _PATIENCE
    left: list[Any] = list(keys)
    while left:
        found = [
            item
            for start in range(0, len(left), 100)
            for item in _read(dynamodb, table, left[start : start + 100])
        ]
        ends |= {item["taskId"]["S"]: when(item) for item in found if item["status"]["S"] == "COMPLETED"}
        left = [key for key in left if key["taskId"]["S"] not in ends]
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(left)} of {len(keys)} tasks were not completed within {_PATIENCE} s")
        if left:
            time.sleep(_PAUSE)
    return ends


def _read(dynamodb: "DynamoDBClient", table: str, keys: Sequence[Any]) -> Sequence[Any]:
    # Most of what is asked for is not done yet, so only one in the whole is asked for until it is.
    probe: Any = dynamodb.get_item(TableName=table, Key=keys[-1]).get("Item")
    if not probe or probe["status"]["S"] != "COMPLETED":
        return []
    return dynamodb.batch_get_item(RequestItems={table: {"Keys": keys}})["Responses"][table]


def measure_celery(endpoint: str) -> Celery:
    """Run Celery's round, of as many tasks as a round of batches. Raises RuntimeError when it fails."""
    python = REPOSITORY / ".venv" / "bench" / "bin" / "python"
    done = subprocess.run(
        [python, "-m", "benchmarks.celery_baseline", "--endpoint", endpoint, "--count", str(BATCH_COUNT)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the Celery baseline failed: {done.stderr.strip()[-2000:]}")
    report = json.loads(done.stdout)
    return Celery(report["tasksPerSecond"], report["submissionsPerSecond"])
