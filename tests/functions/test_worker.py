"""What the worker does with deliveries: each row of the delivery table, and each way that an attempt can end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from tasklib import clock
from tasklib.clock import Deadline
from tasklib.record import to_item
from tasklib.task import Status, Task, TaskData, created_key
from tasklib.task_processes import Ending, TaskProcess, TaskProcesses
from tasklib.worker import Worker, WorkerSettings

from tests.waiting import wait_for

from . import ENVIRONMENT
from .conftest import Stack, a_task, message_of
from .wire import Wire

#: The longest that a message is put off, in seconds.
MOST = 43_200 - 900


def payload(**fields: object) -> str:
    return json.dumps(fields)


def data(**fields: object) -> TaskData:
    return TaskData("payload", json.dumps(fields))


def run(processes: TaskProcesses, task_type: str, data: TaskData) -> tuple[TaskProcess, Ending]:
    """One attempt of a task of this type, with the process that it ran in."""
    process = processes.take()
    try:
        return process, processes.run(process, a_task("t", task_type), data, {}, 5)
    finally:
        processes.put_back(process)


def _has_ended(pid: int) -> bool:
    """Gone, or a zombie that nobody has waited for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def visible_in(stack: Stack, url: str) -> int:
    """Messages that are on the queue but not visible yet."""
    answer = stack.sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"]
    )
    return int(answer["Attributes"]["ApproximateNumberOfMessagesNotVisible"])


