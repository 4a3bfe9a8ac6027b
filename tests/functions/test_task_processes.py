"""What holds for the processes of task code: whose answer counts, what they leave behind, and what they get."""

import json
import re
import socket
import time
from collections.abc import Callable, Generator
from enum import Enum, auto
from itertools import groupby
from pathlib import Path
from types import ModuleType

import pytest
from tasklib import frames
from tasklib.surroundings import MAX_ATTEMPTS
from tasklib.task import TaskData
from tasklib.task_processes import Ending, TaskProcess, TaskProcesses, TaskTypesError

from .conftest import SAMPLE_TYPES, a_task, event_of, lambda_context, message_of


@pytest.fixture(scope="module")
def processes() -> Generator[TaskProcesses]:
    """Task processes that know the sample types. The tests here use one at a time."""
    with pytest.MonkeyPatch.context() as path:
        path.syspath_prepend(SAMPLE_TYPES)
        processes = TaskProcesses()
    yield processes
    processes.close()


def attempt(
    processes: TaskProcesses, task_type: str, *, limit: float = 5, **data: object
) -> tuple[TaskProcess, Ending]:
    """One attempt of a task of this type, with the process that it ran in."""
    process = processes.take()
    try:
        return process, processes.run(
            process, a_task("t", task_type), TaskData("payload", json.dumps(data)), {}, limit
        )
    finally:
        processes.put_back(process)


