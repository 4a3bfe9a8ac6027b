"""What a task uses and costs, by what the functions send over the wire.

The functions run behind the meter, in the local stack. What Lambda itself does in their name, receiving messages and
deleting them, happens inside the emulator and is added as an assumption (`meter.bill.polls`).
"""

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.http_load import Reply, post_all
from benchmarks.meter import bill
from benchmarks.meter.proxy import MeterProxy
from benchmarks.stack import NO_WORK, Stack
from benchmarks.worker import WorkerCost

COUNT = 200
BATCH = 100
#: Memory of the functions behind the API and of the worker, as Pulumi.yaml has them; and of the sweep, as __main__.py.
MEMORY_MB = 512
SWEEP_MEMORY_MB = 1_769
#: Messages of an invocation of the worker: full batches, which a queue with something in it delivers. Where tasks come
#: so seldom that each finds the queue empty, one.
WORKER_BATCH = 10
ALONE = 1

_PATIENCE = 60


@dataclass(frozen=True, slots=True)
class Cost:
    """For one task: calls by operation, units; and dollars for a million tasks by service.

    All includes the sweep, which reads each task once, and the reader of the table's stream while nobody watches;
    but for `write_units`: those are the writes of the task. The sweep writes its cursor for each hundred tasks.
    """

    calls: Mapping[str, float]
    write_units: float
    read_units: float
    log_bytes: float
    dollars: Mapping[str, float]

    @property
    def total(self) -> float:
        """Dollars for a million tasks."""
        return sum(self.dollars.values())


@dataclass(frozen=True, slots=True)
class Costs:
    """Of tasks that succeed at once, submitted one a request, 100 a request; and with a payload of 64 KB.

    `single_alone` is `single` with one message in each invocation of the worker.
    """

    single: Cost
    batch: Cost
    single_64k: Cost
    single_alone: Cost


