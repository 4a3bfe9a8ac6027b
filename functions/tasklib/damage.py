"""Records that cannot be read: each is logged and counted, for an alarm, and its reader goes on with the others.

A record is damaged when it was written by other code: by hand, or by a newer release before a roll-back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasklib.record import DamagedRecordError, to_task
from tasklib.telemetry import Metric, count, logger

if TYPE_CHECKING:
    from tasklib.record import Item
    from tasklib.task import Task


def read_task(item: Item) -> Task:
    """The task of a record. Raises DamagedRecordError, once the damage is reported."""
    try:
        return to_task(item)
    except DamagedRecordError as error:
        report(error)
        raise


def report(error: DamagedRecordError) -> None:
    """Log a damaged record by its task's ID and its bad attribute, and count it."""
    logger.error("a record cannot be read", extra={"taskId": error.task_id, "problem": str(error)})
    count(Metric.DAMAGED_RECORDS, None)
