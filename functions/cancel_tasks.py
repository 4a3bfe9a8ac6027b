"""`DELETE /tasks/{taskId}`: cancel a task that no worker has."""

import os
from http import HTTPStatus

from tasklib import aws, clock
from tasklib.http_api import Answer, Problem, Request, endpoint
from tasklib.store import TaskStore
from tasklib.task import Cancellation, Task, judge_cancellation
from tasklib.telemetry import logger

_RETENTION = int(os.environ["TASK_RETENTION_DAYS"]) * clock.DAY
_store = TaskStore(aws.dynamodb(), os.environ["TASKS_TABLE"])


@endpoint
def handler(request: Request) -> Answer:
    """200 with the cancelled task; 404, or 409 when a worker has it or it has ended."""
    request.allow_query()
    task = _cancel(request.task_id())
    return Answer(HTTPStatus.OK, task.public(_store.load_data(task)))


def _cancel(task_id: str) -> Task:
    """The task, cancelled by now or before. A worker may claim it in between: whoever writes first has it."""
    while True:
        task = _store.get(task_id)
        if task is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"There is no task {task_id}.")
        match judge_cancellation(task, clock.now()):
            case Cancellation.NOTHING:
                return task
            case Cancellation.REFUSE:
                detail = f"Task {task_id} is {task.status}; only one that no worker has can be cancelled."
                raise Problem(HTTPStatus.CONFLICT, detail)
            case Cancellation.CANCEL:
                cancelled = task.cancelled(keep=_RETENTION, now=clock.now())
                if _store.change(task, cancelled):
                    facts = {"taskId": task_id, "type": task.type, "correlationId": task.correlation_id}
                    logger.info("task cancelled", extra=facts)
                    return cancelled
