"""The process that task processes are forked from.

It imports the task types once and nothing of AWS, runs no thread and opens no connection, so that its forks
are cheap, share its memory and are born clean. The worker orders it to fork a task process or to end one; it
answers each order before it takes the next. Started as `python -m tasklib.fork_server FD`, where FD is a Unix
socket to the worker. When the worker is gone, however it ended, the socket closes and every task process is
killed with it: no attempt outlives the one who answers for it.

On Linux both it and the task processes are subreapers: a process that a task starts cannot leave the family by
a session of its own or by outliving its parent. What a task process leaves behind falls to the fork server,
which ends it.
"""

import ctypes
import gc
import io
import os
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

import task_types

from tasklib import frames
from tasklib.execution import MAX_TRACE, run
from tasklib.task_type import TaskType, load_all

#: An order: FORK with the task process's end of a socket attached, or END with its process id.
ORDER: Final = struct.Struct("!cI")
FORK: Final = b"F"
END: Final = b"E"

#: The answer: the new process id, or the wait status of the process that was ended.
ANSWER: Final = struct.Struct("!I")

#: The answer to FORK when the machine has no room for another process.
NO_PROCESS: Final = 0

_PR_SET_CHILD_SUBREAPER: Final = 36


def main(control: socket.socket) -> None:
    """Announces the task types, then takes orders until the worker is gone."""
    _become_subreaper()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What a task prints is in the log even if it is killed before the buffer is full.
        sys.stdout.reconfigure(line_buffering=True)
    try:
        types = load_all(task_types)
    except BaseException:  # noqa: BLE001 - a task type may fail to import in any way; the worker reports it
        frames.send(control, {"error": traceback.format_exc(limit=-8)[-MAX_TRACE:]})
        return
    frames.send(control, {"types": {name: _describe(task_type) for name, task_type in types.items()}})
    # What is alive now lives as long as the process: kept out of collections, its pages stay shared.
    gc.freeze()
    children: set[int] = set()
    try:
        _serve(control, types, children)
    finally:
        for pid in [*children]:
            _end(pid, children)


def _describe(task_type: TaskType) -> dict[str, Any]:
    """What the worker has to know of a type: its retry policy, its time limit in seconds and what its secrets are."""
    return {
        "retry": dict(task_type.retry),
        "timeLimitSeconds": task_type.time_limit_seconds,
        "secrets": dict(task_type.secrets),
    }


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
            control.sendall(ANSWER.pack(_end(pid, children)))


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


def _end(pid: int, children: set[int]) -> int:
    """Kills a task process with all that it started, and returns its wait status."""
    if pid not in children:
        return 0
    children.discard(pid)
    # Its group first, or itself alone if it did not live to lead one. macOS refuses to signal a group of zombies.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    # What it had started outside of its group is orphaned now, to this process; and so is what that had started.
    while strays := [stray for stray in _own_processes() if stray not in children]:
        for stray in strays:
            with suppress(ProcessLookupError):
                os.kill(stray, signal.SIGKILL)
            os.waitpid(stray, 0)
    return status


def _own_processes() -> Iterator[int]:
    """The children of this process, zombies included; none where there is no `/proc`."""
    parent = os.getpid()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # "pid (name) state ppid ...", and the name may hold anything.
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if int(fields[1]) == parent:
            yield int(entry.name)


def _become_subreaper() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _be_task_process(connection: socket.socket, types: Mapping[str, TaskType]) -> NoReturn:
    try:
        os.setsid()
        _become_subreaper()
        connection.set_inheritable(False)
        while (job := frames.receive(connection)) is not None:
            frames.send(connection, run(job, types[job["type"]].function))
    except OSError:
        pass  # the worker is gone, and nobody waits for the answer
    finally:
        os._exit(0)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
