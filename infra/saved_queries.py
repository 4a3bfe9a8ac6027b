"""Saved queries of CloudWatch Logs Insights: the questions that a person on call asks the logs."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class SavedQuery:
    """One query.

    Attributes:
        text: The query in the language of Logs Insights.
        functions: Whose logs it asks; all functions' if there are none.
    """

    text: str
    functions: tuple[str, ...] = ()


def _lines(*lines: str) -> str:
    return "\n| ".join(lines)


#: The queries by name.
SAVED_QUERIES: Mapping[str, SavedQuery] = {
    "dead-letters": SavedQuery(
        _lines(
            "fields @timestamp, eventType, taskId, type, attempts, retryCount, errorMessage, correlationId",
            'filter eventType = "DLQ_MESSAGE"',
            "sort @timestamp desc",
            "limit 200",
        ),
        ("monitor-dlq",),
    ),
    # Put in the correlation id that an answer of the API or a dead letter bears.
    "story-of-a-task": SavedQuery(
        _lines(
            "fields @timestamp, service, level, message, taskId, attempt, durationMs, retryInMs, errorMessage",
            'filter correlationId = "the correlation id"',
            "sort @timestamp asc",
            "limit 500",
        ),
    ),
    "slowest-tasks": SavedQuery(
        _lines(
            "fields @timestamp, durationMs, type, taskId, attempt, message, correlationId",
            "filter ispresent(durationMs)",
            "sort durationMs desc",
            "limit 50",
        ),
        ("process-tasks",),
    ),
    "errors-by-type": SavedQuery(
        _lines(
            "filter ispresent(errorMessage) and ispresent(attempt)",
            "stats count(*) as failures, latest(taskId) as example by type, errorMessage",
            "sort failures desc",
            "limit 100",
        ),
        ("process-tasks",),
    ),
    "errors": SavedQuery(
        _lines(
            "fields @timestamp, service, message, reason, errorMessage, taskId, correlationId, exception",
            'filter level in ["ERROR", "CRITICAL"] or record.status in ["error", "failure", "timeout"]',
            "sort @timestamp desc",
            "limit 200",
        ),
    ),
}
