"""What a program declares, as the rules see it."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, cast

from policy.rules import RESOURCE_RULES, STACK_RULES, UNKNOWN, Resource
from tests.infra.stacks import Program

#: Options that make the program declare more than it does as the repository configures it.
WITH_OPTIONS = {
    "alarmEmail": "team@example.com",
    "webhookSecret": f"whsec_{'MfKQ' * 8}",
    "apiProvisionedConcurrency": "1",
    "dlqMonitorTrigger": "queue",
}

Violations = dict[str, set[tuple[str, str]]]


def resources_of(program: Program) -> list[Resource]:
    """The AWS resources of an evaluated program."""
    return [
        Resource(
            urn=resource["urn"],
            type=resource["type"],
            name=resource["name"],
            props=_with_unknowns(resource["inputs"]),
            protect=resource["protect"],
            property_dependencies=resource["propertyDependencies"],
        )
        for resource in program.resources
        if resource["type"].startswith("aws:")
    ]


def _with_unknowns(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_unknowns(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_with_unknowns(item) for item in cast("list[Any]", value)]
    return UNKNOWN if value == "<unknown>" else value


def violations(resources: list[Resource]) -> Violations:
    """The type and name of what breaks each rule; no entry for a rule that nothing breaks."""
    found: Violations = defaultdict(set)
    for rule, resource, _ in each_violation(resources):
        found[rule].add((resource.type, resource.name))
    return dict(found)


def each_violation(resources: list[Resource]) -> Iterator[tuple[str, Resource, str]]:
    """Name of the rule, resource and message of all that breaks a rule."""
    for rule in RESOURCE_RULES:
        for resource in resources:
            yield from ((rule.name, resource, message) for message in rule.check(resource))
    for rule in STACK_RULES:
        yield from ((rule.name, resource, message) for resource, message in rule.check(resources))
