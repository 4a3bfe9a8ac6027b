"""The project's own stack on this machine, as a benchmark uses it: a child process, told to do no work."""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import boto3

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_lambda import LambdaClient

REPOSITORY = Path(__file__).resolve().parents[1]
REGION = "us-east-1"

#: Workers at a time, as many as AWS allows at least; more take each other's place on two cores.
WORKERS = 2

#: A task without any work of its own, so that what is measured is everything around it.
NO_WORK: Mapping[str, Any] = {"seconds": 0}


def credentials(endpoint: str) -> dict[str, Any]:
    """What a boto3 client needs to talk to an emulator."""
    return {
        "endpoint_url": endpoint,
        "region_name": REGION,
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }


class Stack:
    """A running local stack; leaving its context ends it. Raises RuntimeError when it does not start."""

    def __init__(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed on exit
        #: When it was asked for, as `time.monotonic()`.
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            [
                "make",
                "-s",
                "local",
                f"ARGS=--json --port 0 -c failureRate=0 -c workerMaxConcurrency={WORKERS}",
            ],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for the benchmark, which ends the stack itself
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise RuntimeError(f"the stack did not start: {self.log()[-2000:]}")
        outputs: Mapping[str, str] = json.loads(line)
        self.url = outputs["apiUrl"]
        self.endpoint = outputs["endpointUrl"]
        self.table = outputs["tasksTableName"]
        self.connections_table = self.table.removesuffix("-tasks") + "-connections"
        self.task_queue_url = outputs["taskQueueUrl"]
        self.dead_letter_queue_url = outputs["deadLetterQueueUrl"]
        self.dynamodb: DynamoDBClient = boto3.client("dynamodb", **credentials(self.endpoint))
        self.functions: LambdaClient = boto3.client("lambda", **credentials(self.endpoint))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        # make and the command that it runs.
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()

    def log(self) -> str:
        """What the functions have logged so far, a line each: the function's name, a space, what it printed."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def settled_log(self) -> str:
        """The log, once a second passed without a new line: it is followed, and comes a little late."""
        text = self.log()
        while True:
            time.sleep(1)
            before, text = text, self.log()
            if text == before:
                return text

    def stop_schedules(self) -> None:
        """Let the clock start nothing any more."""
        events: EventBridgeClient = boto3.client("events", **credentials(self.endpoint))
        for rule in events.list_rules()["Rules"]:
            events.disable_rule(Name=rule.get("Name", ""))

    def configure(self, name: str, environment: Mapping[str, str]) -> None:
        """Add variables to the environment of the function whose name ends so."""
        for function in self.functions.list_functions()["Functions"]:
            full_name = function.get("FunctionName", "")
            if full_name.endswith(name):
                present = function.get("Environment", {}).get("Variables", {})
                self.functions.update_function_configuration(
                    FunctionName=full_name, Environment={"Variables": {**present, **environment}}
                )
