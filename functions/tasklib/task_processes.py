"""The processes that task code runs in, one attempt at a time each.

A thread cannot be stopped, and an attempt must not be settled while its code can still run. So task code runs
in processes of its own, each the leader of a process group: past its time limit the group is killed and
reaped, and only then the attempt counts as failed. The processes live on from attempt to attempt. They come
from a fork server (`fork_server`), not from this process, which has threads, AWS clients and open connections
that a fork must not inherit. Sockets carry everything: Lambda has no `/dev/shm` for the rest of
`multiprocessing`.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from tasklib import frames, platform_variables, process_tree
from tasklib.fork_server import ANSWER, END, FORK, NO_PROCESS, ORDER, REAP, STILL_RUNNING
from tasklib.task import Task, TaskData

#: The fork server answers within milliseconds; after this many seconds it counts as gone.
_PATIENCE: Final = 5.0

#: Importing the task types may take long; Lambda itself gives a function's start 10 s.
_START: Final = 10.0

#: Linux counts here, among other things, the processes that it ended because memory ran out.
_KERNEL_COUNTS: Final = Path("/proc/vmstat")


class TaskTypesError(RuntimeError):
    """The task types could not be imported; the text holds the traceback."""


class Ending(NamedTuple):
    """How an attempt ended: `error` is None when its function returned `result`, JSON text or None.

    `delay_seconds` is what a failed attempt asked to wait before the next one, None when it did not ask.
    """

    result: str | None = None
    error: str | None = None
    permanent: bool = False
    trace: str = ""
    delay_seconds: float | None = None


class TypeTerms(NamedTuple):
    """What a task type states about itself: overrides of the retry policy, its time limit or None, and its secrets:
    their names with the environment variables that name their parameters."""

    retry: Mapping[str, float]
    time_limit_seconds: float | None
    secrets: Mapping[str, str]


@dataclass(slots=True, eq=False)
class TaskProcess:
    """One process: its id, this side of the socket to it, and the fork server that can reap it.

    `credentials` are the variables with which its attempts reach AWS.
    """

    pid: int
    connection: socket.socket
    server: "subprocess.Popen[bytes]"
    credentials: Mapping[str, str] = field(repr=False)
    alive: bool = True


class _Death(NamedTuple):
    """How a process ended: its wait status, and the most memory in KiB that it had."""

    status: int
    peak: int


class TaskProcesses:
    """Lends task processes, made when needed and kept. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[TaskProcess] = []
        self._types: Mapping[str, TypeTerms] | None = None
        # Lambda keeps the zip's place and its own libraries in sys.path, not in the environment.
        self._python_path = os.pathsep.join(filter(None, sys.path))
        self._memory_kills = _memory_kills()
        self._start()

    def _start(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            # What task code prints belongs into the log; where a function answers over its standard
            # output, it must not get in between.
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tasklib.fork_server", str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": self._python_path},
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def types(self) -> Mapping[str, TypeTerms]:
        """Every task type with what it states about itself. Raises TaskTypesError."""
        with self._lock:
            return self._greeted()

    def _greeted(self) -> Mapping[str, TypeTerms]:
        """The types, from the fork server's first message, which comes before any order to it."""
        if self._types is None:
            self._types = self._receive_types()
        return self._types

    def _receive_types(self) -> Mapping[str, TypeTerms]:
        hello: dict[str, Any] | None
        try:
            hello = frames.receive(self._control, time.monotonic() + _START)
        except TimeoutError:
            hello = {"error": f"importing the task types took more than {_START:g} s"}
        except frames.BadFrameError:
            hello = {"error": "a task type wrote on the fork server's socket when it was imported"}
        self._control.settimeout(_PATIENCE)
        if hello is None or "types" not in hello:
            self._restart()
            raise TaskTypesError("the task types cannot be imported" if hello is None else hello["error"])
        return {
            name: TypeTerms(terms["retry"], terms["timeLimitSeconds"], terms["secrets"])
            for name, terms in hello["types"].items()
        }

    def take(self) -> TaskProcess:
        """A task process for one attempt, to be put back. Raises OSError or TaskTypesError when none can be made."""
        return self._take_idle() or self._fork()

    def put_back(self, process: TaskProcess) -> None:
        """The attempt has ended, or there was none."""
        if process.alive:
            self._idle.append(process)

    def run(
        self, process: TaskProcess, task: Task, data: TaskData, secrets: Mapping[str, str], time_limit: float
    ) -> Ending:
        """Runs one attempt of a claimed task, for at most `time_limit` seconds, with the values of its type's secrets.

        When this returns, none of the attempt's code runs any more.
        """
        nonce = os.urandom(16).hex()
        job = {
            "taskId": task.task_id,
            "type": task.type,
            "run": task.run,
            "attempt": task.attempts,
            "correlationId": task.correlation_id,
            "createdAt": task.created_at,
            "kind": data.kind,
            "data": data.text,
            "secrets": dict(secrets),
            "platform": platform_variables.current(),
            "nonce": nonce,
        }
        try:
            process.connection.settimeout(time_limit)
            frames.send(process.connection, job)
            answer = frames.receive(process.connection, time.monotonic() + time_limit)
        except TimeoutError:
            self._end(process)
            return Ending(error=f"TimeLimitExceeded: still running after {time_limit:g} s")
        except frames.BadFrameError:
            answer = {}
        except OSError:
            answer = None
        if answer is None:
            return Ending(error=f"ProcessDied: the task's process {self._reap(process)}")
        if answer.pop("nonce", None) != nonce:
            # Written by C code, or by a process that the attempt or an earlier one started.
            self._end(process)
            return Ending(error="BadAnswer: the task's process sent what is no answer to this attempt")
        if answer.pop("spent"):
            self._end(process)
        return Ending(**answer)

    def _take_idle(self) -> TaskProcess | None:
        while True:
            try:
                process = self._idle.pop()
            except IndexError:
                return None
            # An idle process has nothing to say: one that is readable has died. And what task code keeps, such as a
            # boto3 client, has the credentials of the attempts before.
            has_died = bool(select.select([process.connection], [], [], 0)[0])
            is_current = process.credentials == platform_variables.current(platform_variables.CREDENTIALS)
            if not has_died and process.server is self._server and is_current:
                return process
            self._end(process)

    def _fork(self) -> TaskProcess:
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            self._greeted()
            try:
                pid, _ = self._order(FORK, NO_PROCESS, theirs)
            except OSError:
                ours.close()
                self._restart()
                raise
            if pid == NO_PROCESS:
                ours.close()
                raise OSError("no room for another task process")
            credentials = platform_variables.current(platform_variables.CREDENTIALS)
            return TaskProcess(pid, ours, self._server, credentials)

    def _reap(self, process: TaskProcess) -> str:
        """Ends a process that has closed its connection. Returns what it died of."""
        death = self._end(process, REAP)
        if death is None:
            return "was ended"
        if death.status == STILL_RUNNING:
            return "closed its connection to the worker"
        return _describe(death, self._has_memory_run_out())

    def _end(self, process: TaskProcess, verb: bytes = END) -> _Death | None:
        """Kills and reaps a process with all that it started. Returns how it ended, None when it is not known."""
        with self._lock:
            process.alive = False
            process.connection.close()
            if process.server is self._server:
                try:
                    return _Death(*self._order(verb, process.pid))
                except OSError:
                    self._restart()
            _kill_orphan(process.pid)
            return None

    def _has_memory_run_out(self) -> bool | None:
        """Whether Linux has ended a process for lack of memory that no attempt was told of. None: it does not say."""
        with self._lock:
            kills = _memory_kills()
            if self._memory_kills is None or kills is None:
                return None
            if kills <= self._memory_kills:
                return False
            # One for each attempt: several may die in the same moment.
            self._memory_kills += 1
            return True

    def _order(self, verb: bytes, pid: int, *attached: socket.socket) -> tuple[int, int]:
        socket.send_fds(self._control, [ORDER.pack(verb, pid)], [end.fileno() for end in attached])
        answer = self._control.recv(ANSWER.size)
        if len(answer) < ANSWER.size:
            raise ConnectionError("the fork server is gone")
        first, second = ANSWER.unpack(answer)
        return first, second

    def _restart(self) -> None:
        """Replaces a fork server that is gone or does not answer. Attempts in its processes go on."""
        self._control.close()
        self._server.kill()
        self._server.wait()
        self._types = None
        self._start()

    def close(self) -> None:
        """Ends every process. For tests; in Lambda they end with the worker."""
        with self._lock:
            self._control.close()
            self._server.wait(_PATIENCE)


