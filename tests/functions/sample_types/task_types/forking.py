"""Task types whose code starts processes of its own, and some that write where only the task process may write."""

import ctypes
import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from tasklib.task_type import Attempt, task_type


@task_type("forking")
def forking(data: Any, attempt: Attempt) -> str:
    """Returns in both processes, in the child first."""
    if os.fork() == 0:
        return "child"
    time.sleep(0.2)
    return "parent"


@task_type("forking-in-c")
def forking_in_c(data: Any, attempt: Attempt) -> str:
    """As `forking`, without Python's knowledge."""
    if ctypes.PyDLL(None).fork() == 0:
        return "child"
    time.sleep(0.2)
    return "parent"


@task_type("waiting-for-its-child")
def waiting_for_its_child(data: Any, attempt: Attempt) -> int:
    """Returns the exit status of a child that ends as `how` says."""
    child = os.fork()
    if child == 0:
        match data["how"]:
            case "raises":
                raise RuntimeError("raised in the child")
            case "exits":
                sys.exit(data["status"])
            case _:
                return -1
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@task_type("leaving-its-work-to-a-child")
def leaving_its_work_to_a_child(data: Any, attempt: Attempt) -> str:
    """As a daemon starts: the process that was started ends, and its child goes on."""
    if os.fork() != 0:
        os._exit(0)
    time.sleep(60)
    return "child"


def _sleep() -> NoReturn:
    time.sleep(60)
    os._exit(0)


def _note(directory: str, pid: int) -> None:
    (Path(directory) / str(pid)).touch()


def _plainly(directory: str) -> None:
    child = os.fork()
    if child == 0:
        _sleep()
    _note(directory, child)


def _in_its_own_session(directory: str) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    _note(directory, subprocess.Popen(command, start_new_session=True).pid)


def _twice(directory: str) -> None:
    child = os.fork()
    if child == 0:
        os.setsid()
        grandchild = os.fork()
        if grandchild == 0:
            _sleep()
        _note(directory, grandchild)
        os._exit(0)
    os.waitpid(child, 0)


def _in_a_thread(directory: str) -> None:
    thread = threading.Thread(target=_plainly, args=(directory,))
    thread.start()
    thread.join()


_START: dict[str, Callable[[str], None]] = {
    "plainly": _plainly,
    "in its own session": _in_its_own_session,
    "twice": _twice,
    "in a thread": _in_a_thread,
}


@task_type("leaving-a-process")
def leaving_a_process(data: Any, attempt: Attempt) -> str:
    """Starts a process that goes on, whose ID is the name of a file."""
    _START[data["how"]](data["directory"])
    if data["ends"] == "raises":
        raise RuntimeError("told to")
    return "done"


@task_type("leaving-a-process-to-nobody", time_limit_seconds=0.5)
def leaving_a_process_to_nobody(data: Any, attempt: Attempt) -> None:
    """As `leaving-a-process`, and ends the fork server."""
    _START[data["how"]](data["directory"])
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


def _sockets() -> list[int]:
    """The sockets of this process; of a new task process, the one on which it answers."""
    return [number for number in range(3, 64) if _is_socket(number)]


def _is_socket(number: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False


def _frame(message: Any) -> bytes:
    body = json.dumps(message).encode()
    return struct.pack("!I", len(body)) + body


_STRAY: dict[str, bytes] = {
    "an answer": _frame({"result": '"forged"', "spent": False}),
    "an answer to another attempt": _frame({"result": '"forged"', "spent": False, "nonce": "0" * 32}),
    "no answer": b"printed by C code\n",
    "JSON that is no object": _frame([1]),
    "JSON that nests too deep": struct.pack("!I", 100_000) + b"[" * 100_000,
    "the beginning of an answer": struct.pack("!I", 30) + b'{"result": "',
}


@task_type("writing-beside-its-answer")
def writing_beside_its_answer(data: Any, attempt: Attempt) -> str:
    """Its child, which Python does not know of, writes on the socket of the task process."""
    child = ctypes.PyDLL(None).fork()
    if child == 0:
        for number in _sockets():
            socket.socket(fileno=os.dup(number)).sendall(_STRAY[data["what"]])
        os._exit(0)
    os.waitpid(child, 0)
    return "real"


@task_type("silent")
def silent(data: Any, attempt: Attempt) -> str:
    """Closes all that is open, and goes on."""
    os.closerange(3, 256)
    time.sleep(data["seconds"])
    return "done"
