"""Many tasks in one request: what comes back for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from client.errors import StatusError, excerpt, from_problem
from client.fields import fields_of, required, required_list, required_object
from client.task import Task

#: Tasks that the API takes in one request.
MAX_BATCH = 100

#: A task that was accepted, or is there already; or why not, as the error that a single submission raises.
BatchResult: TypeAlias = Task | StatusError


def read_results(value: object, task_ids: Sequence[str], correlation_id: str | None) -> list[BatchResult]:
    """Read the results of a batch of these tasks from the API's JSON, in their order.

    Args:
        value: the API's JSON.
        task_ids: of the tasks, in the order in which they were sent.
        correlation_id: of the request; every problem gets it.

    Raises:
        ValueError: it is no list of results, or not that of these tasks; the message says where.
    """
    results = required_list(fields_of(value), "results")
    if len(results) != len(task_ids):
        raise ValueError(f"there are {len(results)} for {len(task_ids)} tasks")
    read: list[BatchResult] = []
    for position, (result, task_id) in enumerate(zip(results, task_ids, strict=True), start=1):
        try:
            read.append(_read_result(result, task_id, correlation_id))
        except ValueError as error:
            raise ValueError(f"result {position}: {error}") from None
    return read


def _read_result(value: object, task_id: str, correlation_id: str | None) -> BatchResult:
    fields = fields_of(value)
    status = required(fields, "status", int)
    if 200 <= status < 300:
        task = Task.from_json(required_object(fields, "task"))
        if task.task_id != task_id:
            raise ValueError(f"it is of another task: {excerpt(task.task_id)}")
        return task
    if 400 <= status < 600:
        return from_problem(status, required_object(fields, "problem"), correlation_id)
    raise ValueError(f"its status is {status}")
