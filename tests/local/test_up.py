"""`python -m local up` as a process: what it prints, how it ends and what it leaves behind, which is nothing."""

import fcntl
import json
import os
import signal
import socket
import sys
import urllib.error
from pathlib import Path
from typing import Any

import pytest

from local.aws import Aws
from local.emulator import Emulator
from local.errors import LocalError
from local.running import told
from tests.local.conftest import StartStack
from tests.local.stack_process import StackProcess, get, write_program
from tests.waiting import wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is left behind is looked up in /proc")

QUEUE = """
import pulumi
import pulumi_aws as aws

print("noise of the program")
config = pulumi.Config()
queue = aws.sqs.Queue("jobs", message_retention_seconds=3600)
pulumi.export("queueUrl", queue.url)
pulumi.export("greeting", config.require("greeting"))
pulumi.export("names", config.require_object("names"))
"""

#: A function with all that belongs to it, and one of each other resource type that stands alone.
EVERYTHING = """
import json

import pulumi
import pulumi_aws as aws

account = aws.get_caller_identity().account_id
region = aws.get_region().region


class Folder(pulumi.ComponentResource):
    def __init__(self):
        super().__init__("sample:index:Folder", "folder")
        self.table = aws.dynamodb.Table(
            "table",
            billing_mode="PAY_PER_REQUEST",
            hash_key="id",
            range_key="part",
            attributes=[{"name": name, "type": "S"} for name in ("id", "part", "shard")],
            global_secondary_indexes=[
                {"name": "byShard", "hash_key": "shard", "range_key": "part", "projection_type": "KEYS_ONLY"},
                {"name": "byPart", "hash_key": "part", "projection_type": "ALL"},
            ],
            ttl={"attribute_name": "expiresAt", "enabled": True},
            point_in_time_recovery={"enabled": True},
            deletion_protection_enabled=True,
            stream_enabled=True,
            stream_view_type="NEW_IMAGE",
            opts=pulumi.ResourceOptions(parent=self, protect=True),
        )
        self.register_outputs({})


table = Folder().table
dead = aws.sqs.Queue("dead")
jobs = aws.sqs.Queue(
    "jobs", redrive_policy=pulumi.Output.json_dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 3})
)
aws.sqs.RedriveAllowPolicy(
    "dead",
    queue_url=dead.url,
    redrive_allow_policy=pulumi.Output.json_dumps({"redrivePermission": "byQueue", "sourceQueueArns": [jobs.arn]}),
)
aws.sqs.QueuePolicy(
    "jobs",
    queue_url=jobs.url,
    policy=pulumi.Output.json_dumps({"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "sqs:*",
        "Resource": jobs.arn, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}),
)
trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
grant = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": jobs.arn}
role = aws.iam.Role("role", assume_role_policy=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
aws.iam.RolePolicy("policy", role=role.id,
    policy=pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": [grant]}))
group = aws.cloudwatch.LogGroup("function", name="/sample/function", retention_in_days=7)
function = aws.lambda_.Function(
    "function",
    name="sample-function",
    role=role.arn,
    handler="handler.handle",
    runtime="python3.13",
    architectures=["arm64"],
    code=pulumi.FileArchive("function.zip"),
    environment={"variables": {"SECRET": pulumi.Output.secret("told")}},
    timeout=20,
    logging_config={"log_format": "JSON", "log_group": group.name, "system_log_level": "WARN"},
)
aws.lambda_.EventSourceMapping(
    "jobs", event_source_arn=jobs.arn, function_name=function.arn, batch_size=5,
    function_response_types=["ReportBatchItemFailures"], scaling_config={"maximum_concurrency": 2},
)
rule = aws.cloudwatch.EventRule("clock", schedule_expression="rate(5 minutes)")
aws.cloudwatch.EventTarget("clock", rule=rule.name, arn=function.arn)
aws.lambda_.Permission("clock", action="lambda:InvokeFunction", function=function.name,
    principal="events.amazonaws.com", source_arn=rule.arn)
api = aws.apigatewayv2.Api("api", protocol_type="HTTP", cors_configuration={"allow_origins": ["http://page"]})
integration = aws.apigatewayv2.Integration("api", api_id=api.id, integration_type="AWS_PROXY",
    integration_uri=function.invoke_arn, payload_format_version="2.0")
aws.apigatewayv2.Route("api", api_id=api.id, route_key="$default",
    target=pulumi.Output.concat("integrations/", integration.id))
stage = aws.apigatewayv2.Stage("api", api_id=api.id, name="$default", auto_deploy=True,
    default_route_settings={"throttling_burst_limit": 5, "throttling_rate_limit": 2.5})

pulumi.export("apiUrl", api.api_endpoint)
pulumi.export("invokeUrl", stage.invoke_url)
pulumi.export("jobsUrl", jobs.url)
pulumi.export("arns", [table.arn, table.stream_arn, jobs.arn, role.arn, group.arn, function.arn, rule.arn,
    api.arn, api.execution_arn, stage.execution_arn])
pulumi.export("place", [account, region])
pulumi.export("names", [table.name, role.name])
"""