def _kill_orphan(pid: int) -> None:
    """Kills a process whose parent is gone with all that it started, and waits for its end. Init reaps it."""
    end = time.monotonic() + 1
    # What it started falls to it, as a subreaper, as long as it is there. So it starts no more, and goes last.
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    while (strays := process_tree.descendants(pid)) and time.monotonic() < end:
        for stray in strays:
            with suppress(ProcessLookupError):
                os.kill(stray, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    while not process_tree.has_ended(pid) and time.monotonic() < end:
        time.sleep(0.005)


def _memory_kills() -> int | None:
    """How many processes Linux has ended because memory ran out. None when it does not say."""
    with suppress(OSError):
        for line in _KERNEL_COUNTS.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return None


def _describe(death: _Death, has_memory_run_out: bool | None) -> str:
    if not os.WIFSIGNALED(death.status):
        return f"exited with status {os.WEXITSTATUS(death.status)}"
    number = os.WTERMSIG(death.status)
    names = {known.value: known.name for known in signal.Signals}
    said = f"was ended by {names.get(number, f'signal {number}')}"
    if number == signal.SIGKILL:
        why = {True: ", because memory ran out", False: "", None: ", as when memory runs out"}
        said += why[has_memory_run_out]
    return f"{said}; it had up to {death.peak // 1024} MiB of memory"
