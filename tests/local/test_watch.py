"""`up --watch`: a change of the functions reaches the running stack, and what is wrong with it does not."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.program_files import Change, ProgramFiles
from tests.e2e.conftest import LocalStack
from tests.local.stack_process import REPOSITORY, StackProcess
from tests.waiting import wait_for

GREETING = """
from tasklib.task_type import Attempt, task_type

@task_type("greeting", time_limit_seconds=5)
def greeting(data, attempt: Attempt):
    return {"said": "hello"}
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A copy of this project's program."""
    directory = tmp_path / "copy"
    for folder in ("functions", "infra", "build/wheels"):
        if (REPOSITORY / folder).is_dir():
            shutil.copytree(
                REPOSITORY / folder, directory / folder, ignore=shutil.ignore_patterns("__pycache__")
            )
    for name in ("__main__.py", "Pulumi.yaml", "Pulumi.local.yaml"):
        shutil.copy(REPOSITORY / name, directory)
    return directory


@pytest.fixture
def watched(program: Path, tmp_path: Path) -> Iterator[StackProcess]:
    options = ("--json", "--port", "0", "--watch", "-c", "failureRate=0")
    stack = StackProcess(program, tmp_path / "temporary", options)
    yield stack
    stack.kill()


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="what is left behind is looked up in /proc")
def test_the_running_stack_follows_its_files(program: Path, watched: StackProcess, tmp_path: Path) -> None:
    stack = LocalStack(watched.ready(), watched.log)
    source = program / "functions" / "task_types" / "greeting.py"
    read = 0

    def save(text: str, said: str) -> str:
        """Save the file as editors do; returns what was said of it."""
        nonlocal read
        read = len(watched.stderr())
        draft = source.with_name(".greeting.py.swp")
        draft.write_text(text)
        draft.replace(source)

        def lines() -> str | None:
            return next(
                (line for line in watched.stderr()[read:].splitlines() if line.startswith(said)), None
            )

        return wait_for(lines, said)

    def greet(task_id: str) -> str:
        stack.submit(task_id, type="greeting", payload={})
        return stack.finished(task_id)["result"]["said"]

    line = save(GREETING, "updated:")
    assert line.startswith("updated: 12 functions (functions/task_types/greeting.py), "), line
    assert greet("first") == "hello"

    line = save(f"{GREETING}def broken(:\n", "not updated")
    assert line == (
        "not updated, the old code still runs: functions/task_types/greeting.py:7: not valid Python: invalid syntax"
    )
    line = save(GREETING.replace("time_limit", "payload=int, time_limit"), "not updated")
    assert line.startswith(
        "not updated, the old code still runs: functions/task_types/greeting.py:4: TypeError: "
    )
    assert greet("second") == "hello"

    save(GREETING.replace('"hello"', '"welcome"'), "updated:")
    assert greet("third") == "welcome"
    assert watched.end() == 0
    assert watched.left_behind() == []


def steps(*edits: Callable[[], object]) -> Callable[[float], bool]:
    """Stands for the pauses between looks: an edit in each of them, then the end."""
    rest = list(edits)

    def wait(_seconds: float) -> bool:
        if not rest:
            return True
        rest.pop(0)()
        return False

    return wait


def nothing() -> None:
    """A pause in which nobody writes."""


def next_change(files: ProgramFiles, *edits: Callable[[], object]) -> Change | None:
    return files.next_change(steps(*edits))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "functions" / "task_types").mkdir(parents=True)
    for name in ("__main__.py", "Pulumi.yaml", "functions/a.py", "functions/b.py"):
        (tmp_path / name).write_text("")
    return tmp_path


def test_a_burst_of_writes_is_one_change_when_it_is_over(folder: Path) -> None:
    files = ProgramFiles(folder, "local")
    a, b, new = (folder / "functions" / name for name in ("a.py", "b.py", "task_types/new.py"))
    change = next_change(files, lambda: a.write_text("1"), b.unlink, lambda: new.write_text("2"), nothing)
    assert change
    assert change.paths == ["functions/a.py", "functions/b.py", "functions/task_types/new.py"]
    assert next_change(files, nothing, nothing) is None


def test_an_unfinished_burst_is_no_change_yet(folder: Path) -> None:
    files = ProgramFiles(folder, "local")
    a = folder / "functions" / "a.py"
    assert next_change(files, lambda: a.write_text("1"), lambda: a.write_text("22")) is None
    change = next_change(files, nothing, nothing)
    assert change
    assert change.paths == ["functions/a.py"]


def test_a_file_that_takes_the_place_of_another_is_a_change(folder: Path) -> None:
    files = ProgramFiles(folder, "local")
    draft = folder / "functions" / "b.py~"
    draft.write_text("")
    change = next_change(files, lambda: draft.replace(folder / "functions" / "b.py"), nothing)
    assert change
    assert change.paths == ["functions/b.py"]


def test_what_was_not_taken_is_named_again_with_the_next_change(folder: Path) -> None:
    files = ProgramFiles(folder, "local")
    assert next_change(files, lambda: (folder / "__main__.py").write_text("1"), nothing)
    change = next_change(files, lambda: (folder / "Pulumi.local.yaml").write_text(""), nothing)
    assert change
    assert change.paths == ["Pulumi.local.yaml", "__main__.py"]
    files.take()
    change = next_change(files, (folder / "Pulumi.local.yaml").unlink, nothing)
    assert change
    assert change.paths == ["Pulumi.local.yaml"]


@pytest.mark.parametrize(
    "name", [".a.py.swp", "a.py~", "#a.py#", "__pycache__/a.pyc", ".git/x", "../build/x"]
)
def test_what_editors_and_python_leave_is_no_change(folder: Path, name: str) -> None:
    files = ProgramFiles(folder, "local")
    path = folder / "functions" / name
    path.parent.mkdir(exist_ok=True)
    assert next_change(files, lambda: path.write_text("1"), nothing) is None