@pytest.mark.batch_statements
class TestAnAttempt:
    def test_that_returns_completes_the_task_with_its_result(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        deliveries = stack.deliver(stack.submit("t", payload=payload(n=1)))
        assert worker.work_off(deliveries, deadline) == []
        record = stack.record("t")
        assert (record.status, record.attempts, record.version) == (Status.COMPLETED, 1, 3)
        assert json.loads(record.result or "") == {
            "data": {"n": 1},
            "attempt": ["t", 1, 1, "correlation-t"],
        }
        assert record.lease_until is None

    def test_knows_its_run_by_a_key_that_no_other_run_has(self, stack: Stack, worker: Worker) -> None:
        def key(created: int, run: int = 1, attempts: int = 0) -> str:
            place = created_key("t", created)
            task = a_task("t", "keyed", created_key=place, run=run, attempts=attempts, data=data())
            stack.dynamodb.put_item(TableName=stack.table, Item=to_item(task))
            worker.work_off(stack.deliver(task), Deadline(30_000))
            created_at, key = json.loads(stack.record("t").result or "")
            assert created_at == clock.to_iso(created)
            return key

        first = key(1_700_000_000_000)
        assert key(1_700_000_000_000, attempts=1) == first
        # Another run, and another task that got the ID when this one had expired.
        others = {key(1_700_000_000_000, run=2), key(1_700_000_000_001)}
        assert len({first, *others}) == 3

    def test_has_a_lease_that_outlasts_its_invocation_by_what_clocks_may_differ(
        self, stack: Stack, wire: Wire, worker: Worker
    ) -> None:
        deliveries = stack.deliver(stack.submit("t"))
        seen: list[Task] = []
        wire.meanwhile("BatchExecuteStatement", '"PROCESSING"', lambda: seen.append(stack.record("t")))
        end = clock.now() + 30_000
        worker.work_off(deliveries, Deadline(30_000))
        assert -50 <= (seen[0].lease_until or 0) - (end + 5_000) <= 500

    def test_gets_data_that_is_kept_beside_the_record(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        text = payload(long="ü" * 2000)
        deliveries = stack.deliver(stack.submit("t", payload=text))
        worker.work_off(deliveries, deadline)
        assert json.loads(stack.record("t").result or "")["data"] == json.loads(text)

    def test_that_raises_is_retried_after_its_backoff(
        self, stack: Stack, wire: Wire, worker: Worker, deadline: Deadline
    ) -> None:
        deliveries = stack.deliver(stack.submit("t", "failing"))
        before = clock.now()
        assert worker.work_off(deliveries, deadline) == [deliveries[0].message_id]
        record = stack.record("t")
        assert (record.status, record.attempts) == (Status.RETRYING, 1)
        assert record.error_message == "RuntimeError: attempt 1 failed"
        assert 1800 <= (record.not_before or 0) - before <= 2200 + clock.now() - before
        assert wire.delays() in ([2], [3])
        assert stack.receive(stack.task_queue_url) == []

    def test_that_is_the_last_ends_in_the_dead_letter_queue(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        deliveries = stack.deliver(stack.submit("t", "failing", attempts=2))
        assert worker.work_off(deliveries, deadline) == []
        record = stack.record("t")
        assert (record.status, record.attempts) == (Status.FAILED, 3)
        assert [json.loads(letter) for letter in stack.letters()] == [
            {
                "taskId": "t",
                "run": 1,
                "reason": "RuntimeError: attempt 3 failed",
                "correlationId": "correlation-t",
            }
        ]

    def test_that_fails_for_good_is_not_retried(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        assert worker.work_off(stack.deliver(stack.submit("t", "hopeless")), deadline) == []
        record = stack.record("t")
        assert (record.status, record.attempts) == (Status.FAILED, 1)
        assert record.error_message == "PermanentError: no use"
        assert len(stack.letters()) == 1

    @pytest.mark.parametrize(("asked", "least", "most"), [(30, 30_000, 33_000), (9_999, 900_000, 990_000)])
    def test_may_ask_for_the_delay_up_to_the_longest_backoff(
        self, stack: Stack, worker: Worker, deadline: Deadline, asked: int, least: int, most: int
    ) -> None:
        before = clock.now()
        worker.work_off(stack.deliver(stack.submit("t", "patient", payload(seconds=asked))), deadline)
        record = stack.record("t")
        assert (record.status, record.attempts) == (Status.RETRYING, 1)
        assert record.error_message == "RetryLaterError: not now"
        assert least <= (record.not_before or 0) - before <= most + clock.now() - before

    def test_that_asks_for_a_delay_gets_no_attempt_more(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        task = stack.submit("t", "patient", payload(seconds=30), attempts=2)
        assert worker.work_off(stack.deliver(task), deadline) == []
        assert stack.record("t").status is Status.FAILED

    def test_runs_under_what_its_type_states(self, stack: Stack, worker: Worker, deadline: Deadline) -> None:
        before = clock.now()
        worker.work_off(stack.deliver(stack.submit("first", "stubborn")), deadline)
        worker.work_off(stack.deliver(stack.submit("second", "stubborn", attempts=1)), deadline)
        assert (stack.record("first").not_before or 0) - before >= 3600
        assert stack.record("second").status is Status.FAILED

    def test_without_its_data_fails_for_good(self, stack: Stack, worker: Worker, deadline: Deadline) -> None:
        task = stack.submit("t", payload=payload(long="x" * 2000))
        key = {"taskId": {"S": "t"}, "part": {"S": f"data#{task.content_hash}"}}
        stack.dynamodb.delete_item(TableName=stack.table, Key=key)
        assert worker.work_off(stack.deliver(task), deadline) == []
        assert stack.record("t").error_message == "task data missing"
        assert len(stack.letters()) == 1

    @pytest.mark.parametrize(
        ("task_type", "error"),
        [
            ("suicidal", "ProcessDied: the task's process was ended by SIGKILL"),
            ("patricidal", "TimeLimitExceeded: still running after 1 s"),
            ("leaving", "SystemExit: 3"),
            ("garbled", "ValueError: half a pair: ? and much more: yyy"),
        ],
    )
    def test_that_ends_oddly_is_a_failed_attempt(
        self, stack: Stack, worker: Worker, deadline: Deadline, task_type: str, error: str
    ) -> None:
        worker.work_off(stack.deliver(stack.submit("t", task_type)), deadline)
        record = stack.record("t")
        assert record.status is Status.RETRYING
        assert (record.error_message or "").startswith(error)
        assert len(record.error_message or "") <= 1000
        # And the next attempt finds a process to run in.
        worker.work_off(stack.deliver(stack.submit("next")), Deadline(30_000))
        assert stack.record("next").status is Status.COMPLETED

    @pytest.mark.parametrize("task_type", ["inexpressible", "endlessly-wordy"])
    def test_that_fails_for_good_does_so_whatever_its_error_is(
        self, stack: Stack, worker: Worker, deadline: Deadline, task_type: str
    ) -> None:
        worker.work_off(stack.deliver(stack.submit("t", task_type)), deadline)
        assert stack.record("t").status is Status.FAILED
        assert len(stack.record("t").error_message or "") <= 1000

    @pytest.mark.parametrize("task_type", ["unspeakable", "verbose", "deep"])
    def test_whose_result_cannot_be_kept_fails_for_good(
        self, stack: Stack, worker: Worker, deadline: Deadline, task_type: str
    ) -> None:
        worker.work_off(stack.deliver(stack.submit("t", task_type)), deadline)
        assert stack.record("t").status is Status.FAILED
        assert "the task's result" in (stack.record("t").error_message or "")


class TestATimeLimit:
    @pytest.mark.batch_statements
    def test_ends_the_attempt_and_all_that_it_started(
        self, stack: Stack, worker: Worker, deadline: Deadline, tmp_path: Path
    ) -> None:
        task = stack.submit("slow", "endless", payload(diary=str(tmp_path)))
        neighbour = stack.submit("quick")
        began = time.monotonic()
        kept = worker.work_off(stack.deliver(task, neighbour), deadline)
        assert len(kept) == 1
        assert time.monotonic() - began < 1.4
        assert stack.record("slow").error_message == "TimeLimitExceeded: still running after 0.5 s"
        assert stack.record("quick").status is Status.COMPLETED
        # The file would appear 1.5 s after the start, from the task itself or from the process it started.
        time.sleep(max(0, began + 2 - time.monotonic()))
        assert not (tmp_path / "late").exists()

    @pytest.mark.batch_statements
    def test_counts_threads_that_outlive_their_task(
        self, stack: Stack, worker: Worker, deadline: Deadline, tmp_path: Path
    ) -> None:
        worker.work_off(stack.deliver(stack.submit("t", "lingering", payload(diary=str(tmp_path)))), deadline)
        assert stack.record("t").status is Status.COMPLETED
        time.sleep(0.8)
        assert not (tmp_path / "late").exists()

    def test_that_does_not_fit_into_the_invocation_sends_the_message_back_unclaimed(
        self, stack: Stack, worker: Worker
    ) -> None:
        deliveries = stack.deliver(stack.submit("t"))
        assert worker.work_off(deliveries, Deadline(27_000)) == [deliveries[0].message_id]
        assert stack.record("t").attempts == 0
        assert visible_in(stack, stack.task_queue_url) == 1

    @pytest.mark.batch_statements
    def test_holds_for_processes_outside_of_the_group(
        self, stack: Stack, worker: Worker, deadline: Deadline, tmp_path: Path
    ) -> None:
        work = payload(diary=str(tmp_path))
        tasks = [stack.submit("daemonic", "daemonic", work), stack.submit("detached", "detached", work)]
        began = time.monotonic()
        worker.work_off(stack.deliver(*tasks), deadline)
        assert stack.record("daemonic").status is Status.COMPLETED
        assert stack.record("detached").status is Status.RETRYING
        time.sleep(max(0, began + 1.5 - time.monotonic()))
        assert not (tmp_path / "late").exists()

    @pytest.mark.batch_statements
    def test_ends_early_enough_to_settle_when_aws_was_slow(
        self, stack: Stack, processes: TaskProcesses, tmp_path: Path
    ) -> None:
        def slow(**_: object) -> None:
            time.sleep(0.5)

        deliveries = stack.deliver(stack.submit("t", "busy", payload(diary=str(tmp_path), seconds=20)))
        short = stack.worker(
            processes, WorkerSettings.from_environment(ENVIRONMENT | {"WORKER_TIMEOUT_SECONDS": "6"})
        )
        # Of its second, and the three to settle, half a second is gone when it is claimed.
        deadline = Deadline(4_100)
        event = "before-call.dynamodb.BatchExecuteStatement"
        stack.dynamodb.meta.events.register(event, slow)
        try:
            short.work_off(deliveries, deadline)
        finally:
            stack.dynamodb.meta.events.unregister(event, slow)
        record = stack.record("t")
        assert record.status is Status.RETRYING
        said = re.fullmatch(r"TimeLimitExceeded: still running after (.*) s", record.error_message or "")
        assert said
        assert 0 < float(said[1]) <= 0.6


class TestAProcess:
    def test_is_used_again_after_a_success_and_not_after_a_failure(self, processes: TaskProcesses) -> None:
        first, ending = run(processes, "process", data())
        second, failure = run(processes, "process", data(fail=True))
        third, _ = run(processes, "process", data())
        assert ending.result == str(first.pid)
        assert failure.error == "RuntimeError: told to"
        assert first is second
        assert third.pid != second.pid

    def test_is_not_lent_twice(self, processes: TaskProcesses) -> None:
        one, other = processes.take(), processes.take()
        assert one.pid != other.pid
        processes.put_back(one)
        assert processes.take() is one
        processes.put_back(one)
        processes.put_back(other)

    def test_can_be_had_after_the_fork_server_and_an_idle_process_died_together(
        self, processes: TaskProcesses
    ) -> None:
        process = processes.take()
        processes.put_back(process)
        parent = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(process.pid, signal.SIGKILL)
        os.kill(parent, signal.SIGKILL)
        wait_for(lambda: _has_ended(parent) and _has_ended(process.pid), "the end of both")
        for _ in range(2):
            process, ending = run(processes, "process", data())
            assert ending.result == str(process.pid)

    def test_shows_what_a_task_printed_before_it_died(self) -> None:
        code = (
            "from tasklib.task_processes import TaskProcesses\n"
            "from tests.functions.test_worker import data, run\n"
            "run(TaskProcesses(), 'chatty', data())\n"
        )
        root = Path(__file__).resolve().parents[2]
        paths = [Path(__file__).parent / "sample_types", root / "functions", root]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
        environment.pop("PYTHONUNBUFFERED", None)
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert "printed by a task" in done.stderr


@pytest.mark.batch_statements
class TestABatch:
    def test_runs_side_by_side(
        self, stack: Stack, worker: Worker, deadline: Deadline, tmp_path: Path
    ) -> None:
        work = payload(diary=str(tmp_path), seconds=0.5)
        tasks = [stack.submit(f"t{n}", "busy", work) for n in range(10)]
        assert worker.work_off(stack.deliver(*tasks), deadline) == []
        running, most = 0, 0
        for line in sorted((tmp_path / "diary").read_text().splitlines()):
            running += 1 if line.endswith("start") else -1
            most = max(most, running)
        assert most == 10

    def test_is_not_harmed_by_a_bad_message(self, stack: Stack, worker: Worker, deadline: Deadline) -> None:
        good = stack.submit("good")
        unknown = '{"taskId": "nobody", "run": 1, "type": "echo", "correlationId": "c"}'
        assert worker.work_off(stack.deliver("no JSON", unknown, good), deadline) == []
        assert stack.record("good").status is Status.COMPLETED
        letters = sorted(json.loads(letter)["reason"] for letter in stack.letters())
        assert letters == ["no such task", "not a task message: not JSON"]

    def test_runs_suspects_last_and_alone(
        self, stack: Stack, worker: Worker, deadline: Deadline, tmp_path: Path
    ) -> None:
        work = payload(diary=str(tmp_path), seconds=0.2)
        crashed = {"status": Status.PROCESSING, "attempts": 1, "lease_until": clock.now() - 1}
        suspects = [stack.submit(f"suspect{n}", "busy", work, **crashed) for n in range(2)]
        fresh = [stack.submit(f"fresh{n}", "busy", work) for n in range(2)]
        assert worker.work_off(stack.deliver(*suspects, *fresh), deadline) == []
        lines = [line.split() for line in sorted((tmp_path / "diary").read_text().splitlines())]
        assert {task_id for _, task_id, _, _ in lines[:4]} == {"fresh0", "fresh1"}
        assert [what for _, _, _, what in lines[4:]] == ["start", "end", "start", "end"]
        assert stack.record("suspect0").attempts == 2


class TestADelivery:
    """Of a task that cannot be claimed."""

    def test_of_another_run_is_deleted(self, stack: Stack, worker: Worker, deadline: Deadline) -> None:
        task = stack.submit("t", run=2)
        old = json.dumps({"taskId": "t", "run": 1, "type": "echo", "correlationId": "c"})
        assert worker.work_off(stack.deliver(old), deadline) == []
        assert stack.record("t").version == task.version

    @pytest.mark.parametrize(
        "fields",
        [
            {"status": Status.COMPLETED, "attempts": 1},
            {"status": Status.FAILED, "attempts": 3, "dead_lettered_at": 1},
        ],
    )
    def test_of_a_task_that_has_ended_is_deleted(
        self, stack: Stack, worker: Worker, deadline: Deadline, fields: dict[str, Any]
    ) -> None:
        task = stack.submit("t", **fields)
        assert worker.work_off(stack.deliver(task), deadline) == []
        assert stack.record("t").version == task.version
        assert stack.letters() == []

    @pytest.mark.parametrize(
        "fields",
        [
            {"run": 2},
            {"attempts": 3},
            {"status": Status.RETRYING, "attempts": 1, "not_before": 2**47},
            {"status": Status.RETRYING, "attempts": 3},
            {"status": Status.COMPLETED},
            {"status": Status.FAILED},
            {"status": Status.PROCESSING, "attempts": 1, "lease_until": 2**47},
            {"status": Status.PROCESSING, "attempts": 3, "lease_until": 1},
        ],
    )
    def test_of_a_task_that_does_not_wait_for_a_worker_claims_nothing(
        self,
        stack: Stack,
        wire: Wire,
        worker: Worker,
        deadline: Deadline,
        tmp_path: Path,
        fields: dict[str, Any],
    ) -> None:
        stack.submit("t", "busy", payload(diary=str(tmp_path), seconds=0), **fields)
        worker.work_off([message_of("t")], deadline)
        assert "'PROCESSING'" not in str(wire.bodies("BatchExecuteStatement"))
        assert not (tmp_path / "diary").exists()
        assert stack.record("t").attempts == fields.get("attempts", 0)

    @pytest.mark.batch_statements
    @pytest.mark.parametrize(
        ("now", "delays", "letters"),
        [
            (
                {"status": Status.PROCESSING, "attempts": 1, "lease_until": 2**47, "claim_id": "other"},
                [MOST],
                0,
            ),
            ({"status": Status.PROCESSING, "attempts": 1, "lease_until": 1, "claim_id": "dead"}, [1], 0),
            ({"status": Status.RETRYING, "attempts": 1, "not_before": 2**47}, [MOST], 0),
            ({"status": Status.RETRYING, "attempts": 1, "not_before": 1}, [1], 0),
            ({"status": Status.PROCESSING, "attempts": 3, "lease_until": 1, "claim_id": "dead"}, [], 1),
            ({"status": Status.COMPLETED, "attempts": 1}, [], 0),
            ({"status": Status.FAILED, "attempts": 3, "error_message": "bad"}, [], 1),
            ({"status": Status.FAILED, "attempts": 3, "dead_lettered_at": 1}, [], 0),
            ({"run": 2}, [], 0),
        ],
    )
    def test_of_a_task_that_somebody_wrote_after_it_was_read_goes_by_what_is_there(
        self,
        stack: Stack,
        wire: Wire,
        worker: Worker,
        deadline: Deadline,
        tmp_path: Path,
        now: dict[str, Any],
        delays: list[int],
        letters: int,
    ) -> None:
        task = stack.submit("t", "busy", payload(diary=str(tmp_path), seconds=0))
        deliveries = stack.deliver(task)
        written = replace(stack.record("t"), version=9, **now)

        def act() -> None:
            stack.dynamodb.put_item(TableName=stack.table, Item=to_item(written))

        wire.meanwhile("BatchGetItem", "", act)
        assert len(worker.work_off(deliveries, deadline)) == len(delays)
        assert wire.delays() == delays
        assert not (tmp_path / "diary").exists()
        assert stack.record("t").version in (9, 10)
        assert (stack.record("t").status is Status.FAILED) == (
            now.get("status") is Status.FAILED or letters == 1
        )
        assert len(stack.letters()) == letters
        assert stack.receive(stack.task_queue_url) == []

    @pytest.mark.batch_statements
    def test_of_a_task_that_is_gone_when_it_is_claimed_is_dead_lettered(
        self, stack: Stack, wire: Wire, worker: Worker, deadline: Deadline
    ) -> None:
        deliveries = stack.deliver(stack.submit("t"))
        key = {"taskId": {"S": "t"}, "part": {"S": "state"}}
        wire.meanwhile("BatchGetItem", "", lambda: stack.dynamodb.delete_item(TableName=stack.table, Key=key))
        assert worker.work_off(deliveries, deadline) == []
        assert json.loads(stack.letters()[0])["reason"] == "no such task"
        assert stack.items() == []

    def test_of_a_failed_task_sends_the_dead_letter_again(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        task = stack.submit("t", status=Status.FAILED, attempts=3, error_message="bad")
        assert worker.work_off(stack.deliver(task), deadline) == []
        assert json.loads(stack.letters()[0])["reason"] == "bad"

    @pytest.mark.batch_statements
    def test_under_a_live_lease_goes_back_until_it_ends(
        self, stack: Stack, wire: Wire, worker: Worker, deadline: Deadline
    ) -> None:
        task = stack.submit("t", status=Status.PROCESSING, attempts=1, lease_until=clock.now() + 800)
        deliveries = stack.deliver(task)
        assert worker.work_off(deliveries, deadline) == [deliveries[0].message_id]
        assert stack.record("t").version == task.version
        # A whole number of seconds, and not before the lease is over.
        assert wire.delays() == [1]
        again = stack.wait_for_messages(stack.task_queue_url)
        assert worker.work_off(again, Deadline(30_000)) == []
        assert stack.record("t").status is Status.COMPLETED

    @pytest.mark.batch_statements
    def test_before_it_is_due_goes_back_until_it_is(
        self, stack: Stack, wire: Wire, worker: Worker, deadline: Deadline
    ) -> None:
        task = stack.submit("t", status=Status.RETRYING, attempts=1, not_before=clock.now() + 800)
        deliveries = stack.deliver(task)
        assert worker.work_off(deliveries, deadline) == [deliveries[0].message_id]
        assert stack.record("t").attempts == 1
        assert wire.delays() == [1]
        again = stack.wait_for_messages(stack.task_queue_url)
        assert worker.work_off(again, Deadline(30_000)) == []
        assert stack.record("t").attempts == 2

    @pytest.mark.batch_statements
    def test_with_no_attempts_left_after_a_crash_is_buried(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        task = stack.submit("t", status=Status.PROCESSING, attempts=3, lease_until=clock.now() - 1)
        assert worker.work_off(stack.deliver(task), deadline) == []
        record = stack.record("t")
        assert (record.status, record.attempts) == (Status.FAILED, 3)
        assert record.error_message == "the worker died during attempt 3, and no attempts are left"
        assert len(stack.letters()) == 1

    @pytest.mark.batch_statements
    def test_that_names_another_type_runs_under_that_of_its_record(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        stack.submit("t", "stubborn", attempts=1)
        for task_type in ("gone", "echo"):
            body = json.dumps({"taskId": "t", "run": 1, "type": task_type, "correlationId": "c"})
            worker.work_off(stack.deliver(body), deadline)
        assert stack.record("t").error_message == "RuntimeError: as ever"

    @pytest.mark.parametrize("run", ["true", "0", "-1", "1.5", "1" * 40])
    def test_with_a_run_that_is_none_is_dead_lettered(
        self, stack: Stack, worker: Worker, deadline: Deadline, run: str
    ) -> None:
        stack.submit("t")
        assert worker.work_off(stack.deliver(f'{{"taskId":"t","run":{run},"type":"echo"}}'), deadline) == []
        assert len(stack.letters()) == 1

    @pytest.mark.batch_statements
    def test_of_an_unknown_type_is_buried(self, stack: Stack, worker: Worker, deadline: Deadline) -> None:
        assert worker.work_off(stack.deliver(stack.submit("t", "gone")), deadline) == []
        record = stack.record("t")
        assert (record.status, record.attempts) == (Status.FAILED, 0)
        assert record.error_message == "unknown task type 'gone'"
        assert len(stack.letters()) == 1


@pytest.mark.batch_statements
class TestSecretsOfAType:
    @pytest.fixture
    def parameter(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> str:
        """The name of the parameter of the type `secretive`, which is not there yet."""
        name = f"/{stack.table}/secret"
        monkeypatch.setenv("SAMPLE_SECRET_PARAMETER", name)
        return name

    def test_reach_its_function_and_nothing_else(
        self, stack: Stack, worker: Worker, deadline: Deadline, parameter: str
    ) -> None:
        boto3.client("ssm").put_parameter(Name=parameter, Value="s3cret", Type="SecureString")
        worker.work_off(stack.deliver(stack.submit("t", "secretive"), stack.submit("u", "echo")), deadline)
        assert json.loads(stack.record("t").result or "") == ["key", 6]
        assert stack.record("u").status is Status.COMPLETED
        assert "s3cret" not in str(stack.items())

    def test_are_absent_where_the_stack_configures_none(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        worker.work_off(stack.deliver(stack.submit("t", "secretive")), deadline)
        assert stack.record("t").result == "[]"

    @pytest.mark.usefixtures("parameter")
    def test_that_cannot_be_read_fail_the_attempt_for_now(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        deliveries = stack.deliver(stack.submit("t", "secretive"))
        assert worker.work_off(deliveries, deadline) == [deliveries[0].message_id]
        record = stack.record("t")
        assert (record.status, record.attempts) == (Status.RETRYING, 1)
        assert record.error_message is not None
        assert record.error_message.startswith(
            "the secrets of the task's type cannot be read: ParameterNotFound"
        )
        assert "ParameterNotFound" in record.error_message

    @pytest.mark.usefixtures("parameter")
    def test_that_can_never_be_read_fail_the_task_in_the_end(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        assert worker.work_off(stack.deliver(stack.submit("t", "secretive", attempts=2)), deadline) == []
        assert stack.record("t").status is Status.FAILED
        assert len(stack.letters()) == 1

    def test_of_other_types_cost_nothing(
        self, stack: Stack, worker: Worker, deadline: Deadline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def none(_: object) -> dict[str, str]:
            raise AssertionError("there are no secrets to read")

        monkeypatch.setattr(worker.secrets, "values", none)
        worker.work_off(stack.deliver(stack.submit("t")), deadline)
        assert stack.record("t").status is Status.COMPLETED
