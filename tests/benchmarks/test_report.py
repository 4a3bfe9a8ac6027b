"""What the benchmark says of what it measured."""

from __future__ import annotations

import pytest

from benchmarks.http_load import Reply
from benchmarks.report import Goal
from benchmarks.throughput import Figures, Round

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
