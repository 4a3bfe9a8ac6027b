"""An execution environment of Lambda: AWS's runtime client with one function, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Any, Self

from infra.function import RUNTIME
from tests.functions import ENVIRONMENT
from tests.waiting import wait_for

from .runtime_api import Report, RuntimeApi

#: That of the emulated AWS.
REGION = ENVIRONMENT["AWS_DEFAULT_REGION"]

#: What AWS's image of the runtime is made of: the client, boto3 and their Python (`make .venv/.runtime`).
PYTHON = Path(sys.prefix) / "runtime" / "bin" / "python"

#: The client as Lambda starts it.
_STARTED = ["-m", "awslambdaric"]

#: The same with a snapshot in between. Its hooks surround the function's own: the state of `random` in the snapshot
#: must not be that of what is restored from it.
_RESTORED = """
import random, sys
from snapshot_restore_py import register_after_restore, register_before_snapshot

@register_before_snapshot
def snapshot():
    state = random.getstate()

    @register_after_restore
    def compare():
        if random.getstate() == state:
            raise RuntimeError("random goes on as the snapshot does")

from awslambdaric.__main__ import main
main(sys.argv)
"""


@dataclass(frozen=True)
class Function:
    """A function as the program declares it."""

    name: str
    handler: str
    variables: Mapping[str, str]
    logging: Mapping[str, str]
    has_snapshot: bool

    @classmethod
    def of(cls, resource: Mapping[str, Any]) -> Self:
        """A declared `lambda/function:Function`."""
        inputs = resource["inputs"]
        return cls(
            resource["name"],
            inputs["handler"],
            inputs["environment"]["variables"],
            inputs["loggingConfig"],
            has_snapshot="snapStart" in inputs,
        )


class ExecutionEnvironment:
    """A started function; leaving its context kills it, as Lambda does with one that it needs no more.

    Args:
        function: The function.
        package: The folder that the deployed zip is unpacked to.
        variables: Environment variables that the stack sets, and others than the program declares.
        from_snapshot: Take a snapshot after the start; the function then waits for `restore`.
    """

    def __init__(
        self, function: Function, package: Path, variables: Mapping[str, str], *, from_snapshot: bool = False
    ) -> None:
        self.api = RuntimeApi()
        environment = {
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{RUNTIME}",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start" if from_snapshot else "on-demand",
            "AWS_LAMBDA_LOG_FORMAT": function.logging["logFormat"],
            "AWS_LAMBDA_LOG_LEVEL": function.logging["applicationLogLevel"],
            "AWS_LAMBDA_RUNTIME_API": self.api.address,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "LAMBDA_TASK_ROOT": str(package),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "_HANDLER": function.handler,
            "PYTHONDONTWRITEBYTECODE": "1",  # the package is as it was unpacked, and stays so
            **function.variables,
            **variables,
        }
        if from_snapshot:
            # Its credentials change while the snapshot is kept, so they cannot be in the environment.
            environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = self.api.credentials_url
            environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = self.api.token
        else:
            environment |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        self._output: list[str] = []
        self._process = subprocess.Popen(
            [str(PYTHON), *(["-c", _RESTORED] if from_snapshot else _STARTED), function.handler],
            cwd=package,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.api.__exit__()

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as output:
            self._output.extend(output)

    def invoke(self, event: object, milliseconds: int = 30_000) -> Report:
        """What the function answers to an event, or why it failed, within so much time."""
        request_id = self.api.send(event, milliseconds)
        report = wait_for(self.report, "an answer")
        assert report.request_id == request_id, report
        return report

    def report(self) -> Report | None:
        """What the client told last and nobody has seen; None when it tells nothing."""
        has_ended = self._process.poll() is not None
        try:
            return self.api.reports.get_nowait()
        except Empty:
            assert not has_ended, "".join(self._output)
            return None

    def restore(self) -> None:
        """Wait for the snapshot, and go on from it."""
        is_due = wait_for(lambda: self.api.is_snapshot_due.is_set() or self.report(), "the snapshot")
        assert is_due is True, is_due
        self.api.restore()

    def kill(self) -> list[str]:
        """End it as Lambda does. Returns what it logged, once nothing that it started can log any more."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        return self._output
