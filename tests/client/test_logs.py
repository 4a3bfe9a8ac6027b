"""`logs`: what a stack's functions log, as people and scripts meet it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
from botocore import endpoint

from client import logs as client_logs
from client.log_line import Level, LogLine, Wanted, for_script, readable
from client.logs import LogFollower, functions
from client.stack import Stack, StackError
from local.aws import Aws
from local.emulator import Emulator
from tests.client.commands import SECONDS, invoke, spawned, terminal
from tests.client.conftest import REGION, LocalStacks
from tests.client.fake_logs import FakeLogs
from tests.client.fake_pulumi import FakePulumi

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Functions:
    """The functions of a stack of its own in the emulator."""

    def __init__(self, aws: Aws, *names: str) -> None:
        self.aws = aws
        self.prefix = f"tasks-{uuid4()}"
        self.outputs = {"tasksTableName": f"{self.prefix}-tasks"}
        for name in names:
            aws.call("logs", "create_log_group", {"logGroupName": self.group(name)})
            self.stream(name, "s")

    def group(self, name: str) -> str:
        return f"/aws/lambda/{self.prefix}-{name}"

    def stream(self, name: str, stream: str) -> None:
        place = {"logGroupName": self.group(name), "logStreamName": stream}
        self.aws.call("logs", "create_log_stream", place)

    def log(self, name: str, *messages: object, seconds_ago: float = 1, stream: str = "s") -> None:
        at = int((time.time() - seconds_ago) * 1000)
        events = [
            {"timestamp": at, "message": message if isinstance(message, str) else json.dumps(message)}
            for message in messages
        ]
        place = {"logGroupName": self.group(name), "logStreamName": stream}
        self.aws.call("logs", "put_log_events", place | {"logEvents": events})

    @property
    def stack(self) -> Stack:
        return Stack("local:1", self.outputs, self.aws.endpoint_url, REGION)


@pytest.fixture
def running(emulator: Emulator, local_stack: LocalStacks) -> Iterator[Functions]:
    """The functions a and bee of a local stack that runs."""
    functions = Functions(Aws(emulator.endpoint_url, REGION), "a", "bee")
    known = functions.outputs | {"endpointUrl": emulator.endpoint_url, "region": REGION}
    with local_stack(4566, known):
        yield functions


#: Starts `logs` with these arguments as a process.
StartLogs = Callable[..., AbstractContextManager["subprocess.Popen[str]"]]

#: The client, which looks for local stacks in the folder that is its first argument.
PROGRAM = """
import pathlib, sys
import client.stack
client.stack.LOCAL_STACKS = pathlib.Path(sys.argv.pop(1))
from client.__main__ import main
main("client")
"""


@pytest.fixture
def started(running: Functions, tmp_path: Path) -> StartLogs:
    folder = str(tmp_path / "build" / "local-stacks")

    def start(*args: str, **options: Any) -> AbstractContextManager[subprocess.Popen[str]]:
        return spawned([sys.executable, "-c", PROGRAM, folder, "logs", *args], **options)

    return start


def line(level: str, message: str, **fields: Any) -> dict[str, Any]:
    return {"level": level, "message": message, "timestamp": "2026-01-02T03:04:05.678+00:00", **fields}


def test_one_readable_line_for_each(running: Functions) -> None:
    event = line(
        "WARNING", "attempt\x1b failed", service="a", taskId="t", n=1, error="it is bad", to=["ü", {"x": 1}]
    )
    running.log("a", event, "START RequestId: 1 Version: $LATEST\n", "Traceback:\n  \x1b[31mline 1\n")
    code, out, err = invoke("logs", "local", "--no-follow")
    assert (code, err) == (0, "")
    here = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).astimezone()
    json_line, *plain = out.splitlines()
    assert json_line == (
        f"{here:%Y-%m-%d %H:%M:%S}.678  a    WARNING   attempt failed  "
        'taskId=t n=1 error="it is bad" to=["ü", {"x": 1}]'
    )
    assert [text[23:] for text in plain] == ["  a              Traceback:", "  a                 [31mline 1"]


def test_json_is_the_lines_as_they_were_logged(running: Functions) -> None:
    running.log("bee", '{"a":  1}')
    assert invoke("logs", "local", "--no-follow", "--json") == (0, '{"a":  1}\n', "")


def test_json_is_all_that_a_script_gets_whatever_was_logged(running: Functions) -> None:
    running.log("bee", "Segmentation fault", "[1]")
    code, out, _ = invoke("logs", "local", "--no-follow", "--json")
    crash, array = map(json.loads, out.splitlines())
    assert (code, crash["function"], crash["message"]) == (0, "bee", "Segmentation fault")
    assert datetime.fromisoformat(crash["timestamp"]).tzinfo is not None
    assert array["message"] == "[1]"


def test_json_is_one_line_for_each() -> None:
    assert for_script(LogLine.of("a", 0, '{\n"a":\n"ü"}\n')) == '{"a": "ü"}'
    assert json.loads(for_script(LogLine.of("a", 0, "Traceback:\n  ü\n")))["message"] == "Traceback:\n  ü"


def test_functions_can_be_chosen(running: Functions) -> None:
    running.log("a", line("INFO", "one"))
    running.log("bee", line("INFO", "two"))
    _, out, _ = invoke("logs", "local", "bee", "--no-follow")
    assert [text.split()[2:5] for text in out.splitlines()] == [["bee", "INFO", "two"]]
    code, _, err = invoke("logs", "local", "bee", "c", "--no-follow")
    assert (code, err) == (2, "Error: c: no such function; there are a, bee\n")


def messages(out: str) -> list[str]:
    return [json.loads(text)["message"] for text in out.splitlines()]


def test_a_time_to_begin_with(running: Functions) -> None:
    running.log("a", line("INFO", "old"), seconds_ago=7000)
    running.log("a", line("INFO", "middle"), seconds_ago=700)
    running.log("a", line("INFO", "new"), seconds_ago=5)
    minute_ago = datetime.fromtimestamp(time.time() - 60, UTC).isoformat()
    for since, expected in {
        "2h": ["old", "middle", "new"],
        "12m": ["middle", "new"],
        "30s": ["new"],
        minute_ago: ["new"],
        "1d": ["old", "middle", "new"],
        "1950-01-01T00:00:00Z": ["old", "middle", "new"],
    }.items():
        _, out, _ = invoke("logs", "local", "--no-follow", "--json", "--since", since)
        assert messages(out) == expected, since
    assert messages(invoke("logs", "local", "--no-follow", "--json")[1]) == ["new"]


def test_levels_and_ids_choose_lines(running: Functions) -> None:
    running.log("a", line("INFO", "one", taskId="t", correlationId="c"), line("WARN", "two", taskId="t"))
    running.log(
        "bee", line("ERROR", "three", taskId="other", correlationId="c"), {"_aws": {}, "message": "m"}
    )
    for args, expected in {
        ("--level", "warning"): ["two", "three"],
        ("--level", "CRITICAL"): [],
        ("--task-id", "t"): ["one", "two"],
        ("--correlation-id", "c"): ["one", "three"],
        ("--correlation-id", "c", "--task-id", "t"): ["one"],
        ("--task-id", "t", "--level", "WARNING"): ["two"],
        (): ["one", "two", "three", "m"],
    }.items():
        code, out, _ = invoke("logs", "local", "--no-follow", "--json", *args)
        assert (code, sorted(messages(out))) == (0, sorted(expected)), args


def test_what_is_no_json_has_no_level_and_is_wanted_at_any() -> None:
    wanted = Wanted(Level.ERROR)
    assert wanted.wants(LogLine.of("a", 1, "Task timed out after 30.00 seconds"))
    assert not wanted.wants(LogLine.of("a", 1, '{"level": "strange"}'))
    assert not Wanted(task_id="t").wants(LogLine.of("a", 1, "plain"))


def test_metrics_and_long_values_are_readable() -> None:
    metric = LogLine.of("a", 0, json.dumps({"_aws": {"x": 1}, "service": "a", "Done": [1.0]}))
    assert "METRICS" in readable(metric, 1)
    assert readable(metric, 1).endswith("Done=[1.0]")
    assert readable(LogLine.of("a", 0, json.dumps({"long": "x" * 999})), 1).endswith("x" * 200 + "...")
    trace = 'Traceback:\n  File "x"\nValueError: bad\n'
    assert readable(LogLine.of("a", 0, json.dumps({"trace": trace})), 1).endswith(
        'trace="... ValueError: bad"'
    )


def test_it_follows_until_ctrl_c(running: Functions, started: StartLogs) -> None:
    running.log("a", line("INFO", "first"))
    with started("local", "--json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["message"] == "first"
        running.stream("bee", "later")
        running.log("bee", line("INFO", "second"), stream="later", seconds_ago=2)
        assert json.loads(process.stdout.readline())["message"] == "second"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out, err) == (130, "", "")


def test_a_closed_pipe_ends_it_though_nothing_happens(running: Functions, started: StartLogs) -> None:
    running.log("a", line("INFO", "first"))
    with started("local") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(SECONDS) == 141
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_terminal_has_colours(
    running: Functions, started: StartLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    running.log("a", line("ERROR", "bad"))
    with terminal() as (stdout, shown), started("local", "--no-follow", stdout=stdout) as process:
        assert process.wait(SECONDS) == 0
    assert "\x1b[31mERROR   \x1b[0m  bad" in shown[0]


def test_each_line_comes_once_whatever_order_it_becomes_visible_in(running: Functions) -> None:
    follower = LogFollower(running.stack, {"a": running.group("a")}, Wanted(), LONG_AGO)
    running.stream("a", "t")
    seen: list[list[str]] = []
    for change in (
        lambda: running.log("a", "one", "one", seconds_ago=20),
        lambda: running.log("a", "one", stream="t", seconds_ago=40),
        lambda: None,
        lambda: running.log("a", "two", seconds_ago=1),
    ):
        change()
        seen.append([text.text for text in follower.read()])
    assert seen == [["one", "one"], ["one"], [], ["two"]]


def test_a_stack_whose_name_begins_alike_is_another(emulator: Emulator) -> None:
    functions_here = Functions(Aws(emulator.endpoint_url, REGION), "submit-tasks", "eu-submit-tasks", "odd")
    assert functions(functions_here.stack) == {
        name: functions_here.group(name) for name in ("submit-tasks", "odd")
    }
    with pytest.raises(StackError, match="no log groups /aws/lambda/tasks-none-"):
        functions(Stack("x", {"tasksTableName": "tasks-none-tasks"}, emulator.endpoint_url, REGION))


@pytest.fixture
def cloud(pulumi: FakePulumi, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLogs]:
    """The stack dev, deployed where the user's own settings lead."""
    server = FakeLogs()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    pulumi.puts_out({"tasksTableName": "tasks-dev-tasks"})
    yield server
    server.close()


