"""The fidelity rule: each declared property reaches AWS's API, is listed as meaningless locally, or is refused."""

import importlib
import inspect
import json
from collections.abc import Iterator
from typing import Any

import botocore.session
import pulumi
import pytest

from local.aws import Aws
from local.creators import RESOURCE_TYPES
from local.creators.resource_type import Call, Creation, Ignored, Nested, Passed, Rules, translate
from local.errors import LocalError, UnsupportedError

TYPES = sorted(RESOURCE_TYPES)


class RecordedAws(Aws):
    """Answers each call with what the test gives, and keeps the requests."""

    def __init__(self, *responses: dict[str, Any]) -> None:
        super().__init__("http://127.0.0.1:1", "eu-west-1")
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.services: set[str] = set()
        self._responses = list(responses)

    def call(self, service: str, operation: str, request: Any) -> dict[str, Any]:
        self.services.add(service)
        self.requests.append((operation, dict(request)))
        return self._responses.pop(0) if self._responses else {}


def create(token: str, inputs: dict[str, Any], *responses: dict[str, Any]) -> RecordedAws:
    aws = RecordedAws(*responses)
    RESOURCE_TYPES[token].create(Creation(aws, "tasks", "thing", inputs))
    assert aws.services == {RESOURCE_TYPES[token].service}
    return aws


def parameters(rules: Rules) -> Iterator[tuple[str, Rules | None]]:
    for rule in rules.values():
        if isinstance(rule, str):
            yield rule, None
        elif isinstance(rule, Passed):
            yield rule.to, None
        elif isinstance(rule, Nested):
            yield rule.to, rule.rules


def check_parameters(rules: Rules, shape: Any, aliases: frozenset[str]) -> None:
    for parameter, nested in parameters(rules):
        if parameter in aliases:
            continue
        assert parameter in shape.members
        if nested is not None:
            inner = shape.members[parameter]
            check_parameters(nested, inner.member if inner.type_name == "list" else inner, aliases)


#: Parameters that a creator's `prepare` moves to where AWS wants them, so no name of AWS's model.
ALIASES = {
    "aws:cloudwatch/eventTarget:EventTarget": {
        "Target",
        "InputTransformer",
        "RetryPolicy",
        "DeadLetterConfig",
    },
    "aws:apigatewayv2/stage:Stage": {"RouteSettings"},
}


@pytest.mark.parametrize("token", TYPES)
def test_every_rule_names_a_parameter_of_the_call(token: str) -> None:
    resource_type = RESOURCE_TYPES[token]
    model = botocore.session.Session().get_service_model(resource_type.service)
    operations = {_snake(name): name for name in model.operation_names}
    for call in resource_type.calls:
        shape = model.operation_model(operations[call.operation]).input_shape
        check_parameters(call.rules, shape, frozenset(ALIASES.get(token, ())))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:pulumi_aws")
@pytest.mark.parametrize("token", TYPES)
def test_every_rule_is_about_a_property_of_the_pulumi_type(token: str) -> None:
    resource_type = RESOURCE_TYPES[token]
    _, module_path, name = token.split(":")
    module = module_path.partition("/")[0]
    provider = importlib.import_module(
        f"pulumi_aws.{module}_" if module == "lambda" else f"pulumi_aws.{module}"
    )
    declared = inspect.signature(getattr(provider, name)._internal_init).parameters
    for property_name in [*(p for call in resource_type.calls for p in call.rules), *resource_type.ignored]:
        assert _snake(property_name) in declared


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


@pytest.mark.parametrize("token", TYPES)
def test_a_property_without_a_rule_is_refused_before_anything_is_created(token: str) -> None:
    aws = RecordedAws()
    with pytest.raises(UnsupportedError, match="honour: novelty"):
        RESOURCE_TYPES[token].create(Creation(aws, "tasks", "thing", {"novelty": 1}))
    assert aws.requests == []


def test_nested_properties_without_a_rule_are_all_named_with_their_place() -> None:
    inputs = {
        "name": "t",
        "hashKey": "id",
        "attributes": [{"name": "id", "type": "S", "colour": "red"}],
        "ttl": {"attributeName": "x", "grace": 1},
    }
    with pytest.raises(UnsupportedError) as raised:
        create("aws:dynamodb/table:Table", inputs)
    assert str(raised.value).endswith(r"honour: attributes[0].colour, ttl.grace")


