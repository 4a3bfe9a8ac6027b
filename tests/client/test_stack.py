"""Finding a stack by its name, deployed or on this machine."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from client import stack
from client.stack import Stack, StackError, find, stack_names
from tests.client.conftest import LocalStacks
from tests.client.fake_pulumi import FakePulumi

ROOT = Path(__file__).parents[2]
LOCAL = {"apiUrl": "http://here", "tasksTableName": "tasks-local-tasks"}
AT = {"endpointUrl": "http://127.0.0.1:1", "region": "eu-north-1"}
DEPLOYED = {
    "apiUrl": "https://abc.execute-api.eu-west-1.amazonaws.com",
    "tasksTableName": "tasks-dev-tasks",
    "taskQueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/tasks-dev-task-queue",
}


def test_local_is_what_runs_on_this_machine(local_stack: LocalStacks) -> None:
    with local_stack(4566, LOCAL | AT):
        for name in ("local", "local:4566"):
            assert find(name) == Stack("local:4566", LOCAL, "http://127.0.0.1:1", "eu-north-1")
    with pytest.raises(StackError, match="no local stack is running; `make local` starts one"):
        find("local")


def test_of_several_the_newest_is_meant_and_the_others_have_their_ports(
    local_stack: LocalStacks, tmp_path: Path
) -> None:
    with ExitStack() as running:
        for age, port in enumerate((8001, 8002, 8000)):
            running.enter_context(local_stack(port, AT | {"apiUrl": f"http://{port}"}))
            os.utime(tmp_path / "build" / "local-stacks" / f"{port}.json", (1000 - age, 1000 - age))
        assert find("local").name == "local:8001"
        assert find("local:8000").output("apiUrl") == "http://8000"
        with pytest.raises(StackError, match="at port 8003; there is local:8001, local:8002, local:8000"):
            find("local:8003")


def test_the_file_of_a_killed_stack_is_passed_over(local_stack: LocalStacks, tmp_path: Path) -> None:
    with local_stack(8000, AT):
        (tmp_path / "build" / "local-stacks" / "8001.json").write_text('{"apiUrl": "http://dead"}')
        assert find("local").name == "local:8000"
        with pytest.raises(StackError, match="8001"):
            find("local:8001")


def test_local_stacks_are_looked_for_where_they_tell_of_themselves() -> None:
    # The fixture lets them tell of themselves elsewhere, by the code of the local stack.
    assert stack.LOCAL_STACKS == ROOT / "build" / "local-stacks"


def test_a_deployed_stack_is_asked_of_the_pulumi_cli(
    pulumi: FakePulumi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pulumi.puts_out(DEPLOYED | {"limits": {"most": 3}})
    found = find("team/tasks/dev")
    assert (found.name, found.outputs, found.endpoint_url) == (
        "team/tasks/dev",
        DEPLOYED | {"limits": {"most": 3}},
        None,
    )
    assert (found.region, found.prefix) == ("eu-west-1", "tasks-dev-")
    assert pulumi.calls == [
        [str(ROOT), "stack", "output", "--json", "--non-interactive", "--stack", "team/tasks/dev"]
    ]


def test_without_the_pulumi_cli_there_is_one_clear_message(pulumi: FakePulumi) -> None:
    with pytest.raises(StackError, match=r"the Pulumi CLI, .* is not installed"):
        find("dev")


@pytest.mark.parametrize(
    ("stdout", "stderr", "code", "says"),
    [
        (
            "",
            "warning: x\nerror: no stack named 'dev' found\n\n",
            255,
            "stack dev: no stack named 'dev' found$",
        ),
        ("", "", 1, "stack dev: it said nothing$"),
        ("{}", "", 0, "the stack dev has no outputs: it is not deployed"),
        ("Please log in\x1b[31m", "", 0, "told no outputs of the stack dev: Please log in .31m$"),
        ("[1]", "", 0, "told no outputs"),
    ],
)
def test_what_the_pulumi_cli_says_is_passed_on(
    pulumi: FakePulumi, stdout: str, stderr: str, code: int, says: str
) -> None:
    pulumi.prints(stdout, stderr, code)
    with pytest.raises(StackError, match=says) as caught:
        find("dev")
    assert "\n" not in str(caught.value)


def test_a_pulumi_cli_that_cannot_be_run_or_hangs(
    pulumi: FakePulumi, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulumi.prints("{}")
    program = Path(os.environ["PATH"]) / "pulumi"
    program.write_text("no program")
    with pytest.raises(StackError, match="cannot be run: Exec format error"):
        find("dev")
    program.write_text("#!/bin/sh\nexec /bin/sleep 100\n")
    monkeypatch.setattr(stack, "PULUMI_SECONDS", 0.2)
    with pytest.raises(StackError, match="silent for"):
        find("dev")


@pytest.mark.parametrize("name", ["", "--cwd=/", "a b", "a/b/c/d", "local:", "local:http", "dev\n"])
def test_what_is_no_name_is_not_given_to_the_pulumi_cli(pulumi: FakePulumi, name: str) -> None:
    with pytest.raises(StackError, match="neither a stack's name nor a URL"):
        find(name)


def test_a_stack_without_its_tables_name_has_no_prefix() -> None:
    for outputs in ({}, {"tasksTableName": 3}, {"tasksTableName": "other"}):
        with pytest.raises(StackError, match="no output tasksTableName"):
            _ = Stack("dev", outputs).prefix


def test_a_shell_completes_what_there_is(local_stack: LocalStacks) -> None:
    with local_stack(4566, AT):
        assert stack_names("") == ["local", "local:4566", "dev", "prod"]
        assert stack_names("loc") == ["local", "local:4566"]
