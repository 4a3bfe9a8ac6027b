"""The alarms of a stack, as a table."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from infra import metrics
from infra.metrics import Metric, Watched
from infra.settings import Alarms

#: An update takes less than a second. One that takes this long is held up by a batch that comes again and again.
_STREAM_AGE_MS = 30_000
_MINUTE = 60
#: The longest that the periods of an alarm may be together.
_DAY = 24 * 60 * _MINUTE


@dataclass(frozen=True)
class Alarm:
    """One alarm.

    Attributes:
        name: Logical name, and the heading of its section in the runbook.
        metric: What it looks at.
        statistic: Of the values of one period: ``Sum``, ``Maximum`` or a percentile such as ``p99``.
        threshold: With ``at_least``, a statistic of this or more is wrong; without, one below it.
        says: What is wrong, and what to do first.
        at_least: See ``threshold``.
        period_seconds: Length of a period.
        periods: How many periods in a row must be wrong.
        missing: What a period without values counts as. Most metrics are only there when something happened, and
            silence is good. A function on a schedule is different: silence means that it has stopped. With
            ``missing``, the alarm then goes into the state of insufficient data, and sends a message if there was data
            before. (With ``breaching`` it would also send one before the first run.)
        only_while: A metric that has to be over 0 all through a period for that period to count.
    """

    name: str
    metric: Metric
    statistic: str
    threshold: int
    says: str
    at_least: bool = True
    period_seconds: int = 5 * _MINUTE
    periods: int = 1
    missing: Literal["notBreaching", "missing"] = "notBreaching"
    only_while: Metric | None = None


def alarms(watched: Watched, limits: Alarms, monitor_interval_seconds: int | None) -> Iterator[Alarm]:
    """The alarms of a stack.

    Args:
        watched: What they look at.
        limits: Their thresholds.
        monitor_interval_seconds: How often the schedule starts the dead-letter monitor; None if it has no schedule,
            or one without a fixed interval.
    """
    of_function, of_queue, of_api = watched.of_function, watched.of_queue, watched.of_api
    yield Alarm(
        "dead-letters",
        watched.own(metrics.DEAD_LETTERS),
        "Sum",
        limits.dead_letters,
        "Tasks have failed for good. Read why with the saved query dead-letters, mend the cause, then retry them.",
    )
    yield Alarm(
        "dead-letters-parked",
        watched.own(metrics.DEAD_LETTERS_PARKED),
        "Sum",
        1,
        "The monitor cannot handle a dead letter and has put it aside for 12 hours. Read its error in its log.",
    )
    yield Alarm(
        "damaged-records",
        watched.own(metrics.DAMAGED_RECORDS),
        "Sum",
        1,
        "A task's record cannot be read. Its task waits. Find its ID in the logs, and mend the record or roll forward.",
    )
    yield Alarm(
        "task-queue-age",
        of_queue(watched.queues.tasks, "ApproximateAgeOfOldestMessage"),
        "Maximum",
        limits.queue_age_seconds,
        "Tasks wait too long. See on the dashboard whether workers fail or are too few; raise workerMaxConcurrency.",
        # A message in backoff is in flight: SQS may count its age through all its attempts, but it waits for no worker.
        only_while=of_queue(watched.queues.tasks, "ApproximateNumberOfMessagesVisible"),
    )
    yield Alarm(
        "worker-errors",
        of_function("process-tasks", "Errors"),
        "Sum",
        1,
        "Invocations of the worker died: out of memory, out of time, or it cannot start. Its tasks are tried again.",
    )
    yield Alarm(
        "worker-throttles",
        of_function("process-tasks", "Throttles"),
        "Sum",
        1,
        "Lambda refused to run the worker: the account's concurrent executions are used up. Ask for more of them.",
    )
    yield Alarm(
        "api-errors",
        of_api("5xx"),
        "Sum",
        limits.api_errors,
        "The API answers 5xx. Clients may send again; read the cause with the saved query errors.",
    )
    yield Alarm(
        "api-latency",
        of_api("Latency"),
        "p99",
        limits.api_latency_ms,
        "One request in a hundred is slow. Compare the API's functions on the dashboard: cold starts, or DynamoDB.",
        periods=3,
    )
    yield Alarm(
        "updates-late",
        of_function("notify-clients", "IteratorAge"),
        "Maximum",
        _STREAM_AGE_MS,
        "Live updates are late. Read why in the log of notify-clients. Tasks themselves are not touched.",
    )
    yield Alarm(
        "updates-untold",
        of_queue(watched.untold_updates, "ApproximateNumberOfMessagesVisible"),
        "Maximum",
        1,
        "Live updates were given up after two hours of failures. Tasks themselves are not touched.",
    )
    for name, function, interval, harm in (
        ("sweep", "sweep-tasks", _MINUTE, "Scheduled tasks do not start, and lost messages stay lost."),
        ("monitor", "monitor-dlq", monitor_interval_seconds, "Dead letters are not reported."),
    ):
        yield Alarm(
            f"{name}-errors",
            of_function(function, "Errors"),
            "Sum",
            1,
            f"{function} failed. {harm} Read its error in its log.",
        )
        # Two starts missed, and no less than five minutes. Where values are missing, CloudWatch looks some periods
        # further back and calls when it finds none there either: many short periods call sooner than a long one.
        periods = max(2, -(-5 * _MINUTE // interval)) if interval is not None else 0
        if interval is not None and periods * interval <= _DAY:
            yield Alarm(
                f"{name}-stopped",
                of_function(function, "Invocations"),
                "Sum",
                1,
                f"Nothing starts {function} any more. {harm} Look whether its rule in EventBridge is enabled.",
                at_least=False,
                period_seconds=interval,
                periods=periods,
                missing="missing",
            )
