"""What the bench assumes of the worker's metric lines."""

import json
from typing import Any

import pytest

from benchmarks.cost import metric_lines


def line(*run_times: float) -> str:
    """A line of an invocation in which this many tasks completed."""
    metrics = [{"Name": "RunTime"}, {"Name": "Completed"}]
    fields: dict[str, Any] = {
        "_aws": {"CloudWatchMetrics": [{"Metrics": metrics}]},
        "type": "simulate",
        "RunTime": [*run_times],
        "Completed": [len(run_times)],
    }
    return json.dumps(fields, separators=(",", ":"))


def test_lines_are_counted_as_if_invocations_were_full() -> None:
    lines = [line(1), line(2, 3), line(4), line(5)]
    full = [json.loads(each) for each in metric_lines(lines, tasks=5, batch=3)]
    assert [each["RunTime"] for each in full] == [[1, 2, 3], [4, 5]]
    assert metric_lines([line(1), line(2)], tasks=2, batch=1) == [line(1), line(2)]


def test_a_line_that_is_missing_is_noticed() -> None:
    with pytest.raises(RuntimeError, match="not those of 3 tasks"):
        metric_lines([line(1), line(2)], tasks=3, batch=10)
