"""`make bench`: speed, cost and growth, each against a baseline measured in the same run.

Prints tables in Markdown, then the goals and, last, one JSON line of all that has a goal. Exit status 1 when a goal
is missed.
"""

import json
import sys
import time

from rich.console import Console

from benchmarks import (
    cold_start,
    cost,
    first_task,
    list_growth,
    live,
    package,
    report,
    submission,
    sweep,
    throughput,
    worker,
)
from benchmarks.stack import Stack


def main() -> int:
    """Measure everything and return the exit status."""
    begin = time.monotonic()
    progress = Console(stderr=True)

    def say(text: str) -> None:
        progress.print(f"{time.monotonic() - begin:4.0f} s  {text}", highlight=False)

    with package.unpacked() as functions:
        say("imports")
        cold_starts = cold_start.measure(functions)
        say("the sweep")
        sweeps = sweep.measure(functions)
        with Stack() as stack:
            seconds = first_task.seconds(stack)
            say(f"first task completed after {seconds:.1f} s")
            speeds = throughput.measure(stack, say)
            bursts = submission.measure(stack, say)
            delays = live.measure(stack, say)
        with Stack() as stack:
            workers = worker.measure(functions, stack)
            say(
                f"worker: {workers.cpu_per_task:.2f} ms of CPU a task, {workers.batch_overhead:.0f} ms a batch"
            )
            costs = cost.measure(stack, workers, say)
        with Stack() as stack:
            pages = list_growth.measure(functions, stack, say)
    findings = report.Findings(cold_starts, seconds, speeds, bursts, delays, workers, sweeps, costs, pages)
    goals = report.goals(findings)
    measured = json.dumps({goal.name: round(goal.value, 3) for goal in goals})
    sys.stdout.write(f"{report.tables(findings)}\n{report.goal_table(goals)}\n{measured}\n")
    return 0 if all(goal.met for goal in goals) else 1


if __name__ == "__main__":
    sys.exit(main())
