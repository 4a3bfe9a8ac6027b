"""What task types state about themselves, read from their source without running it.

The program checks the stack's configuration against their retry rules before it deploys anything, packs what they
need and grants what they ask for. It must not import them: their modules belong to the functions and need what only
Lambda has.
"""

import ast
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pulumi

from infra.grants import Grant

_DECORATOR = "task_type"
#: Keywords of the decorator that matter to the queue: what each must be, in words and as a test of a number.
_RULES: Mapping[str, tuple[str, Callable[[float], bool]]] = {
    "max_retries": ("whole number of 0 or more", lambda number: isinstance(number, int) and number >= 0),
    "backoff_base_seconds": ("number of 0 or more", lambda number: 0 <= number < math.inf),
    "backoff_max_seconds": ("number of 0 or more", lambda number: 0 <= number < math.inf),
    "time_limit_seconds": ("number over 0", lambda number: 0 < number < math.inf),
}
_NAME = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_ACTION = re.compile(r"[a-z0-9-]+:[A-Za-z0-9]+")
_ARN = re.compile(r"arn:[^:*?]+:[^:*?]+:[^:]*:[^:]*:(?!\*+$).+")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
#: What a resource of a grant may leave to the stack.
_FILLED_IN = ("partition", "region", "account", "prefix")
_PLACE = re.compile(r"\{([^{}]*)\}")


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
        secrets: Its names for its secrets, each with the worker's environment variable that names the parameter.
        packages: Packages that its code needs, as lines of requirements.txt.
        grants: IAM actions of its code, each with the ARNs of its resources.
    """

    name: str
    source: str
    max_retries: float | None = None
    backoff_base_seconds: float | None = None
    backoff_max_seconds: float | None = None
    time_limit_seconds: float | None = None
    secrets: Mapping[str, str] = field(default_factory=dict[str, str])
    packages: tuple[str, ...] = ()
    grants: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


def grants_of(types: Sequence[DeclaredTaskType], prefix: str, arn: pulumi.Output[str]) -> list[Grant]:
    """What the worker may do for its task types.

    Args:
        types: The task types.
        prefix: What stands for ``{prefix}`` in their resources.
        arn: An ARN of this stack. It says what stands for ``{partition}``, ``{region}`` and ``{account}``, which the
            program could otherwise only ask AWS for: a preview would need an account.
    """

    def filled_in(resource: str) -> pulumi.Output[str]:
        def fill(arn: str) -> str:
            _, partition, _, region, account, *_ = arn.split(":")
            return resource.format(partition=partition, region=region, account=account, prefix=prefix)

        return arn.apply(fill)

    return [
        Grant((action,), tuple(map(filled_in, resources)))
        for each in types
        for action, resources in each.grants.items()
    ]


def declared(root: Path) -> list[DeclaredTaskType]:
    """The task types of the files in ``functions/task_types`` under ``root``, in the order of the files.

    Raises:
        pulumi.RunError: A file is not Python, a decorator's arguments are not literals, a function is async, or a
            name is none or that of another type. Every such place is named.
    """
    types: dict[str, DeclaredTaskType] = {}
    problems: list[str] = []
    for path in sorted((root / "functions" / "task_types").rglob("*.py")):
        if path.name.startswith("."):  # an editor's; the package does not take it either
            continue
        source = path.relative_to(root).as_posix()
        try:
            module = ast.parse(path.read_bytes(), filename=source)
        except SyntaxError as error:
            problems.append(f"{source}:{error.lineno}: not valid Python: {error.msg}")
            continue
        for function, call in _decorator_calls(module):
            try:
                found = _read(function, call, source)
            except ValueError as error:
                problems.append(f"{source}:{call.lineno}: {error}")
                continue
            first = types.setdefault(found.name, found)
            if first is not found:
                problems.append(f"{source}:{call.lineno}: {found.name!r} is also declared in {first.source}")
    if problems:
        raise pulumi.RunError("\n  ".join(["Wrong task types:", *problems]))
    return list(types.values())


def _decorator_calls(
    module: ast.Module,
) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, ast.Call]]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and _called_name(decorator) == _DECORATOR:
                    yield node, decorator


def _called_name(call: ast.Call) -> str | None:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return None


def _read(function: ast.stmt, call: ast.Call, source: str) -> DeclaredTaskType:
    """The type that one decorator call declares; a ValueError says what is wrong with it or its function."""
    match call.args:
        case [ast.Constant(value=str(name))]:
            pass
        case _:
            raise ValueError(f"{_DECORATOR} takes the type's name as a literal string")
    if not _NAME.fullmatch(name):
        raise ValueError(f"the name {name!r} is not 1 to 128 of A-Z a-z 0-9 . _ : -")
    if isinstance(function, ast.AsyncFunctionDef):
        raise ValueError(f"the function of {name!r} is async, and nothing would await it; write def")
    rules: dict[str, float] = {}
    others: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise ValueError(f"{_DECORATOR} of {name!r} takes literal keywords, no **")
        value = _literal(keyword.value)
        if keyword.arg in _READERS:
            others[keyword.arg] = _READERS[keyword.arg](value, f"{keyword.arg} of {name!r}")
        if keyword.arg not in _RULES or value is None:
            continue
        wanted, is_good = _RULES[keyword.arg]
        if isinstance(value, bool) or not isinstance(value, int | float) or not is_good(value):
            raise ValueError(f"{keyword.arg} of {name!r} must be a literal {wanted}")
        rules[keyword.arg] = value
    return DeclaredTaskType(name, source, **rules, **others)


def _secrets(value: object, what: str) -> dict[str, str]:
    secrets = _by_text(value)
    if secrets is None:
        raise ValueError(f"{what} must be a literal dict of names and environment variables")
    found: dict[str, str] = {}
    for own, variable in secrets.items():
        if not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
            raise ValueError(f"{what}: {variable!r} is no name of an environment variable")
        found[own] = variable
    return found


def _packages(value: object, what: str) -> tuple[str, ...]:
    lines = _texts(value)
    if lines is None:
        raise ValueError(f"{what} must be a literal list of strings")
    return lines


def _grants(value: object, what: str) -> dict[str, tuple[str, ...]]:
    grants = _by_text(value)
    if grants is None:
        raise ValueError(f"{what} must be a literal dict of IAM actions, each with a list of ARNs")
    found: dict[str, tuple[str, ...]] = {}
    for action, arns in grants.items():
        if not _ACTION.fullmatch(action):
            wrong = "a wildcard" if re.search(r"[*?]", action) else "not like s3:GetObject"
            raise ValueError(f"{what}: action {action!r} is {wrong}; name each action")
        resources = _texts(arns)
        if not resources:
            raise ValueError(f"{what}: action {action!r} has no list of ARNs")
        for resource in resources:
            if {*_PLACE.findall(resource)} - {*_FILLED_IN} or re.search(r"[{}]", _PLACE.sub("", resource)):
                known = ", ".join(f"{{{name}}}" for name in _FILLED_IN)
                raise ValueError(f"{what}: resource {resource!r} of {action} has other braces than {known}")
            if not _ARN.fullmatch(resource):
                raise ValueError(
                    f"{what}: resource {resource!r} of {action} is not like arn:PARTITION:SERVICE:REGION:ACCOUNT:NAME, "
                    "with a name of more than a wildcard"
                )
        found[action] = resources
    return found


_READERS = {"secrets": _secrets, "packages": _packages, "grants": _grants}


def _texts(value: object) -> tuple[str, ...] | None:
    """A list or tuple of strings; None for anything else."""
    if not isinstance(value, list | tuple):
        return None
    items = cast("Sequence[object]", value)
    texts = tuple(item for item in items if isinstance(item, str))
    return texts if len(texts) == len(items) else None


def _by_text(value: object) -> dict[str, object] | None:
    """A dict whose keys are strings; None for anything else."""
    if not isinstance(value, dict):
        return None
    items = cast("dict[object, object]", value)
    found = {name: item for name, item in items.items() if isinstance(name, str)}
    return found if len(found) == len(items) else None


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)
