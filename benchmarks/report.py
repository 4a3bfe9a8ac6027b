"""What was measured as tables, and beside its goals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import cpu
from benchmarks.cold_start import ColdStart
from benchmarks.cost import Cost, Costs
from benchmarks.list_growth import ListPages
from benchmarks.live import Delay
from benchmarks.submission import Burst
from benchmarks.sweep import SweepCost
from benchmarks.throughput import BATCH, BATCH_CLIENTS, BATCH_COUNT, CLIENTS, COUNT, Throughput
from benchmarks.worker import WorkerCost


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that a run measures."""

    cold_starts: Mapping[str, ColdStart]
    seconds_to_first_task: float
    throughput: Throughput
    bursts: Sequence[Burst]
    delays: Sequence[Delay]
    worker: WorkerCost
    sweep: SweepCost
    costs: Costs
    pages: Sequence[ListPages]


@dataclass(frozen=True, slots=True)
class Goal:
    """A measure with its goal: at least `bound`, or at most."""

    name: str
    value: float
    bound: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def goals(found: Findings) -> list[Goal]:
    """Every measure that has a goal."""
    ratios, costs = found.throughput.ratios, found.costs
    smallest, largest = found.pages[0], found.pages[-1]
    # Lambda runs packages without bytecode.
    slowest = max(each.ratio_without_bytecode for each in found.cold_starts.values())
    return [
        Goal("singleOverEmptyFunction", ratios.single_over_empty, 0.5, at_least=True),
        Goal("singleOverBaseline", ratios.single_over_plain, 1.3, at_least=True),
        Goal("batchOverBaseline", ratios.batch_over_plain, 10, at_least=True),
        Goal("batchOverCelery", ratios.batch_over_celery, 2, at_least=True),
        Goal("writeUnitsPerTask", costs.single.write_units, 4),
        Goal("writeUnitsPerTask64K", costs.single_64k.write_units, 70),
        Goal("dollarsPerMillionBatch", costs.batch.total, 3.2),
        Goal("dollarsPerMillionSingle", costs.single.total, 5.0),
        Goal("coldImportOverBoto3", slowest, 1.15),
        Goal("listItemsReadGrowth", largest.items_read / smallest.items_read, 1.0),
        Goal("listCallsGrowth", largest.calls / smallest.calls, 1.0),
        Goal("workerCpuMsPerTask", found.worker.cpu_per_task, 1.5),
        Goal("workerBatchOverheadMs", found.worker.batch_overhead, 60),
        Goal("secondsToFirstTask", found.seconds_to_first_task, 8),
    ]


def goal_table(goals: Iterable[Goal]) -> str:
    """The measures beside their goals."""
    return _table(
        "Goals",
        ("measure", "value", "goal", ""),
        [
            (
                goal.name,
                f"{goal.value:.2f}",
                f"at {'least' if goal.at_least else 'most'} {goal.bound:g}",
                "met" if goal.met else "missed",
            )
            for goal in goals
        ],
    )


