"""`POST /tasks/{taskId}/retry`: start a failed task anew."""

import os
from http import HTTPStatus

from tasklib import aws, clock
from tasklib.http_api import Answer, Problem, Request, endpoint
from tasklib.queue import Queue, TaskMessage
from tasklib.store import TaskStore
from tasklib.task import Restart, Task, judge_restart
from tasklib.telemetry import logger

_RETENTION = int(os.environ["TASK_RETENTION_DAYS"]) * clock.DAY
_MESSAGE_RETENTION = int(os.environ["MESSAGE_RETENTION_DAYS"]) * clock.DAY
_store = TaskStore(aws.dynamodb(), os.environ["TASKS_TABLE"])
_task_queue = Queue(aws.sqs(), os.environ["TASK_QUEUE_URL"])


@endpoint
def handler(request: Request) -> Answer:
    """202 with the task in its new run; 404, or 409 when it has not failed."""
    request.allow_query()
    task = _find(request.task_id())
    verdict = judge_restart(task)
    if verdict is Restart.REFUSE:
        raise Problem(
            HTTPStatus.CONFLICT, f"Task {task.task_id} is {task.status}; only FAILED can be retried."
        )
    if verdict is Restart.RESTART:
        task = _restart(task)
    # Should this fail, the sweep sends it; should it have been sent before, the claim lets one through.
    _task_queue.send(TaskMessage.of(task))
    data = _store.load_data(task)
    return Answer(HTTPStatus.ACCEPTED, task.public(data), {"location": f"/tasks/{task.task_id}"})


def _find(task_id: str) -> Task:
    task = _store.get(task_id)
    if task is None:
        raise Problem(HTTPStatus.NOT_FOUND, f"There is no task {task_id}.")
    return task


def _restart(failed: Task) -> Task:
    now = clock.now()
    lifetime = now + _MESSAGE_RETENTION + _RETENTION
    if not _store.keep_data(failed, until=lifetime + 3 * clock.DAY, at_least=lifetime + clock.DAY):
        raise Problem(HTTPStatus.CONFLICT, f"The data of task {failed.task_id} is gone; submit it anew.")
    if _store.change(failed, failed.restarted(now)):
        logger.info("task restarted", extra={"taskId": failed.task_id, "run": failed.run + 1})
    task = _find(failed.task_id)
    if judge_restart(task) is not Restart.RESEND:
        # Somebody else restarted it, and it has gone further since.
        raise Problem(
            HTTPStatus.CONFLICT, f"Task {task.task_id} was restarted meanwhile; it is {task.status}."
        )
    return task
