"""What a client may send, and how it is told what was wrong: every problem at once, each with its field."""

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, Final, Literal, NamedTuple, cast

from tasklib import clock
from tasklib.json_document import Document, NotJsonError, faults, read
from tasklib.payload import FieldError, field_name, kind_name, shown
from tasklib.task import NO_TASK_IDS, TASK_ID, TASK_ID_WORDS, TaskData
from tasklib.task_type import DEFAULT_TYPE, TaskType

#: The largest task data, in bytes of JSON.
MAX_DATA: Final = 256 * 1024

#: Tasks of one batch.
MAX_BATCH: Final = 100

#: Tasks that a WebSocket client can name in a subscription.
MAX_SUBSCRIPTION: Final = 100

#: How deep a payload may nest. Generous for data, and far below what exhausts any parser.
MAX_DEPTH: Final = 100

#: Errors that one answer names. The tasks of a batch share them, but each has a few at least; the answer to a
#: WebSocket frame has to fit into a frame.
MAX_ERRORS: Final = 50
_LEAST_ERRORS: Final = 3
_FRAME_ERRORS: Final = 10

#: The longest time, in milliseconds, that a task can be put off: a year, also one with a leap day.
MAX_PUT_OFF: Final = 366 * clock.DAY

_FIELDS: Final = ("taskId", "type", "answer", "payload", "delaySeconds", "runAt")

#: A time with its offset from UTC, as RFC 3339 has it.
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.]\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class InvalidInputError(Exception):
    """The client's input is not acceptable. Of more than `most` errors the first are told and the rest counted."""

    def __init__(self, *errors: FieldError, most: int = MAX_ERRORS) -> None:
        told = errors[:most]
        if len(errors) > most:
            told = (*told, FieldError("body", f"has {len(errors) - most} more errors"))
        super().__init__("; ".join(f"{field}: {message}" for field, message in told))
        self.errors = told


class TooLargeError(InvalidInputError):
    """The client's input is fine but for its size."""


class Submission(NamedTuple):
    """A valid request for a task; `task_id` is None when the client leaves it to us, `run_at` (ms) when the task
    is to start at once.
    """

    task_id: str | None
    type: str
    data: TaskData
    run_at: int | None = None


class Frame(NamedTuple):
    """What a WebSocket client asks for; `task_ids` are of a subscription, None for all tasks."""

    action: Literal["subscribe", "unsubscribe", "ping"]
    task_ids: list[str] | None = None


def parse_json(body: bytes) -> Document:
    """The body as JSON. Raises InvalidInputError."""
    try:
        return read(body)
    except NotJsonError as error:
        raise InvalidInputError(FieldError("body", f"is not JSON: {error}")) from None


def read_submission(
    document: Document, types: Mapping[str, TaskType], *, name: str = "body", most_errors: int = MAX_ERRORS
) -> Submission:
    """A submission of one of the `types`, by their names, from what the client sent as `name`.

    Raises InvalidInputError, which tells at most so many errors, or TooLargeError.
    """
    # A task that is nested deeper is refused for that.
    _refuse_unkept(document, name, MAX_DEPTH, most_errors)
    task = _object(document.value, name)
    errors = _unknown(task, _FIELDS, "a task")
    task_id = task.get("taskId")
    if "taskId" in task and not is_task_id(task_id):
        errors.append(bad_task_id("taskId", task_id))
    task_type = task.get("type", DEFAULT_TYPE)
    if not isinstance(task_type, str) or task_type not in types:
        known = ", ".join(sorted(types))
        errors.append(FieldError("type", f"is {shown(task_type)}; the task types are {known}"))
    data, data_errors = _read_data(task)
    errors += data_errors
    run_at, time_errors = _read_time(task)
    errors += time_errors
    size = 0 if data is None or data_errors else _size(data)
    if data and not data_errors and size <= MAX_DATA and isinstance(task_type, str) and task_type in types:
        errors += types[task_type].parse(task[data.kind])[1]
    if data is None or errors:
        raise InvalidInputError(*errors, most=most_errors)
    if size > MAX_DATA:
        message = f"is {size} bytes of JSON; at most {MAX_DATA} are allowed"
        raise TooLargeError(FieldError(data.kind, message))
    return Submission(task_id, task_type, data, run_at)


