"""The functions as Lambda has them: the deployed package unpacked, run by a Python that has boto3 and no more.

On Lambda the package's folder is read-only and comes without bytecode, so each cold start compiles it.
"""

import os
import subprocess
import tempfile
import zipfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.stack import REGION, REPOSITORY
from infra import package

#: What every function may ask of its environment, with the defaults of Pulumi.yaml.
ENVIRONMENT: Mapping[str, str] = {
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "POWERTOOLS_SERVICE_NAME": "benchmark",
    "POWERTOOLS_METRICS_NAMESPACE": "benchmark",
    "TASKS_TABLE": "tasks",
    "TASK_QUEUE_URL": "http://127.0.0.1:9/queue/tasks",
    "DEAD_LETTER_QUEUE_URL": "http://127.0.0.1:9/queue/dead-letters",
    "LIST_SHARDS": "1",
    "MESSAGE_RETENTION_DAYS": "14",
    "TASK_RETENTION_DAYS": "0",
    "SWEEP_BEHIND_SECONDS": "120",
    "MAX_RETRIES": "2",
    "BACKOFF_BASE_SECONDS": "2",
    "BACKOFF_MAX_SECONDS": "900",
    "BACKOFF_JITTER": "0.1",
    "FAILURE_RATE": "0",
    "WORKER_TIMEOUT_SECONDS": "30",
    "VISIBILITY_TIMEOUT_SECONDS": "180",
}


@dataclass(frozen=True, slots=True)
class Package:
    """The unpacked package."""

    folder: Path

    def run(
        self, *arguments: str | Path, environment: Mapping[str, str] | None = None, bytecode: bool = True
    ) -> str:
        """Run Python with the package on its path and return what it printed.

        Args:
            arguments: as for `python`.
            environment: over the default one.
            bytecode: keep the package's bytecode from run to run; without, each run compiles it.

        Raises:
            RuntimeError: it failed; the text holds its last words.
        """
        done = subprocess.run(
            [REPOSITORY / ".venv" / "emulator" / "bin" / "python", *arguments],
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(self.folder),
                **({} if bytecode else {"PYTHONDONTWRITEBYTECODE": "1"}),
                **ENVIRONMENT,
                **(environment or {}),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{arguments[-1]} failed: {done.stderr.strip()[-2000:]}")
        return done.stdout


@contextmanager
def unpacked() -> Generator[Package]:
    """The package as it would be deployed now, in a folder of its own."""
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(REPOSITORY / package.build(REPOSITORY)) as archive,
    ):
        archive.extractall(folder)
        yield Package(Path(folder))
