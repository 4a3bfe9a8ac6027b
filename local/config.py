"""The program's configuration as the Pulumi CLI would hand it over: defaults, then the stack's file, then `-c`.

The SDK knows neither defaults nor types: the CLI merges and checks them before a program starts. This does the
same, and what the CLI lets pass for a program to judge (ranges, undeclared keys) passes here too. An undeclared key
of the command line is a secret to the program: an optional secret is what cannot be declared, as the CLI refuses its
default.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from local.errors import ConfigError, LocalError

#: The region of a stack whose config names none.
DEFAULT_REGION = "us-east-1"

REGION_KEY = "aws:region"


@dataclass(frozen=True)
class Project:
    """What `Pulumi.yaml` says: the project's name and its config keys (qualified) with their declarations."""

    directory: Path
    name: str
    declared: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class StackConfig:
    """What a program reads through `pulumi.Config`.

    Attributes:
        values: every value by its qualified key, as text, in the form that `pulumi.Config` reads.
        secrets: the keys whose values are secret.
    """

    values: Mapping[str, str] = field(repr=False)
    secrets: frozenset[str] = frozenset()


def read_project(directory: Path) -> Project:
    """Read `Pulumi.yaml` of a program's directory. Raises LocalError when it is missing or no project file."""
    path = directory / "Pulumi.yaml"
    content = _read_yaml(path)
    name = content.get("name")
    if not isinstance(name, str) or not name:
        raise LocalError(f"{path.name}: the project has no name")
    declared: dict[str, Mapping[str, Any]] = {}
    for key, declaration in _mapping(content.get("config"), f"{path.name}: config").items():
        long_form = isinstance(declaration, dict)
        declared[_qualified(name, key)] = (
            cast("dict[str, Any]", declaration) if long_form else {"default": declaration}
        )
    return Project(directory, name, declared)


def stack_config(project: Project, stack: str, overrides: Sequence[str]) -> StackConfig:
    """Merge and check the configuration of one stack.

    Args:
        project: what `Pulumi.yaml` declares.
        stack: the stack's name; its file is `Pulumi.<stack>.yaml`.
        overrides: `key=value` texts of the command line, or `key` for the value of the environment variable of that
            name. A value for an array or object is JSON.

    Raises:
        ConfigError: naming each key that is unknown, missing, encrypted or of the wrong type. The value of a secret
            is not shown, nor that of a key that may be a misspelt secret's.
        LocalError: when the stack has no file, or a file that cannot be read.
    """
    values = _stack_values(project, stack)
    encrypted = {key for key, value in values.items() if _is_encrypted(value)}
    secrets = encrypted | {key for key, declaration in project.declared.items() if declaration.get("secret")}
    problems: list[str] = []
    for override in overrides:
        try:
            key, value = _override(project, override, secrets)
        except ConfigError as error:
            problems.append(str(error))
        else:
            values[key] = value
            encrypted.discard(key)
            if key not in project.declared and key != REGION_KEY:
                secrets.add(key)
    problems += [
        f"{_short(project, key)}: is encrypted in Pulumi.{stack}.yaml and cannot be read here; give it with "
        f"-c {_short(project, key)} (docs/local-stack.md)"
        for key in sorted(encrypted)
    ]
    for key, declaration in project.declared.items():
        if key not in values:
            value = declaration.get("default", declaration.get("value"))
            if value is None:
                if _namespace(key) == project.name:
                    problems.append(
                        f"{_short(project, key)}: no value, and Pulumi.yaml has no default for it"
                    )
                continue
            values[key] = value
        type_name = declaration.get("type")
        # A plain number or boolean in a stack's file is text to the CLI, so it fits a string key.
        value = values[key] if isinstance(values[key], dict | list) else _as_text(values[key])
        if type_name is not None and key not in encrypted and not _has_type(value, declaration):
            shown = "[secret]" if key in secrets else repr(_as_text(value))
            problems.append(f"{_short(project, key)}: {shown} is not of type {_type_name(declaration)}")
    if problems:
        raise ConfigError("; ".join(problems))
    return StackConfig({key: _as_text(value) for key, value in values.items()}, frozenset(secrets))


