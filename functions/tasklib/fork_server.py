"""The process that task processes are forked from.

It imports the task types once and nothing of AWS, runs no thread and opens no connection, so that its forks
are cheap, share its memory and are born clean. The worker orders it to fork a task process or to end one; it
answers each order before it takes the next. Started as `python -m tasklib.fork_server FD`, where FD is a Unix
socket to the worker. When the worker is gone, however it ended, the socket closes and every task process is
killed with it: no attempt outlives the one who answers for it.

On Linux both it and the task processes are subreapers: a process that a task starts cannot leave the family by
a session of its own or by outliving its parent. What a task process leaves behind falls to the fork server,
which ends it.

Only the task process itself answers for an attempt. A child that its code forks has no socket to the worker, and each
answer repeats the nonce of its job, which the worker checks.
"""

import ctypes
import gc
import io
import os
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

import task_types

from tasklib import frames, process_tree
from tasklib.execution import MAX_TRACE, run
from tasklib.surroundings import Surroundings
from tasklib.task_type import TaskType, load_all

#: An order: FORK with the task process's end of a socket attached, or the end of the process with this ID. REAP is for
#: one that has closed its end of the socket: it has died, or will in a moment, and its wait status says of what.
ORDER: Final = struct.Struct("!cI")
FORK: Final = b"F"
END: Final = b"E"
REAP: Final = b"R"

#: The answer: the new process ID and 0; or the wait status of the process that was ended, and the most memory in KiB
#: that it had.
ANSWER: Final = struct.Struct("!II")

#: The answer to FORK when the machine has no room for another process.
NO_PROCESS: Final = 0

#: Stands for the wait status of a process that did not die by itself.
STILL_RUNNING: Final = 0xFFFF_FFFF

#: How long a process that has closed its socket may take to die, in seconds.
_DEATH: Final = 0.1

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
    # What is alive now lives as long as the process: kept out of collections, its pages stay shared.
    gc.freeze()
    # Last: a snapshot may be taken as soon as the worker has this.
    frames.send(control, {"types": {name: _describe(task_type) for name, task_type in types.items()}})
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
            control.sendall(ANSWER.pack(_fork(control, connection, types, children), 0))
        else:
            control.sendall(ANSWER.pack(*_end(pid, children, patience=_DEATH if verb == REAP else 0)))


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


def _end(pid: int, children: set[int], patience: float = 0) -> tuple[int, int]:
    """Kills a task process with all that it started.

    Returns its wait status, STILL_RUNNING if it did not die by itself within `patience` seconds, and its peak memory.
    """
    if pid not in children:
        return STILL_RUNNING, 0
    children.discard(pid)
    death = _wait(pid, patience)
    # Its group first, or itself alone if it did not live to lead one. macOS refuses to signal a group of zombies.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    if death is None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    # What it had started outside of its group is orphaned now, to this process; and so is what that had started.
    while strays := [stray for stray in process_tree.children(os.getpid()) if stray not in children]:
        for stray in strays:
            with suppress(ProcessLookupError):
                os.kill(stray, signal.SIGKILL)
            os.waitpid(stray, 0)
    return death or (STILL_RUNNING, 0)


def _wait(pid: int, patience: float) -> tuple[int, int] | None:
    """The wait status and the peak memory in KiB of a process that dies by itself, None if it does not."""
    end = time.monotonic() + patience
    while True:
        reaped, status, usage = os.wait4(pid, os.WNOHANG)
        if reaped:
            return status, usage.ru_maxrss // (1024 if sys.platform == "darwin" else 1)
        if time.monotonic() >= end:
            return None
        time.sleep(0.001)


def _become_subreaper() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _be_first_out_of_memory() -> None:
    """Lets Linux end this process, and not the worker, when memory runs out."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _be_task_process(connection: socket.socket, types: Mapping[str, TaskType]) -> NoReturn:
    try:
        os.setsid()
        _become_subreaper()
        _be_first_out_of_memory()
        connection.set_inheritable(False)
        os.register_at_fork(after_in_child=connection.close)
        surroundings = Surroundings()
        while (job := frames.receive(connection)) is not None:
            surroundings.prepare(job["platform"])
            answer = run(job, types[job["type"]].function)
            # A process is used again only after a success that left it as it was.
            spent = "error" in answer or not surroundings.allow_another_attempt()
            frames.send(connection, answer | {"spent": spent, "nonce": job["nonce"]})
    except OSError:
        pass  # the worker is gone, and nobody waits for the answer
    finally:
        os._exit(0)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
