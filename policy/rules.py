"""What every stack of this project promises, as plain functions over declared resources.

A rule yields what breaks it. Rules about one resource see it alone, before it is created; rules about the stack see
how resources depend on each other, and so work in the preview of a new stack, when no ARN is known. A property whose
value is not known yet breaks no rule.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

QUEUE = "aws:sqs/queue:Queue"
QUEUE_POLICY = "aws:sqs/queuePolicy:QueuePolicy"
TABLE = "aws:dynamodb/table:Table"
FUNCTION = "aws:lambda/function:Function"
FUNCTION_URL = "aws:lambda/functionUrl:FunctionUrl"
PERMISSION = "aws:lambda/permission:Permission"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
PARAMETER = "aws:ssm/parameter:Parameter"
TOPIC = "aws:sns/topic:Topic"
SUBSCRIPTION = "aws:sns/topicSubscription:TopicSubscription"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"

_ROLE = "aws:iam/role:Role"
_KEY = "aws:kms/key:Key"
#: Policies that say what a principal may do, and those that say who may use a resource.
_IDENTITY_POLICIES = (
    *("aws:iam/rolePolicy:RolePolicy", "aws:iam/policy:Policy"),
    *("aws:iam/userPolicy:UserPolicy", "aws:iam/groupPolicy:GroupPolicy"),
)
#: Of queues and topics also their own property; the rule reads ``policy`` of each.
_RESOURCE_POLICIES = (QUEUE_POLICY, QUEUE, "aws:sns/topicPolicy:TopicPolicy", TOPIC, _KEY)

#: Types that AWS can tag, of those that such a program declares.
TAGGABLE = frozenset(
    {
        QUEUE,
        TABLE,
        FUNCTION,
        LOG_GROUP,
        PARAMETER,
        _ROLE,
        "aws:lambda/eventSourceMapping:EventSourceMapping",
        "aws:apigatewayv2/api:Api",
        "aws:apigatewayv2/stage:Stage",
        "aws:cloudwatch/eventRule:EventRule",
        "aws:cloudwatch/metricAlarm:MetricAlarm",
        "aws:cloudwatch/compositeAlarm:CompositeAlarm",
        _KEY,
        TOPIC,
    }
)
TAGS = ("project", "stack")

#: Actions that AWS grants on ``*`` or not at all, and why.
WITHOUT_RESOURCES: Mapping[str, str] = {
    "cloudwatch:PutMetricData": "metrics have no ARN",
    "xray:PutTraceSegments": "traces have no ARN",
    "xray:PutTelemetryRecords": "traces have no ARN",
}

#: Stacks whose data has to survive a mistake.
PROTECTED_STACKS = frozenset({"prod"})
#: Tables and queues, by logical name, that hold nothing worth protecting, and why.
EPHEMERAL: Mapping[str, str] = {
    "connections": "an item lives no longer than its WebSocket connection",
    "untold-updates": "places in the stream, which is itself kept for a day",
}

_DAY_SECONDS = 24 * 60 * 60
LONGEST_MESSAGE_RETENTION_SECONDS = 14 * _DAY_SECONDS

#: Names of variables that hold secrets, unless they say where one is to be found.
_SECRET_NAME = re.compile(
    r"SECRET|PASSWORD|PASSWD|PASSPHRASE|TOKEN|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY"
)
_REFERENCE_NAME = re.compile(r"_(PARAMETER|ARN|NAME|URL)$")
#: Kinds of resource as they stand before the name in an ARN; queues and topics have none.
_KIND = "alarm|event-source-mapping|function|key|layer|log-group|parameter|policy|role|rule|secret|stateMachine|table"
#: All that a service has in an account, and all of one kind. AWS completes an ARN that ends too early with ``*``.
_ANY_NAME = re.compile(rf"[*?]+|arn(:[^:]*){{0,4}}|arn(:[^:]*){{4}}:(({_KIND})[:/])?[*?]+")
#: Conditions that say who may come; any other lets strangers in.
_CALLER = re.compile(r"aws:(Source(Account|Arn|Org\w+)|Principal(Account|Arn|Org\w+))", re.IGNORECASE)
_PLAIN_TEXT_URL = re.compile(r"(http|ws)://", re.IGNORECASE)
#: Properties that send what failed to a queue.
_FAILURE_PROPERTIES = ("redrivePolicy", "destinationConfig", "deadLetterConfig")


class _Unknown:
    """A value that only AWS can tell, after the creation."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()