def measure(stack: Stack, worker: WorkerCost, say: Callable[[str], None]) -> Costs:
    """Run tasks behind the meter. `worker` says how long an invocation of the worker takes."""
    stack.stop_schedules()  # the sweep is called here, once a run
    single, batch = f"{stack.url}/tasks", f"{stack.url}/tasks/batch"
    task = {"payload": NO_WORK}
    large = {"payload": {**NO_WORK, "text": "x" * 64_000}}
    runs = {
        "single": (single, [task] * COUNT, COUNT),
        "batch": (batch, [{"tasks": [task] * BATCH}] * (COUNT // BATCH), COUNT),
        "single, 64 KB": (single, [large] * 20, 20),
    }
    post_all(single, [task] * 20, 1)  # warm
    # The way through the API included; without the meter, which makes calls slower.
    milliseconds = {
        name: 1000 * statistics.median(reply.seconds for reply in post_all(url, bodies, 1))
        for name, (url, bodies, _) in runs.items()
    }
    query = _query_milliseconds(stack)
    with MeterProxy(stack.endpoint) as meter:
        for name in ("submit-tasks", "process-tasks", "sweep-tasks", "notify-clients"):
            stack.configure(name, {"AWS_ENDPOINT_URL": meter.url, "SWEEP_BEHIND_SECONDS": "0"})
        _wait(stack, post_all(single, [task] * 20, 1))
        stack.functions.invoke(FunctionName=_name(stack, "sweep-tasks"))  # past all that came before

        def run(name: str, url: str, bodies: Sequence[Mapping[str, Any]], tasks: int) -> tuple[Cost, Cost]:
            stack.settled_log()
            meter.reset()
            logged = len(stack.settled_log())
            replies = post_all(url, bodies, 1)
            _wait(stack, replies)
            time.sleep(1)  # the stream is read four times a second
            of_tasks = meter.counts()
            write_units = sum(count.write_units for count in of_tasks.values())
            # Nobody is connected, so each batch of changes costs an invocation with one query.
            batches = of_tasks["dynamodb.Query"].calls
            begin = time.perf_counter()
            stack.functions.invoke(FunctionName=_name(stack, "sweep-tasks"))
            sweep = (time.perf_counter() - begin) * 1000
            counts = meter.counts()
            events = [line.partition(" ")[2] for line in stack.settled_log()[logged:].splitlines()]
            metrics = [event for event in events if event.startswith('{"_aws"')]
            all_but_worker = (
                bill.api_calls(counts)
                + bill.http_requests(len(json.dumps(body)) for body in bodies)
                + bill.invocations([milliseconds[name]] * len(bodies), MEMORY_MB)
                + bill.invocations([sweep], SWEEP_MEMORY_MB)
                + bill.invocations([query] * batches, MEMORY_MB)
                + bill.logs(event for event in events if not event.startswith('{"_aws"'))
            )

            def cost(worker_milliseconds: float, batch: int) -> Cost:
                usage = all_but_worker + worker_usage(tasks, batch, worker_milliseconds)
                usage += bill.logs(metric_lines(metrics, tasks, batch))
                return Cost(
                    {operation: count.calls / tasks for operation, count in sorted(counts.items())},
                    write_units / tasks,
                    usage.read_units / tasks,
                    usage.log_bytes / tasks,
                    bill.dollars_per_million(usage, tasks),
                )

            full = cost(worker.batch_overhead, WORKER_BATCH)
            say(f"{name}: {full.write_units:.2f} write units, {full.total:.2f} dollars per million tasks")
            return full, cost(worker.single_overhead, ALONE)

        costs = {name: run(name, *each) for name, each in runs.items()}
        return Costs(
            costs["single"][0], costs["batch"][0], costs["single, 64 KB"][0], single_alone=costs["single"][1]
        )


def _query_milliseconds(stack: Stack) -> float:
    """What it takes to find that nobody is connected."""
    seconds: list[float] = []
    for _ in range(20):
        begin = time.perf_counter()
        stack.dynamodb.query(
            TableName=stack.connections_table,
            KeyConditionExpression="#state = :subscribed",
            ExpressionAttributeNames={"#state": "state"},
            ExpressionAttributeValues={":subscribed": {"S": "subscribed"}},
            ConsistentRead=True,
        )
        seconds.append(time.perf_counter() - begin)
    return 1000 * statistics.median(seconds)


def worker_usage(tasks: int, batch: int, milliseconds: float) -> bill.Usage:
    """Usage of the worker but for its own calls: its invocations of so many messages each, and Lambda's polls."""
    return bill.invocations([milliseconds] * -(-tasks // batch), MEMORY_MB) + bill.polls(tasks, batch)


def metric_lines(lines: Sequence[str], tasks: int, batch: int) -> list[str]:
    """The worker's metric lines as they would be with so many tasks in each invocation: a line an invocation.

    Raises RuntimeError when the lines are not those of that many tasks, each of which succeeded at once.
    """
    values: dict[str, list[float]] = {}
    head: dict[str, Any] = {}
    for line in lines:
        head = json.loads(line)
        for metric in head["_aws"]["CloudWatchMetrics"][0]["Metrics"]:
            values.setdefault(metric["Name"], []).extend(head[metric["Name"]])
    # A count is one number, however many tasks it counts.
    times = {
        name: points for name, points in values.items() if name not in ("Completed", "Retried", "Failed")
    }
    if not times or {len(points) for points in times.values()} != {tasks}:
        raise RuntimeError(f"the metric lines are not those of {tasks} tasks that succeeded at once")
    return [
        json.dumps(
            head | {name: points[at : at + batch] for name, points in times.items()}, separators=(",", ":")
        )
        for at in range(0, tasks, batch)
    ]


def _wait(stack: Stack, replies: Sequence[Reply]) -> None:
    """Until every task of the replies is completed. Asks the emulator itself, so nothing of it is metered."""
    left: set[str] = set()
    for reply in replies:
        body = json.loads(reply.body)
        left |= (
            {result["task"]["taskId"] for result in body["results"]}
            if "results" in body
            else {body["taskId"]}
        )
    deadline = time.monotonic() + _PATIENCE
    while left:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(left)} tasks were not completed within {_PATIENCE} s")
        time.sleep(0.2)
        some = [*left][:100]
        keys: list[Any] = [{"taskId": {"S": task_id}, "part": {"S": "state"}} for task_id in some]
        items = stack.dynamodb.batch_get_item(RequestItems={stack.table: {"Keys": keys}})["Responses"][
            stack.table
        ]
        left -= {item["taskId"].get("S", "") for item in items if item["status"].get("S") == "COMPLETED"}


def _name(stack: Stack, name: str) -> str:
    names = [function.get("FunctionName", "") for function in stack.functions.list_functions()["Functions"]]
    return next(each for each in names if each.endswith(name))
