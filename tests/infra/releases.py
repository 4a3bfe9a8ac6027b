"""What a release may not take from the functions at once, because the code of the release before still needs it.

AWS updates the rights of a function, its configuration and its code by separate calls, one after the other. In between,
the old code runs with the new rights and the new configuration. docs/deploying.md has the rule.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

from tests.infra.stacks import Program, evaluate_tree

FUNCTION = "lambda/function:Function"
POLICY = "iam/rolePolicy:RolePolicy"
#: A stack, and what it sets besides its own configuration.
Setting = tuple[str, Mapping[str, str]]
#: The stacks as the repository configures them, and all that gives a function variables or a trigger of its own.
WITH_OPTIONS: Setting = ("dev", {"dlqMonitorTrigger": "queue", "webhookSecret": f"whsec_{'MfKQ' * 8}"})
COMPARED: tuple[Setting, ...] = (("dev", {}), ("prod", {}), WITH_OPTIONS)
#: A function and a right that the code of the release before has but does not use, such as
#: ("process-tasks", "dynamodb:GetItem"). That cannot be seen in the code, so a person writes it here, and takes it
#: away after the release that removes the right.
UNUSED_RIGHTS: frozenset[tuple[str, str]] = frozenset()


def previous_tag(repository: Path) -> str | None:
    """The newest release before HEAD, by its version: a tag such as v1.2.3. None if there is none, or no repository.

    Raises:
        subprocess.CalledProcessError: when git refuses to read the repository.
    """
    if not _is_repository(repository):
        return None
    tags = _git(repository, "tag", "--list", "v*", "--merged=HEAD", "--no-contains=HEAD").splitlines()
    releases = [tag for tag in tags if re.fullmatch(r"v\d+\.\d+\.\d+", tag)]
    return max(releases, key=lambda tag: [int(part) for part in tag[1:].split(".")], default=None)


def lacks(repository: Path) -> str | None:
    """Which part of the history a clone lacks, and so perhaps the tag of the release before; None if it has all."""
    if not _is_repository(repository):
        return None
    if _git(repository, "rev-parse", "--is-shallow-repository").strip() == "true":
        return "the clone is shallow"
    # The status is 1 if nothing is configured.
    configured = _run(repository, "config", "--get-regexp", r"^remote\..*\.tagopt$").stdout
    return "the clone is without tags" if "--no-tags" in configured else None


def _is_repository(folder: Path) -> bool:
    done = _run(folder, "rev-parse", "--git-dir")
    if done.returncode and "not a git repository" not in done.stderr:
        done.check_returncode()
    return done.returncode == 0


def _git(repository: Path, *arguments: str) -> str:
    done = _run(repository, *arguments)
    done.check_returncode()
    return done.stdout


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    english = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(
        ("git", *arguments), cwd=folder, env=english, capture_output=True, text=True, check=False
    )


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


def taken(
    before: Path,
    now: Path,
    settings: Sequence[Setting] = COMPARED,
    unused: Collection[tuple[str, str]] = UNUSED_RIGHTS,
) -> list[str]:
    """What the program in `now` takes from the functions whose code is in `before`, each with the function's name."""
    problems = {
        problem
        for stack, options in settings
        for problem in _compare(
            before, _old_program(before, stack, options), now, _program(now, stack, options), unused
        )
    }
    return sorted(problems)


def _program(root: Path, stack: str, options: Mapping[str, str]) -> Program:
    program = evaluate_tree(root, stack, **options)
    assert program.error is None, program.error
    return program


def _old_program(root: Path, stack: str, options: Mapping[str, str]) -> Program:
    """The program of the release before, with those of the options that it knows."""
    unknown = re.findall(
        r"^ *(\w+): not a key of this project",
        evaluate_tree(root, stack, **options).error or "",
        re.MULTILINE,
    )
    return _program(root, stack, {key: value for key, value in options.items() if key not in unknown})


def _compare(
    before: Path, old: Program, now: Path, new: Program, unused: Collection[tuple[str, str]]
) -> Iterator[str]:
    declared = {function["name"]: function["inputs"] for function in new.of_type(FUNCTION)}
    for function in old.of_type(FUNCTION):
        name, was = function["name"], function["inputs"]
        if name in declared:
            yield from _changed_handler(name, was["handler"], before, declared[name]["handler"], now)
            yield from _missing_variables(name, was, before, declared[name])
            yield from _missing_rights(name, old, new, unused)


def _changed_handler(name: str, was: str, before: Path, becomes: str, now: Path) -> Iterator[str]:
    if was == becomes:
        return
    if not _defines(before, becomes):
        yield (
            f"{name}: the handler is {becomes}, which the code of the release before does not have; add it first"
        )
    if not _defines(now, was):
        yield f"{name}: the handler was {was}, which the code does not have any more; remove it in the next release"


def _missing_variables(
    name: str, was: Mapping[str, Any], before: Path, becomes: Mapping[str, Any]
) -> Iterator[str]:
    gone = was["environment"]["variables"].keys() - becomes["environment"]["variables"].keys()
    if gone:
        for variable in sorted(gone & _texts(before / "functions", was["handler"])):
            yield f"{name}: the variable {variable} is gone, which the code of the release before reads"


def _missing_rights(
    name: str, old: Program, new: Program, unused: Collection[tuple[str, str]]
) -> Iterator[str]:
    for action, resource in sorted(rights(old, name) - rights(new, name)):
        if (name, action) not in unused:
            yield f"{name}: the right to {action} on {resource} is gone, which the release before has"


def rights(program: Program, function: str) -> set[tuple[str, str]]:
    """What a function may do: each action with each resource."""
    return {
        (action, resource)
        for statement in json.loads(program.inputs(POLICY, function)["policy"])["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


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