@dataclass(frozen=True)
class Resource:
    """A declared resource.

    Attributes:
        urn: Pulumi's name of it.
        type: Type token, such as ``aws:sqs/queue:Queue``.
        name: Logical name.
        props: Properties in camelCase; ``UNKNOWN`` stands for what is not known yet.
        protect: Whether Pulumi refuses to delete it.
        property_dependencies: URNs of the resources that each property is made from. Empty in rules about one resource.
    """

    urn: str
    type: str
    name: str
    props: Mapping[str, Any]
    protect: bool = False
    property_dependencies: Mapping[str, Collection[str]] = field(default_factory=dict[str, Collection[str]])

    @property
    def stack(self) -> str:
        """Name of the stack that declares it."""
        return self.urn.split(":")[2]

    def prop(self, *path: str) -> Any:
        """A nested property; None if any part of the path is not there, ``UNKNOWN`` if any is not known."""
        value: Any = self.props
        for name in path:
            if not isinstance(value, Mapping):
                return value if value is UNKNOWN else None
            value = cast("Mapping[str, Any]", value).get(name)
        return value


@dataclass(frozen=True)
class ResourceRule:
    """A promise of single resources.

    Attributes:
        name: Name of the policy.
        description: What to do.
        check: Yields one message for each thing that breaks it.
    """

    name: str
    description: str
    check: Callable[[Resource], Iterator[str]]


@dataclass(frozen=True)
class StackRule:
    """A promise of how resources belong together.

    Attributes:
        name: Name of the policy.
        description: What to do.
        check: Yields the resource and the message for each thing that breaks it.
    """

    name: str
    description: str
    check: Callable[[Sequence[Resource]], Iterator[tuple[Resource, str]]]


# Rules about one resource


def _encryption(resource: Resource) -> Iterator[str]:
    if (
        resource.type == QUEUE
        and not resource.prop("sqsManagedSseEnabled")
        and not resource.prop("kmsMasterKeyId")
    ):
        yield "neither sqsManagedSseEnabled nor kmsMasterKeyId is set"
    if resource.type == TOPIC and not resource.prop("kmsMasterKeyId"):
        yield "kmsMasterKeyId is not set"
    if resource.type == PARAMETER and resource.prop("type") not in ("SecureString", UNKNOWN):
        yield f"type is {resource.prop('type')!r}"


def _tls_endpoints(resource: Resource) -> Iterator[str]:
    if resource.type == FUNCTION:
        for name, value in _variables(resource):
            if isinstance(value, str) and _PLAIN_TEXT_URL.search(value):
                yield f"variable {name} holds {value!r}"
    if resource.type == SUBSCRIPTION and resource.prop("protocol") == "http":
        yield "protocol is 'http'"


def _retention(resource: Resource) -> Iterator[str]:
    if resource.type == QUEUE:
        seconds = resource.prop("messageRetentionSeconds")
        if not seconds:
            yield "messageRetentionSeconds is not set"
        elif seconds is not UNKNOWN and seconds > LONGEST_MESSAGE_RETENTION_SECONDS:
            yield f"messageRetentionSeconds is {seconds:.0f}"
    if resource.type == LOG_GROUP and not resource.prop("retentionInDays"):
        yield "retentionInDays is not set, which keeps logs for ever"


def _wildcards(resource: Resource) -> Iterator[str]:
    if resource.type == ATTACHMENT:
        yield from _managed(resource.prop("policyArn"))
    if resource.type == _ROLE:
        for arn in _items(resource.prop("managedPolicyArns")):
            yield from _managed(arn)
    for statement in _granted(resource):
        if statement.get("Effect") != "Allow":
            continue
        yield from (
            f"{key} allows all but what it names" for key in ("NotAction", "NotResource") if key in statement
        )
        actions = _several(statement.get("Action"))
        yield from (f"action {action!r}" for action in actions if re.search(r"[*?]", action))
        for arn in _several(statement.get("Resource")):
            if _ANY_NAME.fullmatch(arn):
                yield from (
                    f"{action!r} on resource {arn!r}" for action in actions if action not in WITHOUT_RESOURCES
                )