def now() -> int:
    return int(time.time() * 1000)


def test_every_page_is_read_the_empty_ones_too(cloud: FakeLogs) -> None:
    for name in ("a", "b"):
        group = f"/aws/lambda/tasks-dev-{name}"
        for number in range(5):
            cloud.put(group, f"{name}{number}", now() - 5000 + number, f"{name}{number}")
            cloud.events[group] += [None, None, None]
    code, out, err = invoke("logs", "dev", "--no-follow", "--json")
    assert (code, err) == (0, "")
    assert sorted(messages(out)) == [f"{name}{number}" for name in "ab" for number in range(5)]


def test_what_comes_meanwhile_is_not_followed_where_that_is_not_wanted(
    cloud: FakeLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = "/aws/lambda/tasks-dev-a"
    cloud.put(group, "0", now() - 1000, "0")
    usual = cloud.answer

    def answer(operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "FilterLogEvents" and len(cloud.requests) < 50:
            cloud.put(group, f"later {len(cloud.requests)}", now() + 1, "later")
        return usual(operation, request)

    monkeypatch.setattr(cloud, "answer", answer)
    assert invoke("logs", "dev", "--no-follow")[0] == 0
    assert len(cloud.requests) < 50


def test_an_event_is_known_by_its_id_and_the_ids_asked_for_are_a_pattern(cloud: FakeLogs) -> None:
    group = "/aws/lambda/tasks-dev-a"
    cloud.put(group, "1", now(), '{"taskId": "t"}')
    stack = Stack("dev", {"tasksTableName": "tasks-dev-tasks"})
    follower = LogFollower(stack, functions(stack), Wanted(task_id="t", correlation_id='"'), LONG_AGO)
    wanted = '{"taskId": "t", "correlationId": "\\""}'
    cloud.put(group, "2", now(), wanted)
    assert [found.text for found in follower.read()] == [wanted]
    cloud.events[group].insert(0, dict(cloud.events[group][1] or {}, eventId="3"))
    assert [found.text for found in follower.read()] == [wanted]
    assert {request["filterPattern"] for request in cloud.requests} == {'{ ($.taskId = "t") }'}


def test_where_nothing_comes_it_does_not_begin_from_the_beginning_each_time(
    cloud: FakeLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_logs, "LONGEST_OVERLAP_MS", 60_000)
    cloud.events["/aws/lambda/tasks-dev-a"] = []
    stack = Stack("dev", {"tasksTableName": "tasks-dev-tasks"})
    follower = LogFollower(stack, functions(stack), Wanted(), LONG_AGO)
    for _ in range(2):
        assert follower.read() == []
    first, second = (request["startTime"] for request in cloud.requests)
    assert first == LONG_AGO.timestamp() * 1000
    assert now() - 70_000 < second <= now() - 60_000


@pytest.mark.parametrize(
    ("refusal", "expected", "says"),
    [
        (
            (400, "AccessDeniedException", "User x is not\nauthorized"),
            4,
            "AccessDeniedException: User x is not auth",
        ),
        ((400, "ResourceNotFoundException", ""), 4, "ResourceNotFoundException"),
    ],
)
def test_what_aws_refuses_is_one_line(
    cloud: FakeLogs, refusal: tuple[int, str, str], expected: int, says: str
) -> None:
    cloud.refusals.append(refusal)
    code, out, err = invoke("logs", "dev")
    assert (code, out, err.count("\n")) == (expected, "", 1)
    assert err.startswith(f"Error: the logs cannot be read: {says}")


def test_without_credentials_or_an_answer_it_is_one_line(
    cloud: FakeLogs, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port}")
    monkeypatch.setattr(
        endpoint, "time", SimpleNamespace(sleep=Mock())
    )  # nothing is gained by botocore's waits
    code, _, err = invoke("logs", "dev")
    assert (code, err.count("\n")) == (3, 1)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    code, _, err = invoke("logs", "dev")
    assert (code, err) == (2, "Error: the logs cannot be read: Unable to locate credentials\n")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["logs"], "Missing argument"),
        (["logs", "local", "--since", "yesterday"], "--since"),
        (["logs", "local", "--since", "10"], "--since"),
        (["logs", "local", "--since", "999999d"], "further back than the calendar"),
        (["logs", "local", "--level", "LOUD"], "--level"),
        (["logs", "local", "--task-id", "a/b"], "no task ID"),
    ],
)
def test_exit_2_for_wrong_usage(args: list[str], says: str) -> None:
    code, out, err = invoke(*args)
    assert (code, out) == (2, "")
    assert says in err.splitlines()[-1]
