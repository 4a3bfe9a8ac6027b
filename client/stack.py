"""Stacks by name: what one puts out, deployed or running on this machine."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.errors import excerpt
from client.fields import fields_of, optional

#: The project, whose stacks these are.
ROOT = Path(__file__).resolve().parents[1]

#: Where each running local stack keeps a file, locked and named by its port: what `python -m local up --json` prints.
LOCAL_STACKS = ROOT / "build" / "local-stacks"

#: What a deployed stack may be called: its name, or organization/project/name.
STACK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+){0,2}")

#: The name of what runs on this machine: the newest, or the one at a port.
LOCAL_NAME = re.compile(r"local(:(?P<port>[0-9]{1,5}))?")

#: Seconds for the Pulumi CLI, which may ask a server far away.
PULUMI_SECONDS = 60


class StackError(Exception):
    """There is no such stack, or no way to hear of it; the text, one line, is for a person."""


@dataclass(frozen=True, slots=True)
class Stack:
    """What is known of a stack.

    Attributes:
        name: what a person calls it.
        outputs: its outputs by name.
        endpoint_url: of AWS's API for it; None for AWS itself.
        region: its AWS region; None if the user's settings say it.
    """

    name: str
    outputs: Mapping[str, object]
    endpoint_url: str | None = None
    region: str | None = None

    def output(self, name: str) -> str | None:
        """A text among the outputs, if it is there."""
        try:
            return optional(self.outputs, name, str)
        except ValueError:
            return None

    @property
    def prefix(self) -> str:
        """What the names of its functions begin with, as in tasks-dev-; raises StackError if it does not tell."""
        table = self.output("tasksTableName") or ""
        if not table.endswith("-tasks"):
            raise StackError(
                f"the stack {self.name} has no output tasksTableName, by which its logs are found"
            )
        return table.removesuffix("tasks")


def find(name: str) -> Stack:
    """The stack of this name.

    Raises:
        StackError: there is none, or the Pulumi CLI, which knows deployed ones, fails or is missing.
    """
    if found := LOCAL_NAME.fullmatch(name):
        return _find_local(found["port"])
    if not STACK_NAME.fullmatch(name):
        raise StackError(f"{name!r:.100} is neither a stack's name nor a URL that begins with https://")
    outputs = _pulumi_outputs(name)
    if not outputs:
        raise StackError(f"the stack {name} has no outputs: it is not deployed")
    queue = str(outputs.get("taskQueueUrl", ""))
    region = re.match(r"https://sqs\.([a-z0-9-]+)\.amazonaws\.com", queue)
    return Stack(name, outputs, region=region and region[1])


def stack_names(incomplete: str) -> list[str]:
    """Names that a shell may complete: local stacks that run, and those with a Pulumi.<name>.yaml."""
    names = ["local", *(stack.name for stack in _running())]
    names += [path.name.split(".", 1)[1].removesuffix(".yaml") for path in sorted(ROOT.glob("Pulumi.*.yaml"))]
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


def _find_local(port: str | None) -> Stack:
    running = list(_running())
    for stack in running:
        if port is None or stack.name == f"local:{port}":
            return stack
    if port is None or not running:
        raise StackError("no local stack is running; `make local` starts one")
    names = ", ".join(stack.name for stack in running)
    raise StackError(f"no local stack is running at port {port}; there is {names}")


def _running() -> Iterator[Stack]:
    """The local stacks that run, the newest first."""
    files: list[tuple[float, Path]] = []
    for path in LOCAL_STACKS.glob("*.json"):
        try:
            files.append((path.stat().st_mtime, path))
        except OSError:
            continue  # its stack has just ended
    for _, path in sorted(files, reverse=True):
        text = _held(path)
        if text is not None:
            yield _local_stack(path.stem, text)


def _held(path: Path) -> str | None:
    """The text of a file whose stack still runs, and so holds its lock; None of one that was killed."""
    import fcntl  # noqa: PLC0415 - not there on Windows, nor are local stacks

    try:
        with path.open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read()
    except OSError:
        pass
    return None


def _local_stack(port: str, text: str) -> Stack:
    outputs = dict(fields_of(json.loads(text)))
    endpoint_url, region = str(outputs.pop("endpointUrl")), str(outputs.pop("region"))
    return Stack(f"local:{port}", outputs, endpoint_url, region)


def _pulumi_outputs(name: str) -> Mapping[str, object]:
    command = ["pulumi", "stack", "output", "--json", "--non-interactive", "--stack", name]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PULUMI_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise StackError(
            "the Pulumi CLI, which knows the outputs of deployed stacks, is not installed"
            " (https://www.pulumi.com/docs/install/); `info` also takes the API's URL"
        ) from None
    except OSError as error:
        raise StackError(f"the Pulumi CLI cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise StackError(f"the Pulumi CLI was silent for {PULUMI_SECONDS} s: {' '.join(command)}") from None
    if done.returncode != 0:
        raise StackError(f"the Pulumi CLI knows no outputs of the stack {name}: {_last_line(done.stderr)}")
    try:
        value: Any = json.loads(done.stdout)
        return fields_of(value)
    except ValueError:
        raise StackError(
            f"the Pulumi CLI told no outputs of the stack {name}: {_last_line(done.stdout)}"
        ) from None


def _last_line(output: bytes) -> str:
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    return excerpt(lines[-1]).removeprefix("error: ") if lines else "it said nothing"