def read_batch(document: Document, types: Mapping[str, TaskType]) -> list[Submission | InvalidInputError]:
    """The submissions of a batch, each by itself good or not. Raises InvalidInputError when it is no batch."""
    _refuse_unkept(document, "body", 1)  # not what is inside the tasks
    batch = _object(document.value, "body")
    errors = _unknown(batch, ("tasks",), "a batch")
    tasks = batch.get("tasks")
    if not isinstance(tasks, list):
        given = kind_name(tasks) if "tasks" in batch else "missing"
        errors.append(FieldError("tasks", f"is {given}; it must be an array of 1 to {MAX_BATCH} tasks"))
    elif not 1 <= len(cast("list[Any]", tasks)) <= MAX_BATCH:
        count = len(cast("list[Any]", tasks))
        errors.append(FieldError("tasks", f"holds {count} tasks; it must be 1 to {MAX_BATCH}"))
    if errors:
        raise InvalidInputError(*errors)
    given_tasks = cast("list[Any]", tasks)
    most = max(_LEAST_ERRORS, MAX_ERRORS // len(given_tasks))
    return [_read_one(Document(task, document.is_kept), types, most) for task in given_tasks]


def _read_one(
    document: Document, types: Mapping[str, TaskType], most_errors: int
) -> Submission | InvalidInputError:
    try:
        return read_submission(document, types, name="task", most_errors=most_errors)
    except InvalidInputError as error:
        # Its traceback would keep every error alive that it does not tell.
        return error.with_traceback(None)


def read_frame(text: str) -> Frame:
    """What a client asks for in a WebSocket frame. Raises InvalidInputError."""
    document = parse_json(text.encode(errors="surrogatepass"))
    _refuse_unkept(document, "body", 2, _FRAME_ERRORS)
    fields = _object(document.value, "body")
    match fields.get("action"):
        case "subscribe":
            known, action = ("action", "taskIds"), "subscribe"
        case "unsubscribe" | "ping" as action:
            known = ("action",)
        case action:
            given = shown(action) if "action" in fields else "missing"
            message = f"is {given}; it must be subscribe, unsubscribe or ping"
            raise InvalidInputError(FieldError("action", message))
    errors = _unknown(fields, known, f"a frame that asks to {action}")
    task_ids: Any = fields.get("taskIds")
    if "taskIds" in fields and action == "subscribe":
        errors += _bad_subscription(task_ids)
    if errors:
        raise InvalidInputError(*errors, most=_FRAME_ERRORS)
    return Frame(action, None if task_ids is None else [*dict.fromkeys(task_ids)])


def _bad_subscription(task_ids: Any) -> list[FieldError]:
    if not isinstance(task_ids, list):
        message = f"is {kind_name(task_ids)}; it must be an array of 1 to {MAX_SUBSCRIPTION} task IDs"
        return [FieldError("taskIds", message)]
    given = cast("list[Any]", task_ids)
    if not 1 <= len(given) <= MAX_SUBSCRIPTION:
        message = f"holds {len(given)} task IDs; it must be 1 to {MAX_SUBSCRIPTION}"
        return [FieldError("taskIds", message)]
    return [
        bad_task_id(f"taskIds[{place}]", task_id)
        for place, task_id in enumerate(given)
        if not is_task_id(task_id)
    ]


def id_from_key(headers: Mapping[str, str], place: int | None = None) -> str | None:
    """The task ID that an `Idempotency-Key` stands for, the same for the same key; None without the header.

    `place` is where the task stands in a batch. Raises InvalidInputError.
    """
    key = headers.get("idempotency-key")
    if key is None:
        return None
    if not re.fullmatch(r"[ -~]{1,255}", key):
        message = f"is {shown(key)}; it must be 1 to 255 printable ASCII characters"
        raise InvalidInputError(FieldError("Idempotency-Key", message))
    # No key has a line feed, so no task of a batch gets the ID of one that came alone.
    name = key if place is None else f"{key}\n{place}"
    return f"key-{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def is_task_id(value: object) -> bool:
    """Whether this can be a task ID."""
    return isinstance(value, str) and TASK_ID.fullmatch(value) is not None and value not in NO_TASK_IDS


def bad_task_id(field: str, value: object) -> FieldError:
    """What to say of a task ID that is none."""
    return FieldError(field, f"is {shown(value)}; it must be {TASK_ID_WORDS}")


def _refuse_unkept(document: Document, name: str, deepest: int, most_errors: int = MAX_ERRORS) -> None:
    if document.is_kept:
        return
    errors = faults(document.value, name, deepest=deepest, most=most_errors)
    if errors:
        raise InvalidInputError(*errors, most=most_errors)


def _object(fields: Any, name: str) -> dict[str, Any]:
    if not isinstance(fields, dict):
        raise InvalidInputError(FieldError(name, f"is {kind_name(fields)}; it must be a JSON object"))
    return cast("dict[str, Any]", fields)


def _unknown(fields: Collection[str], known: Sequence[str], whole: str) -> list[FieldError]:
    message = f"is not a field of {whole}; there {'is' if len(known) == 1 else 'are'} {', '.join(known)}"
    return [FieldError(field_name(name), message) for name in fields if name not in known]


def _read_data(task: dict[str, Any]) -> tuple[TaskData | None, list[FieldError]]:
    given = [kind for kind in ("answer", "payload") if kind in task]
    if not given:
        return None, [FieldError("answer", "is missing; send either answer or payload")]
    if len(given) > 1:
        return None, [FieldError("payload", "came with answer; send either answer or payload")]
    if given == ["answer"]:
        answer = task["answer"]
        if not isinstance(answer, str) or not answer:
            return None, [FieldError("answer", f"is {kind_name(answer)}; it must be a non-empty string")]
        problem = _unfit(answer)
        return TaskData("answer", answer), [FieldError("answer", problem)] if problem else []
    payload = task["payload"]
    if not isinstance(payload, dict):
        return None, [FieldError("payload", f"is {kind_name(payload)}; it must be a JSON object")]
    problem = _unfit(payload)
    if problem:
        return None, [FieldError("payload", problem)]
    return TaskData("payload", _compact(payload)), []


def _size(data: TaskData) -> int:
    """Bytes of JSON."""
    return len(data.text.encode()) if data.kind == "payload" else len(_compact(data.text).encode())


def _read_time(task: dict[str, Any]) -> tuple[int | None, list[FieldError]]:
    """When a task is to start, in milliseconds; None for at once."""
    if "delaySeconds" in task and "runAt" in task:
        return None, [FieldError("runAt", "came with delaySeconds; send either delaySeconds or runAt")]
    now = clock.now()
    if "delaySeconds" in task:
        delay = task["delaySeconds"]
        if (
            isinstance(delay, bool)
            or not isinstance(delay, int | float)
            or not 0 <= delay <= MAX_PUT_OFF / 1000
        ):
            message = f"is {shown(delay)}; it must be a number from 0 to {MAX_PUT_OFF // 1000}"
            return None, [FieldError("delaySeconds", message)]
        return now + round(delay * 1000), []
    if "runAt" not in task:
        return None, []
    run_at = _milliseconds(task["runAt"])
    if run_at is None:
        message = f"is {shown(task['runAt'])}; it must be a time with its offset, as 2026-12-24T18:00:00Z"
        return None, [FieldError("runAt", message)]
    if run_at > now + MAX_PUT_OFF:
        return None, [FieldError("runAt", f"is {shown(task['runAt'])}; it must be within a year")]
    return run_at, []


def _milliseconds(time: object) -> int | None:
    """Milliseconds since 1970 of a time in RFC 3339, parts of them cut off; None when it is none."""
    if not isinstance(time, str) or not _TIME.fullmatch(time):
        return None
    try:
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", time.upper()))
        return max(0, (moment - _EPOCH) // timedelta(milliseconds=1))
    except (ValueError, OverflowError):
        return None


def _unfit(data: Any) -> str | None:
    """Why this cannot be kept as it is, or None."""
    if nesting(data) > MAX_DEPTH:
        return f"nests deeper than {MAX_DEPTH} levels"
    try:
        _compact(data).encode()
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, which is no character"
    return None


def nesting(data: Any) -> int:
    """How deep the data nests, counted level by level (a recursion could itself run too deep)."""
    depth = 0
    level: list[Any] = [data]
    while level and depth <= MAX_DEPTH:
        depth += 1
        lists: list[list[Any]] = [value for value in level if isinstance(value, list)]
        objects: list[dict[str, Any]] = [value for value in level if isinstance(value, dict)]
        level = [*chain.from_iterable(lists), *chain.from_iterable(each.values() for each in objects)]
    return depth


def _compact(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
