"""Every function of the program under AWS's own runtime client, with the package that is deployed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tasklib.queue import TaskMessage
from tasklib.task import Status

from infra.function import RUNTIME
from tests.functions.conftest import Stack
from tests.functions.websocket_gateway import WebSocketGateway
from tests.infra.stacks import Program, evaluate
from tests.waiting import wait_for

from .cases import ALL_DONE, CASES, REQUEST_ID, World, a_task_on_the_queue, all_kept, received
from .environment import PYTHON, ExecutionEnvironment, Function
from .runtime_api import TRACE_ID, Report

pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("runtime"),
    pytest.mark.skipif(sys.platform != "linux", reason="the runtime client is for Linux"),
]


#: The functions that look at the time.
LATE = [place for place, case in CASES.items() if case.late]

#: The functions of which a stack with `snapStart` has snapshots taken.
SNAPSHOTS = ["submit-tasks", "read-tasks", "process-tasks", "retry-tasks", "cancel-tasks"]


def functions(program: Program) -> dict[str, Function]:
    """What the program declares, by name."""
    declared = map(Function.of, program.of_type("lambda/function:Function"))
    return {function.name: function for function in declared}


def with_snapshots() -> dict[str, Function]:
    return functions(evaluate("dev", snapStart="true"))


@pytest.fixture
def world(stack: Stack, gateway: WebSocketGateway) -> World:
    return World(stack, gateway, task_id=f"t-{uuid.uuid4()}")


Start = Callable[..., AbstractContextManager[ExecutionEnvironment]]


@pytest.fixture
def start(unpacked: Path, world: World) -> Start:
    """Starts a function with the names of this stack in place of the program's."""
    stack = world.stack
    names = {
        "TASKS_TABLE": stack.table,
        "CONNECTIONS_TABLE": stack.connections_table,
        "TASK_QUEUE_URL": stack.task_queue_url,
        "DEAD_LETTER_QUEUE_URL": stack.dead_letter_queue_url,
        "CONNECTIONS_URL": world.gateway.url,
    }

    def start(function: Function, *, from_snapshot: bool = False) -> ExecutionEnvironment:
        variables = {name: value for name, value in names.items() if name in function.variables}
        variables["AWS_ENDPOINT_URL"] = os.environ["AWS_ENDPOINT_URL"]
        return ExecutionEnvironment(function, unpacked, variables, from_snapshot=from_snapshot)

    return start


def told(report: Report) -> object:
    """The answer of a function; of one to API Gateway, its status."""
    assert report.kind == "response", report
    return report.body["statusCode"] if "statusCode" in (report.body or {}) else report.body


def logged(output: Sequence[str]) -> list[dict[str, Any]]:
    """What was logged: one JSON object a line."""
    return [json.loads(line) for line in output]


def test_every_function_is_called_here() -> None:
    assert {name for _, name in CASES} == functions(evaluate("dev")).keys()
    assert {*SNAPSHOTS} == {name for name, function in with_snapshots().items() if function.has_snapshot}


def test_the_client_runs_on_the_python_that_the_functions_name() -> None:
    version = subprocess.run([PYTHON, "--version"], capture_output=True, text=True, check=True).stdout
    if not version.startswith(f"{RUNTIME.replace('python', 'Python ')}."):
        pytest.skip(f"{RUNTIME} is not here; the client ran on {version.strip()}")


@pytest.mark.parametrize(("stack_name", "name"), CASES, ids=map(" ".join, CASES))
def test_a_function_answers_fails_and_goes_on(start: Start, world: World, stack_name: str, name: str) -> None:
    case = CASES[stack_name, name]
    with start(functions(evaluate(stack_name))[name]) as environment:
        assert told(environment.invoke(case.event(world))) == case.answer
        assert case.seen(world)
        bad = case.failing(world)
        for _ in range(2):
            failure = environment.invoke(bad)
            assert failure.kind == "error"
            assert failure.body["errorType"]
        lines = logged(environment.kill())
    # Nothing is logged, and paid for, but what the function says and measures, and the client of its failures.
    failures = [line for line in lines if "errorType" in line]
    assert [line["level"] for line in failures] == ["ERROR", "ERROR"]
    of_the_function = [line for line in lines if line.get("service") == name or "_aws" in line]
    assert [line for line in lines if line not in failures + of_the_function] == []


@pytest.mark.parametrize(("stack_name", "name"), LATE, ids=map(" ".join, LATE))
def test_a_function_begins_nothing_that_its_time_is_too_short_for(
    start: Start, world: World, stack_name: str, name: str
) -> None:
    case = CASES[stack_name, name]
    assert case.late
    with start(functions(evaluate(stack_name))[name]) as environment:
        event = case.event(world)
        assert told(environment.invoke(event, milliseconds=0)) == case.late(event)
        assert not case.seen(world)
        assert told(environment.invoke(event)) == case.answer
        assert case.seen(world)


def test_an_attempt_starts_only_if_its_time_limit_fits_into_what_is_left(start: Start, world: World) -> None:
    event = a_task_on_the_queue(world)
    with start(functions(evaluate("dev"))["process-tasks"]) as environment:
        # `simulate` has 15 s, and the worker needs 3 s to settle it.
        assert told(environment.invoke(event, milliseconds=17_900)) == all_kept(event)
        assert world.stack.record(world.task_id).status is Status.PENDING
        assert told(environment.invoke(event, milliseconds=20_000)) == ALL_DONE
        assert world.stack.record(world.task_id).status is Status.COMPLETED


def test_nothing_outlives_an_environment_that_is_killed_because_time_is_up(
    start: Start, world: World
) -> None:
    task = world.stack.submit(world.task_id, "simulate", '{"seconds": 10, "failureRate": 0}')
    world.stack.task_queue.send(TaskMessage.of(task))
    event = received(world.stack, world.stack.task_queue_url)
    with start(functions(evaluate("dev"))["process-tasks"]) as environment:
        environment.api.send(event, milliseconds=30_000)
        wait_for(lambda: world.stack.record(world.task_id).status is Status.PROCESSING, "the attempt")
        begin = time.monotonic()
        # Returns when every process that could write to the log is gone: the worker's, and the task's.
        environment.kill()
        assert time.monotonic() - begin < 5
    assert world.stack.record(world.task_id).status is Status.PROCESSING


def test_a_start_that_fails_is_reported(start: Start) -> None:
    function = functions(evaluate("dev"))["submit-tasks"]
    with start(replace(function, variables={})) as environment:
        report = wait_for(environment.report, "a report")
    assert (report.kind, report.body["errorType"]) == ("init", "KeyError")


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_a_function_goes_on_from_a_snapshot(start: Start, world: World, name: str) -> None:
    case = CASES["dev", name]
    with start(with_snapshots()[name], from_snapshot=True) as environment:
        environment.restore()
        assert told(environment.invoke(case.event(world))) == case.answer
        assert case.seen(world)
        assert environment.api.credentials_given
        lines = logged(environment.kill())
    assert [line for line in lines if line.get("service") != name and "_aws" not in line] == []


def test_a_line_of_the_log_says_when_who_what_and_of_which_request(start: Start, world: World) -> None:
    with start(functions(evaluate("dev"))["submit-tasks"]) as environment:
        environment.invoke(CASES["dev", "submit-tasks"].event(world))
        [line] = logged(environment.kill())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("timestamp"))
    assert line == {
        "level": "INFO",
        "message": "task accepted",
        "service": "submit-tasks",
        "taskId": world.task_id,
        "type": "simulate",
        "submitted": 1,
        "correlationId": REQUEST_ID,
        "xray_trace_id": TRACE_ID,
    }
