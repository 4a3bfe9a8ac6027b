"""What the benchmark says of what it measured."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from benchmarks import report
from benchmarks.cold_start import ColdStart
from benchmarks.cost import ALONE, MEMORY_MB, WORKER_BATCH, Cost, Costs, worker_usage
from benchmarks.http_load import Reply
from benchmarks.list_growth import ListPages
from benchmarks.meter.bill import Usage
from benchmarks.report import Findings, Goal
from benchmarks.sweep import SweepCost
from benchmarks.throughput import (
    BATCH_COUNT,
    Celery,
    Figures,
    Ratios,
    Round,
    Throughput,
    measure_celery,
)
from benchmarks.worker import WorkerCost

CPU = {"emulator": 0.0, "functions": 0.0, "task processes": 0.0, "clients": 0.0, "others": 0.0}


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (Goal("speed", 2.0, 2, at_least=True), True),
        (Goal("speed", 1.999, 2, at_least=True), False),
        (Goal("cost", 4.0, 4), True),
        (Goal("cost", 4.001, 4), False),
    ],
)
def test_a_goal_is_met_as_it_is_and_not_as_it_is_rounded(goal: Goal, met: bool) -> None:
    assert goal.met is met


def test_the_figures_of_a_contender_are_the_medians_of_its_rounds() -> None:
    rounds = [Round(100, 1, seconds, [seconds], CPU) for seconds in (1, 10, 2)]
    figures = Figures.of(rounds)
    assert (figures.tasks_per_second, figures.submissions_per_second, figures.p50) == (50, 100, 2)


def test_a_reply_takes_from_sending_to_its_answer() -> None:
    assert Reply(sent=10, answered=12.5, status=202, body=b"").seconds == 2.5


def findings(*cold_starts: ColdStart) -> Findings:
    """What a run may measure; only the cold starts matter."""
    figures = Figures.of([Round(2, 1, 1, [1, 1], CPU)])
    costs = [Cost({}, 4, 1.5, 500, {"SQS": dollars}) for dollars in (0.5, 0.1, 0.5, 1.25)]
    return Findings(
        {f"function-{number}": each for number, each in enumerate(cold_starts)},
        5,
        Throughput(figures, figures, figures, figures, figures, Celery(100, 300), Ratios(1, 1, 1, 1, 1)),
        [],
        [],
        WorkerCost(1, 30, 10, 1, 1),
        SweepCost(20, 40),
        Costs(*costs),
        [ListPages(100, 4, 82, 41, 10)] * 2,
    )


def test_a_cold_start_is_judged_as_lambda_makes_it_without_bytecode() -> None:
    found = findings(ColdStart(300, 270, 330, 0.9, 1.1), ColdStart(300, 300, 390, 1.0, 1.3))
    (goal,) = [goal for goal in report.goals(found) if goal.name == "coldImportOverBoto3"]
    assert (goal.value, goal.met) == (1.3, False)


def test_the_tables_say_how_many_tasks_and_clients_each_contender_has() -> None:
    title = report.tables(findings(ColdStart(300, 270, 330, 0.9, 1.1))).splitlines()[0]
    assert title == (
        "### Throughput: 300 tasks without work, 16 clients; in batches of 100, and by Celery, 1,200; 4 clients send "
        "the batches"
    )


def test_the_tables_have_the_cost_of_tasks_that_come_one_at_a_time() -> None:
    tables = report.tables(findings(ColdStart(300, 270, 330, 0.9, 1.1)))
    assert "| | single | batch | single, 64 KB | single, one a worker |" in tables.replace("|  |", "| |")
    assert "| SQS | 0.50 | 0.10 | 0.50 | 1.25 |" in tables


def test_celery_gets_as_many_tasks_as_are_sent_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[Sequence[Any]] = []

    def run(command: Sequence[Any], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        answer = json.dumps({"tasksPerSecond": 100, "submissionsPerSecond": 300})
        return subprocess.CompletedProcess(command, 0, answer, "")

    monkeypatch.setattr(subprocess, "run", run)
    assert measure_celery("http://127.0.0.1:1") == Celery(100, 300)
    assert commands[0][-2:] == ["--count", str(BATCH_COUNT)]


def test_a_worker_that_gets_its_tasks_one_by_one_is_paid_for_each() -> None:
    assert worker_usage(200, WORKER_BATCH, 40) == Usage(
        invocations=20, gb_seconds=20 * 0.04 * MEMORY_MB / 1024, sqs_requests=40
    )
    assert worker_usage(200, ALONE, 10) == Usage(
        invocations=200, gb_seconds=200 * 0.01 * MEMORY_MB / 1024, sqs_requests=400
    )
