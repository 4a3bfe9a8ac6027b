"""The API's description in OpenAPI 3.1, made of what validates requests: the task types and the limits.

https://spec.openapis.org/oas/v3.1.1.html
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from tasklib.execution import MAX_RESULT
from tasklib.http_api import MAX_BODY
from tasklib.listing import DEFAULT_LIMIT, MAX_ENTRIES, MAX_LIMIT
from tasklib.task import MAX_HISTORY, NO_TASK_IDS, TASK_ID, TASK_ID_WORDS, Status
from tasklib.task_type import DEFAULT_TYPE, TaskType
from tasklib.validation import MAX_BATCH, MAX_DATA, MAX_PUT_OFF

Schema = dict[str, Any]

#: Of the description itself: the first number changes when a client would notice.
VERSION: Final = "1.0.0"

_TASK_ID: Final[Schema] = {
    "type": "string",
    "pattern": f"^{TASK_ID.pattern}$",
    "not": {"enum": [*NO_TASK_IDS]},
    "description": TASK_ID_WORDS,
    "examples": ["order-17"],
}
_TIME: Final[Schema] = {"type": "string", "format": "date-time", "examples": ["2026-12-24T18:00:00.000Z"]}
_STATUS: Final[Schema] = {"type": "string", "enum": [*Status]}
_NUMBER: Final[Schema] = {"type": "integer", "minimum": 0}

_TASK: Final[Schema] = {
    "taskId": "order-17",
    "type": DEFAULT_TYPE,
    "answer": "42",
    "status": "COMPLETED",
    "attempts": 1,
    "retries": 0,
    "result": {"workedSeconds": 1.0},
    "run": 1,
    "version": 3,
    "createdAt": "2026-12-24T18:00:00.000Z",
    "updatedAt": "2026-12-24T18:00:01.200Z",
}

#: What every operation may answer, by the gateway or by AWS behind it.
_ALWAYS: Final = ("TooManyRequests", "InternalServerError", "ServiceUnavailable")

#: What an operation may answer besides where callers need a token, and the paths that need none.
_REFUSALS: Final = ("Unauthorized", "Forbidden")
_OPEN_PATHS: Final = frozenset({"/", "/docs", "/openapi.json"})


def document(types: Iterable[TaskType], *, with_token: bool) -> Schema:
    """The description, for these task types and for a stack whose callers need a token or not."""
    described = _open_document(types)
    return _guarded(described) if with_token else described


def _guarded(described: Schema) -> Schema:
    """The same where every operation wants a token, but for those that are open."""
    refusals = _shared_answers(*_REFUSALS)
    for path, operations in described["paths"].items():
        for operation in operations.values():
            if path in _OPEN_PATHS:
                operation["security"] = []
            else:
                operation["responses"] = dict(sorted((operation["responses"] | refusals).items()))
    scheme = {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of the issuer and for the audience that the stack is configured with.",
    }
    described["components"]["securitySchemes"] = {"token": scheme}
    return described | {"security": [{"token": []}]}


def _open_document(types: Iterable[TaskType]) -> Schema:
    known = sorted(types, key=lambda each: each.name)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Tasks",
            "version": VERSION,
            "description": "Tasks are submitted, stored, queued and run, retried with backoff when they fail, and "
            "dead-lettered when their retries are used up.",
        },
        "servers": [{"url": "."}],
        "paths": {
            "/tasks": {"post": _submit(known), "get": _list()},
            "/tasks/batch": {"post": _submit_batch()},
            "/tasks/{taskId}": {"get": _get(), "delete": _cancel()},
            "/tasks/{taskId}/retry": {"post": _retry()},
            "/live": {"post": _live()},
            "/": {"get": _read("openPage", "The web page", "It lists tasks and submits them.", _HTML)},
            "/docs": {"get": _read("readDocs", "This description as a page", "A page to read.", _HTML)},
            "/openapi.json": {
                "get": _read("describeApi", "This description", "In OpenAPI 3.1.", _DOCUMENT, "BadRequest")
            },
        },
        "components": {
            "schemas": _schemas(known),
            "responses": _responses(),
            "parameters": {
                "TaskId": {"name": "taskId", "in": "path", "required": True, "schema": _TASK_ID},
                "IdempotencyKey": {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "description": "The task's ID is derived from it when none is given, so that a repeated request "
                    "makes no second task. A batch is repeated whole and unchanged.",
                    "schema": {"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"},
                },
                "CorrelationId": {
                    "name": "x-correlation-id",
                    "in": "header",
                    "description": "Is in every log line that the request causes, and in its answer. One that is not "
                    "1 to 128 of A-Z a-z 0-9 . _ : / + = @ - is replaced.",
                    "schema": {"type": "string"},
                },
            },
            "headers": {
                "CorrelationId": {
                    "description": "The request's own, or one that was made for it.",
                    "schema": {"type": "string"},
                },
            },
        },
    }


# -- operations


def _operation(
    name: str,
    summary: str,
    answers: Mapping[HTTPStatus, Schema],
    problems: Iterable[str],
    *,
    parameters: Iterable[Schema] = (),
    **more: Any,
) -> Schema:
    responses = {str(int(status)): answer for status, answer in answers.items()}
    responses |= _shared_answers(*problems, *_ALWAYS)
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [*parameters, _ref("parameters", "CorrelationId")],
        **more,
        "responses": dict(sorted(responses.items())),
    }


def _shared_answers(*problems: str) -> Schema:
    """What operations share of their answers, by status."""
    return {str(int(_PROBLEMS[name][0])): _ref("responses", name) for name in problems}


def _answer(description: str, schema: Schema, example: Any, **headers: Schema) -> Schema:
    return {
        "description": description,
        "headers": {"x-correlation-id": _ref("headers", "CorrelationId")} | headers,
        "content": {"application/json": {"schema": schema, "example": example}},
    }


def _body(schema: Schema, examples: Schema) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": schema, "examples": examples}}}


def _ref(kind: str, name: str) -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


def _task(description: str, example: Schema, **headers: Schema) -> Schema:
    return _answer(description, _ref("schemas", "Task"), example, **headers)


_LOCATION: Final[Schema] = {"description": "Where the task is.", "schema": {"type": "string"}}
_NEW: Final[Schema] = {
    name: value for name, value in _TASK.items() if name not in ("result", "updatedAt")
} | {"status": "PENDING", "attempts": 0, "version": 1, "updatedAt": _TASK["createdAt"]}


def _submit(types: Iterable[TaskType]) -> Schema:
    examples: Schema = {
        "simplest": {"value": {"answer": "42"}},
        "later": {
            "value": {"taskId": "order-17", "payload": {"seconds": 0.5}, "delaySeconds": 3600},
            "summary": "With an ID of one's own, in an hour",
        },
    }
    return _operation(
        "submitTask",
        "Submit a task",
        {
            HTTPStatus.ACCEPTED: _task("It is stored and will run.", _NEW, location=_LOCATION),
            HTTPStatus.OK: _task("It was submitted before; as it is now.", _TASK, location=_LOCATION),
        },
        ("BadRequest", "Conflict", "TooLarge"),
        description="One of the task types: " + ", ".join(each.name for each in types) + ".",
        parameters=[_ref("parameters", "IdempotencyKey")],
        requestBody=_body(_ref("schemas", "Submission"), examples),
    )


def _submit_batch() -> Schema:
    example = {"results": [{"status": 202, "task": _NEW}, {"status": 400, "problem": _problem("BadRequest")}]}
    return _operation(
        "submitBatch",
        f"Submit 1 to {MAX_BATCH} tasks, each by itself",
        {
            HTTPStatus.MULTI_STATUS: _answer(
                "A result for each task, in their order.", _ref("schemas", "BatchResults"), example
            )
        },
        ("BadRequest", "TooLarge"),
        parameters=[_ref("parameters", "IdempotencyKey")],
        requestBody=_body(
            {
                "type": "object",
                "required": ["tasks"],
                "additionalProperties": False,
                "properties": {
                    "tasks": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": MAX_BATCH,
                        "description": "Each as in a submission of one task; what is wrong with one is told in its "
                        "result.",
                        "items": {},
                    }
                },
            },
            {"two": {"value": {"tasks": [{"answer": "42"}, {"payload": {"seconds": 0.5}}]}}},
        ),
    )


def _list() -> Schema:
    query: list[Schema] = [
        {"name": "status", "in": "query", "schema": _STATUS},
        {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        },
        {
            "name": "cursor",
            "in": "query",
            "description": "The nextCursor of the page before.",
            "schema": {"type": "string"},
        },
    ]
    return _operation(
        "listTasks",
        "List tasks, newest first",
        {
            HTTPStatus.OK: _answer(
                f"A page. One of a status other than FAILED may end early, even empty, with a nextCursor: it reads at "
                f"most {MAX_ENTRIES} entries.",
                _ref("schemas", "TaskPage"),
                {"tasks": [_TASK]},
            )
        },
        ("BadRequest",),
        parameters=query,
    )


_OF_TASK: Final = [_ref("parameters", "TaskId")]


def _get() -> Schema:
    return _operation(
        "getTask",
        "Read a task",
        {HTTPStatus.OK: _task("The task.", _TASK)},
        ("BadRequest", "NotFound"),
        parameters=_OF_TASK,
    )


def _cancel() -> Schema:
    cancelled = _NEW | {"status": "CANCELLED", "version": 2}
    return _operation(
        "cancelTask",
        "Cancel a task that no worker has",
        {HTTPStatus.OK: _task("It is cancelled, now or before, and never runs.", cancelled)},
        ("BadRequest", "NotFound", "Conflict"),
        parameters=_OF_TASK,
    )


def _retry() -> Schema:
    return _operation(
        "retryTask",
        "Start a new run of a failed task, or send the message of an overdue one again",
        {
            HTTPStatus.ACCEPTED: _task(
                "A new run, with all of its attempts.", _NEW | {"run": 2, "version": 9}, location=_LOCATION
            )
        },
        ("BadRequest", "NotFound", "Conflict"),
        parameters=_OF_TASK,
    )


def _live() -> Schema:
    url = "wss://abc.execute-api.eu-central-1.amazonaws.com/live?ticket=Zk3vX0bT1uQy7mWc5dR9sJ2hN8pL4aGe6iO1fKxUEYw"
    return _operation(
        "openLive",
        "Where to connect for live updates; asked before each connect",
        {
            HTTPStatus.OK: _answer(
                "A WebSocket address with a ticket, good for one connect within half a minute.",
                {
                    "type": "object",
                    "required": ["webSocketUrl"],
                    "properties": {"webSocketUrl": {"type": "string", "format": "uri"}},
                },
                {"webSocketUrl": url},
            )
        },
        ("BadRequest",),
    )


_DOCUMENT: Final[Schema] = {"application/json": {"schema": {"type": "object"}}}
_HTML: Final[Schema] = {"text/html": {"schema": {"type": "string"}}}


def _read(name: str, summary: str, description: str, content: Schema, *problems: str) -> Schema:
    headers = {"x-correlation-id": _ref("headers", "CorrelationId")}
    answer = {"description": description, "headers": headers, "content": content}
    return _operation(name, summary, {HTTPStatus.OK: answer}, problems)


# -- schemas


def _schemas(types: Iterable[TaskType]) -> Schema:
    return {
        "Submission": {"anyOf": [_submission(each) for each in types]},
        "Task": _task_schema(),
        "TaskPage": {
            "type": "object",
            "required": ["tasks"],
            "additionalProperties": False,
            "properties": {
                "tasks": {"type": "array", "items": _ref("schemas", "Task"), "maxItems": MAX_LIMIT},
                "nextCursor": {"type": "string", "description": "There may be more: pass it on as cursor."},
            },
        },
        "BatchResults": {
            "type": "object",
            "required": ["results"],
            "additionalProperties": False,
            "properties": {"results": {"type": "array", "items": _ref("schemas", "BatchResult")}},
        },
        "BatchResult": {
            "oneOf": [
                {
                    "type": "object",
                    "required": ["status", "task"],
                    "additionalProperties": False,
                    "properties": {"status": {"enum": [200, 202]}, "task": _ref("schemas", "Task")},
                },
                {
                    "type": "object",
                    "required": ["status", "problem"],
                    "additionalProperties": False,
                    "properties": {
                        "status": {"enum": [400, 409, 413, 500, 503]},
                        "problem": _ref("schemas", "Problem"),
                    },
                },
            ]
        },
        "Problem": {
            "description": "RFC 9457.",
            "type": "object",
            "required": ["type", "title", "status", "detail"],
            "additionalProperties": False,
            "properties": {
                "type": {"type": "string", "format": "uri-reference"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "errors": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["field", "message"],
                        "additionalProperties": False,
                        "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
                    },
                },
            },
        },
        "GatewayMessage": {
            "description": "What the gateway answers by itself.",
            "type": "object",
            "required": ["message"],
            "properties": {"message": {"type": "string"}},
        },
    }


def _submission(task_type: TaskType) -> Schema:
    """What a task of this type may say."""
    is_default = task_type.name == DEFAULT_TYPE
    data: Schema = {"payload": task_type.payload.schema() if task_type.payload else {"type": "object"}}
    if task_type.takes_answer:
        answer = {"type": "string", "minLength": 1, "description": f"At most {MAX_DATA} bytes as JSON."}
        data = {"answer": answer} | data
    return {
        "title": task_type.name,
        "type": "object",
        "required": [] if is_default else ["type"],
        "additionalProperties": False,
        "properties": {
            "taskId": _TASK_ID,
            "type": {"const": task_type.name} | ({"default": task_type.name} if is_default else {}),
            **data,
            "delaySeconds": {
                "type": "number",
                "minimum": 0,
                "maximum": MAX_PUT_OFF // 1000,
                "description": "When to start it, from now on.",
            },
            "runAt": _TIME | {"description": "When to start it, within a year; one that has passed is now."},
        },
        "oneOf": [{"required": [name]} for name in data],
        "not": {"required": ["delaySeconds", "runAt"]},
    }


def _task_schema() -> Schema:
    return {
        "type": "object",
        "required": [
            *("taskId", "type", "status", "attempts", "retries"),
            *("run", "version", "createdAt", "updatedAt"),
        ],
        "additionalProperties": False,
        "properties": {
            "taskId": {"type": "string"},
            "type": {"type": "string"},
            "answer": {"type": "string"},
            "payload": {"type": "object"},
            "truncated": {
                "const": True,
                "description": "Data or result is left out of this list or batch; read the task.",
            },
            "status": _STATUS,
            "attempts": _NUMBER | {"description": "Of the current run."},
            "retries": _NUMBER | {"description": "attempts - 1, at least 0."},
            "errorMessage": {"type": "string", "description": "Of the last attempt that failed."},
            "result": {"description": f"What its function returned, up to {MAX_RESULT} bytes of JSON."},
            "history": {
                "type": "array",
                "maxItems": MAX_HISTORY,
                "description": "The last attempts that ended, of all runs; absent for a task that succeeded at once.",
                "items": {
                    "type": "object",
                    "required": ["run", "attempt", "startedAt"],
                    "additionalProperties": False,
                    "properties": {
                        "run": _NUMBER,
                        "attempt": _NUMBER,
                        "startedAt": _TIME,
                        "durationMs": _NUMBER | {"description": "Absent when its worker died."},
                        "errorMessage": {"type": "string"},
                    },
                },
            },
            "runAt": _TIME | {"description": "When it was asked to start."},
            "run": _NUMBER | {"description": "How often it was started anew, the first time included."},
            "version": _NUMBER
            | {"description": "Grows with every change; orders what is heard of the task."},
            "createdAt": _TIME,
            "updatedAt": _TIME,
        },
    }


# -- errors

#: By the name of the answer that operations share: status, when it is answered, and an example's detail; those without
#: one are the gateway's.
_PROBLEMS: Final[Mapping[str, tuple[HTTPStatus, str, str | None]]] = {
    "BadRequest": (
        HTTPStatus.BAD_REQUEST,
        "Something is wrong with the request; every field of it at once.",
        f"taskId: is 'no spaces'; it must be {TASK_ID_WORDS}",
    ),
    "Unauthorized": (
        HTTPStatus.UNAUTHORIZED,
        "There is no token, or it is not a good one: malformed, expired, or of another issuer or audience.",
        None,
    ),
    "Forbidden": (HTTPStatus.FORBIDDEN, "The gateway lets this caller do nothing here.", None),
    "NotFound": (HTTPStatus.NOT_FOUND, "There is no such task.", "There is no task order-17."),
    "Conflict": (
        HTTPStatus.CONFLICT,
        "The task is another one, or stands where this cannot be done.",
        "Task order-17 exists with other content.",
    ),
    "TooLarge": (
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The body is over {MAX_BODY} bytes, or a task's data over {MAX_DATA} bytes of JSON.",
        "answer: is 300000 bytes of JSON; at most 262144 are allowed",
    ),
    "TooManyRequests": (
        HTTPStatus.TOO_MANY_REQUESTS,
        "More than the stage's rate; send it again later.",
        None,
    ),
    "InternalServerError": (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "A defect; it has been logged.",
        "The request failed; it has been logged.",
    ),
    "ServiceUnavailable": (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "AWS does not answer. It is safe to send the request again.",
        "A service behind this API does not answer; send the request again.",
    ),
}


def _problem(name: str) -> Schema:
    status, _, detail = _PROBLEMS[name]
    problem: Schema = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
    if status is HTTPStatus.BAD_REQUEST and detail:
        field, _, message = detail.partition(": ")
        problem["errors"] = [{"field": field, "message": message}]
    return problem


def _responses() -> Schema:
    def gateways(status: HTTPStatus) -> Schema:
        schema = _ref("schemas", "GatewayMessage")
        return {"application/json": {"schema": schema, "example": {"message": status.phrase}}}

    return {
        name: {
            "description": description,
            "content": gateways(status)
            if detail is None
            else {
                "application/problem+json": {
                    "schema": _ref("schemas", "Problem"),
                    "example": _problem(name),
                },
                # The gateway's own, when it cannot reach the function, or will not.
                **(
                    gateways(status)
                    if status >= HTTPStatus.INTERNAL_SERVER_ERROR
                    or status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE
                    else {}
                ),
            },
        }
        for name, (status, description, detail) in _PROBLEMS.items()
    }