def _managed(arn: object) -> Iterator[str]:
    if isinstance(arn, str) and re.match(r"arn:[^:]*:iam::aws:policy/", arn):
        yield f"{arn} is a policy of AWS's, which allows more than one function needs"


def _public(resource: Resource) -> Iterator[str]:
    if resource.type == FUNCTION_URL and resource.prop("authorizationType") == "NONE":
        yield "authorizationType is 'NONE'"
    if resource.type == PERMISSION:
        principal = resource.prop("principal")
        if principal == "*":
            yield "principal is '*'"
        elif str(principal).endswith(".amazonaws.com") and not resource.prop("sourceArn"):
            yield f"{principal} may call it for any account, since sourceArn is not set"
    if resource.type in _RESOURCE_POLICIES:
        for statement in _statements(resource.prop("policy")):
            if statement.get("Effect") == "Allow" and _lets_anyone_in(statement):
                yield f"statement {statement.get('Sid', '')!r} lets anyone in"


def _lets_anyone_in(statement: Mapping[str, Any]) -> bool:
    """Whether strangers are among the principals, and no condition says who the caller must be."""
    principals: Any = statement.get("Principal")
    named = (
        cast("Mapping[str, object]", principals).values() if isinstance(principals, Mapping) else [principals]
    )
    anyone = "NotPrincipal" in statement or any("*" in _several(each) for each in named)
    conditions: Mapping[str, Mapping[str, Any]] = statement.get("Condition") or {}
    return anyone and not any(_CALLER.fullmatch(key) for keys in conditions.values() for key in keys)


def _protection(resource: Resource) -> Iterator[str]:
    if resource.stack not in PROTECTED_STACKS or resource.name in EPHEMERAL:
        return
    if resource.type in (TABLE, QUEUE) and not resource.protect:
        yield "the option protect is not set"
    if resource.type == TABLE:
        if not resource.prop("deletionProtectionEnabled"):
            yield "deletionProtectionEnabled is not set"
        if not resource.prop("pointInTimeRecovery", "enabled"):
            yield "pointInTimeRecovery is not enabled"


def _tags(resource: Resource) -> Iterator[str]:
    if resource.type in TAGGABLE and (tags := resource.prop("tags")) is not UNKNOWN:
        missing = [tag for tag in TAGS if tag not in (tags or {})]
        if missing:
            yield f"tags without {' and '.join(missing)}"


def _plain_secrets(resource: Resource) -> Iterator[str]:
    if resource.type == FUNCTION:
        for name, _ in _variables(resource):
            if _SECRET_NAME.search(name.upper()) and not _REFERENCE_NAME.search(name.upper()):
                yield f"variable {name}"


# Rules about the stack


def _tls_only_queues(resources: Sequence[Resource]) -> Iterator[tuple[Resource, str]]:
    policies = [resource for resource in resources if resource.type == QUEUE_POLICY]
    for queue in _of_type(resources, QUEUE):
        own = [policy for policy in policies if queue.urn in policy.property_dependencies.get("queueUrl", ())]
        if not any(_denies_plain_text(policy) for policy in own):
            yield queue, "no queue policy denies requests without TLS"


def _denies_plain_text(policy: Resource) -> bool:
    document = policy.prop("policy")
    return document is UNKNOWN or any(
        statement.get("Effect") == "Deny"
        and statement.get("Principal") == "*"
        and statement.get("Action") == "sqs:*"
        and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
        for statement in _statements(document)
    )


def _dead_letters(resources: Sequence[Resource]) -> Iterator[tuple[Resource, str]]:
    end_of_the_line = {
        urn
        for resource in resources
        for name in _FAILURE_PROPERTIES
        for urn in resource.property_dependencies.get(name, ())
    }
    for queue in _of_type(resources, QUEUE):
        if not queue.prop("redrivePolicy") and queue.urn not in end_of_the_line:
            yield queue, "no redrivePolicy, and nothing sends its own failures here"


