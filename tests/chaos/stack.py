"""The system under test: a local stack of the scratch program, and what the harness does to it from outside."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import boto3
import httpx
from botocore.config import Config
from tasklib import clock
from tasklib.store import Recheck, TaskStore
from tasklib.task import created_key

from tests.chaos.program import REPOSITORY

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient

_MAIN = "import sys, pathlib, local.cli; sys.exit(local.cli.main(sys.argv[2:], pathlib.Path(sys.argv[1])))"

#: Seconds after which a function's process is surely ready for calls.
_COLD_START = 3.0

#: Ends of the functions' names.
WORKER = "process-tasks"
SUBMIT = "submit-tasks"
SWEEP = "sweep-tasks"
MONITOR = "monitor-dlq"


class Stack:
    """A running local stack; leaving its context ends it.

    Args:
        program: the Pulumi program's directory.
        log: file for everything that the stack prints.
        config: values over the stack's own.

    Raises:
        RuntimeError: it does not start; the text holds its last words.
    """

    def __init__(self, program: Path, log: Path, config: Mapping[str, str | int]) -> None:
        options = [part for key, value in config.items() for part in ("-c", f"{key}={value}")]
        with log.open("w") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _MAIN, str(program), "up", "--json", "--port", "0", *options],
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=stderr,
                # Ctrl-C is for the harness, which ends the stack itself.
                start_new_session=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise RuntimeError(f"the stack did not start: {log.read_text()[-2000:]}")
        outputs: Mapping[str, str] = json.loads(line)
        self.endpoint = outputs["endpointUrl"]
        self.table = outputs["tasksTableName"]
        self.task_queue = outputs["taskQueueUrl"]
        self.dead_letter_queue = outputs["deadLetterQueueUrl"]
        self.shards = int(config.get("listShards", 1))
        self.dynamodb: DynamoDBClient = aws_client("dynamodb", self.endpoint)
        self.sqs: SQSClient = aws_client("sqs", self.endpoint)
        self.lambda_: LambdaClient = aws_client("lambda", self.endpoint)
        # Python's resolver may not know the names below localhost that the API answers to.
        address = httpx.URL(outputs["apiUrl"])
        self.http = httpx.Client(
            base_url=address.copy_with(host="127.0.0.1"),
            headers={"host": address.netloc.decode()},
            timeout=30,
            limits=httpx.Limits(max_connections=None),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.http.close()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def assert_running(self) -> None:
        """Raises RuntimeError when the stack has ended by itself."""
        if self._process.poll() is not None:
            raise RuntimeError(f"the stack ended with status {self._process.returncode}")

    def configure(
        self, environment: Mapping[str, str], *, only: str = "", timeout_seconds: int | None = None
    ) -> None:
        """Add variables to the environment of every function, or of the `only` one, and perhaps set its time-out."""
        for name in self._names():
            if name.endswith(only):
                present = self.lambda_.get_function_configuration(FunctionName=name)
                variables = present.get("Environment", {}).get("Variables", {})
                self.lambda_.update_function_configuration(
                    FunctionName=name,
                    Environment={"Variables": {**variables, **environment}},
                    Timeout=timeout_seconds or present.get("Timeout", 3),
                )

    def invoke(self, function: str) -> None:
        """Call a function as the clock would; how it ends is its own business."""
        (name,) = (name for name in self._names() if name.endswith(function))
        self.lambda_.invoke(FunctionName=name, Payload=b"{}")

    def sweep(self) -> None:
        """Call the sweep, to which everything that it has noted for the next two days seems to be due."""
        store, now = TaskStore(self.dynamodb, self.table), clock.now()
        due, in_two_days = created_key("", now), created_key("", now + 2 * clock.DAY)
        for shard in map(str, range(self.shards)):
            for noted in store.rechecks(shard, in_two_days):
                if noted.place >= due:
                    _, _, name = noted.place.partition("#")
                    store.add_recheck(Recheck(shard, created_key(name, now - 1), noted.task_ids))
                    store.remove_recheck(noted)
        self.invoke(SWEEP)

    def open_stream(self) -> str:
        """Have the table keep the history of its items; returns the stream's ARN."""
        answer = self.dynamodb.update_table(
            TableName=self.table,
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        return answer["TableDescription"].get("LatestStreamArn", "")

    def messages(self) -> int:
        """How many messages both queues hold, visible or not."""
        names: Sequence[Any] = (
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        )
        total = 0
        for url in (self.task_queue, self.dead_letter_queue):
            attributes = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            total += sum(int(attributes.get(name, "0")) for name in names)
        return total

    def processes(self, function: str) -> list[int]:
        """The processes that the emulator started for a function, as Lambda starts its own, less the newest.

        When one dies before it is ready for its first call, the emulator ends all others of its function with it.
        """
        port = f"GATEWAY_PORT={httpx.URL(self.endpoint).port}".encode()
        found: list[int] = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if time.time() - entry.stat().st_ctime < _COLD_START:
                    continue
                command = (entry / "cmdline").read_bytes().split(b"\0")
                variables = (entry / "environ").read_bytes().split(b"\0")
            except OSError:  # ended meanwhile, or another user's
                continue
            named = any(
                variable.startswith(b"AWS_LAMBDA_FUNCTION_NAME=") and variable.endswith(function.encode())
                for variable in variables
            )
            if named and port in variables and len(command) > 1 and command[1].endswith(b"_worker.py"):
                found.append(int(entry.name))
        return found

    def kill(self, pid: int) -> bool:
        """SIGKILL a function's process; False when it was gone already."""
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def _names(self) -> list[str]:
        return [entry.get("FunctionName", "") for entry in self.lambda_.list_functions()["Functions"]]


def aws_client(service: str, endpoint: str) -> Any:
    """A client of the harness's own: patient, and used by several threads."""
    # Not every service that is used has stubs here, so the client is anything.
    return cast("Any", boto3).client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(max_pool_connections=32, read_timeout=120, retries={"mode": "standard"}),
    )