def is_running(pid: int) -> bool:
    """Whether a process is there, and not as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class TestATaskThatForks:
    @pytest.mark.parametrize("task_type", ["forking", "forking-in-c"])
    def test_is_answered_for_by_its_own_process_alone(self, processes: TaskProcesses, task_type: str) -> None:
        began = time.monotonic()
        _, ending = attempt(processes, task_type)
        assert ending.result == '"parent"'
        assert time.monotonic() - began >= 0.2
        _, following = attempt(processes, "echo", n=1)
        assert json.loads(following.result or "")["data"] == {"n": 1}

    @pytest.mark.parametrize(
        ("how", "given", "status"),
        [
            ("exits", 0, 0),
            ("exits", 3, 3),
            ("exits", None, 0),
            ("exits", "a text", 1),
            ("raises", 0, 1),
            ("returns", 0, 0),
        ],
    )
    def test_ends_by_what_its_child_does_only_if_it_wants(
        self, processes: TaskProcesses, how: str, given: object, status: int
    ) -> None:
        _, ending = attempt(processes, "waiting-for-its-child", how=how, status=given)
        assert ending == Ending(result=str(status))

    def test_fails_when_its_process_ends_before_its_child(self, processes: TaskProcesses) -> None:
        _, ending = attempt(processes, "leaving-its-work-to-a-child")
        assert (ending.error or "").startswith("ProcessDied: the task's process exited with status 0")

    @pytest.mark.parametrize("ends", ["returns", "raises"])
    @pytest.mark.parametrize("how", ["plainly", "in its own session", "twice", "in a thread"])
    def test_leaves_no_process_once_it_has_ended(
        self, processes: TaskProcesses, tmp_path: Path, how: str, ends: str
    ) -> None:
        _, ending = attempt(processes, "leaving-a-process", directory=str(tmp_path), how=how, ends=ends)
        assert (ending.error is None) == (ends == "returns")
        pids = [int(path.name) for path in tmp_path.iterdir()]
        assert len(pids) == 1
        assert not is_running(pids[0])

    @pytest.mark.parametrize("how", ["plainly", "in its own session", "twice"])
    def test_leaves_no_process_when_it_has_ended_the_fork_server(
        self, processes: TaskProcesses, tmp_path: Path, how: str
    ) -> None:
        _, ending = attempt(
            processes, "leaving-a-process-to-nobody", limit=0.5, directory=str(tmp_path), how=how
        )
        assert (ending.error or "").startswith("TimeLimitExceeded")
        pids = [int(path.name) for path in tmp_path.iterdir()]
        assert len(pids) == 1
        assert not is_running(pids[0])


class TestWhatIsNoAnswer:
    @pytest.mark.parametrize(
        "what",
        [
            "an answer",
            "an answer to another attempt",
            "no answer",
            "JSON that is no object",
            "JSON that nests too deep",
            "the beginning of an answer",
        ],
    )
    def test_fails_the_attempt(self, processes: TaskProcesses, what: str) -> None:
        process, ending = attempt(processes, "writing-beside-its-answer", what=what)
        assert ending.result is None
        assert ending.error == "BadAnswer: the task's process sent what is no answer to this attempt"
        assert not process.alive
        _, following = attempt(processes, "echo", n=1)
        assert json.loads(following.result or "")["data"] == {"n": 1}

    def test_is_an_answer_that_came_before_the_attempt(self, processes: TaskProcesses) -> None:
        genuine = processes.take()
        ours, theirs = socket.socketpair()
        with theirs:
            frames.send(theirs, {"result": "1", "spent": False, "nonce": "0" * 32})
            process = TaskProcess(genuine.pid, ours, genuine.server, genuine.credentials)
            ending = processes.run(process, a_task("t", "echo"), TaskData("payload", "{}"), {}, 5)
        assert (ending.error or "").startswith("BadAnswer")
        assert not is_running(genuine.pid)

    def test_is_the_silence_of_a_process_that_closed_its_socket(self, processes: TaskProcesses) -> None:
        began = time.monotonic()
        process, ending = attempt(processes, "silent", seconds=30)
        assert ending.error == "ProcessDied: the task's process closed its connection to the worker"
        assert time.monotonic() - began < 4
        assert not is_running(process.pid)


class Handling(Enum):
    """What is done about something that an attempt leaves behind."""

    COMPARED = auto()  #: the process is not used again
    RESET = auto()  #: the next attempt in the process has its own
    KEPT = auto()  #: the next attempt in the process can find it


#: `sample_types/task_types/leftovers.py` says how each is left behind and how it is found.
LEFTOVERS = {
    "umask": Handling.COMPARED,
    "working directory": Handling.COMPARED,
    "removed working directory": Handling.COMPARED,
    "signal handler": Handling.COMPARED,
    "ignored signal": Handling.COMPARED,
    "signal mask": Handling.COMPARED,
    "wakeup descriptor": Handling.COMPARED,
    "real timer": Handling.COMPARED,
    "virtual timer": Handling.COMPARED,
    "profiling timer": Handling.COMPARED,
    "limit of files": Handling.COMPARED,
    "limit of memory": Handling.COMPARED,
    "priority": Handling.COMPARED,
    "scheduler": Handling.COMPARED,
    "thread": Handling.COMPARED,
    "thread without an object": Handling.COMPARED,
    "thread of C code": Handling.COMPARED,
    "child process": Handling.COMPARED,
    "replaced stdout": Handling.COMPARED,
    "no stdout": Handling.COMPARED,
    "closed stdout": Handling.COMPARED,
    "detached stdout": Handling.COMPARED,
    "stdout in another encoding": Handling.COMPARED,
    "replaced stderr": Handling.COMPARED,
    "replaced stdin": Handling.COMPARED,
    "closed descriptor": Handling.COMPARED,
    "replaced descriptor": Handling.COMPARED,
    "environment": Handling.COMPARED,
    "removed variable": Handling.COMPARED,
    "time zone": Handling.COMPARED,
    "time zone of the process alone": Handling.COMPARED,
    "locale": Handling.COMPARED,
    "socket time-out": Handling.COMPARED,
    "recursion limit": Handling.COMPARED,
    "switch interval": Handling.COMPARED,
    "digits of integers": Handling.COMPARED,
    "module path": Handling.COMPARED,
    "trace function": Handling.COMPARED,
    "profile function": Handling.COMPARED,
    "trace function of threads": Handling.COMPARED,
    "profile function of threads": Handling.COMPARED,
    "exception hook": Handling.COMPARED,
    "unraisable hook": Handling.COMPARED,
    "exception hook of threads": Handling.COMPARED,
    "hook of async generators": Handling.COMPARED,
    "display hook": Handling.COMPARED,
    "breakpoint hook": Handling.COMPARED,
    "stack size of threads": Handling.COMPARED,
    "callback of garbage collection": Handling.COMPARED,
    "garbage collection": Handling.COMPARED,
    "thresholds of garbage collection": Handling.COMPARED,
    "log handler": Handling.COMPARED,
    "log level": Handling.COMPARED,
    "disabled logs": Handling.COMPARED,
    "warnings as errors": Handling.COMPARED,
    "many open files": Handling.COMPARED,
    "memory": Handling.COMPARED,
    "random seed": Handling.RESET,
    "decimal context": Handling.RESET,
    "context variable": Handling.RESET,
    "event loop": Handling.RESET,
    "event loop policy": Handling.RESET,
    "credentials": Handling.RESET,
    "variable of a module": Handling.KEPT,
    "patched function": Handling.KEPT,
    "open file": Handling.KEPT,
    "file": Handling.KEPT,
    "ignored warnings": Handling.KEPT,
    "variable set in C": Handling.KEPT,
    "module loaded late": Handling.KEPT,
}


@pytest.fixture
def fresh(processes: TaskProcesses) -> Generator[TaskProcesses]:
    """The first attempt gets a new process, and none after the test gets one of the test's."""
    attempt(processes, "failing")
    yield processes
    attempt(processes, "failing")


