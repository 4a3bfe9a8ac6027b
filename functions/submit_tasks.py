"""`POST /tasks` and `POST /tasks/batch`: take tasks, store them, queue them."""

import os
import uuid
from http import HTTPStatus
from typing import Any

import task_types
from tasklib import aws, clock
from tasklib.http_api import Answer, Problem, Request, endpoint
from tasklib.queue import Queue
from tasklib.record import with_data
from tasklib.store import TaskStore
from tasklib.submission import LastTries, Receipt, Submitter
from tasklib.task import Status, Task, created_key, list_shard
from tasklib.task_type import load_all
from tasklib.telemetry import logger
from tasklib.validation import InvalidInputError, Submission, id_from_key, read_batch, read_submission

_LIST_SHARDS = int(os.environ["LIST_SHARDS"])
_TYPES = load_all(task_types)
_dynamodb, _sqs = aws.dynamodb(), aws.sqs()
_submitter = Submitter(
    TaskStore(
        _dynamodb,
        os.environ["TASKS_TABLE"],
        retention=int(os.environ["TASK_RETENTION_DAYS"]) * clock.DAY,
    ),
    Queue(_sqs, os.environ["TASK_QUEUE_URL"]),
    LastTries(_dynamodb, _sqs),
    # A task's data outlives its messages; the days on top are for a TTL that deletes late and a retry that is late.
    data_lifetime=(int(os.environ["MESSAGE_RETENTION_DAYS"]) + 3) * clock.DAY,
)


@endpoint
def handler(request: Request) -> Answer:
    """The answer of the route that the request came by."""
    request.allow_query()
    return _submit_batch(request) if request.route == "POST /tasks/batch" else _submit_one(request)


def _submit_one(request: Request) -> Answer:
    """202 with the new task; 200 with the task as it is when it was there; 409 when its ID has other content."""
    submission = read_submission(request.json(), _TYPES)
    task = _new_task(submission, request, id_from_key(request.headers))
    (receipt,) = _submitter.submit([(task, submission.data)], request.deadline)
    status = _status(task, receipt)
    if receipt.accepted:
        logger.info("task accepted", extra={"taskId": task.task_id, "type": task.type, "submitted": 1})
    stored = receipt.existing or task
    # The data of a record that was there is shown as it is: it may say the same in other words.
    body = stored.public(stored.data or submission.data)
    return Answer(status, body, {"location": f"/tasks/{task.task_id}"})


def _submit_batch(request: Request) -> Answer:
    """207 with a result for each submission: its status, and its task or what is wrong with it."""
    submissions = read_batch(request.json(), _TYPES)
    ids = [id_from_key(request.headers, place) for place in range(len(submissions))]
    new = {
        place: (_new_task(submission, request, ids[place]), submission.data)
        for place, submission in enumerate(submissions)
        if isinstance(submission, Submission)
    }
    receipts = dict(zip(new, _submitter.submit([*new.values()], request.deadline), strict=True))
    accepted: dict[str, list[str]] = {}
    for place, receipt in receipts.items():
        if receipt.accepted:
            task = new[place][0]
            accepted.setdefault(task.type, []).append(task.task_id)
    for task_type, ids_of_type in accepted.items():
        facts = {"taskIds": ids_of_type, "type": task_type, "submitted": len(ids_of_type)}
        logger.info("tasks accepted", extra=facts)
    results: list[dict[str, Any]] = []
    for place, submission in enumerate(submissions):
        try:
            if isinstance(submission, InvalidInputError):
                raise submission
            task, receipt = new[place][0], receipts[place]
            status = _status(task, receipt)
            results.append(
                {"status": status, "task": (receipt.existing or with_data(task, submission.data)).summary()}
            )
        except Exception as error:  # noqa: BLE001 - each task is answered by itself
            problem = Problem.of(error)
            results.append({"status": problem.status, "problem": problem.body()})
    return Answer(HTTPStatus.MULTI_STATUS, {"results": results})


def _status(task: Task, receipt: Receipt) -> HTTPStatus:
    """Of a task that is stored. Raises Problem or an AWS error for one that is not."""
    if receipt.error is not None:
        raise receipt.error
    if receipt.existing is None:
        return HTTPStatus.ACCEPTED
    if receipt.existing.content_hash != task.content_hash:
        raise Problem(HTTPStatus.CONFLICT, f"Task {task.task_id} exists with other content.")
    return HTTPStatus.OK


def _new_task(submission: Submission, request: Request, id_of_key: str | None) -> Task:
    task_id = submission.task_id or id_of_key or str(uuid.uuid4())
    now = clock.now()
    task = Task(
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
    return task if submission.run_at is None else task.put_off(submission.run_at, now)
