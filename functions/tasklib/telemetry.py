"""Structured logs and metrics, the same for every function.

One JSON object a line. `correlationId` is on every line that a task causes, so that one id tells its story
from the request through the queue to the dead letter. What clients send is on none, nor what is in a record but the
task's ID, type, state and last error.

Metrics are lines in CloudWatch's embedded metric format, from which CloudWatch makes data points. They have one
dimension, `type`, the task's type; each further one would be paid for again.
"""

import json
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from types import ModuleType
from typing import Any, Final, NotRequired


def _unmarked(*_: object, **__: object) -> Callable[[Any], Any]:
    return lambda function: function


# Powertools takes two names from typing_extensions: 4,000 lines, which Lambda, where packages have no bytecode, would
# compile at every cold start, a tenth of it. It gets these two; whoever imports it after this gets it whole.
_stand_in = ModuleType("typing_extensions")
_stand_in.__dict__["NotRequired"] = NotRequired
_stand_in.__dict__["deprecated"] = _unmarked
_is_stand_in = sys.modules.setdefault("typing_extensions", _stand_in) is _stand_in

from aws_lambda_powertools import Logger  # noqa: E402
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter  # noqa: E402
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit  # noqa: E402

if _is_stand_in:
    del sys.modules["typing_extensions"]


#: Exceptions of one chain that a log line tells.
_MAX_CAUSES: Final = 5


class _Formatter(LambdaPowertoolsFormatter):
    """Of an exception, its type and where it came from. Its words stay out: they may quote what a client sent."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        told: list[str] = []
        error: BaseException | None = ei[1]
        while error is not None and len(told) < _MAX_CAUSES:
            frames = traceback.format_tb(error.__traceback__)
            told.append(f"{type(error).__name__} (most recent call last):\n{''.join(frames)}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "after ".join(told)

    def serialize(self, log: Any) -> str:
        log.pop("exception_notes", None)
        return super().serialize(log)


#: Service and level come from POWERTOOLS_SERVICE_NAME and POWERTOOLS_LOG_LEVEL.
logger = Logger(
    logger_formatter=_Formatter(utc=True, use_rfc3339=True, serialize_stacktrace=False), location=None
)


class Metric(StrEnum):
    """What is measured. Counts, but for those named `TIME`, which are milliseconds.

    One is missing here: CloudWatch itself makes `Submitted` of the field `submitted` of the lines that say so, which
    costs nothing, while each metric line of a submission would cost as much as its log line.
    """

    COMPLETED = "Completed"  #: runs that ended COMPLETED
    FAILED = "Failed"  #: runs that ended FAILED
    RETRIED = "Retried"  #: attempts claimed that were not the first of their run; also after a crash
    TIME_IN_QUEUE = "TimeInQueue"  #: of each attempt, from when it was due (`Task.due_at`) to its claim
    RUN_TIME = "RunTime"  #: of each attempt, from its claim to its end, its data's loading included
    TIME_TO_COMPLETION = "TimeToCompletion"  #: of a task COMPLETED in its first run, from when it could start
    DEAD_LETTERS = (
        "DeadLetters"  #: dead letters reported; alarms stand on it, so it is also there without its type
    )
    DEAD_LETTERS_PARKED = "DeadLettersParked"  #: times that a letter nobody could handle was put aside
    DAMAGED_RECORDS = "DamagedRecords"  #: times that a record was met that cannot be read

    @property
    def unit(self) -> MetricUnit:
        """Its unit in CloudWatch."""
        return MetricUnit.Milliseconds if "Time" in self else MetricUnit.Count


#: Powertools writes a line by itself when a metric has a hundred data points, all that the format allows.
_POINTS = 99

#: The metrics that exist for all types together as well.
_OVER_ALL_TYPES = frozenset({Metric.DEAD_LETTERS, Metric.DEAD_LETTERS_PARKED, Metric.DAMAGED_RECORDS})


class Measurements:
    """What one invocation measures: data points that are written together, one line for each task type.

    For a single thread. An invocation that is killed loses them: what must not be lost is counted by `count`.
    """

    def __init__(self) -> None:
        self._of_types: dict[str, dict[Metric, list[float]]] = {}

    def add(self, task_type: str, metric: Metric, value: float = 1) -> None:
        """Adds a data point. Counts are added up."""
        points = self._of_types.setdefault(task_type, {}).setdefault(metric, [])
        if metric.unit is MetricUnit.Count and points:
            points[0] += value
        else:
            points.append(value)

    def write(self) -> None:
        """Writes all that was added since the last time."""
        of_types, self._of_types = self._of_types, {}
        for task_type, values in of_types.items():
            for at in range(0, max(map(len, values.values())), _POINTS):
                parts = {metric: points[at : at + _POINTS] for metric, points in values.items()}
                _write(task_type, parts)


def count(metric: Metric, task_type: str | None) -> None:
    """Counts one event, at once: what an alarm stands on must not wait for the end of the invocation."""
    _write(task_type, {metric: [1]})


def _write(task_type: str | None, values: Mapping[Metric, Iterable[float]]) -> None:
    # With a service, Powertools makes it a dimension; the metrics' names say enough.
    metrics = EphemeralMetrics(service="")
    if task_type is not None:
        if _OVER_ALL_TYPES.isdisjoint(values):
            metrics.add_dimension("type", task_type)
        else:
            metrics.add_dimensions(type=task_type)
    for metric, points in values.items():
        for point in points:
            metrics.add_metric(metric, metric.unit, point)
    # In one piece: other threads log.
    sys.stdout.write(f"{json.dumps(metrics.serialize_metric_set(), separators=(',', ':'))}\n")
    sys.stdout.flush()
