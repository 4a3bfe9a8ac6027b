"""The order in which resources are created, updated and deleted: after what they depend on, and deleted before it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import pytest

from tests.infra.stacks import Program, Resource, evaluate

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
ARN = "arn:aws:{}:eu-north-1:123456789012:{}"

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
    ("prod", {"apiProvisionedConcurrency": "2", "workerProvisionedConcurrency": "3"}),
    (
        "prod",
        {
            "webhookSecret": f"whsec_{'MfKQ' * 8}",
            "webhookAllowedHosts": '["*.example.com"]',
            "alarmEmail": "on-call@example.com",
            "corsOrigins": '["https://a.example"]',
            "tracing": "true",
        },
    ),
)
#: Settings of one stack that decide whether callers call a function or its alias.
TARGETS: Sequence[Mapping[str, str]] = (
    {},
    {"snapStart": "true"},
    {"apiProvisionedConcurrency": "2"},
    {"workerProvisionedConcurrency": "3"},
    {"apiProvisionedConcurrency": "2", "workerProvisionedConcurrency": "3"},
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


# The right to call precedes the call


def target(permission: Resource) -> tuple[str, str | None]:
    """What a permission lets others call: a function, by itself or through its alias."""
    return permission["inputs"]["function"], permission["inputs"].get("qualifier")


@pytest.mark.parametrize(
    ("settings", "others"), [*combinations(TARGETS, 2)], ids=lambda each: "-".join(each) or "none"
)
def test_the_right_to_call_another_target_is_another_resource(
    settings: Mapping[str, str], others: Mapping[str, str]
) -> None:
    """It is created before the callers change and the old one deleted afterwards; neither replaces the other."""
    permissions = declared("prod", settings).of_type(PERMISSION)
    for other in declared("prod", others).of_type(PERMISSION):
        for permission in permissions:
            if target(permission) != target(other):
                assert permission["urn"] != other["urn"]
                assert permission["inputs"]["statementId"] != other["inputs"]["statementId"]


def test_the_right_to_call_says_which_function(program: Program) -> None:
    """A route that moves to another function then has another right."""
    functions = {function["inputs"]["name"]: function["name"] for function in program.of_type(FUNCTION)}
    for permission in program.of_type(PERMISSION):
        called = functions[permission["inputs"]["function"]]
        assert re.search(rf"-to-{called}(-live)?$", permission["name"])
        assert permission["inputs"]["statementId"] == permission["name"]


def test_lambda_accepts_the_statement_ids(program: Program) -> None:
    ids = [permission["inputs"]["statementId"] for permission in program.of_type(PERMISSION)]
    assert len(ids) == len(set(ids))
    for statement_id in ids:
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,100}", statement_id)


def callers(program: Program) -> Iterator[tuple[str, Resource]]:
    """Every resource that has a function called, with the ARN that it calls it for."""
    apis = {f"{api['name']}-id": api["inputs"]["name"] for api in program.of_type(API)}
    stages = {stage["inputs"]["apiId"]: stage["inputs"]["name"] for stage in program.of_type(STAGE)}
    integrations = {f"integrations/{each['name']}-id": each for each in program.of_type(INTEGRATION)}
    for route in program.of_type(ROUTE):
        inputs = route["inputs"]
        api = inputs["apiId"]
        path = f"{apis[api]}/{stages[api]}/{inputs['routeKey'].replace(' ', '', 1)}"
        yield ARN.format("execute-api", path), route
        yield ARN.format("execute-api", path), integrations[inputs["target"]]
    for target in program.of_type(TARGET):
        yield ARN.format("events", f"rule/{target['inputs']['rule']}"), target


@pytest.mark.parametrize("settings", TARGETS, ids=lambda each: "-".join(each) or "none")
def test_what_calls_a_function_waits_for_its_right(settings: Mapping[str, str]) -> None:
    program = declared("prod", settings)
    permissions = {each["inputs"]["sourceArn"]: each for each in program.of_type(PERMISSION)}
    calls = [*callers(program)]
    assert permissions.keys() == {source for source, _ in calls}
    early = [each["urn"] for source, each in calls if permissions[source]["urn"] not in program.before(each)]
    assert early == []


def test_what_polls_for_a_function_waits_for_the_rights_of_its_role(program: Program) -> None:
    """Lambda polls queues and streams in the name of the function, which needs no permission to be called so."""
    for source in program.of_type(EVENT_SOURCE):
        assert program.one(POLICY, source["name"])["urn"] in program.before(source)


# An API is deployed when it is complete


def test_the_stage_of_an_api_waits_for_all_its_routes(program: Program) -> None:
    """A deployment of a WebSocket API without a route fails, and a stage makes one as soon as it is created."""
    for stage in program.of_type(STAGE):
        parts = [
            part["urn"]
            for type_ in (ROUTE, ROUTE_RESPONSE, INTEGRATION, AUTHORIZER)
            for part in program.of_type(type_)
            if part["inputs"]["apiId"] == stage["inputs"]["apiId"]
        ]
        assert parts
        assert [urn for urn in parts if urn not in program.before(stage)] == []
