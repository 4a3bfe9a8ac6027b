"""The process that task processes are forked from.

It imports the task types once and nothing of AWS, runs no thread and opens no connection, so that its forks
are cheap, share its memory and are born clean. The worker orders it to fork a task process or to end one; it
answers each order before it takes the next. Started as `python -m tasklib.fork_server FD`, where FD is a Unix
socket to the worker. When the worker is gone, however it ended, the socket closes and every task process is
killed with it: no attempt outlives the one who answers for it.
"""

import gc
import json
import os
import signal
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

import task_types

from tasklib import frames
from tasklib.task_type import Attempt, PermanentError, TaskType, load_all

#: An order: FORK with the task process's end of a socket attached, or END with its process id.
ORDER: Final = struct.Struct("!cI")
FORK: Final = b"F"
END: Final = b"E"

#: The answer: the new process id, or the wait status of the process that was ended.
ANSWER: Final = struct.Struct("!I")

#: The answer to FORK when the machine has no room for another process.
NO_PROCESS: Final = 0

#: The longest error message kept on a record, in characters.
MAX_ERROR: Final = 1000

#: The largest result kept on a record, in bytes of JSON.
MAX_RESULT: Final = 32 * 1024


def main(control: socket.socket) -> None:
    """Announces the task types, then takes orders until the worker is gone."""
    try:
        types = load_all(task_types)
    except BaseException:  # noqa: BLE001 - a task type may fail to import in any way; the worker reports it
        frames.send(control, {"error": traceback.format_exc(limit=-8)})
        return
    frames.send(control, {"types": {name: describe(task_type) for name, task_type in types.items()}})
    # What is alive now lives as long as the process: kept out of collections, its pages stay shared.
    gc.freeze()
    children: set[int] = set()
    try:
        _serve(control, types, children)
    finally:
        for pid in children:
            _end(pid)


def describe(task_type: TaskType) -> dict[str, Any]:
    """What the worker has to know of a type: its retry policy and its time limit in seconds."""
    return {"retry": dict(task_type.retry), "timeLimitSeconds": task_type.time_limit_seconds}


def _serve(control: socket.socket, types: Mapping[str, TaskType], children: set[int]) -> None:
    while True:
        try:
            order, descriptors, _, _ = socket.recv_fds(control, ORDER.size, 1)
        except ConnectionError:
            return
        if len(order) < ORDER.size:
            return
        verb, pid = ORDER.unpack(order)
        if verb == FORK:
            connection = socket.socket(fileno=descriptors[0])
            control.sendall(ANSWER.pack(_fork(control, connection, types, children)))
        else:
            children.discard(pid)
            control.sendall(ANSWER.pack(_end(pid)))


def _fork(
    control: socket.socket,
    connection: socket.socket,
    types: Mapping[str, TaskType],
    children: set[int],
) -> int:
    with connection:
        try:
            pid = os.fork()
        except OSError:
            return NO_PROCESS
        if pid == 0:
            control.close()
            _be_task_process(connection, types)
        children.add(pid)
        return pid


def _end(pid: int) -> int:
    """Kills a task process with all that it started in its group, and returns its wait status."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it had ended by itself and left nobody in its group
    except PermissionError:
        pass  # macOS says so of a group of zombies
    return os.waitpid(pid, 0)[1]


def _be_task_process(connection: socket.socket, types: Mapping[str, TaskType]) -> NoReturn:
    try:
        os.setsid()
        connection.set_inheritable(False)
        while (job := frames.receive(connection)) is not None:
            frames.send(connection, run(job, types[job["type"]].function))
    except OSError:
        pass  # the worker is gone, and nobody waits for the answer
    finally:
        os._exit(0)


def run(job: Mapping[str, Any], function: Callable[[Any, Attempt], Any]) -> dict[str, Any]:
    """Runs one attempt and says how it ended.

    Returns `result` (JSON text) or `error` with `permanent` and `trace`; and `leftovers`, whether threads or
    processes that it started may still be running.
    """
    threads = threading.active_count()
    try:
        data = job["data"] if job["kind"] == "answer" else json.loads(job["data"])
        attempt = Attempt(job["taskId"], job["run"], job["attempt"], job["correlationId"])
        answer = {"result": _result(function(data, attempt))}
    except BaseException as error:  # noqa: BLE001 - whatever the task's code raises is its attempt's failure
        answer = {
            "error": _message(error),
            "permanent": isinstance(error, PermanentError),
            "trace": _clean("".join(traceback.format_exception(error, limit=-8))),
        }
    return answer | {"leftovers": threading.active_count() > threads or _has_children()}


def _result(value: Any) -> str | None:
    if value is None:
        return None
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise PermanentError(f"the task's result is not JSON: {error}") from error
    if size > MAX_RESULT:
        raise PermanentError(f"the task's result is {size} bytes of JSON; at most {MAX_RESULT} are kept")
    return text


def _message(error: BaseException) -> str:
    text = _clean(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    return text if len(text) <= MAX_ERROR else f"{text[: MAX_ERROR - 1]}…"


def _clean(text: str) -> str:
    """The text without lone surrogates, which neither UTF-8 nor DynamoDB can hold."""
    return text.encode(errors="replace").decode()


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
