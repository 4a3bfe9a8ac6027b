"""Every command that the documents show is run here, or is a make target, or is checked against the program."""

from __future__ import annotations

import difflib
import importlib.util
import re
import shlex
import shutil
import subprocess
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from tests.docs.documents import (
    DOCUMENTS,
    README,
    ROOT,
    Command,
    File,
    all_commands,
    commands,
    files,
    text_of,
)
from tests.docs.kinds import Kind, kind, of_kind
from tests.docs.outputs import comparable
from tests.docs.shell import MAKE, Shell, complete, make_local, terminal

pytestmark = pytest.mark.xdist_group("docs")

#: Nothing of the walk depends on luck; a document that says so in its own `make local` shows the same.
_WITHOUT_LUCK = "failureRate=0"

_READS = re.compile(r"curl \S+$|python -m client (?:get|list|info|logs)\s")


def test_somebody_vouches_for_every_command() -> None:
    assert [str(command) for command in all_commands() if kind(command) is None] == []


def test_the_commands_of_each_kind_are_found() -> None:
    assert {kind(command) for command in commands(README)} == set(Kind)


@pytest.mark.parametrize("command", of_kind(Kind.MADE), ids=str)
def test_make_knows_what_the_documents_make(command: Command) -> None:
    target, *arguments = shlex.split(command.text)[1:]
    assert re.search(rf"^{target}:.*  ## ", text_of("Makefile"), re.MULTILINE), (
        f"{target} is not in make help"
    )
    recipe = _recipe(target, *arguments)
    for argument in arguments:
        value = argument.split("=", 1)[1]
        assert value in recipe, f"{target} does not use {argument}: {recipe}"
    for module in re.findall(r" -m ([\w.]+)", recipe):
        assert importlib.util.find_spec(module), f"{target} runs {module}, which is not there"


def test_make_knows_every_target_in_a_sentence() -> None:
    declared = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"`make ([a-z]+)", text_of(document)))
        assert named <= declared, document


def test_the_client_knows_every_command_in_a_sentence() -> None:
    from client.cli import COMMANDS  # noqa: PLC0415 - slow to import

    for document in DOCUMENTS:
        named = set(re.findall(r"-m client ([a-z]+)", text_of(document)))
        assert named <= set(COMMANDS), document


def _recipe(*arguments: str) -> str:
    done = subprocess.run(
        [*MAKE, "--dry-run", "--no-print-directory", *arguments],
        cwd=ROOT,
        env=terminal(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the repository, made as the README says, with the files that the documents tell to create."""
    missing = [name for name in ("bash", "git", "curl") if not shutil.which(name)]
    if missing or not (ROOT / ".git").exists():
        pytest.skip(f"a newcomer needs bash, git, curl and a repository; missing: {missing or '.git'}")
    folder = tmp_path_factory.mktemp("newcomer")
    first, second = (command for command in commands(README) if re.match("git clone|cd ", command.text))
    with closing(Shell(folder, REPOSITORY=str(ROOT))) as shell:
        status, output = shell.run(f"{first.text} && {second.text} && pwd")
    assert status == 0, output
    clone = Path(output.strip().splitlines()[-1])
    complete(clone)
    for file in files():
        if not (ROOT / file.path).exists():
            (clone / file.path).write_text(file.content)
    return clone


@pytest.fixture(scope="module")
def introduction(clone: Path) -> Generator[str]:
    """What `make local` prints in the clone; the stack runs meanwhile."""
    [command] = {each.text for each in commands(README) if _WITHOUT_LUCK in each.text}
    with make_local(clone, command, clone.parent / "log") as introduction:
        yield introduction


def test_a_newcomer_creates_a_task_type_its_test_and_a_program(clone: Path) -> None:
    created = {file.path for file in files() if not (ROOT / file.path).exists()}
    assert created == {"functions/task_types/word_count.py", "tests/functions/test_word_count.py", "ask.py"}
    for path in created:
        for check in (("format", "--check"), ("check", "--ignore=T20")):  # a program of theirs prints
            done = subprocess.run(
                [".venv/bin/ruff", *check, path], cwd=clone, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", files(), ids=str)
def test_what_is_shown_of_a_file_is_in_it(file: File, clone: Path) -> None:
    there = iter((clone / file.path).read_text().splitlines())
    for line in filter(None, file.content.splitlines()):
        assert any(line == other.split("  # noqa")[0] for other in there), line


@pytest.mark.long
def test_what_the_documents_show_is_what_happens(clone: Path, introduction: str) -> None:
    wrong: list[str] = []
    port = re.findall(r"localhost:(\d+)", introduction)[0]
    run = set(of_kind(Kind.RUN))
    with closing(Shell(clone, REPOSITORY=str(ROOT))) as shell:
        for command in all_commands():
            if re.match("make local", command.text):
                wrong += _difference(command, introduction if command.output else "")
            elif command in run and not re.match("git clone|cd ", command.text):
                wrong += _difference(command, _output(shell, command, port))
    assert wrong == [], "\n".join(wrong)


def _output(shell: Shell, command: Command, port: str) -> str:
    text = command.text.replace("4566", port)
    if command.output and _READS.match(command.text):
        return shell.run_until(text, lambda output: comparable(output) == comparable(command.output))
    status, output = shell.run(text)
    if not command.output:
        assert status == 0, f"{command}\n{output}"
        return ""
    return output


def _difference(command: Command, real: str) -> list[str]:
    shown, happens = (comparable(text).splitlines() for text in (command.output, real))
    if shown == happens:
        return []
    return [str(command), *difflib.unified_diff(shown, happens, "shown", "real", lineterm="", n=0), ""]
