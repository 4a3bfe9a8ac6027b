"""The rules as a policy pack, which the Pulumi CLI runs with ``--policy-pack policy``. All are mandatory."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError
from rules import RESOURCE_RULES, STACK_RULES, UNKNOWN, Resource, ResourceRule, StackRule


def resource_policy(rule: ResourceRule) -> ResourceValidationPolicy:
    """The rule as a policy that reports each resource on its own."""

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        for message in rule.check(_resource(args)):
            report(message, None)

    return ResourceValidationPolicy(rule.name, rule.description, validate)


def stack_policy(rule: StackRule) -> StackValidationPolicy:
    """The rule as a policy over all resources, which reports at the resource that breaks it."""

    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        for resource, message in rule.check([_resource(resource) for resource in args.resources]):
            report(message, resource.urn)

    return StackValidationPolicy(rule.name, rule.description, validate)


def _resource(source: ResourceValidationArgs | PolicyResource) -> Resource:
    dependencies = source.property_dependencies if isinstance(source, PolicyResource) else {}
    return Resource(
        urn=source.urn,
        type=source.resource_type,
        name=source.name,
        props=_known(source.props),
        protect=source.opts.protect,
        property_dependencies={name: {found.urn for found in deps} for name, deps in dependencies.items()},
    )


def _known(value: Any) -> Any:
    """A value out of the SDK's proxies, which raise an error where one is not known yet."""
    if isinstance(value, Mapping):
        mapping = cast("Mapping[str, Any]", value)
        return {key: _item(mapping, key) for key in mapping}
    if isinstance(value, Sequence) and not isinstance(value, str):
        items = cast("Sequence[Any]", value)
        return [_item(items, index) for index in range(len(items))]
    return value


def _item(container: Any, key: Any) -> Any:
    try:
        return _known(container[key])
    except UnknownValueError:
        return UNKNOWN


PolicyPack(
    name="tasks",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=[*map(resource_policy, RESOURCE_RULES), *map(stack_policy, STACK_RULES)],
)
