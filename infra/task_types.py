"""The retry rules that task types set for themselves, read from their source without running it.

The program checks the stack's configuration against them before it deploys anything. It must not import
them: their modules belong to the functions and need what only Lambda has.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pulumi

_DECORATOR = "task_type"
#: Keywords of the decorator that matter to the queue.
_RULES = ("max_retries", "backoff_base_seconds", "backoff_max_seconds", "time_limit_seconds")


@dataclass(frozen=True)
class DeclaredTaskType:
    """A task type and what it sets for itself; None leaves a rule to the stack.

    Attributes:
        name: Name of the type, as clients send it.
        source: File that declares it, relative to the project.
        max_retries: Retries after the first attempt.
        backoff_base_seconds: Seconds before the first retry.
        backoff_max_seconds: Most seconds before any retry.
        time_limit_seconds: Seconds after which an attempt is ended.
    """

    name: str
    source: str
    max_retries: float | None = None
    backoff_base_seconds: float | None = None
    backoff_max_seconds: float | None = None
    time_limit_seconds: float | None = None


def declared(root: Path) -> list[DeclaredTaskType]:
    """The task types of ``functions/task_types/*.py`` under ``root``, in the order of their files.

    Raises:
        pulumi.RunError: A file is not Python, a decorator's arguments are not literals, or two types share a
            name. Every such place is named.
    """
    types: dict[str, DeclaredTaskType] = {}
    problems: list[str] = []
    for path in sorted((root / "functions" / "task_types").glob("*.py")):
        source = path.relative_to(root).as_posix()
        try:
            module = ast.parse(path.read_bytes(), filename=source)
        except SyntaxError as error:
            problems.append(f"{source}:{error.lineno}: not valid Python: {error.msg}")
            continue
        for call in _decorator_calls(module):
            try:
                found = _read(call, source)
            except ValueError as error:
                problems.append(f"{source}:{call.lineno}: {error}")
                continue
            first = types.setdefault(found.name, found)
            if first is not found:
                problems.append(f"{source}:{call.lineno}: {found.name!r} is also declared in {first.source}")
    if problems:
        raise pulumi.RunError("\n  ".join(["Wrong task types:", *problems]))
    return list(types.values())


def _decorator_calls(module: ast.Module) -> Iterator[ast.Call]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and _called_name(decorator) == _DECORATOR:
                    yield decorator


def _called_name(call: ast.Call) -> str | None:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return None


def _read(call: ast.Call, source: str) -> DeclaredTaskType:
    """The type that one decorator call declares; a ValueError says what is wrong with the call."""
    match call.args:
        case [ast.Constant(value=str(name))]:
            pass
        case _:
            raise ValueError(f"{_DECORATOR} takes the type's name as a literal string")
    rules: dict[str, float] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise ValueError(f"{_DECORATOR} of {name!r} takes literal keywords, no **")
        if keyword.arg not in _RULES:
            continue
        value = _literal(keyword.value)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ValueError(f"{keyword.arg} of {name!r} must be a literal number of 0 or more")
        rules[keyword.arg] = value
    return DeclaredTaskType(name, source, **rules)


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)