def found(processes: TaskProcesses, what: str) -> tuple[TaskProcess, str | None]:
    """What an attempt finds of it, and in which process."""
    process, ending = attempt(processes, "finding", what=what)
    assert ending.error is None
    return process, ending.result


class TestWhatAnAttemptLeavesBehind:
    @pytest.mark.parametrize(("what", "handling"), LEFTOVERS.items())
    def test_is_handled_as_the_table_says(self, fresh: TaskProcesses, what: str, handling: Handling) -> None:
        first, before = found(fresh, what)
        process, ending = attempt(fresh, "leaving-behind", what=what)
        assert (process, ending) == (first, Ending())
        assert process.alive == (handling is not Handling.COMPARED)
        following, after = found(fresh, what)
        assert (following is first) == (handling is not Handling.COMPARED)
        assert (after == before) == (handling is not Handling.KEPT)

    def test_is_all_in_the_table(self, processes: TaskProcesses) -> None:
        _, ending = attempt(processes, "leftovers")
        assert json.loads(ending.result or "") == [*LEFTOVERS]


class TestAProcess:
    @pytest.mark.parametrize(
        "what", ["modules", "memory", "AWS client", "threads", "event loop", "process", "forked process"]
    )
    def test_is_used_again_after_attempts_that_leave_only_what_the_first_has_loaded(
        self, fresh: TaskProcesses, what: str
    ) -> None:
        names = ["logging.config", "tarfile", "multiprocessing.pool", "sqlite3", "unittest.mock", "boto3"]
        for _ in range(3):
            process, ending = attempt(fresh, "tidy", what=what, names=names)
            assert ending == Ending(result='"done"')
            assert process.alive
            names = []

    def test_is_used_again_only_so_many_times(self, fresh: TaskProcesses) -> None:
        pids = [attempt(fresh, "process")[0].pid for _ in range(MAX_ATTEMPTS + 1)]
        assert [len([*group]) for _, group in groupby(pids)] == [MAX_ATTEMPTS, 1]

    def test_draws_random_numbers_of_its_own(self, processes: TaskProcesses) -> None:
        pair = processes.take(), processes.take()
        numbers = {
            processes.run(process, a_task("t", "drawing"), TaskData("payload", "{}"), {}, 5).result
            for process in pair
        }
        for process in pair:
            processes.put_back(process)
        assert len(numbers - {None}) == 2

    def test_is_the_one_that_the_system_ends_when_memory_runs_out(self, processes: TaskProcesses) -> None:
        _, ending = attempt(processes, "first-to-go")
        assert ending.result == "[1000,1000]"


