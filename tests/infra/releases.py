"""What a release may not take from the functions at once, because the code of the release before still needs it.

AWS updates the configuration of a function and its code by two calls, and what calls it before or after both. Between
them the old code runs with the new configuration. docs/deploying.md has the rule.
"""

import ast
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

from tests.infra.stacks import Program, evaluate_tree

FUNCTION = "lambda/function:Function"
#: A stack, and what it sets besides its own configuration.
Setting = tuple[str, Mapping[str, str]]
#: The stacks as the repository configures them, and all that gives a function variables or a trigger of its own.
WITH_OPTIONS: Setting = ("dev", {"dlqMonitorTrigger": "queue", "webhookSecret": f"whsec_{'MfKQ' * 8}"})
COMPARED: tuple[Setting, ...] = (("dev", {}), ("prod", {}), WITH_OPTIONS)


def previous_tag(repository: Path) -> str | None:
    """The newest tag `v*` before HEAD; None if there is none, or no history."""
    command = ("git", "tag", "--list", "v*", "--merged=HEAD", "--no-contains=HEAD", "--sort=-version:refname")
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    return next(iter(done.stdout.splitlines()), None)


def is_shallow(repository: Path) -> bool:
    """Whether the clone lacks a part of the history, and so perhaps the tag."""
    command = ("git", "rev-parse", "--is-shallow-repository")
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    return done.stdout.strip() == "true"


def unpack(repository: Path, tag: str, folder: Path) -> Path:
    """Write the tree of a tag into a folder, with the packages that are already downloaded; returns the folder."""
    archive = folder.with_suffix(".tar")
    subprocess.run(("git", "archive", f"--output={archive}", tag), cwd=repository, check=True)
    with tarfile.open(archive) as tree:
        tree.extractall(folder, filter="data")
    wheels = repository / "build" / "wheels"
    if wheels.is_dir():
        shutil.copytree(wheels, folder / "build" / "wheels")
    return folder


def taken(before: Path, now: Path, settings: Sequence[Setting] = COMPARED) -> list[str]:
    """What the program in `now` takes from the functions whose code is in `before`, each with the function's name."""
    problems = {
        problem
        for stack, options in settings
        for problem in _compare(before, _program(before, stack, options), now, _program(now, stack, options))
    }
    return sorted(problems)


def _program(root: Path, stack: str, options: Mapping[str, str]) -> Program:
    program = evaluate_tree(root, stack, **options)
    assert program.error is None, program.error
    return program


def _compare(before: Path, old: Program, now: Path, new: Program) -> Iterator[str]:
    declared = {function["name"]: function["inputs"] for function in new.of_type(FUNCTION)}
    for function in old.of_type(FUNCTION):
        name, was = function["name"], function["inputs"]
        if name in declared:
            yield from _changed_handler(name, was["handler"], before, declared[name]["handler"], now)
            yield from _missing_variables(name, was, before, declared[name])


def _changed_handler(name: str, was: str, before: Path, is_: str, now: Path) -> Iterator[str]:
    if was == is_:
        return
    if not _defines(before, is_):
        yield f"{name}: the handler is {is_}, which the code of the release before does not have; add it first"
    if not _defines(now, was):
        yield f"{name}: the handler was {was}, which the code does not have any more; remove it in the next release"


def _missing_variables(
    name: str, was: Mapping[str, Any], before: Path, is_: Mapping[str, Any]
) -> Iterator[str]:
    gone = was["environment"]["variables"].keys() - is_["environment"]["variables"].keys()
    if gone:
        for variable in sorted(gone & _texts(before / "functions", was["handler"])):
            yield f"{name}: the variable {variable} is gone, which the code of the release before reads"


def _defines(root: Path, handler: str) -> bool:
    """Whether the code has a function of this name at the top of this module."""
    module, _, function = handler.rpartition(".")
    path = root / "functions" / f"{module}.py"
    return path.is_file() and any(
        isinstance(node, ast.FunctionDef) and node.name == function
        for node in ast.parse(path.read_bytes()).body
    )


def _texts(functions: Path, handler: str) -> set[str]:
    """Every string in the modules that a handler imports, and in the task types: the names that it can read."""
    finder = ModuleFinder([str(functions)])
    finder.run_script(str(functions / f"{handler.rpartition('.')[0]}.py"))
    files: list[str | None] = [getattr(module, "__file__", None) for module in finder.modules.values()]
    imported = {Path(file) for file in files if file}
    return {
        node.value
        for path in {*imported, *(functions / "task_types").rglob("*.py")}
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
