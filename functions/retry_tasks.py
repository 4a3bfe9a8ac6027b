"""`POST /tasks/{taskId}/retry`: start a new run of a failed task, or send the message of an overdue one again."""

import os
from http import HTTPStatus

from tasklib import aws, clock
from tasklib.http_api import Answer, Problem, Request, endpoint
from tasklib.queue import Queue, TaskMessage
from tasklib.store import Recheck, TaskStore
from tasklib.task import Restart, Task, judge_restart
from tasklib.telemetry import logger

_RETENTION = int(os.environ["TASK_RETENTION_DAYS"]) * clock.DAY
_MESSAGE_RETENTION = int(os.environ["MESSAGE_RETENTION_DAYS"]) * clock.DAY
_store = TaskStore(aws.dynamodb(), os.environ["TASKS_TABLE"])
_task_queue = Queue(aws.sqs(), os.environ["TASK_QUEUE_URL"])


@endpoint
def handler(request: Request) -> Answer:
    """202 with the task in its new run, or as it is when its message was sent again; 404, or 409 when it needs
    neither.
    """
    request.allow_query()
    task = _runnable(request.task_id())
    # Should this fail, the sweep sends it; should it have been sent before, the claim lets one through.
    _task_queue.send(TaskMessage.of(task))
    data = _store.load_data(task)
    return Answer(HTTPStatus.ACCEPTED, task.public(data), {"location": f"/tasks/{task.task_id}"})


def _runnable(task_id: str) -> Task:
    """The task, once it waits for a worker. Others may write its record in between: it is then judged as it is."""
    while True:
        task = _store.get(task_id)
        if task is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"There is no task {task_id}.")
        match judge_restart(task, clock.now()):
            case Restart.REFUSE:
                detail = (
                    f"Task {task_id} is {task.status}; only one that is FAILED or overdue can be retried."
                )
                raise Problem(HTTPStatus.CONFLICT, detail)
            case _ if not _keep(task):
                detail = f"The data of task {task_id} is gone; submit it again under another ID."
                raise Problem(HTTPStatus.CONFLICT, detail)
            case Restart.RESEND:
                return task
            case Restart.RESTART:
                restarted = task.restarted(clock.now())
                if _store.change(task, restarted):
                    logger.info("task restarted", extra={"taskId": task_id, "run": restarted.run})
                    return restarted


def _keep(task: Task) -> bool:
    """Lets the task's data live as long as its message, and has the sweep look at the task when that is gone.

    Returns False when the data is gone.
    """
    now = clock.now()
    lifetime = now + _MESSAGE_RETENTION + _RETENTION
    _store.add_recheck(Recheck.at(now + _MESSAGE_RETENTION, task.list_shard, [task.task_id]))
    return _store.keep_data(task, until=lifetime + 3 * clock.DAY, at_least=lifetime + clock.DAY)
