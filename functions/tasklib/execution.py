"""One attempt, as it runs inside a task process: the task's function called, and whatever it does made an answer."""

import json
import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final

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
    code asked for a wait before the next attempt; and `spent`: whether the process must not be used again, because
    the attempt failed, or changed what the next one would find, or because threads or processes that it started may
    still be running.
    """
    before = _surroundings()
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
        answer: dict[str, Any] = {"result": _result(function(data, attempt))}
    except BaseException as error:  # noqa: BLE001 - whatever the task's code raises is its attempt's failure
        answer = {
            "error": _message(error),
            "permanent": isinstance(error, PermanentError),
            "trace": _clean("".join(traceback.format_exception(error, limit=-8)))[-MAX_TRACE:],
        }
        if isinstance(error, RetryLaterError):
            answer["delay_seconds"] = error.delay_seconds
    _flush()
    return answer | {"spent": "error" in answer or _has_children() or _surroundings() != before}


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


def _surroundings() -> tuple[object, ...]:
    """What one attempt could leave behind for the next in the same process."""
    umask = os.umask(0o077)
    os.umask(umask)
    try:
        directory = os.getcwd()  # noqa: PTH109 - a Path would say no more
    except OSError:
        directory = None
    return (
        directory,
        umask,
        dict(os.environ),
        signal.getitimer(signal.ITIMER_REAL),
        resource.getrlimit(resource.RLIMIT_NOFILE),
        threading.active_count(),
    )


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # the task closed it


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True