def test_an_ignored_property_is_left_out_and_needs_a_reason() -> None:
    unknown: list[str] = []
    assert translate({"kept": 1, "left": 2}, {"kept": "Kept", "left": Ignored("why")}, unknown) == {"Kept": 1}
    assert unknown == []
    for resource_type in RESOURCE_TYPES.values():
        assert all(resource_type.ignored.values())


def test_a_table_asks_for_everything_that_was_declared() -> None:
    description = {"TableDescription": {"TableName": "t", "TableArn": "arn"}}
    aws = create(
        "aws:dynamodb/table:Table",
        {
            "name": "t",
            "billingMode": "PAY_PER_REQUEST",
            "rangeKey": "part",  # declared first: the hash key has to come first all the same
            "hashKey": "id",
            "attributes": [{"name": "id", "type": "S"}, {"name": "part", "type": "S"}],
            "globalSecondaryIndexes": [
                {"name": "g", "hashKey": "part", "projectionType": "INCLUDE", "nonKeyAttributes": ["a"]}
            ],
            "localSecondaryIndexes": [{"name": "l", "rangeKey": "part", "projectionType": "ALL"}],
            "streamEnabled": True,
            "streamViewType": "NEW_IMAGE",
            "ttl": {"attributeName": "expiresAt", "enabled": True},
            "pointInTimeRecovery": {"enabled": False},
            "deletionProtectionEnabled": True,
            "tags": {"a": "b"},
        },
        description,
    )
    hash_key, part_hash = ({"AttributeName": name, "KeyType": "HASH"} for name in ("id", "part"))
    range_key = {"AttributeName": "part", "KeyType": "RANGE"}
    assert aws.requests == [
        (
            "create_table",
            {
                "TableName": "t",
                "BillingMode": "PAY_PER_REQUEST",
                "KeySchema": [hash_key, range_key],
                "AttributeDefinitions": [
                    {"AttributeName": "id", "AttributeType": "S"},
                    {"AttributeName": "part", "AttributeType": "S"},
                ],
                "GlobalSecondaryIndexes": [
                    {
                        "IndexName": "g",
                        "KeySchema": [part_hash],
                        "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["a"]},
                    }
                ],
                "LocalSecondaryIndexes": [
                    {
                        "IndexName": "l",
                        "KeySchema": [hash_key, range_key],
                        "Projection": {"ProjectionType": "ALL"},
                    }
                ],
                "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
                "DeletionProtectionEnabled": True,
                "Tags": [{"Key": "a", "Value": "b"}],
            },
        ),
        (
            "update_time_to_live",
            {"TableName": "t", "TimeToLiveSpecification": {"AttributeName": "expiresAt", "Enabled": True}},
        ),
        (
            "update_continuous_backups",
            {"TableName": "t", "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": False}},
        ),
    ]