def _stack_values(project: Project, stack: str) -> dict[str, Any]:
    path = project.directory / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        stacks = sorted(found.name.split(".")[1] for found in project.directory.glob("Pulumi.*.yaml"))
        raise LocalError(
            f"no stack {stack!r}: {path.name} is missing (there are: {', '.join(stacks) or 'none'})"
        )
    content = _read_yaml(path)
    if content.get("environment"):
        raise LocalError(f"{path.name}: 'environment' needs Pulumi's service and cannot be read locally")
    config = _mapping(content.get("config"), f"{path.name}: config")
    return {_qualified(project.name, key): value for key, value in config.items()}


def _is_encrypted(value: Any) -> bool:
    """Whether there is a secret in it as the CLI writes it, `{secure: ...}`, maybe in an array or object."""
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value)
        return items.keys() == {"secure"} or any(map(_is_encrypted, items.values()))
    return isinstance(value, list) and any(map(_is_encrypted, cast("list[Any]", value)))


def _override(project: Project, override: str, secrets: set[str]) -> tuple[str, Any]:
    name, separator, text = override.partition("=")
    if not name:
        raise ConfigError("-c: is not of the form key=value")
    key = _qualified(project.name, name)
    if key not in project.declared and key != REGION_KEY and _namespace(key) != project.name:
        allowed = ", ".join(
            sorted({_short(project, declared) for declared in project.declared} | {REGION_KEY})
        )
        raise ConfigError(f"-c {name}: unknown key; allowed: {allowed}")
    if not separator:
        if name not in os.environ:
            raise ConfigError(f"-c {name}: no value: neither {name}=... nor an environment variable {name}")
        text = os.environ[name]
    type_name = project.declared.get(key, {}).get("type")
    if type_name in {"array", "object"}:
        try:
            return key, json.loads(text)
        except ValueError:
            shown = "[secret]" if key in secrets else repr(text)
            raise ConfigError(f"{name}: {shown} is no JSON {type_name}") from None
    return key, text


def _is_integer(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        digits = value[1:] if value[:1] in {"+", "-"} else value
        return digits.isascii() and digits.isdigit()
    return isinstance(value, int)


#: The CLI's idea of each type: a text that reads as an integer or a boolean is one.
_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": _is_integer,
    "boolean": lambda value: isinstance(value, bool) or value in {"true", "false"},
    "object": lambda value: isinstance(value, dict),
}


def _has_type(value: Any, declaration: Mapping[str, Any]) -> bool:
    type_name = str(declaration["type"])
    if type_name == "array":
        items: Mapping[str, Any] = declaration.get("items") or {}
        return isinstance(value, list) and all(
            "type" not in items or _has_type(item, items) for item in cast("list[Any]", value)
        )
    if type_name not in _CHECKS:
        raise LocalError(f"Pulumi.yaml: config type {type_name!r} is not one of array, {', '.join(_CHECKS)}")
    # An unhashable value is of no type that is looked up in a set.
    if isinstance(value, dict | list):
        return type_name == "object" and isinstance(value, dict)
    return _CHECKS[type_name](value)


def _type_name(declaration: Mapping[str, Any]) -> str:
    items: Mapping[str, Any] | None = declaration.get("items")
    return f"array of {_type_name(items)}" if items else str(declaration["type"])


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LocalError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LocalError(f"{path}: {' '.join(str(error).split())}") from None
    return _mapping(content, path.name)


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise LocalError(f"{where}: must be a mapping")
    return {str(key): item for key, item in cast("dict[Any, Any]", value).items()}


def _qualified(project: str, key: str) -> str:
    return key if ":" in key else f"{project}:{key}"


def _namespace(key: str) -> str:
    return key.partition(":")[0]


def _short(project: Project, key: str) -> str:
    return key.removeprefix(f"{project.name}:")
