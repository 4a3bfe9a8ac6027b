"""The declarative form in which a creator says where each property of its resource goes.

A resource type is a sequence of API calls. Each call has rules: one per input property, naming the parameter of the
call that takes it. All rules together with the ignored properties are all that the resource may declare.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from local.aws import Aws
from local.errors import UnsupportedError


@dataclass(frozen=True)
class Passed:
    """A property that goes into the request.

    Properties that share a parameter are joined in it: lists one after the other, objects key by key.

    Attributes:
        to: the parameter's name.
        convert: makes the parameter's value from the property's; as it is without.
    """

    to: str
    convert: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class Nested:
    """A property that is an object, or a list of objects, with rules of its own.

    Attributes:
        to: the parameter that takes the translated object or list.
        rules: the rule of each property inside.
    """

    to: str
    rules: "Rules"


@dataclass(frozen=True)
class Ignored:
    """A property that has no meaning locally.

    Attributes:
        reason: why not.
    """

    reason: str


#: A property's rule; a plain text is the name of the parameter that takes the value as it is.
Rule = str | Passed | Nested | Ignored
Rules = Mapping[str, Rule]


def _nothing(_creation: "Creation") -> Mapping[str, Any]:
    return {}


def _always(_request: Mapping[str, Any]) -> bool:
    return True


@dataclass(frozen=True)
class Call:
    """One API call.

    Attributes:
        operation: its boto3 name, such as `create_table`.
        rules: the properties that it takes.
        address: for a call that follows the creation: parameters that name the created resource, made from the
            first call's request and response.
        needed: whether a request with these translated properties has anything to do. A call that follows is left
            out without any property.
    """

    operation: str
    rules: Rules
    address: Callable[["Creation"], Mapping[str, Any]] = _nothing
    needed: Callable[[Mapping[str, Any]], bool] = _always


@dataclass
class Creation:
    """A resource being created.

    Attributes:
        aws: where.
        project: name of the Pulumi project.
        name: the resource's logical name.
        inputs: what the program declared, with the name that it left to Pulumi.
        request: what the first call was asked.
        response: what it answered.
    """

    aws: Aws
    project: str
    name: str
    inputs: dict[str, Any]
    request: dict[str, Any] = field(default_factory=dict[str, Any])
    response: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class ResourceType:
    """How resources of one type are created.

    Attributes:
        token: the Pulumi type token.
        service: the boto3 name of the service.
        calls: what creates one, in order; none if the emulator cannot have one.
        outputs: the physical ID and the properties that AWS computes.
        ignored: properties without meaning locally, each with the reason.
        auto_named: the property that Pulumi fills when the program leaves it out.
        prepare: changes the first call's translated request where its properties alone do not say it all.
        finish: does what the service does by itself on AWS, after all calls.
    """

    token: str
    service: str
    calls: Sequence[Call]
    outputs: Callable[[Creation], tuple[str, dict[str, Any]]]
    ignored: Mapping[str, str] = field(default_factory=dict[str, str])
    auto_named: str | None = None
    prepare: Callable[[Creation], None] | None = None
    finish: Callable[[Creation], None] | None = None

    def create(self, creation: Creation) -> tuple[str, dict[str, Any]]:
        """Create the resource; return its physical ID and its computed properties.

        Raises:
            UnsupportedError: naming every property that has no rule; nothing was created then.
            LocalError: a call failed.
        """
        if self.auto_named is not None and self.auto_named not in creation.inputs:
            creation.inputs[self.auto_named] = f"{creation.name}-{secrets.token_hex(4)[:7]}"
        known = {name for call in self.calls for name in call.rules} | self.ignored.keys()
        unknown = sorted(creation.inputs.keys() - known)
        requests = [translate(creation.inputs, call.rules, unknown) for call in self.calls]
        if unknown:
            raise UnsupportedError(f"properties that a local run cannot honour: {', '.join(unknown)}")
        if not self.calls:
            return self.outputs(creation)
        first, *following = zip(self.calls, requests, strict=True)
        creation.request = first[1]
        if self.prepare is not None:
            self.prepare(creation)
        creation.response = creation.aws.call(self.service, first[0].operation, creation.request)
        for call, request in following:
            if request and call.needed(request):
                creation.aws.call(self.service, call.operation, {**call.address(creation), **request})
        if self.finish is not None:
            self.finish(creation)
        return self.outputs(creation)


def translate(inputs: Mapping[str, Any], rules: Rules, unknown: list[str], path: str = "") -> dict[str, Any]:
    """Make a request from the properties that have a rule here.

    Nested properties without a rule are added to `unknown` with their path; those of the outermost level may have
    their rule in another call, which the caller knows.
    """
    request: dict[str, Any] = {}
    for name, rule in rules.items():  # in the order of the rules: a hash key comes before its range key
        if name not in inputs or isinstance(rule, Ignored):
            continue
        value = inputs[name]
        if isinstance(rule, str):
            _join(request, rule, value)
        elif isinstance(rule, Passed):
            _join(request, rule.to, rule.convert(value) if rule.convert else value)
        else:
            _join(request, rule.to, _translate_nested(value, rule.rules, unknown, f"{path}{name}"))
    return request


def _translate_nested(value: Any, rules: Rules, unknown: list[str], path: str) -> Any:
    if isinstance(value, list):
        return [
            _translate_nested(item, rules, unknown, f"{path}[{index}]")
            for index, item in enumerate(cast("list[Any]", value))
        ]
    properties = cast("dict[str, Any]", value)
    unknown.extend(f"{path}.{name}" for name in sorted(properties.keys() - rules.keys()))
    return translate(properties, rules, unknown, f"{path}.")


def _join(request: dict[str, Any], parameter: str, value: Any) -> None:
    present = request.get(parameter)
    if present is None:
        request[parameter] = value
    elif isinstance(present, dict) and isinstance(value, dict):
        request[parameter] = {**cast("dict[str, Any]", present), **cast("dict[str, Any]", value)}
    elif isinstance(present, list) and isinstance(value, list):
        request[parameter] = [*cast("list[Any]", present), *cast("list[Any]", value)]
    else:
        raise AssertionError(f"two properties go to {parameter}, which cannot be joined")


def inside(parameter: str, key: str, convert: Callable[[Any], Any] | None = None) -> Passed:
    """A rule for a property that is one key of an object parameter."""
    return Passed(parameter, lambda value: {key: convert(value) if convert else value})


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags in the form of the services that want a list."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
