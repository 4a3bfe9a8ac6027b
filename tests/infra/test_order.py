"""The order in which resources are created, updated and deleted: after what they depend on, and deleted before it."""

from collections.abc import Mapping, Sequence

import pytest

from tests.infra.stacks import Program, evaluate

pytestmark = pytest.mark.xdist_group("infra")

TABLE = "dynamodb/table:Table"
FUNCTION = "lambda/function:Function"
PERMISSION = "lambda/permission:Permission"
EVENT_SOURCE = "lambda/eventSourceMapping:EventSourceMapping"
ROLE = "iam/role:Role"
POLICY = "iam/rolePolicy:RolePolicy"
API = "apigatewayv2/api:Api"
AUTHORIZER = "apigatewayv2/authorizer:Authorizer"
INTEGRATION = "apigatewayv2/integration:Integration"
ROUTE = "apigatewayv2/route:Route"
ROUTE_RESPONSE = "apigatewayv2/routeResponse:RouteResponse"
STAGE = "apigatewayv2/stage:Stage"
RULE = "cloudwatch/eventRule:EventRule"
TARGET = "cloudwatch/eventTarget:EventTarget"

#: Types whose creation also succeeds when the name is taken, and the call of AWS that creates them. The stack then owns
#: what another one made, and deletes it when it is destroyed.
ADOPTS = {
    "sqs/queue:Queue": "CreateQueue",
    "sqs/queuePolicy:QueuePolicy": "SetQueueAttributes",
    "sqs/redriveAllowPolicy:RedriveAllowPolicy": "SetQueueAttributes",
    "lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig": "PutProvisionedConcurrencyConfig",
    RULE: "PutRule",
    TARGET: "PutTargets",
    "cloudwatch/metricAlarm:MetricAlarm": "PutMetricAlarm",
    "cloudwatch/dashboard:Dashboard": "PutDashboard",
    "cloudwatch/logMetricFilter:LogMetricFilter": "PutMetricFilter",
    "sns/topic:Topic": "CreateTopic",
    "sns/topicPolicy:TopicPolicy": "SetTopicAttributes",
    "sns/topicSubscription:TopicSubscription": "Subscribe",
}
#: Types whose creation fails when the name is taken, and the error of AWS.
REFUSES = {
    TABLE: "ResourceInUseException",
    FUNCTION: "ResourceConflictException",
    "lambda/alias:Alias": "ResourceConflictException",
    PERMISSION: "ResourceConflictException",
    EVENT_SOURCE: "ResourceConflictException",
    "cloudwatch/logGroup:LogGroup": "ResourceAlreadyExistsException",
    "ssm/parameter:Parameter": "ParameterAlreadyExists",
    ROUTE: "ConflictException",
    STAGE: "ConflictException",
}
#: Types that cannot meet a taken name, and who makes the name or the ID that tells them apart.
GENERATED = {
    ROLE: "Pulumi",
    POLICY: "Pulumi",
    API: "API Gateway",
    AUTHORIZER: "API Gateway",
    INTEGRATION: "API Gateway",
    ROUTE_RESPONSE: "API Gateway",
    "cloudwatch/queryDefinition:QueryDefinition": "CloudWatch Logs",
    "kms/key:Key": "KMS",
}

#: Stacks and settings that together declare every type of resource.
STACKS: Sequence[tuple[str, Mapping[str, str]]] = (
    ("dev", {}),
    ("local", {}),
    ("prod", {"snapStart": "true"}),
    ("prod", {"apiProvisionedConcurrency": "2", "workerProvisionedConcurrency": "3", "tracing": "true"}),
    (
        "prod",
        {
            "webhookSecret": f"whsec_{'MfKQ' * 8}",
            "webhookAllowedHosts": '["*.example.com"]',
            "alarmEmail": "on-call@example.com",
            "corsOrigins": '["https://a.example"]',
        },
    ),
)


@pytest.fixture(params=STACKS, ids=lambda each: "-".join([each[0], *each[1]]))
def program(request: pytest.FixtureRequest) -> Program:
    return declared(*request.param)


def declared(stack: str, settings: Mapping[str, str]) -> Program:
    """The program of a stack with some settings."""
    return evaluate(stack, preview=False, **settings)


# A second stack of the same name, from another state


def test_it_is_known_of_every_type_what_it_does_when_its_name_is_taken() -> None:
    assert not ADOPTS.keys() & REFUSES.keys()
    assert not (ADOPTS.keys() | REFUSES.keys()) & GENERATED.keys()
    types = {
        resource["type"].removeprefix("aws:")
        for stack, settings in STACKS
        for resource in declared(stack, settings).resources
        if resource["type"].startswith("aws:")
    }
    assert types == ADOPTS.keys() | REFUSES.keys() | GENERATED.keys()


def test_what_aws_would_take_over_waits_for_the_tasks_table(program: Program) -> None:
    """The table is refused when its name is taken, and then nothing is created that waits for it."""
    table = program.one(TABLE, "tasks")
    taken_over = [
        resource["urn"]
        for type_ in ADOPTS
        for resource in program.of_type(type_)
        if table["urn"] not in program.before(resource)
    ]
    assert taken_over == []


def test_the_tasks_table_waits_for_its_component_alone(program: Program) -> None:
    table = program.one(TABLE, "tasks")
    assert program.before(table) == {table["parent"]}


def test_pulumi_makes_the_names_of_roles_and_their_policies(program: Program) -> None:
    for type_ in (ROLE, POLICY):
        for resource in program.of_type(type_):
            assert "name" not in resource["inputs"], resource["urn"]
