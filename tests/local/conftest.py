"""Stacks of programs that the tests bring along."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.local.stack_process import StackProcess, write_program

#: Starts a stack: the program's text, the files of its function.zip, then the arguments of StackProcess.
StartStack = Callable[..., StackProcess]


@pytest.fixture
def start_stack(tmp_path: Path) -> Iterator[StartStack]:
    """Starts stacks and, whatever the test did, ends them."""
    started: list[StackProcess] = []

    def start(
        program: str,
        functions: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = ("--json", "--port", "0"),
        environment: Mapping[str, str] | None = None,
    ) -> StackProcess:
        number = len(started)
        directory = write_program(tmp_path / f"program{number}", program, functions)
        started.append(StackProcess(directory, tmp_path / f"temporary{number}", arguments, environment))
        return started[-1]

    yield start
    for stack in started:
        stack.kill()
