"""The stacks of this project as the Pulumi CLI would see them, and what the program declares for each."""

import functools
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

ROOT = Path(__file__).resolve().parents[2]
STACKS = ("dev", "prod", "local")
#: What a person has to set before a stack's first preview.
OWN_SETTINGS = {
    "prod": {"tasks:jwtIssuer": "https://id.example.com/tenant/", "tasks:jwtAudience": "tasks"},
}

Resource = Mapping[str, Any]


@dataclass(frozen=True)
class Program:
    """What one evaluation declared.

    Attributes:
        resources: Every resource: urn, type, name, parent, protect, dependencies (all, and by property), inputs and
            which of them are secrets.
        outputs: The stack's outputs; ``<unknown>`` in a preview of what AWS computes.
        error: The message for the user if the program ended itself.
        config: The configuration that it was given, as strings by key.
    """

    resources: tuple[Resource, ...]
    outputs: Mapping[str, Any]
    error: str | None
    config: Mapping[str, str]

    def of_type(self, type_: str) -> list[Resource]:
        """Resources of a type such as ``sqs/queue:Queue``."""
        return [resource for resource in self.resources if resource["type"] == f"aws:{type_}"]

    def one(self, type_: str, name: str) -> Resource:
        """The only resource of a type with this logical name."""
        [resource] = [resource for resource in self.of_type(type_) if resource["name"] == name]
        return resource

    def inputs(self, type_: str, name: str) -> Mapping[str, Any]:
        """What that resource is made from."""
        return self.one(type_, name)["inputs"]

    def before(self, resource: Resource) -> set[str]:
        """URNs of all that exists before a resource is created, and is deleted after it.

        These are its dependencies, those of the components that it belongs to, and so on: a component is declared
        after its dependencies, and what belongs to it after the component.
        """
        by_urn = {each["urn"]: each for each in self.resources}
        found: set[str] = set()
        ahead = [resource]
        while ahead:
            each = ahead.pop()
            urns = {*each["dependencies"], each["parent"]} & by_urn.keys() - found
            found |= urns
            ahead += [by_urn[urn] for urn in urns]
        return found


@functools.cache
def declared_config(root: Path = ROOT) -> Mapping[str, Mapping[str, Any]]:
    """The keys that Pulumi.yaml declares."""
    return yaml.safe_load((root / "Pulumi.yaml").read_text())["config"]


@functools.cache
def stack_file(stack: str, root: Path = ROOT) -> Mapping[str, Any]:
    """The configuration in a stack's own file."""
    return yaml.safe_load((root / f"Pulumi.{stack}.yaml").read_text())["config"]


def config_of(stack: str, overrides: Mapping[str, str] | None = None, root: Path = ROOT) -> dict[str, str]:
    """The configuration that the CLI hands to the program: defaults, the stack's own with what a person has set, then
    ``overrides``.
    """
    values: dict[str, Any] = {
        f"tasks:{key}": entry["default"] for key, entry in declared_config(root).items()
    }
    values |= {**stack_file(stack, root), **OWN_SETTINGS.get(stack, {})}
    values |= {f"tasks:{key}": value for key, value in (overrides or {}).items()}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def evaluate(stack: str, *, preview: bool = False, **overrides: str) -> Program:
    """Evaluate the program for a stack, once for all tests that ask for the same."""
    return _evaluate(ROOT, ROOT, stack, preview, tuple(sorted(overrides.items())))


def evaluate_in(root: Path, stack: str) -> Program:
    """Evaluate another copy of the program for a stack."""
    return _evaluate(root, ROOT, stack, False, ())


def evaluate_configured(folder: Path, stack: str) -> Program:
    """Evaluate the program for a stack with the project's and the stack's file of another folder."""
    return _evaluate(ROOT, folder, stack, False, ())


def evaluate_tree(root: Path, stack: str, **overrides: str) -> Program:
    """Evaluate another tree of the repository for a stack, with the configuration of that tree."""
    return _evaluate(root, root, stack, False, tuple(sorted(overrides.items())))


@functools.cache
def _evaluate(
    root: Path, configured: Path, stack: str, preview: bool, overrides: tuple[tuple[str, str], ...]
) -> Program:
    config = config_of(stack, dict(overrides), configured)
    request = {
        "stack": stack,
        "preview": preview,
        "config": config,
        # Those that the CLI would have decrypted. A secret has no default, so it cannot be declared.
        "secrets": [key for key in config if key.removeprefix("tasks:") not in declared_config(configured)],
        "root": str(root),
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("evaluation.py"))],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = cast("dict[str, Any]", json.loads(done.stdout))
    own = {key.removeprefix("tasks:"): value for key, value in config.items()}
    return Program(tuple(result["resources"]), result.get("outputs", {}), result.get("error"), own)
