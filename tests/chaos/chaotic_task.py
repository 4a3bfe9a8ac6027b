"""A task type that does what its payload says, good or bad, and writes down what it did.

This file becomes `functions/task_types/chaos.py` of a scratch copy of the program and runs inside the system under
test. What it writes goes over a Unix socket to the diary, which is outside: a line when an attempt starts, one before
it ends by its own doing. An attempt that is ended by somebody else ends the connection, which the diary sees too. A
child that an attempt forks writes to the same connection, which ends with the last process that has it.
Linux only, because it finds the worker's process in /proc.
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from tasklib.task_type import Attempt, PermanentError, task_type

#: Names the socket of the diary in the function's environment.
ADDRESS = "CHAOS_DIARY"

#: What the text of each planned error begins with.
FAILURE = "planned failure of"

#: Seconds between two lines of a child that lives on, and until an attempt must have been ended by somebody else.
_BEAT = 0.02
_FOREVER = 60


@task_type("chaos", time_limit_seconds=2)
def chaos(data: Any, attempt: Attempt) -> dict[str, Any]:
    """Works for `seconds`, then does the deed that the payload's `runs` have for this run and attempt.

    The last run and the last deed of a run stand for all that follow. With a `child`, it forks one before it works.
    """
    with socket.socket(socket.AF_UNIX) as diary:
        diary.connect(os.environ[ADDRESS])
        worker = _parent_of(os.getppid())
        work = work_of(attempt.task_id, attempt.run, attempt.number)
        facts = {"taskId": attempt.task_id, "run": attempt.run, "attempt": attempt.number}
        _write(diary, event="start", pid=os.getpid(), worker=worker, **facts)
        if data["child"] and os.fork() == 0:
            return _be_child(data["child"], data["childSeconds"], work, diary)
        time.sleep(data["seconds"])
        deeds = data["runs"][min(attempt.run, len(data["runs"])) - 1]
        deed = deeds[min(attempt.number, len(deeds)) - 1]
        _write(diary, event=deed)
        match deed:
            case "return":
                return {"workOf": work}
            case "raise":
                raise RuntimeError(f"{FAILURE} {work}")
            case "give up":
                raise PermanentError(f"{FAILURE} {work}")
            case "kill worker":
                if "_worker.py" in Path(f"/proc/{worker}/cmdline").read_text():
                    os.kill(worker, signal.SIGKILL)
            case "kill itself":
                os.kill(os.getpid(), signal.SIGKILL)
            case _:
                pass  # "overrun"
        # Until the time limit, or the end of the worker, ends this process.
        time.sleep(_FOREVER)
        raise AssertionError("this process should have been ended long ago")


def work_of(task_id: str, run: int, number: int) -> str:
    """Names one attempt: what it returns and what its errors say."""
    return f"{task_id} {run}.{number}"


def _be_child(deed: str, seconds: float, work: str, diary: socket.socket) -> dict[str, Any]:
    """What a forked process does. Nothing of it must become the answer of the attempt."""
    _write(diary, child=deed)
    time.sleep(seconds)
    match deed:
        case "return":
            return {"workOf": f"a child of {work}"}
        case "raise":
            raise RuntimeError(f"{FAILURE} a child of {work}")
        case "exit":
            sys.exit(f"{FAILURE} a child of {work}")
        case _:
            pass  # "live on"
    os.setsid()
    end = time.monotonic() + _FOREVER
    while time.monotonic() < end:
        _write(diary, child=deed)
        time.sleep(_BEAT)
    raise AssertionError("this process should have been ended long ago")


def _write(diary: socket.socket, **event: Any) -> None:
    times = {"wall": time.time(), "monotonic": time.monotonic()}
    diary.sendall(json.dumps(event | times).encode() + b"\n")


def _parent_of(pid: int) -> int:
    # pid (name) state parent ...; the name may itself contain brackets and blanks
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])
