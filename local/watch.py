"""Keeps the running functions as new as the program's files: `up --watch`."""

import ast
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from local.aws import Aws
from local.config import StackConfig
from local.creators.lambda_ import ALIAS, update_code
from local.errors import LocalError
from local.program import Deployment
from local.program_files import Change, ProgramFiles
from local.replay import Difference, Request

#: Seconds that a look at the program may take to end on request.
_END_SECONDS = 2


class Watch:
    """Within its context, a change of the program's files reaches the functions, and what cannot is said.

    A change is taken whole or not at all: code that cannot be loaded, or that comes with other resources, leaves
    what runs as it is.

    Args:
        files: to watch, as they were before they were deployed.
        config: what the stack was created with.
        overrides: its `-c` options.
        aws: where it is.
        deployment: what was created.
        say: told each line.
    """

    def __init__(
        self,
        files: ProgramFiles,
        config: StackConfig,
        overrides: Sequence[str],
        aws: Aws,
        deployment: Deployment,
        say: Callable[[str], None],
    ) -> None:
        self._files = files
        self._config = config
        self._overrides = overrides
        self._aws = aws
        self._deployment = deployment
        self._say = say
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._standby = _start_replay()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ended.set()
        _end(self._standby)  # which ends the look that the thread may be waiting for
        self._thread.join(_END_SECONDS)
        _end(self._standby)  # the next one, if it was just being started

    def _run(self) -> None:
        while (change := self._files.next_change(self._ended.wait)) is not None:
            try:
                text = self._take(change)
            except LocalError as error:
                text = f"not updated, the old code still runs: {error}"
            if not self._ended.is_set():
                self._say(text)

    def _take(self, change: Change) -> str:
        """Bring a change into the functions; what to say of it."""
        _parse(self._files.directory, change)
        found = self._look(change)
        if found.others:
            more = f" and {len(found.others) - 1} more" if len(found.others) > 1 else ""
            return f"restart for this: {change} changes {found.others[0]}{more}"
        aliases = [each.properties for each in found.resources if each.token == ALIAS]
        for function in found.functions:
            update_code(self._aws, function.properties, aliases)
        self._deployment = Deployment(self._deployment.outputs, found.resources)
        self._files.take()
        if not found.functions:
            return f"nothing to update: {change}"
        names = (
            f"{len(found.functions)} functions"
            if len(found.functions) > 1
            else found.functions[0].properties["name"]
        )
        return f"updated: {names} ({change}), {time.monotonic() - change.began:.1f} s"

    def _look(self, change: Change) -> Difference:
        request = Request(
            self._files.directory,
            self._files.stack,
            self._overrides,
            self._config,
            self._aws.endpoint_url,
            self._aws.region,
            self._deployment,
            change.paths,
        )
        process = self._standby
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pickle.dump(request, process.stdin)
            process.stdin.close()
            answer: Difference | LocalError = pickle.load(process.stdout)  # noqa: S301 - from our own child
        except (OSError, EOFError, pickle.UnpicklingError):  # it ended before its answer, or within it
            raise LocalError(f"the program's evaluation ended with exit status {process.wait()}") from None
        finally:
            process.wait()
            process.stdout.close()
            if not self._ended.is_set():
                self._standby = _start_replay()
        if isinstance(answer, LocalError):
            raise answer
        return answer


def _parse(directory: Path, change: Change) -> None:
    """Say at once what is not Python, also where nothing imports it."""
    for path in change.paths:
        file = directory / path
        if file.suffix == ".py" and file.is_file():
            try:
                ast.parse(file.read_bytes(), filename=path)
            except SyntaxError as error:
                raise LocalError(f"{path}:{error.lineno}: not valid Python: {error.msg}") from None
            except (OSError, ValueError) as error:
                raise LocalError(f"{path}: not valid Python: {error}") from None


def _start_replay() -> "subprocess.Popen[bytes]":
    """A process that loads the SDK and waits for its request; the end of this one ends it too."""
    return subprocess.Popen(
        [sys.executable, "-m", "local.replay_process"],
        cwd=Path(__file__).resolve().parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the command alone
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End it with what it started, such as pip."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            # The group may be gone by now; macOS calls that a lack of permission.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