class TestAnAttemptThatDiesOfMemory:
    @pytest.mark.parametrize(
        ("before", "after", "said"),
        [
            ("oom_kill 7", "oom_kill 9", [", because memory ran out", ", because memory ran out", ""]),
            ("oom_kill 7", "oom_kill 7", ["", "", ""]),
            ("pgfault 1", "pgfault 2", [", as when memory runs out"] * 3),
            ("oom_kill 7", None, [", as when memory runs out"] * 3),
        ],
    )
    def test_names_it_as_far_as_the_system_says_so_and_what_memory_it_had(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        before: str,
        after: str | None,
        said: list[str],
    ) -> None:
        counts = tmp_path / "vmstat"
        counts.write_text(f"nr_free_pages 5\n{before}\n")
        monkeypatch.setattr("tasklib.task_processes._KERNEL_COUNTS", counts)
        monkeypatch.syspath_prepend(SAMPLE_TYPES)
        processes = TaskProcesses()
        counts.unlink()
        if after is not None:
            counts.write_text(f"nr_free_pages 5\n{after}\n")
        endings = [attempt(processes, "hungry", bytes=100 * 1024 * 1024)[1] for _ in said]
        processes.close()
        parts = [
            re.fullmatch(
                "ProcessDied: the task's process was ended by SIGKILL(.*); it had up to (1..) MiB of memory",
                ending.error or "",
            )
            for ending in endings
        ]
        assert [part and part[1] for part in parts] == said

    def test_has_the_error_of_python_where_python_notices(self, processes: TaskProcesses) -> None:
        _, ending = attempt(processes, "too-hungry")
        assert ending.error == "MemoryError"


#: How Lambda sets them: without SnapStart, and with it.
KEYS = {"AWS_ACCESS_KEY_ID": "AKIA{}", "AWS_SECRET_ACCESS_KEY": "secret{}", "AWS_SESSION_TOKEN": "token{}"}
CONTAINER = {
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9001/{}",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN": "token{}",
}


