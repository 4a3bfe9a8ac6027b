"""`GET /tasks` and `GET /tasks/{taskId}`; and the answer for what no route serves."""

import os
import re
from http import HTTPStatus

from tasklib import aws
from tasklib.http_api import Answer, Problem, Request, endpoint
from tasklib.listing import DEFAULT_LIMIT, MAX_LIMIT, decode_cursor, list_page
from tasklib.store import TaskStore
from tasklib.task import Status
from tasklib.validation import FieldError, InvalidInputError, shown

#: The addresses of the API, for the answer to a method that they do not take.
_METHODS = {
    r"/": "GET",
    r"/docs": "GET",
    r"/live": "POST",
    r"/openapi\.json": "GET",
    r"/tasks": "GET, POST",
    r"/tasks/batch": "GET, POST",
    r"/tasks/[^/]+": "DELETE, GET",
    r"/tasks/[^/]+/retry": "POST",
}

_LIST_SHARDS = int(os.environ["LIST_SHARDS"])
_store = TaskStore(aws.dynamodb(), os.environ["TASKS_TABLE"])


@endpoint
def handler(request: Request) -> Answer:
    """The answer of the route that the request came by."""
    match request.route:
        case "GET /tasks":
            return _list(request)
        case "GET /tasks/{taskId}":
            return _get(request)
        case _:
            raise _no_route(request)


def _get(request: Request) -> Answer:
    request.allow_query()
    task_id = request.task_id()
    task = _store.get(task_id)
    if task is None:
        raise Problem(HTTPStatus.NOT_FOUND, f"There is no task {task_id}.")
    return Answer(HTTPStatus.OK, task.public(_store.load_data(task)))


def _list(request: Request) -> Answer:
    request.allow_query("status", "limit", "cursor")
    errors: list[FieldError] = []
    status = request.query.get("status")
    if status is not None and status not in [*Status]:
        known = ", ".join(Status)
        errors.append(FieldError("status", f"is {shown(status)}; it must be one of {known}"))
    limit = request.query.get("limit", str(DEFAULT_LIMIT))
    if not re.fullmatch(r"[0-9]{1,3}", limit) or not 1 <= int(limit) <= MAX_LIMIT:
        message = f"is {shown(limit)}; it must be a whole number from 1 to {MAX_LIMIT}"
        errors.append(FieldError("limit", message))
    cursor = request.query.get("cursor")
    place = None if cursor is None else decode_cursor(cursor)
    if cursor is not None and place is None:
        errors.append(FieldError("cursor", "is not a nextCursor of this API"))
    if errors:
        raise InvalidInputError(*errors)
    page = list_page(
        _store,
        shards=_LIST_SHARDS,
        status=Status(status) if status else None,
        limit=int(limit),
        place=place,
    )
    body = {"tasks": [task.summary() for task in page.tasks]}
    return Answer(HTTPStatus.OK, body | ({"nextCursor": page.next_cursor} if page.next_cursor else {}))


def _no_route(request: Request) -> Problem:
    for path, methods in _METHODS.items():
        if re.fullmatch(path, request.path):
            detail = f"{shown(request.method)} is not a method of this address; it takes {methods}."
            return Problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, headers={"allow": methods})
    return Problem(HTTPStatus.NOT_FOUND, f"There is nothing at {shown(request.path)}.")
