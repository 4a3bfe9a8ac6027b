"""Runs `python -m local up` on a program of a test's own, and sees what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from tests.waiting import PATIENCE_SECONDS

REPOSITORY = Path(__file__).resolve().parents[2]

PULUMI_YAML = """
name: sample
runtime: python
config:
  greeting: {type: string, default: hello}
  count: {type: integer, default: 1}
  names: {type: array, items: {type: string}, default: []}
"""

_MAIN = "import sys, pathlib, local.cli; sys.exit(local.cli.main(sys.argv[2:], pathlib.Path(sys.argv[1])))"


def write_program(directory: Path, program: str, functions: Mapping[str, str] | None = None) -> Path:
    """Write a Pulumi project with the given `__main__.py` and a function.zip of the given files; return its place."""
    directory.mkdir()
    (directory / "Pulumi.yaml").write_text(PULUMI_YAML)
    (directory / "Pulumi.local.yaml").write_text("config: {}\n")
    (directory / "__main__.py").write_text(program)
    with zipfile.ZipFile(directory / "function.zip", "w") as archive:
        for name, text in (functions or {}).items():
            archive.writestr(name, text)
    return directory


def get(outputs: dict[str, Any], path: str) -> Any:
    """GET a path of the stack's API: the name in the Host header, the connection to loopback."""
    request = urllib.request.Request(
        outputs["endpointUrl"] + path, headers={"Host": outputs["apiUrl"].removeprefix("http://")}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
        return json.load(response)


class StackProcess:
    """One `up` in a process of its own, with temporary files in a place of its own.

    Attributes:
        log: the file of its standard error.
    """

    def __init__(
        self,
        program: Path,
        temporary: Path,
        arguments: Sequence[str] = ("--json", "--port", "0"),
        environment: Mapping[str, str] | None = None,
        stdout: TextIO | None = None,
    ) -> None:
        temporary.mkdir(exist_ok=True)
        self._temporary = temporary
        self.log = temporary.with_suffix(".stderr")
        with self.log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _MAIN, str(program), "up", *arguments],
                cwd=REPOSITORY,
                stdout=stdout or subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **(environment or {}), "TMPDIR": str(temporary)},
            )

    def ready(self) -> dict[str, Any]:
        """Wait for the JSON line and return it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the stack did not become ready: status {self.wait()}, {self.stderr()}"
        return json.loads(line)

    def stderr(self) -> str:
        return self.log.read_text()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        return self.process.wait(PATIENCE_SECONDS)

    def rest_of_stdout(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.read().decode()

    def left_behind(self) -> list[str]:
        """Temporary files, and processes that were started with this temporary directory."""
        marker = f"TMPDIR={self._temporary}".encode()
        processes: list[str] = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if marker in (entry / "environ").read_bytes():
                    processes.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:  # ended meanwhile, or another user's
                continue
        return processes + [str(path) for path in self._temporary.iterdir()]

    def kill(self) -> None:
        """End what a failed test left running."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