def _log_groups(resources: Sequence[Resource]) -> Iterator[tuple[Resource, str]]:
    groups = {group.urn for group in _of_type(resources, LOG_GROUP)}
    owners: dict[str, Resource] = {}
    for function in sorted(_of_type(resources, FUNCTION), key=lambda function: function.name):
        own = groups & set(function.property_dependencies.get("loggingConfig", ()))
        if not own:
            yield (
                function,
                "loggingConfig names no log group of this stack; Lambda would make one that keeps all",
            )
        for group in own:
            if (other := owners.setdefault(group, function)) is not function:
                yield function, f"shares its log group with {other.name}"
    for resource in resources:
        for statement in _granted(resource):
            if "logs:CreateLogGroup" in _several(statement.get("Action")):
                yield resource, "allows logs:CreateLogGroup; what Lambda creates keeps logs for ever"


# What rules read


def _of_type(resources: Sequence[Resource], type_: str) -> Iterator[Resource]:
    return (resource for resource in resources if resource.type == type_)


def _variables(function: Resource) -> Iterator[tuple[str, object]]:
    variables = function.prop("environment", "variables")
    if isinstance(variables, Mapping):
        yield from cast("Mapping[str, object]", variables).items()


def _granted(resource: Resource) -> Iterator[Mapping[str, Any]]:
    """The statements that say what a principal may do; none of another type."""
    if resource.type in _IDENTITY_POLICIES:
        yield from _statements(resource.prop("policy"))
    if resource.type == _ROLE:
        for policy in _items(resource.prop("inlinePolicies")):
            if policy is not UNKNOWN:
                yield from _statements(policy.get("policy"))


def _statements(document: object) -> Sequence[Mapping[str, Any]]:
    """The statements of a policy in JSON; none if it is not there or not known yet."""
    if not isinstance(document, str):
        return ()
    statements: Any = json.loads(document)["Statement"]
    return cast("Sequence[Mapping[str, Any]]", [statements] if isinstance(statements, dict) else statements)


def _items(value: Any) -> Sequence[Any]:
    """The items of a list; none if it is not there or not known yet."""
    return () if value is UNKNOWN else value or ()


def _several(value: object) -> Sequence[str]:
    """What IAM writes as one string or a list of them."""
    if isinstance(value, str):
        return (value,)
    return cast("Sequence[str]", value or ())


RESOURCE_RULES = (
    ResourceRule(
        "encryption-at-rest",
        "Encrypt queues (sqsManagedSseEnabled or kmsMasterKeyId), topics (kmsMasterKeyId) and parameters "
        "(type SecureString).",
        _encryption,
    ),
    ResourceRule(
        "tls-endpoints",
        "Give functions and subscriptions https and wss URLs only.",
        _tls_endpoints,
    ),
    ResourceRule(
        "bounded-retention",
        "Say how long queues keep messages (messageRetentionSeconds, up to 14 days) and log groups keep logs "
        "(retentionInDays).",
        _retention,
    ),
    ResourceRule(
        "no-wildcard-grants",
        "Name each action and each resource of a grant; on '*' only actions in WITHOUT_RESOURCES.",
        _wildcards,
    ),
    ResourceRule(
        "no-public-access",
        "Let callers in through an API only: no function URL without authorization, no permission or policy for "
        "everybody, a sourceArn for each service.",
        _public,
    ),
    ResourceRule(
        "protected-data",
        "In prod, protect tables and queues (option protect; for tables also deletionProtectionEnabled and "
        "pointInTimeRecovery), or name them in EPHEMERAL with the reason.",
        _protection,
    ),
    ResourceRule(
        "tagged",
        "Tag what can be tagged with project and stack.",
        _tags,
    ),
    ResourceRule(
        "no-plain-secrets",
        "Keep secrets in SSM parameters and give the function the parameter's name; no secret in its environment.",
        _plain_secrets,
    ),
)

STACK_RULES = (
    StackRule(
        "tls-only-queues",
        "Give each queue a policy that denies sqs:* to everybody without aws:SecureTransport.",
        _tls_only_queues,
    ),
    StackRule(
        "dead-letter-queues",
        "Give each queue a dead-letter queue (redrivePolicy), unless it takes the failures of others itself.",
        _dead_letters,
    ),
    StackRule(
        "own-log-groups",
        "Declare one log group for each function, name it in loggingConfig, and let no function create others.",
        _log_groups,
    ),
)
