"""One attempt, as it runs inside a task process: the task's function called, and whatever it does made an answer."""

import contextvars
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NoReturn

from tasklib.task_type import Attempt, PermanentError, RetryLaterError
from tasklib.validation import MAX_DEPTH, nesting

#: The longest error message kept on a record, and the longest traceback in a log line, in characters.
MAX_ERROR: Final = 1000
MAX_TRACE: Final = 8000

#: The largest result kept on a record, in bytes of JSON.
MAX_RESULT: Final = 32 * 1024


def run(job: Mapping[str, Any], function: Callable[[Any, Attempt], Any]) -> dict[str, Any]:
    """Runs one attempt and says how it ended.

    Returns `result` (JSON text or None) or `error` with `permanent` and `trace`, and `delay_seconds` if the task's
    code asked for a wait before the next attempt. A process that the function forked does not return from here.
    """
    process = os.getpid()
    # What it sets in context variables, such as its decimal context, is set for this attempt alone.
    context = contextvars.copy_context()
    try:
        data = job["data"] if job["kind"] == "answer" else json.loads(job["data"])
        attempt = Attempt(
            job["taskId"],
            job["run"],
            job["attempt"],
            job["correlationId"],
            job.get("secrets", {}),
            job["createdAt"],
        )
        answer: dict[str, Any] = {"result": _result(context.run(_call, function, data, attempt))}
    except BaseException as error:  # noqa: BLE001 - whatever the task's code raises is its attempt's failure
        if os.getpid() != process:
            _end_child(error)
        answer = {
            "error": _message(error),
            "permanent": isinstance(error, PermanentError),
            "trace": _clean("".join(traceback.format_exception(error, limit=-8)))[-MAX_TRACE:],
        }
        if isinstance(error, RetryLaterError):
            answer["delay_seconds"] = error.delay_seconds
    if os.getpid() != process:
        _end_child(None)
    _flush()
    return answer


def _call(function: Callable[[Any, Attempt], Any], data: Any, attempt: Attempt) -> Any:
    if decimal := sys.modules.get("decimal"):
        # A context that was made before the attempt would be changed in place.
        decimal.setcontext(decimal.getcontext().copy())
    return function(data, attempt)


def _end_child(error: BaseException | None) -> NoReturn:
    """Ends a process that the function forked and that came back from it. Only its parent answers for the attempt.

    Its exit status is the one that Python would give it. What it has buffered is a copy of what its parent has.
    """
    status = 0
    with suppress(BaseException):
        if isinstance(error, SystemExit):
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        elif error:
            status = 1
            traceback.print_exception(error)
    os._exit(status & 0xFF)


def _result(value: Any) -> str | None:
    if value is None:
        return None
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
        depth = nesting(json.loads(text))
    except (TypeError, ValueError, RecursionError) as error:
        raise PermanentError(f"the task's result is not JSON: {error}") from error
    if size > MAX_RESULT:
        raise PermanentError(f"the task's result is {size} bytes of JSON; at most {MAX_RESULT} are kept")
    if depth > MAX_DEPTH:
        raise PermanentError(f"the task's result nests deeper than {MAX_DEPTH} levels")
    return text


def _message(error: BaseException) -> str:
    try:
        said = str(error)
    except BaseException as second:  # noqa: BLE001 - an error that cannot even say what it is
        said = f"(and its text cannot be had: {type(second).__name__})"
    text = _clean(f"{type(error).__name__}: {said}" if said else type(error).__name__)
    return text if len(text) <= MAX_ERROR else f"{text[: MAX_ERROR - 1]}…"


def _clean(text: str) -> str:
    """The text without lone surrogates, which neither UTF-8 nor DynamoDB can hold."""
    return text.encode(errors="replace").decode()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # The task may have closed it, or put something else in its place.
        with suppress(Exception):
            stream.flush()
