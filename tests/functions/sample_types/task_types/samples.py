"""Each writes down what it does in the directory that its payload names, outside of the system under test."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tasklib.task_type import Attempt, PermanentError, task_type


def note(data: Any, attempt: Attempt, what: str) -> None:
    """One line per event: monotonic time, task, attempt, event. Appends of one line are atomic."""
    with (Path(data["diary"]) / "diary").open("a") as diary:
        diary.write(f"{time.monotonic()} {attempt.task_id} {attempt.number} {what}\n")


@task_type("echo")
def echo(data: Any, attempt: Attempt) -> Any:
    return {"data": data, "attempt": [attempt.task_id, attempt.run, attempt.number, attempt.correlation_id]}


@task_type("busy")
def busy(data: Any, attempt: Attempt) -> None:
    note(data, attempt, "start")
    time.sleep(data["seconds"])
    note(data, attempt, "end")


@task_type("failing")
def failing(data: Any, attempt: Attempt) -> None:
    raise RuntimeError(f"attempt {attempt.number} failed")


@task_type("stubborn", max_retries=1, backoff_base_seconds=4)
def stubborn(data: Any, attempt: Attempt) -> None:
    raise RuntimeError("as ever")


@task_type("hopeless")
def hopeless(data: Any, attempt: Attempt) -> None:
    raise PermanentError("no use")


@task_type("endless", time_limit_seconds=0.5)
def endless(data: Any, attempt: Attempt) -> None:
    # The process started here is in the same group; both would write if they lived on.
    late = f"import time, pathlib; time.sleep(1.5); pathlib.Path({data['diary']!r}, 'late').touch()"
    subprocess.Popen([sys.executable, "-c", late])
    time.sleep(1.5)
    (Path(data["diary"]) / "late").touch()


@task_type("lingering")
def lingering(data: Any, attempt: Attempt) -> str:
    def go_on() -> None:
        time.sleep(0.5)
        (Path(data["diary"]) / "late").touch()

    threading.Thread(target=go_on).start()
    return "done"


@task_type("suicidal")
def suicidal(data: Any, attempt: Attempt) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task_type("patricidal", time_limit_seconds=1)
def patricidal(data: Any, attempt: Attempt) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(30)


@task_type("leaving")
def leaving(data: Any, attempt: Attempt) -> None:
    sys.exit(3)


@task_type("unspeakable")
def unspeakable(data: Any, attempt: Attempt) -> Any:
    return {1, 2}


@task_type("verbose")
def verbose(data: Any, attempt: Attempt) -> str:
    return "x" * 40_000


@task_type("garbled")
def garbled(data: Any, attempt: Attempt) -> None:
    raise ValueError("half a pair: \ud800 and much more: " + "y" * 5000)