def tables(found: Findings) -> str:
    """Everything that was measured."""
    speeds = found.throughput
    return "\n".join(
        [
            _table(
                f"Throughput: {COUNT:,} tasks without work, {CLIENTS} clients; in batches of {BATCH}, and by Celery, "
                f"{BATCH_COUNT:,}; {BATCH_CLIENTS} clients send the batches",
                ("", "tasks/s", "submissions/s", "p50 s", "p99 s"),
                [
                    (
                        name,
                        *(f"{each.tasks_per_second:.0f}", f"{each.submissions_per_second:.0f}"),
                        *(f"{each.p50:.2f}", f"{each.p99:.2f}"),
                    )
                    for name, each in (
                        ("a function that only answers (requests)", speeds.empty),
                        ("one that also prints a line", speeds.printing),
                        ("plain baseline, single", speeds.plain),
                        ("this project, single", speeds.single),
                        ("this project, batch", speeds.batch),
                    )
                ]
                + [
                    (
                        "Celery, no HTTP in front",
                        f"{speeds.celery.tasks_per_second:.0f}",
                        f"{speeds.celery.submissions_per_second:.0f}",
                        *("", ""),
                    )
                ],
            ),
            _table(
                "CPU of the whole machine for one task, ms",
                ("", *cpu.KINDS, "together"),
                [
                    (
                        name,
                        *(f"{each.cpu[kind] * 1000:.1f}" for kind in cpu.KINDS),
                        f"{sum(each.cpu.values()) * 1000:.1f}",
                    )
                    for name, each in (
                        ("a function that only answers (requests)", speeds.empty),
                        ("plain baseline, single", speeds.plain),
                        ("this project, single", speeds.single),
                        ("this project, batch", speeds.batch),
                    )
                ],
            ),
            _table(
                "Submission, one task a request",
                ("clients", "functions", "submissions/s", "p50 s", "p99 s"),
                [
                    (
                        str(burst.clients),
                        "cold" if burst.cold else "warm",
                        *(f"{burst.per_second:.0f}", f"{burst.p50:.3f}", f"{burst.p99:.3f}"),
                    )
                    for burst in found.bursts
                ],
            ),
            _table(
                "From the write of a change to the clients that watch",
                ("clients", "tasks", "p50 s", "p99 s", "longest s"),
                [
                    (
                        *(str(delay.watchers), str(delay.tasks)),
                        *(f"{delay.p50:.2f}", f"{delay.p99:.2f}", f"{delay.worst:.2f}"),
                    )
                    for delay in found.delays
                ],
            ),
            _table(
                "Calls and units of a task that succeeds at once",
                ("", *_COST_COLUMNS),
                _cost_rows(found.costs),
            ),
            _table(
                "Dollars for a million tasks",
                ("", *_COST_COLUMNS),
                _dollar_rows(found.costs),
            ),
            _table(
                "Imports at a cold start, ms",
                ("function", "boto3 alone", "with bytecode", "without"),
                [
                    (
                        name,
                        f"{each.boto3:.0f}",
                        f"{each.with_bytecode:.0f} ({each.ratio_with_bytecode:.2f})",
                        f"{each.without_bytecode:.0f} ({each.ratio_without_bytecode:.2f})",
                    )
                    for name, each in found.cold_starts.items()
                ],
            ),
            _table(
                "The worker itself",
                ("", "ms"),
                [
                    ("CPU for a task, AWS stubbed, batches of 10", f"{found.worker.cpu_per_task:.2f}"),
                    ("batches of 100", f"{found.worker.cpu_per_task_of_100:.2f}"),
                    ("batches of 1,000", f"{found.worker.cpu_per_task_of_1000:.2f}"),
                    ("a batch of 10 without work, beside the emulator", f"{found.worker.batch_overhead:.0f}"),
                    ("a batch of 1", f"{found.worker.single_overhead:.0f}"),
                ],
            ),
            _table(
                "The sweep itself: CPU for 100 entries, AWS stubbed",
                ("", "ms"),
                [
                    ("whose tasks have been claimed", f"{found.sweep.claimed:.1f}"),
                    ("whose tasks all still wait", f"{found.sweep.waiting:.1f}"),
                ],
            ),
            _table(
                "Two pages of the list, by tasks stored",
                ("tasks", "calls", "items read", "read units", "ms (the emulator's)"),
                [
                    (
                        f"{page.stored:,}",
                        *(str(page.calls), str(page.items_read), f"{page.read_units:g}"),
                        f"{page.milliseconds:.0f}",
                    )
                    for page in found.pages
                ],
            ),
        ]
    )


_COST_COLUMNS = ("single", "batch", "single, 64 KB", "single, one a worker")


def _cost_rows(costs: Costs) -> list[tuple[str, ...]]:
    each = _columns(costs)
    operations = sorted({operation for cost in each for operation in cost.calls})
    rows = [(name, *(f"{cost.calls.get(name, 0):.2f}" for cost in each)) for name in operations]
    rows.append(("write units", *(f"{cost.write_units:.2f}" for cost in each)))
    rows.append(("read units", *(f"{cost.read_units:.2f}" for cost in each)))
    rows.append(("bytes of logs", *(f"{cost.log_bytes:.0f}" for cost in each)))
    return rows


def _dollar_rows(costs: Costs) -> list[tuple[str, ...]]:
    each = _columns(costs)
    rows = [(service, *(f"{cost.dollars[service]:.2f}" for cost in each)) for service in costs.single.dollars]
    rows.append(("together", *(f"{cost.total:.2f}" for cost in each)))
    return rows


def _columns(costs: Costs) -> tuple[Cost, ...]:
    return (costs.single, costs.batch, costs.single_64k, costs.single_alone)


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"### {title}", "", _row(header), _row(["---"] * len(header)), *map(_row, rows), ""]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
