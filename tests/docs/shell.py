"""A newcomer's machine: a clone of the repository, a shell in it, and the local stack started there."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.documents import ROOT

#: More than any wait of a document takes, even on a busy machine.
_PATIENCE_SECONDS = 30.0
_END = "::the end of a command::"
#: The environment is shared with the clone: nothing is to be installed into it.
MAKE = ("make", "-o", ".venv/.run", "-o", ".venv/.emulator")


def terminal() -> dict[str, str]:
    """The environment of a terminal: without what the make that runs the tests tells those below it."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"
    }


class Shell:
    """A bash of a person who types one command after another."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self._process = subprocess.Popen(
            ["bash", "--norc"],
            cwd=directory,
            env=terminal() | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # On a terminal, curl shows no progress.
        self.run('curl() { command curl --silent --show-error "$@"; }')

    def run(self, command: str) -> tuple[int, str]:
        """The exit status of a command and what it printed."""
        assert self._process.stdin
        assert self._process.stdout
        # With another standard input, or a program would read the commands that follow.
        self._process.stdin.write(f"{{ {command}\n}} </dev/null; echo; echo '{_END}' $?\n")
        self._process.stdin.flush()
        lines: list[str] = []
        for line in self._process.stdout:
            if line.startswith(_END):
                return int(line.removeprefix(_END)), "".join(lines).removesuffix("\n")
            lines.append(line)
        raise AssertionError(f"the shell ended with: {command}")

    def run_until(self, command: str, is_as_wanted: Callable[[str], bool]) -> str:
        """Repeats a command that only reads until its output is as wanted; the last output."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            output = self.run(command)[1]
            if is_as_wanted(output) or time.monotonic() > end:
                return output
            time.sleep(0.2)

    def close(self) -> None:
        """Ends the shell."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def complete(clone: Path) -> None:
    """Brings what is not committed into a clone, and what an earlier set-up would have left there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--modified", "--deleted", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, set(listed.stdout.split("\0"))):
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
        else:
            (clone / name).unlink(missing_ok=True)
    (clone / ".venv").symlink_to((ROOT / ".venv").resolve())
    if (ROOT / "build" / "wheels").is_dir():
        shutil.copytree(ROOT / "build" / "wheels", clone / "build" / "wheels")


@contextmanager
def make_local(clone: Path, command: str, log: Path) -> Generator[str]:
    """What a `make local` of a document prints, on any free port; it runs meanwhile, and Ctrl-C ends it."""
    _, *arguments = shlex.split(command)
    if not any(argument.startswith("ARGS=") for argument in arguments):
        arguments.append("ARGS=")
    arguments = [
        f"{argument} --port 0" if argument.startswith("ARGS=") else argument for argument in arguments
    ]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*MAKE, *arguments],
            cwd=clone,
            env=terminal() | {"TMPDIR": str(log.parent)},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
    assert process.stdout
    try:
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C ends everything" in line:
                break
        else:
            raise AssertionError(log.read_text())
        yield "".join(lines)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)
        process.stdout.close()