class TestTheCredentialsOfTaskCode:
    @pytest.fixture
    def started(self, monkeypatch: pytest.MonkeyPatch) -> Generator[TaskProcesses]:
        """Task processes whose fork server has started, as it has before a snapshot."""
        monkeypatch.syspath_prepend(SAMPLE_TYPES)
        for name, value in KEYS.items():
            monkeypatch.setenv(name, value.format("OLD"))
        monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=old")
        processes = TaskProcesses()
        processes.types()
        yield processes
        processes.close()

    def test_are_those_that_the_worker_has_when_it_runs(
        self, started: TaskProcesses, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in KEYS:
            monkeypatch.delenv(name)
        for name, value in CONTAINER.items():
            monkeypatch.setenv(name, value.format("NEW"))
        process, ending = attempt(started, "environment", names=[*KEYS, *CONTAINER])
        assert json.loads(ending.result or "") == [None, None, None, "http://127.0.0.1:9001/NEW", "tokenNEW"]
        assert process.alive

    def test_are_those_of_clients_that_a_task_keeps(
        self, started: TaskProcesses, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, ending = attempt(started, "signing")
        assert "AKIAOLD" in (ending.result or "")
        second, _ = attempt(started, "signing")
        assert second is first
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANEW")
        third, ending = attempt(started, "signing")
        assert "AKIANEW" in (ending.result or "")
        assert not first.alive
        assert attempt(started, "signing")[0] is third

    def test_are_in_no_description_of_a_process(self, started: TaskProcesses) -> None:
        process, _ = attempt(started, "process")
        assert "OLD" not in repr(process)

    def test_come_with_the_trace_of_the_invocation(
        self, started: TaskProcesses, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[object] = []
        for trace in ("Root=1", "Root=2"):
            monkeypatch.setenv("_X_AMZN_TRACE_ID", trace)
            process, ending = attempt(started, "environment", names=["_X_AMZN_TRACE_ID"])
            seen += json.loads(ending.result or "")
        monkeypatch.delenv("_X_AMZN_TRACE_ID")
        following, ending = attempt(started, "environment", names=["_X_AMZN_TRACE_ID"])
        assert [*seen, *json.loads(ending.result or "")] == ["Root=1", "Root=2", None]
        assert following is process


class TestAColdStart:
    @pytest.fixture
    def start(
        self, load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> Generator[Callable[[str, str], ModuleType]]:
        """Imports the worker's module as Lambda does in a start of this type, with this code as its task type."""
        started: list[ModuleType] = []

        def start(initialization_type: str, code: str) -> ModuleType:
            monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", initialization_type)
            package = tmp_path / "task_types"
            package.mkdir()
            (package / "__init__.py").touch()
            (package / "slow.py").write_text(code)
            monkeypatch.syspath_prepend(str(tmp_path))
            started.append(load("process_tasks"))
            return started[0]

        yield start
        for module in started:
            module._worker.threads.shutdown()
            module._worker.messenger.shutdown()
            module._processes.close()

    @pytest.mark.parametrize(
        ("initialization_type", "has_waited"),
        [("snap-start", True), ("provisioned-concurrency", True), ("on-demand", False)],
    )
    def test_waits_for_the_task_types_when_lambda_starts_ahead(
        self,
        start: Callable[[str, str], ModuleType],
        tmp_path: Path,
        initialization_type: str,
        has_waited: bool,
    ) -> None:
        # Imported only once the module of the worker is, if that does not wait.
        gate, imported = tmp_path / "gate", tmp_path / "imported"
        code = f"""
import pathlib, time
end = time.monotonic() + (0.5 if {has_waited} else 60)
while not pathlib.Path({str(gate)!r}).exists() and time.monotonic() < end:
    time.sleep(0.01)
pathlib.Path({str(imported)!r}).touch()
"""
        module = start(initialization_type, code)
        assert imported.exists() == has_waited
        gate.touch()
        assert module._processes.types() == {}

    @pytest.mark.parametrize(
        ("prepare", "find", "leave"),
        [
            (
                "import asyncio; asyncio.set_event_loop_policy(type('Own', (asyncio.DefaultEventLoopPolicy,), {})())",
                "type(asyncio.get_event_loop_policy()).__name__",
                "asyncio.set_event_loop_policy(None)",
            ),
            (
                "import decimal; decimal.getcontext().prec = 40",
                "decimal.getcontext().prec",
                "decimal.getcontext().prec = 3",
            ),
        ],
    )
    def test_makes_settings_that_each_attempt_finds(
        self, start: Callable[[str, str], ModuleType], prepare: str, find: str, leave: str
    ) -> None:
        code = f"""
{prepare}
from tasklib.task_type import task_type

@task_type("process")
def process(data, attempt):
    found = {find}
    {leave}
    return found
"""
        processes = start("on-demand", code)._processes
        (first, one), (second, other) = [attempt(processes, "process") for _ in range(2)]
        assert one.result in ('"Own"', "40")
        assert (first, one) == (second, other)

    @pytest.mark.parametrize("initialization_type", ["snap-start", "provisioned-concurrency", "on-demand"])
    def test_succeeds_without_task_types_and_each_call_reports_it(
        self, start: Callable[[str, str], ModuleType], initialization_type: str
    ) -> None:
        module = start(initialization_type, "raise RuntimeError('no such thing')")
        for _ in range(2):
            with pytest.raises(TaskTypesError, match="no such thing"):
                module._processes.types()
            event = event_of([message_of("t")])
            kept = module.handler(event, lambda_context())["batchItemFailures"]
            assert kept == [{"itemIdentifier": "message of t"}]