def test_only_the_tls_rule_is_taken_out_of_a_queue_policy() -> None:
    tls = {"Effect": "Deny", "Action": "sqs:*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    other = {"Effect": "Allow", "Action": "sqs:SendMessage", "Principal": "*", "Resource": "*"}
    token = "aws:sqs/queuePolicy:QueuePolicy"
    for statements, expected in (([tls, other], {"Statement": [other]}), ([tls], None)):
        inputs = {"queueUrl": "q", "policy": json.dumps({"Statement": statements})}
        ((_, request),) = create(token, inputs).requests
        policy = request["Attributes"]["Policy"]
        assert (json.loads(policy) if policy else None) == expected


def test_a_parameter_asks_for_everything_that_was_declared() -> None:
    aws = create(
        "aws:ssm/parameter:Parameter",
        {
            "name": "/tasks-local/secret",
            "type": "SecureString",
            "value": "s3cret",
            "description": "why",
            "tags": {"a": "b"},
        },
        {"Version": 1},
    )
    assert aws.requests == [
        (
            "put_parameter",
            {
                "Name": "/tasks-local/secret",
                "Type": "SecureString",
                "Value": "s3cret",
                "Description": "why",
                "Tags": [{"Key": "a", "Value": "b"}],
            },
        )
    ]


def test_what_the_emulator_cannot_have_is_not_created() -> None:
    inputs = {"name": "q", "queryString": "fields @message", "logGroupNames": ["g"]}
    aws = RecordedAws()
    resource_type = RESOURCE_TYPES["aws:cloudwatch/queryDefinition:QueryDefinition"]
    resource_id, _ = resource_type.create(Creation(aws, "tasks", "thing", inputs))
    assert (resource_id, aws.requests) == ("q", [])


def test_what_has_no_name_gets_one_as_pulumi_gives_it() -> None:
    aws = create("aws:cloudwatch/logGroup:LogGroup", {"retentionInDays": 0})
    ((operation, request),) = aws.requests  # and 0 days mean no retention call
    assert operation == "create_log_group"
    name, _, suffix = request["logGroupName"].rpartition("-")
    assert name == "thing"
    assert len(suffix) == 7
    assert int(suffix, 16) >= 0


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (pulumi.AssetArchive({"h.py": pulumi.StringAsset("")}), "only a FileArchive of a .zip file"),
        (pulumi.FileArchive("functions"), "only a FileArchive of a .zip file"),
        (pulumi.FileArchive("missing.zip"), "missing.zip: No such file or directory"),
    ],
)
def test_code_that_cannot_be_run_is_refused(code: pulumi.Archive, message: str) -> None:
    with pytest.raises(UnsupportedError, match=f"property code: {message}"):
        create("aws:lambda/function:Function", {"code": code})


def snapshot(*states: dict[str, str]) -> RecordedAws:
    """Create a published function with SnapStart whose version goes through these states."""
    created = {"FunctionName": "f", "FunctionArn": "arn", "Version": "1", "CodeSha256": "", "CodeSize": 1}
    inputs = {"name": "f", "publish": True, "snapStart": {"applyOn": "PublishedVersions"}}
    return create("aws:lambda/function:Function", inputs, {**created, "LastModified": ""}, *states)


def test_a_function_with_snap_start_is_there_when_its_snapshot_is() -> None:
    aws = snapshot({"State": "Pending"}, {"State": "Active"})
    request = {"FunctionName": "f", "Publish": True, "SnapStart": {"ApplyOn": "PublishedVersions"}}
    asked = ("get_function_configuration", {"FunctionName": "f", "Qualifier": "1"})
    assert aws.requests == [("create_function", request), asked, asked]


def test_a_function_that_cannot_start_has_no_snapshot() -> None:
    with pytest.raises(LocalError, match="the snapshot cannot be taken: No module named 'nothing'"):
        snapshot({"State": "Pending"}, {"State": "Failed", "StateReason": "No module named 'nothing'"})


def test_an_api_of_another_protocol_is_refused() -> None:
    with pytest.raises(
        UnsupportedError, match="protocolType: MQTT is not known locally; known: HTTP, WEBSOCKET"
    ):
        create("aws:apigatewayv2/api:Api", {"protocolType": "MQTT"})


def test_two_properties_that_cannot_share_a_parameter_are_a_fault_of_the_rules() -> None:
    with pytest.raises(AssertionError, match="Same"):
        translate({"a": 1, "b": 2}, Call("x", {"a": "Same", "b": "Same"}).rules, [])


def test_an_alarm_on_an_expression_passes_on_its_metrics() -> None:
    metric = {
        "namespace": "AWS/SQS",
        "metricName": "NumberOfMessagesSent",
        "dimensions": {"QueueName": "q"},
        "period": 60,
        "stat": "Sum",
        "unit": "Count",
    }
    aws = create(
        "aws:cloudwatch/metricAlarm:MetricAlarm",
        {
            "name": "a",
            "metricQueries": [
                {"id": "sent", "metric": metric},
                {"id": "twice", "expression": "sent * 2", "returnData": True},
            ],
        },
    )
    [(operation, request)] = aws.requests
    assert operation == "put_metric_alarm"
    assert request["Metrics"] == [
        {
            "Id": "sent",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/SQS",
                    "MetricName": "NumberOfMessagesSent",
                    "Dimensions": [{"Name": "QueueName", "Value": "q"}],
                },
                "Period": 60,
                "Stat": "Sum",
                "Unit": "Count",
            },
        },
        {"Id": "twice", "Expression": "sent * 2", "ReturnData": True},
    ]