FUNCTION = {
    "handler.py": """
import json, os, subprocess

def handle(event, context):
    if "Records" in event:
        for record in event["Records"]:
            print(json.dumps({"job": record["body"]}))
        return {"batchItemFailures": []}
    if event["rawPath"] == "/stray":
        # A grandchild in a session of its own, without a pipe that would tell it of its parent's end.
        subprocess.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 </dev/null &"], check=True)
    print(json.dumps({"path": event["rawPath"]}))
    return {"environment": dict(os.environ), "directory": os.getcwd()}
"""
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_json_is_one_line_and_a_signal_ends_everything(start_stack: StartStack, number: int) -> None:
    stack = start_stack(QUEUE, arguments=("--json", "--port", "0", "-c", "greeting=hi", "-c", 'names=["a"]'))
    outputs = stack.ready()
    port = outputs["endpointUrl"].rpartition(":")[2]
    assert outputs.keys() == {"queueUrl", "greeting", "names", "endpointUrl", "region"}
    assert outputs["queueUrl"].startswith(f"http://127.0.0.1:{port}/000000000000/jobs-")
    assert (outputs["greeting"], outputs["names"], outputs["region"]) == ("hi", ["a"], "us-east-1")
    assert stack.left_behind()  # or the same look at the end would prove nothing
    assert stack.end(number) == 0
    assert stack.rest_of_stdout() == ""
    assert stack.stderr() == "noise of the program\n"
    assert stack.left_behind() == []


def test_everything_is_created_and_works_together(start_stack: StartStack) -> None:
    stack = start_stack(
        EVERYTHING, FUNCTION, arguments=("--json", "--port", "0", "-c", "aws:region=eu-west-1")
    )
    outputs = stack.ready()
    port = outputs["endpointUrl"].rpartition(":")[2]
    assert outputs["apiUrl"] == f"http://sample.execute-api.localhost:{port}"
    assert outputs["invokeUrl"] == f"http://sample.execute-api.localhost:{port}/"
    assert outputs["place"] == ["000000000000", "eu-west-1"]
    assert all(arn.startswith("arn:aws:") and "None" not in arn for arn in outputs["arns"])

    aws = Aws(outputs["endpointUrl"], outputs["region"])
    table = aws.call("dynamodb", "describe_table", {"TableName": outputs["names"][0]})["Table"]
    assert table["DeletionProtectionEnabled"] is True
    assert {index["IndexName"] for index in table["GlobalSecondaryIndexes"]} == {"byShard", "byPart"}
    assert outputs["names"][0].startswith("table-")

    seen = get(outputs, "/here")
    assert seen["environment"]["SECRET"] == "told"
    assert seen["environment"]["AWS_REGION"] == "eu-west-1"

    aws.call("sqs", "send_message", {"QueueUrl": outputs["jobsUrl"], "MessageBody": "one"})
    wait_for(lambda: '{"job": "one"}' in stack.stderr(), "the queue's message in the logs")
    for index in range(5):
        get(outputs, f"/path{index}")
    # What was logged before the end is shown, even if nobody read it until then.
    assert stack.end() == 0
    lines = stack.stderr().splitlines()
    expected = [{"path": f"/{path}"} for path in ("here", *(f"path{index}" for index in range(5)))]
    assert sorted(lines) == sorted(
        'sample-function {"job": "one"}' if not entry else f'sample-function {{"path": "{entry["path"]}"}}'
        for entry in [*expected, {}]
    )
    assert stack.left_behind() == []


def test_a_function_that_cannot_be_loaded_is_reported(start_stack: StartStack) -> None:
    stack = start_stack(EVERYTHING, {"handler.py": "import nothing_such"})
    outputs = stack.ready()
    with pytest.raises(urllib.error.HTTPError, match="502"):
        get(outputs, "/")
    wait_for(stack.stderr, "the emulator's error")
    assert stack.stderr().startswith("emulator ")
    assert "sample-function: Worker init failed: No module named 'nothing_such'" in stack.stderr()
    assert stack.end() == 0


def test_the_users_environment_stays_outside(start_stack: StartStack) -> None:
    stack = start_stack(
        EVERYTHING,
        FUNCTION,
        environment={
            "AWS_PROFILE": "production",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_ACCESS_KEY_ID": "AKIAREAL",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "http_proxy": "http://127.0.0.1:9",
            "PYTHONPATH": "/somewhere",
            "TASKS_SECRET": "mine",
        },
    )
    outputs = stack.ready()
    seen = get(outputs, "/")
    environment = seen["environment"]
    assert environment["AWS_ENDPOINT_URL"] == outputs["endpointUrl"]
    assert environment["AWS_ACCESS_KEY_ID"] == "000000000000"
    for name in ("AWS_PROFILE", "HTTP_PROXY", "http_proxy", "PYTHONPATH", "TASKS_SECRET"):
        assert name not in environment
    # Nothing of the user's home or of the repository is where a function would look for modules or settings.
    assert environment["HOME"] == environment["TMPDIR"]
    assert seen["directory"].startswith(environment["HOME"])
    assert stack.end() == 0


@pytest.mark.parametrize("victim", ["command", "emulator"])
def test_nothing_survives_a_kill(start_stack: StartStack, victim: str) -> None:
    stack = start_stack(EVERYTHING, FUNCTION)
    get(stack.ready(), "/stray")
    assert any("sleep 1000" in process for process in stack.left_behind())
    if victim == "command":
        assert stack.end(signal.SIGKILL) == -signal.SIGKILL
        wait_for(lambda: not stack.left_behind(), "the end of everything")
    else:
        os.kill(process_of(stack, "hypercorn"), signal.SIGKILL)
        assert stack.wait() == 1
        assert stack.stderr().splitlines()[-1] == "error: the AWS emulator ended: signal 9"
        assert stack.left_behind() == []


def process_of(stack: StackProcess, word: str) -> int:
    """The emulator: a child of the supervisor, which has the word in its command line too."""
    children: list[tuple[int, int]] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if word in (entry / "cmdline").read_text():
                children.append(
                    (int(entry.name), int((entry / "stat").read_text().rpartition(")")[2].split()[1]))
                )
        except OSError:
            continue
    supervisor = next(pid for pid, parent in children if parent == stack.process.pid)
    return next(pid for pid, parent in children if parent == supervisor)


def test_a_second_run_may_take_the_same_port_at_once(start_stack: StartStack) -> None:
    first = start_stack(QUEUE)
    outputs = first.ready()
    port = outputs["endpointUrl"].rpartition(":")[2]
    refused = start_stack(QUEUE, arguments=("--json", "--port", port))
    assert refused.wait() == 1
    assert refused.stderr() == (
        f"error: port {port}: Address already in use; choose another with --port, 0 for any free one\n"
    )
    assert refused.left_behind() == []
    # The first one is none the worse, and its connections do not keep the port from the next.
    with socket.create_connection(("127.0.0.1", int(port))):
        assert first.end() == 0
    second = start_stack(QUEUE, arguments=("--json", "--port", port))
    assert second.ready()["endpointUrl"] == outputs["endpointUrl"]
    assert second.end() == 0


REFUSED = {
    "a resource type": (
        'aws.s3.Bucket("pictures")',
        "aws:s3/bucket:Bucket 'pictures': a local run does not know this resource type (local/creators)",
    ),
    "properties": (
        'aws.apigatewayv2.Api("a", protocol_type="HTTP", body="{}", cors_configuration={"novelty": 1})',
        "aws:apigatewayv2/api:Api 'a': properties that a local run cannot honour: body, corsConfiguration.novelty",
    ),
    "a function of the provider": (
        "aws.get_availability_zones()",
        "function aws:index/getAvailabilityZones:getAvailabilityZones of the program is not known locally",
    ),
    "what AWS refuses": (
        'aws.dynamodb.Table("t", billing_mode="PAY_PER_REQUEST", hash_key="id",'
        ' attributes=[{"name": "id", "type": "S"}, {"name": "unused", "type": "S"}])',
        "aws:dynamodb/table:Table 't': dynamodb create_table: ValidationException: One or more parameter values",
    ),
    "the program itself": ('raise pulumi.RunError("count: must be odd")', "count: must be odd"),
    "a broken program": ("[][1]", "the program failed: IndexError: list index out of range (__main__.py:6)"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_honoured_is_one_line_and_leaves_nothing(start_stack: StartStack, what: str) -> None:
    statement, message = REFUSED[what]
    # There is something before it and after it, so that it fails in the middle.
    program = (
        "import pulumi\nimport pulumi_aws as aws\n"
        'first = aws.sqs.Queue("first")\nsecond = aws.sqs.Queue("second", tags={"first": first.arn})\n\n'
        f'{statement}\naws.sqs.Queue("last", tags={{"second": second.arn}})\npulumi.export("url", first.url)\n'
    )
    stack = start_stack(program)
    assert stack.wait() == 1
    assert stack.stderr().startswith(f"error: {message}")
    assert stack.stderr().count("\n") == 1
    assert stack.rest_of_stdout() == ""
    assert stack.left_behind() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("-c", "paint:colour=red"),
            "-c paint:colour: unknown key; allowed: aws:region, count, greeting, names",
        ),
        (("-c", "count=many"), "count: 'many' is not of type integer"),
        (
            ("--port", "http"),
            "argument --port: 'http' is not a port from 0 to 65535; see python -m local up --help",
        ),
        (("--prot", "0"), "unrecognized arguments: --prot 0; see python -m local --help"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    start_stack: StartStack, arguments: tuple[str, ...], message: str
) -> None:
    stack = start_stack(QUEUE, arguments=arguments)
    assert stack.wait() == 2
    assert stack.stderr() == f"error: {message}\n"
    assert stack.left_behind() == []


def test_a_signal_before_the_stack_is_ready_ends_it_too(start_stack: StartStack) -> None:
    program = QUEUE + "import sys, time\nprint('waiting', file=sys.stderr, flush=True)\ntime.sleep(1000)\n"
    stack = start_stack(program)
    wait_for(lambda: "waiting" in stack.stderr(), "the program to wait")
    assert stack.end(signal.SIGTERM) == 128 + signal.SIGTERM
    assert stack.stderr() == "noise of the program\nwaiting\n"
    assert stack.left_behind() == []


def test_people_get_the_outputs_and_a_line_to_try(start_stack: StartStack) -> None:
    program = (
        'import pulumi\npulumi.export("apiUrl", "http://sample/")\npulumi.export("limits", {"most": 3})\n'
    )
    stack = start_stack(program, arguments=("--port", "0"))
    assert stack.process.stdout is not None
    lines: list[str] = []
    while not lines or "Ctrl-C" not in lines[-1]:
        lines.append(stack.process.stdout.readline().decode())
        assert lines[-1], f"status {stack.wait()}, {stack.stderr()}"
    shown = "".join(lines)
    assert 'apiUrl  http://sample/\nlimits  {"most": 3}\n' in shown
    assert "  curl -i http://sample/tasks -H " in shown
    assert stack.end() == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to write to")
def test_outputs_that_cannot_be_written_end_the_stack(tmp_path: Path) -> None:
    program = write_program(tmp_path / "program", QUEUE)
    with Path("/dev/full").open("w") as full:
        stack = StackProcess(program, tmp_path / "temporary", stdout=full)
        try:
            assert stack.wait() == 1
        finally:
            stack.kill()
    assert stack.stderr() == "noise of the program\nerror: No space left on device\n"
    assert stack.left_behind() == []


def test_a_running_stack_tells_of_itself_in_a_file_that_goes_with_it(
    start_stack: StartStack, tmp_path: Path
) -> None:
    stack = start_stack(QUEUE)
    outputs = stack.ready()
    path = told_at(tmp_path, outputs)
    assert json.loads(path.read_text()) == outputs
    assert path.stat().st_mode & 0o777 == 0o600
    assert is_locked(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert stack.end() == 0
    assert list(path.parent.iterdir()) == []


def test_the_file_of_a_killed_stack_is_not_locked_and_the_next_one_there_replaces_it(
    start_stack: StartStack, tmp_path: Path
) -> None:
    stack = start_stack(QUEUE)
    stale = told_at(tmp_path, stack.ready())
    assert stack.end(signal.SIGKILL) == -signal.SIGKILL
    assert not is_locked(stale)
    with told(tmp_path / "program0", int(stale.stem), {"a": 1}):
        assert (json.loads(stale.read_text()), is_locked(stale)) == ({"a": 1}, True)
    assert not stale.exists()


def test_a_stack_that_fails_tells_nobody(start_stack: StartStack, tmp_path: Path) -> None:
    assert start_stack("[][1]").wait() == 1
    assert not (tmp_path / "program0" / "build").exists()


def told_at(tmp_path: Path, outputs: dict[str, Any]) -> Path:
    """The file of the first program's stack."""
    port = outputs["endpointUrl"].rpartition(":")[2]
    return tmp_path / "program0" / "build" / "local-stacks" / f"{port}.json"


def is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_a_missing_emulator_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(LocalError, match=r"not installed in .*emulator; `make local` installs it"):
        Emulator(0, "eu-west-1")


def test_an_emulator_that_does_not_start_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "emulator" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho preparing\necho no room left >&2\nexit 3\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with (
        pytest.raises(LocalError, match=r"^the AWS emulator did not start: exit status 3: no room left$"),
        Emulator(0, "eu-west-1") as emulator,
    ):
        emulator.wait_until_ready()


def test_a_port_of_another_program_is_not_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalError, match=f"port {port}: Address already in use"):
            Emulator(port, "eu-west-1")
