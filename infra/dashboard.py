"""The dashboard of a stack in CloudWatch: does it keep up, what fails, what does it cost."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from infra import metrics
from infra.metrics import Metric, Watched

#: The grid is 24 wide.
_COLUMNS = 3
_WIDTH, _HEIGHT = 24 // _COLUMNS, 6
_HEADING_HEIGHT = 1
_PERIOD_SECONDS = 300
#: Functions that every task takes time of. A dashboard of more than 50 metrics costs more.
_BUSY = ("submit-tasks", "read-tasks", "process-tasks", "sweep-tasks", "notify-clients")


@dataclass(frozen=True)
class _Line:
    """A metric in a graph, over each period."""

    metric: Metric
    statistic: str
    label: str


@dataclass(frozen=True)
class _ByType:
    """One of our metrics in a graph: a line for each task type, or all types in one line."""

    name: str
    statistic: str
    together: bool = False


_Graph = tuple[str, Sequence[_Line | _ByType]]


def dashboard(
    watched: Watched, region: pulumi.Input[str], alarm_arns: Sequence[pulumi.Input[str]]
) -> dict[str, Any]:
    """The body of the dashboard.

    Args:
        watched: What it shows.
        region: Region of the stack.
        alarm_arns: The alarms whose states it shows.
    """
    widgets: list[dict[str, Any]] = [
        _placed({"type": "alarm", "properties": {"title": "Alarms", "alarms": list(alarm_arns)}}, 0, 0, 24, 3)
    ]
    y = 3
    for heading, graphs in _sections(watched).items():
        widgets.append(
            _placed({"type": "text", "properties": {"markdown": f"## {heading}"}}, 0, y, 24, _HEADING_HEIGHT)
        )
        y += _HEADING_HEIGHT
        for place, graph in enumerate(graphs):
            row, column = divmod(place, _COLUMNS)
            widget = _graph(watched.prefix, region, graph)
            widgets.append(_placed(widget, column * _WIDTH, y + row * _HEIGHT, _WIDTH, _HEIGHT))
        y += -(-len(graphs) // _COLUMNS) * _HEIGHT
    return {"widgets": widgets}


def _sections(watched: Watched) -> Mapping[str, Sequence[_Graph]]:
    of_function, of_api, of_table = watched.of_function, watched.of_api, watched.of_table
    tasks, dead_letters = watched.queues.tasks, watched.queues.dead_letters
    depth, age = "ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"
    return {
        "Does it keep up?": [
            (
                "Tasks",
                [
                    _ByType(name, "Sum", together=True)
                    for name in (metrics.SUBMITTED, metrics.COMPLETED, metrics.FAILED)
                ],
            ),
            ("Time in queue, ms", [_ByType(metrics.TIME_IN_QUEUE, each) for each in ("p50", "p99")]),
            (
                "Time to completion, ms",
                [_ByType(metrics.TIME_TO_COMPLETION, each) for each in ("p50", "p99")],
            ),
            (
                "Task queue",
                [
                    _Line(watched.of_queue(tasks, depth), "Maximum", "waiting"),
                    _Line(watched.of_queue(tasks, age), "Maximum", "age of the oldest, s"),
                ],
            ),
            ("Run time, ms", [_ByType(metrics.RUN_TIME, each) for each in ("p50", "p99")]),
            (
                "Workers at once",
                [_Line(of_function("process-tasks", "ConcurrentExecutions"), "Maximum", "workers")],
            ),
        ],
        "What fails?": [
            ("Failed, by type", [_ByType(metrics.FAILED, "Sum")]),
            ("Retried, by type", [_ByType(metrics.RETRIED, "Sum")]),
            (
                "Dead letters",
                [
                    _ByType(metrics.DEAD_LETTERS, "Sum"),
                    _Line(watched.of_queue(dead_letters, depth), "Maximum", "waiting for the monitor"),
                    _Line(watched.of_queue(watched.untold_updates, depth), "Maximum", "untold updates"),
                ],
            ),
            (
                "API",
                [_Line(of_api(name), "Sum", name) for name in ("5xx", "4xx")]
                + [_Line(of_api("Latency"), "p99", "p99 latency, ms")],
            ),
            (
                "Functions that failed",
                [_Line(of_function(name, "Errors"), "Sum", name) for name in watched.functions],
            ),
            (
                "Functions refused",
                [_Line(of_function(name, "Throttles"), "Sum", name) for name in _BUSY],
            ),
        ],
        "What does it cost? (prices: docs/performance.md)": [
            ("API requests", [_Line(of_api("Count"), "Sum", "requests")]),
            (
                "Function time, ms",
                [_Line(of_function(name, "Duration"), "Sum", name) for name in _BUSY],
            ),
            (
                "DynamoDB units, without indexes",
                [
                    _Line(of_table("ConsumedWriteCapacityUnits"), "Sum", "write"),
                    _Line(of_table("ConsumedReadCapacityUnits"), "Sum", "read"),
                ],
            ),
            (
                "Logs, bytes",
                [_Line(watched.of_logs(name, "IncomingBytes"), "Sum", name) for name in _BUSY],
            ),
            (
                "Messages sent",
                [
                    _Line(watched.of_queue(queue, "NumberOfMessagesSent"), "Sum", label)
                    for queue, label in ((tasks, "task queue"), (dead_letters, "dead-letter queue"))
                ],
            ),
        ],
    }


def _graph(namespace: str, region: pulumi.Input[str], graph: _Graph) -> dict[str, Any]:
    title, lines = graph
    return {
        "type": "metric",
        "properties": {
            "title": title,
            "region": region,
            "period": _PERIOD_SECONDS,
            "view": "timeSeries",
            "metrics": [*_series(namespace, lines)],
        },
    }


def _series(namespace: str, lines: Iterable[_Line | _ByType]) -> Iterable[list[Any]]:
    for place, line in enumerate(lines):
        if isinstance(line, _Line):
            dimensions = [part for pair in line.metric.dimensions.items() for part in pair]
            options = {"stat": line.statistic, "label": line.label}
            yield [line.metric.namespace, line.metric.name, *dimensions, options]
        else:
            # Nobody knows beforehand of which types there will be values.
            found = f"""SEARCH('{{"{namespace}","{metrics.TYPE}"}} MetricName="{line.name}"', '{line.statistic}')"""
            if line.together:
                yield [{"expression": f"SUM({found})", "label": line.name, "id": f"e{place}"}]
            else:
                label = f"{line.statistic} ${{PROP('Dim.{metrics.TYPE}')}}"
                yield [{"expression": found, "label": label, "id": f"e{place}"}]


def _placed(widget: Mapping[str, Any], x: int, y: int, width: int, height: int) -> dict[str, Any]:
    return {**widget, "x": x, "y": y, "width": width, "height": height}
