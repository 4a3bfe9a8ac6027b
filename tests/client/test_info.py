"""`info`: a stack's outputs and health, as people and scripts meet them."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from client import health
from local.aws import Aws
from local.emulator import Emulator
from tests.client.commands import invoke, terminal
from tests.client.commands import started as start
from tests.client.conftest import REGION, LocalStacks
from tests.client.fake_api import FakeApi, gateway, hang, html
from tests.client.fake_live import FakeLive, drop
from tests.client.fake_logs import FakeLogs
from tests.client.fake_pulumi import FakePulumi


@pytest.fixture
def aws(emulator: Emulator) -> Aws:
    return Aws(emulator.endpoint_url, REGION)


@pytest.fixture
def outputs(api: FakeApi, live: FakeLive, aws: Aws) -> dict[str, Any]:
    """What a stack with empty queues puts out."""
    name = f"tasks-{uuid4()}"
    return {
        "apiUrl": api.url,
        "tasksTableName": f"{name}-tasks",
        "taskQueueUrl": aws.call("sqs", "create_queue", {"QueueName": f"{name}-task-queue"})["QueueUrl"],
        "deadLetterQueueUrl": aws.call("sqs", "create_queue", {"QueueName": f"{name}-dead"})["QueueUrl"],
        "limits": {"most": 3},
    }


def at(emulator: Emulator) -> dict[str, str]:
    return {"endpointUrl": emulator.endpoint_url, "region": REGION}


def rows(out: str) -> dict[str, str]:
    """The lines of health by what they are about; numbers of milliseconds are left out."""
    lines = [
        re.split(r" {2,}", line.strip(), maxsplit=2) for line in out.splitlines() if line.startswith("  ")
    ]
    return {name: re.sub(r"\d+ ms", "N ms", " | ".join(rest)) for name, *rest in lines}


def test_a_local_stack_that_is_well(
    outputs: dict[str, Any], emulator: Emulator, local_stack: LocalStacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing of the user's own settings leads elsewhere.
    for name, value in {
        "AWS_PROFILE": "nobody",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    with local_stack(4566, outputs | at(emulator)):
        code, out, err = invoke("info", "local")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "outputs of local:4566"
    told = rows(out)
    assert told["apiUrl"] == outputs["apiUrl"]
    assert told["limits"] == '{"most": 3}'
    assert told["API"] == told["live updates"] == "ok | N ms"
    assert told["task queue"] == "ok | N ms  0 waiting, 0 in flight, 0 delayed"
    assert "endpointUrl" not in told


def test_json_is_one_object_with_numbers(
    outputs: dict[str, Any], emulator: Emulator, local_stack: LocalStacks, aws: Aws
) -> None:
    queue = outputs["taskQueueUrl"]
    for delay in (0, 0, 900):
        aws.call("sqs", "send_message", {"QueueUrl": queue, "MessageBody": "x", "DelaySeconds": delay})
    aws.call("sqs", "receive_message", {"QueueUrl": queue, "MaxNumberOfMessages": 1})
    age = {
        "MetricName": "ApproximateAgeOfOldestMessage",
        "Dimensions": [{"Name": "QueueName", "Value": queue.rpartition("/")[2]}],
        "Timestamp": datetime.now(UTC),
        "Value": 95.0,
    }
    aws.call("cloudwatch", "put_metric_data", {"Namespace": "AWS/SQS", "MetricData": [age]})
    with local_stack(4566, outputs | at(emulator)):
        code, out, err = invoke("info", "local", "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    told = json.loads(out)
    assert told.keys() == {"stack", "outputs", "health"}
    assert (told["stack"], told["outputs"]) == ("local:4566", outputs)
    api, live, tasks, dead = told["health"]
    assert [check["part"] for check in told["health"]] == [
        *("API", "live updates", "task queue", "dead-letter queue")
    ]
    assert api.keys() == live.keys() == {"part", "condition", "seconds", "detail"}
    assert all(0 < check["seconds"] < 20 for check in told["health"])
    counted = {name: tasks[name] for name in ("waiting", "inFlight", "delayed", "oldestSeconds")}
    assert counted == {"waiting": 1, "inFlight": 1, "delayed": 1, "oldestSeconds": 95}
    assert tasks["detail"] == "1 waiting, 1 in flight, 1 delayed, the oldest 95 s old"
    assert "oldestSeconds" not in dead


def test_a_url_is_enough_for_what_can_be_asked_there(api: FakeApi, live: FakeLive) -> None:
    code, out, err = invoke("info", api.url + "/")
    assert (code, err) == (0, "")
    told = rows(out)
    assert told["apiUrl"] == api.url
    assert told["API"] == "ok | N ms"
    assert told["task queue"] == "unchecked | its URL is not known: there is no output taskQueueUrl"


def test_a_deployed_stack_without_aws_credentials(
    outputs: dict[str, Any], emulator: Emulator, pulumi: FakePulumi
) -> None:
    pulumi.puts_out(outputs | {"taskQueueUrl": "https://sqs.eu-west-1.amazonaws.com/1/tasks-dev-task-queue"})
    code, out, _ = invoke("info", "dev")
    assert code == 0
    assert rows(out)["task queue"] == "unchecked | Unable to locate credentials"


def test_credentials_that_do_not_allow_it_leave_a_queue_unchecked(
    outputs: dict[str, Any], pulumi: FakePulumi, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = FakeLogs()
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    aws.refusals = [(403, "AccessDenied", "User x may\nnot")] * 2
    pulumi.puts_out(outputs)
    code, out, _ = invoke("info", "dev")
    aws.close()
    assert (code, rows(out)["task queue"]) == (0, "unchecked | AccessDenied: User x may not")


def test_a_deployed_stack_is_asked_with_the_users_own_settings(
    outputs: dict[str, Any], emulator: Emulator, pulumi: FakePulumi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    name = outputs["taskQueueUrl"].rpartition("/")[2]
    # Nothing but this URL names the region.
    queue = f"https://sqs.{REGION}.amazonaws.com/000000000000/{name}"
    pulumi.puts_out(outputs | {"taskQueueUrl": queue})
    code, out, _ = invoke("info", "dev")
    assert (code, out.splitlines()[0]) == (0, "outputs of dev")
    assert rows(out)["task queue"] == "ok | N ms  0 waiting, 0 in flight, 0 delayed"


def test_each_fault_is_one_line_and_the_rest_is_checked_all_the_same(
    outputs: dict[str, Any], emulator: Emulator, local_stack: LocalStacks, api: FakeApi, live: FakeLive
) -> None:
    api.always["GET"] = gateway(503, "Service\nUnavailable")
    live.always["ping"] = drop
    with local_stack(1, outputs | at(emulator) | {"taskQueueUrl": outputs["taskQueueUrl"] + "-gone"}):
        code, out, err = invoke("info", "local")
    assert (code, err) == (1, "")
    told = rows(out)
    assert told["API"].startswith(f"failed | {api.url} answered 503 Service Unavailable. The fault is on")
    assert told["live updates"].startswith(f"failed | could not reach {live.url} (reset: ")
    assert told["task queue"].startswith("failed | ")
    assert "NonExistentQueue" in told["task queue"]
    assert told["dead-letter queue"].startswith("ok | ")


def test_another_service_and_a_silent_socket_are_not_well(
    api: FakeApi, live: FakeLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "ANSWER_SECONDS", 2)
    api.always["GET"] = html(403)
    live.always["ping"] = lambda _peer, _frame: None
    code, out, _ = invoke("info", api.url)
    told = rows(out)
    assert (code, "403 Forbidden. Something before" in told["API"]) == (1, True)
    assert "nothing within 2 s of a ping" in told["live updates"]


def test_an_api_that_does_not_answer_is_not_well(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.commands.stacks.ANSWER_SECONDS", 0.3)
    api.always["GET"] = hang
    code, out, _ = invoke("info", api.url)
    assert (code, "no answer within 0.3 s" in rows(out)["API"]) == (1, True)


def test_nothing_is_there(closed_port: int, local_stack: LocalStacks) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    known = {"apiUrl": url, "taskQueueUrl": f"{url}/1/q", "endpointUrl": url, "region": REGION}
    with local_stack(closed_port, known):
        code, out, err = invoke("info", "local")
    assert (code, err) == (1, "")
    told = rows(out)
    assert "connection refused" in told["API"]
    assert told["task queue"].startswith("failed | Could not connect to the endpoint URL")


def test_without_boto3_the_queues_are_unchecked(
    outputs: dict[str, Any], emulator: Emulator, local_stack: LocalStacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with local_stack(1, outputs | at(emulator)):
        code, out, _ = invoke("info", "local")
    assert (code, rows(out)["task queue"].startswith("unchecked | boto3 is not installed")) == (0, True)


def test_exit_2_and_one_line_for_a_stack_that_is_not_known(
    pulumi: FakePulumi, local_stack: LocalStacks
) -> None:
    for args, says in {
        ("info", "dev"): "Error: the Pulumi CLI, which knows",
        ("logs", "dev"): "Error: the Pulumi CLI, which knows",
        ("info", "local"): "Error: no local stack is running",
        ("logs", "local:1"): "Error: no local stack is running",
        ("info", "tasks.example:80"): "Error: 'tasks.example:80' is neither",
        ("logs", "https://tasks.example"): "Error: 'https://tasks.example' is neither",
    }.items():
        code, out, err = invoke(*args)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(says)


def test_a_stack_without_an_api_is_not_one_of_ours(local_stack: LocalStacks) -> None:
    with local_stack(1, {"queueUrl": "x", "endpointUrl": "http://127.0.0.1:1", "region": REGION}):
        assert invoke("info", "local") == (2, "", "Error: the stack local:1 has no output apiUrl\n")


def test_the_token_goes_to_the_api(api: FakeApi, live: FakeLive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKS_TOKEN", "s3cret")
    code, out, err = invoke("info", api.url)
    assert {seen.authorization for seen in api.seen} == {"Bearer s3cret"}
    assert (code, "s3cret" in out + err) == (0, False)


def test_a_terminal_has_colours(api: FakeApi, live: FakeLive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with terminal() as (stdout, shown), start("info", api.url, stdout=stdout) as process:
        assert process.wait(30) == 0
    assert "\x1b[32mok" in shown[0]
    assert "\x1b[33munchecked" in shown[0]


def test_the_help_has_examples_and_the_exit_codes() -> None:
    for command in ("info", "logs"):
        code, out, _ = invoke(command, "--help")
        assert (code, f"    python -m client {command} local" in out) == (0, True)
        assert "130 interrupted" in " ".join(out.split())
