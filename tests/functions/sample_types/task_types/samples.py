"""Each writes down what it does in the directory that its payload names, outside of the system under test."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tasklib.task_type import Attempt, PermanentError, RetryLaterError, task_type


def note(data: Any, attempt: Attempt, what: str) -> None:
    """One line per event: monotonic time, task, attempt, event. Appends of one line are atomic."""
    with (Path(data["diary"]) / "diary").open("a") as diary:
        diary.write(f"{time.monotonic()} {attempt.task_id} {attempt.number} {what}\n")


@task_type("echo")
def echo(data: Any, attempt: Attempt) -> Any:
    return {"data": data, "attempt": [attempt.task_id, attempt.run, attempt.number, attempt.correlation_id]}


@task_type("keyed")
def keyed(data: Any, attempt: Attempt) -> list[str]:
    return [attempt.created_at, attempt.idempotency_key]


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


@task_type("patient")
def patient(data: Any, attempt: Attempt) -> None:
    raise RetryLaterError("not now", data["seconds"])


@task_type("secretive", secrets={"key": "SAMPLE_SECRET_PARAMETER"})
def secretive(data: Any, attempt: Attempt) -> list[Any]:
    return [fact for name, value in attempt.secrets.items() for fact in (name, len(value))]


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


@task_type("daemonic")
def daemonic(data: Any, attempt: Attempt) -> str:
    """Leaves a process behind that is neither its child nor of its session."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(0.5)
            (Path(data["diary"]) / "late").touch()
        os._exit(0)
    os.wait()
    return "done"


@task_type("detached", time_limit_seconds=0.5)
def detached(data: Any, attempt: Attempt) -> None:
    """Overruns its limit, as does the process that it started in a session of its own."""
    late = f"import time, pathlib; time.sleep(1); pathlib.Path({data['diary']!r}, 'late').touch()"
    subprocess.Popen([sys.executable, "-c", late], start_new_session=True)
    time.sleep(30)


@task_type("process")
def process(data: Any, attempt: Attempt) -> int:
    if data.get("fail"):
        raise RuntimeError("told to")
    return os.getpid()


@task_type("chatty")
def chatty(data: Any, attempt: Attempt) -> None:
    print("printed by a task")  # noqa: T201 - what it is about
    os.kill(os.getpid(), signal.SIGKILL)


@task_type("inexpressible")
def inexpressible(data: Any, attempt: Attempt) -> None:
    class MuteError(PermanentError):
        def __str__(self) -> str:
            raise ValueError("no words")

    raise MuteError


@task_type("endlessly-wordy")
def endlessly_wordy(data: Any, attempt: Attempt) -> None:
    raise PermanentError("y" * 5_000_000)


@task_type("deep")
def deep(data: Any, attempt: Attempt) -> Any:
    result: list[Any] = []
    for _ in range(300):
        result = [result]
    return result


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


@task_type("blurting")
def blurting(data: Any, attempt: Attempt) -> None:
    kept = data["kept"]  # a variable that no trace shows
    if kept:
        raise RuntimeError(f"{data['said']} " * 200)
