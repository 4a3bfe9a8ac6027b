"""`POST /tasks`: take a task, store it, queue it."""

import os
import uuid
from http import HTTPStatus

import task_types
from tasklib import aws, clock
from tasklib.http_api import Answer, Problem, Request, endpoint
from tasklib.queue import Queue, TaskMessage
from tasklib.store import TaskStore
from tasklib.task import Status, Task, TaskData, created_key, list_shard
from tasklib.task_type import load_all
from tasklib.telemetry import logger
from tasklib.validation import Submission, id_from_key, read_submission

_LIST_SHARDS = int(os.environ["LIST_SHARDS"])
_RETENTION = int(os.environ["TASK_RETENTION_DAYS"]) * clock.DAY
#: A task's data outlives its messages; the days on top are for a TTL that deletes late and a retry that is late.
_DATA_LIFETIME = (int(os.environ["MESSAGE_RETENTION_DAYS"]) + 3) * clock.DAY
_TYPES = load_all(task_types)
_store = TaskStore(aws.dynamodb(), os.environ["TASKS_TABLE"], retention=_RETENTION)
_task_queue = Queue(aws.sqs(), os.environ["TASK_QUEUE_URL"])


@endpoint
def handler(request: Request) -> Answer:
    """202 with the new task; 200 with the task as it is when it was there; 409 when its ID has other content."""
    request.allow_query()
    submission = read_submission(request.json(), _TYPES)
    task = _new_task(submission, request)
    existing = _store.create(task, submission.data, data_lifetime=_DATA_LIFETIME)
    if existing is None:
        _send(task)
        logger.info("task accepted", extra={"taskId": task.task_id, "type": task.type})
        return _answer(HTTPStatus.ACCEPTED, task, submission.data)
    if existing.content_hash != task.content_hash:
        raise Problem(HTTPStatus.CONFLICT, f"Task {task.task_id} exists with other content.")
    return _answer(HTTPStatus.OK, existing, submission.data)


def _send(task: Task) -> None:
    try:
        _task_queue.send(TaskMessage.of(task))
    except aws.AWS_ERRORS as error:
        # The task is stored, so it will run: the sweep sends its message.
        facts = {"taskId": task.task_id, "reason": str(error)}
        logger.warning("message left to the sweep", extra=facts)


def _new_task(submission: Submission, request: Request) -> Task:
    task_id = submission.task_id or id_from_key(request.headers) or str(uuid.uuid4())
    now = clock.now()
    return Task(
        task_id=task_id,
        type=submission.type,
        status=Status.PENDING,
        run=1,
        attempts=0,
        version=1,
        created_key=created_key(task_id, now),
        list_shard=list_shard(task_id, _LIST_SHARDS),
        updated_at=now,
        content_hash=submission.data.content_hash(submission.type),
        correlation_id=request.correlation_id,
    )


def _answer(status: HTTPStatus, task: Task, data: TaskData) -> Answer:
    return Answer(status, task.public(data), {"location": f"/tasks/{task.task_id}"})
