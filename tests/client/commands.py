"""Runs the commands as people and scripts do: as processes, on a terminal or not; or within this process."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from client.cli import app

ROOT = Path(__file__).parents[2]
#: More than any command of a test takes.
SECONDS = 30


@contextmanager
def started(*args: str, **options: Any) -> Generator[subprocess.Popen[str]]:
    """`python -m client ...` as a process; ended when the test is."""
    with spawned([sys.executable, "-m", "client", *args], **options) as client:
        yield client


@contextmanager
def spawned(command: Sequence[str], **options: Any) -> Generator[subprocess.Popen[str]]:
    """A command as a process with pipes for what it prints, unless `options` say otherwise."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.DEVNULL, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def run(*args: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a process."""
    with started(*args) as process:
        out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def invoke(*args: str) -> tuple[int, str, str]:
    """The same within this process, for what needs none of its own."""
    result = CliRunner().invoke(app, args)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@contextmanager
def terminal() -> Generator[tuple[int, list[str]]]:
    """A pseudo-terminal: the end for a process, and a list that gets its text when the context ends."""
    ours, theirs = pty.openpty()
    seen: list[str] = []
    try:
        yield theirs, seen
    finally:
        os.close(theirs)
        content = b""
        with suppress(OSError):  # how a pseudo-terminal says that its other end is closed
            while block := os.read(ours, 65_536):
                content += block
        os.close(ours)
        seen.append(content.decode())
