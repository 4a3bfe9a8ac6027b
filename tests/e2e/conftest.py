"""A local stack per configuration, started as a person starts it, and what tests see of it from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import boto3
import httpx
import pytest

from tests.waiting import PATIENCE_SECONDS, wait_for

from . import rights

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient

REPOSITORY = Path(__file__).resolve().parents[2]

FINISHED = {"COMPLETED", "FAILED"}


class LocalStack:
    """A running local stack: its API, its queues, its logs."""

    def __init__(self, outputs: Mapping[str, str], log: Path) -> None:
        self.url = outputs["apiUrl"]
        self.endpoint_url = outputs["endpointUrl"]
        self.page_url = outputs["dashboardUrl"]
        self.table = outputs["tasksTableName"]
        self.task_queue_url = outputs["taskQueueUrl"]
        self.dead_letter_queue_url = outputs["deadLetterQueueUrl"]
        self.credentials: dict[str, Any] = {
            "endpoint_url": outputs["endpointUrl"],
            "region_name": outputs["region"],
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
        }
        self.dynamodb: DynamoDBClient = boto3.client("dynamodb", **self.credentials)
        self.sqs: SQSClient = boto3.client("sqs", **self.credentials)
        self.iam: IAMClient = boto3.client("iam", **self.credentials)
        self.functions: LambdaClient = boto3.client("lambda", **self.credentials)
        self._cloudwatch: Any = cast("Any", boto3).client("logs", **self.credentials)
        self._log = log
        # Python's resolver may not know the names below localhost that the API answers to.
        address = httpx.URL(self.url)
        self.http = httpx.Client(
            base_url=address.copy_with(host="127.0.0.1"),
            headers={"host": address.netloc.decode()},
            timeout=30,
        )

    def submit(self, task_id: str, **fields: Any) -> dict[str, Any]:
        """Submits a new task."""
        answer = self.http.post("/tasks", json={"taskId": task_id, "payload": {"seconds": 0}} | fields)
        assert answer.status_code == 202, answer.text
        return answer.json()

    def task(self, task_id: str) -> dict[str, Any]:
        """A task as the API shows it."""
        answer = self.http.get(f"/tasks/{task_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def finished(self, task_id: str) -> dict[str, Any]:
        """Waits until a task is finished."""

        def look() -> dict[str, Any] | None:
            task = self.task(task_id)
            return task if task["status"] in FINISHED else None

        return wait_for(look, f"the end of {task_id}")

    def tasks(self, **query: str) -> list[dict[str, Any]]:
        """The whole list, page by page."""
        tasks: list[dict[str, Any]] = []
        while True:
            answer = self.http.get("/tasks", params={"limit": "100"} | query)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            tasks += page["tasks"]
            if "nextCursor" not in page:
                return tasks
            query["cursor"] = page["nextCursor"]

    def messages(self, url: str) -> int:
        """How many messages a queue holds, visible or not."""
        attributes = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return sum(
            int(attributes[name])
            for name in ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        )

    def wait_until_idle(self) -> None:
        """Waits until both queues are empty."""
        for url in (self.task_queue_url, self.dead_letter_queue_url):
            wait_for(lambda url=url: self.messages(url) == 0, f"an empty {url}")

    def sweep(self) -> None:
        """Has the sweep run now, as its schedule does."""
        self._invoke("sweep-tasks")

    def examine_dead_letters(self) -> None:
        """Has the monitor run now, as its schedule does; on a stack where the queue calls it, it does so by itself."""
        name = "tasks-local-monitor-dlq"
        if not self.functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]:
            self._invoke("monitor-dlq")

    def _invoke(self, function: str) -> None:
        answer = self.functions.invoke(FunctionName=f"tasks-local-{function}")
        assert "FunctionError" not in answer, answer["Payload"].read().decode()

    def dead_letters(self, task_id: str) -> list[dict[str, Any]]:
        """The lines by which the monitor reported dead letters of a task."""
        return [
            line
            for line in self.logs()
            if line.get("eventType") == "DLQ_MESSAGE" and line.get("taskId") == task_id
        ]

    def data_items(self, task_id: str) -> list[dict[str, Any]]:
        """What the table holds of a task besides its record: large data."""
        items: list[Any] = self.dynamodb.query(
            TableName=self.table,
            KeyConditionExpression="taskId = :id AND begins_with(part, :data)",
            ExpressionAttributeValues={":id": {"S": task_id}, ":data": {"S": "data#"}},
        )["Items"]
        return items

    def configure(self, environment: Mapping[str, str]) -> None:
        """Adds variables to the environment of every function, which has each start anew, as a deployment does."""
        names = [function["FunctionName"] for function in self.functions.list_functions()["Functions"]]  # pyright: ignore[reportTypedDictNotRequiredAccess]
        for name in names:
            present = self.functions.get_function_configuration(FunctionName=name)
            variables = present.get("Environment", {}).get("Variables", {})
            self.functions.update_function_configuration(
                FunctionName=name, Environment={"Variables": {**variables, **environment}}
            )

        def settled() -> bool:
            states = [
                self.functions.get_function_configuration(FunctionName=name)["LastUpdateStatus"]
                for name in names
            ]
            return set(states) == {"Successful"}

        wait_for(settled, "the restart of all functions")

    def logs(self) -> list[dict[str, Any]]:
        """Every structured line that the functions logged so far, as the stack prints it."""
        lines: list[dict[str, Any]] = []
        for line in self._log.read_text().splitlines():
            text = line[line.find("{") :] if "{" in line else ""
            try:
                lines.append(json.loads(text))
            except ValueError:
                continue
        return lines

    def log_groups(self) -> dict[str, list[str]]:
        """Every line of every log group, those of the platform included."""
        groups = self._cloudwatch.get_paginator("describe_log_groups").paginate()
        events = self._cloudwatch.get_paginator("filter_log_events")
        return {
            group["logGroupName"]: [
                event["message"]
                for page in events.paginate(logGroupName=group["logGroupName"])
                for event in page["events"]
            ]
            for groups_page in groups
            for group in groups_page["logGroups"]
        }


@contextmanager
def running(
    log: Path, *config: str, environment: Mapping[str, str] | None = None, roles_enforced: bool = False
) -> Generator[LocalStack]:
    """A local stack with this configuration over the defaults of a local run.

    With `roles_enforced` its functions may do only what their roles allow; so they may with RIGHTS_DIR in the
    environment, and what they were granted and what they used of it is written to a file there.
    """
    options = [argument for value in config for argument in ("-c", value)]
    rights_dir = os.environ.get("RIGHTS_DIR")
    if rights_dir or roles_enforced:
        options.append("--enforce-roles")
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "local", "up", "--json", "--port", "0", *options],
            cwd=REPOSITORY,
            env={**os.environ, **(environment or {}), "TMPDIR": str(log.parent)},
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    assert process.stdout
    try:
        line = process.stdout.readline()
        assert line, log.read_text()
        stack = LocalStack(json.loads(line), log)
        yield stack
        if rights_dir:
            report = {"granted": rights.granted(stack), "used": rights.noted(stack, "allowed")}
            (Path(rights_dir) / f"{uuid4()}.json").write_text(json.dumps(report, default=sorted))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)
        process.stdout.close()


def run_client(stack: LocalStack, command: str, *options: str) -> tuple[int, dict[str, Any]]:
    """Runs the command-line client against a stack; returns its exit code and what it printed as JSON."""
    arguments: Sequence[str] = (sys.executable, "-m", "client", command, stack.url, "--json", *options)
    done = subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="session")
def reliable(tmp_path_factory: pytest.TempPathFactory) -> Generator[LocalStack]:
    """A stack whose simulated tasks never fail by themselves."""
    with running(
        tmp_path_factory.mktemp("reliable") / "log", "failureRate=0", "backoffBaseSeconds=1"
    ) as stack:
        yield stack


@pytest.fixture(scope="session")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Generator[LocalStack]:
    """A stack on which every simulated task fails."""
    log = tmp_path_factory.mktemp("failing") / "log"
    with running(log, "failureRate=1", "maxRetries=2", "backoffBaseSeconds=1") as stack:
        yield stack
