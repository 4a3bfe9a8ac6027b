"""Puts the plain baseline into an emulator that runs already, beside whatever is there.

    stack = deploy("http://127.0.0.1:4566")

So both are measured in the same emulator, within seconds of each other. By itself, in an emulator of its own, it
runs as any program does: `local.cli.main(["up", "--json", "--port", "0"], PROGRAM)`.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROGRAM = Path(__file__).resolve().parent
_REPOSITORY = PROGRAM.parents[1]


@dataclass(frozen=True)
class PlainStack:
    """Where the deployed baseline is.

    Attributes:
        api_url: its API; `/tasks` and `/empty` are below.
        table: name of the table; its items have `taskId`, `status`, `createdAt`, `updatedAt`.
        queue_url: the task queue.
    """

    api_url: str
    table: str
    queue_url: str


def deploy(endpoint: str) -> PlainStack:
    """Create the baseline's resources at an endpoint such as `http://127.0.0.1:4566`.

    In a process of its own: the Pulumi SDK evaluates one program per process.

    Raises:
        RuntimeError: it was not created; the text says why.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.plain.deployment", endpoint],
        cwd=_REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the plain baseline was not deployed: {done.stderr.strip()[-2000:]}")
    outputs = json.loads(done.stdout.splitlines()[-1])
    return PlainStack(outputs["apiUrl"], outputs["tasksTableName"], outputs["taskQueueUrl"])


def _main(endpoint: str) -> None:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # The Pulumi SDK takes seconds to load, and whoever imports `deploy` needs none of it.
    from local import aws, config, program  # noqa: PLC0415

    aws.forget_user_settings()
    project = config.read_project(PROGRAM)
    deployment = program.deploy(
        project, "local", config.stack_config(project, "local", []), aws.Aws(endpoint, config.DEFAULT_REGION)
    )
    print(json.dumps(deployment.outputs))  # noqa: T201 - read by deploy


if __name__ == "__main__":
    _main(sys.argv[1])
