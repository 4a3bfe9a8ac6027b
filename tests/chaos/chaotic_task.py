"""A task type that does what its payload says, good or bad, and writes down what it did.

This file becomes `functions/task_types/chaos.py` of a scratch copy of the program and runs inside the system under
test. What it writes goes over a Unix socket to the diary, which is outside: a line when an attempt starts, one before
it ends by its own doing. An attempt that is ended by somebody else ends the connection, which the diary sees too.
Linux only, because it finds the worker's process in /proc.
"""

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from tasklib.task_type import Attempt, PermanentError, task_type

#: Names the socket of the diary in the function's environment.
ADDRESS = "CHAOS_DIARY"


@task_type("chaos", time_limit_seconds=2)
def chaos(data: Any, attempt: Attempt) -> dict[str, Any]:
    """Works for `seconds`, then does the deed that the payload's `runs` have for this run and attempt.

    The last run and the last deed of a run stand for all that follow.
    """
    with socket.socket(socket.AF_UNIX) as diary:
        diary.connect(os.environ[ADDRESS])
        worker = _parent_of(os.getppid())
        facts = {"taskId": attempt.task_id, "run": attempt.run, "attempt": attempt.number}
        _write(diary, event="start", pid=os.getpid(), worker=worker, **facts)
        time.sleep(data["seconds"])
        deeds = data["runs"][min(attempt.run, len(data["runs"])) - 1]
        deed = deeds[min(attempt.number, len(deeds)) - 1]
        _write(diary, event=deed)
        match deed:
            case "return":
                return {"attempt": attempt.number}
            case "raise":
                raise RuntimeError(f"planned failure of attempt {attempt.number}")
            case "give up":
                raise PermanentError("planned, for good")
            case "kill worker":
                if "_worker.py" in Path(f"/proc/{worker}/cmdline").read_text():
                    os.kill(worker, signal.SIGKILL)
            case "kill itself":
                os.kill(os.getpid(), signal.SIGKILL)
            case _:
                pass  # "overrun"
        # Until the time limit, or the end of the worker, ends this process.
        time.sleep(60)
        raise AssertionError("this process should have been ended long ago")


def _write(diary: socket.socket, **event: Any) -> None:
    times = {"wall": time.time(), "monotonic": time.monotonic()}
    diary.sendall(json.dumps(event | times).encode() + b"\n")


def _parent_of(pid: int) -> int:
    # pid (name) state parent ...; the name may itself contain brackets and blanks
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])
