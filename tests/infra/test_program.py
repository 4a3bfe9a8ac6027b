"""What the program declares for each stack of the repository."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.releases import rights
from tests.infra.stacks import ROOT, Program, evaluate, evaluate_in

pytestmark = pytest.mark.xdist_group("infra")

TABLE = "dynamodb/table:Table"
QUEUE = "sqs/queue:Queue"
QUEUE_POLICY = "sqs/queuePolicy:QueuePolicy"
FUNCTION = "lambda/function:Function"
EVENT_SOURCE = "lambda/eventSourceMapping:EventSourceMapping"
PERMISSION = "lambda/permission:Permission"
ROLE = "iam/role:Role"
POLICY = "iam/rolePolicy:RolePolicy"
PARAMETER = "ssm/parameter:Parameter"
LOG_GROUP = "cloudwatch/logGroup:LogGroup"
API = "apigatewayv2/api:Api"
ROUTE = "apigatewayv2/route:Route"
AUTHORIZER = "apigatewayv2/authorizer:Authorizer"
ROUTE_RESPONSE = "apigatewayv2/routeResponse:RouteResponse"
INTEGRATION = "apigatewayv2/integration:Integration"
STAGE = "apigatewayv2/stage:Stage"
RULE = "cloudwatch/eventRule:EventRule"
ALARM = "cloudwatch/metricAlarm:MetricAlarm"
TOPIC = "sns/topic:Topic"
KEY = "kms/key:Key"
TARGET = "cloudwatch/eventTarget:EventTarget"

FUNCTIONS = (
    *("submit-tasks", "read-tasks", "retry-tasks", "process-tasks", "sweep-tasks", "monitor-dlq"),
    "cancel-tasks",
    *("notify-clients", "track-connections", "dashboard"),
    *("describe-api", "issue-tickets"),
)
#: What answers without a token.
OPEN_ROUTES = {"GET /", "GET /docs", "GET /openapi.json"}
QUEUES = ("task-queue", "dead-letter-queue", "untold-updates")
LIVE_URL = "wss://live-api-id.execute-api.eu-north-1.amazonaws.com/live"
ARN = "arn:aws:{}:eu-north-1:123456789012:{}"


def table_arn(stack: str) -> str:
    return ARN.format("dynamodb", f"table/tasks-{stack}-tasks")


def queue_arn(stack: str, name: str) -> str:
    return ARN.format("sqs", f"tasks-{stack}-{name}")


def queue_url(stack: str, name: str) -> str:
    return f"https://sqs.eu-north-1.amazonaws.com/123456789012/tasks-{stack}-{name}"


def statements(policy: str) -> list[Mapping[str, Any]]:
    document = json.loads(policy)
    assert document["Version"] == "2012-10-17"
    return document["Statement"]


def granted(program: Program, function: str) -> dict[str, set[str]]:
    """The actions that a function's role allows on each ARN."""
    grants: dict[str, set[str]] = {}
    for statement in statements(program.inputs(POLICY, function)["policy"]):
        assert statement["Effect"] == "Allow"
        assert statement.keys() == {"Effect", "Action", "Resource"}
        for resource in statement["Resource"]:
            grants.setdefault(resource, set()).update(statement["Action"])
    return grants


# The table


def test_table_has_the_keys_of_the_protocol(program: Program, stack: str) -> None:
    table = program.inputs(TABLE, "tasks")
    assert table["name"] == f"tasks-{stack}-tasks"
    assert (table["hashKey"], table["rangeKey"]) == ("taskId", "part")
    assert table["billingMode"] == "PAY_PER_REQUEST"
    assert table["ttl"] == {"attributeName": "expiresAt", "enabled": True}
    assert {a["name"]: a["type"] for a in table["attributes"]} == dict.fromkeys(
        ("taskId", "part", "listShard", "failedShard", "createdKey", "unsentShard", "unsentKey"), "S"
    )


def test_indexes_have_a_shard_and_a_time_for_keys_and_hold_keys_only(program: Program) -> None:
    indexes = program.inputs(TABLE, "tasks")["globalSecondaryIndexes"]
    assert sorted(indexes, key=lambda index: index["name"]) == [
        {"name": name, "hashKey": partition, "rangeKey": sort, "projectionType": "KEYS_ONLY"}
        for name, partition, sort in (
            ("byCreated", "listShard", "createdKey"),
            ("byFailed", "failedShard", "createdKey"),
            ("byUnsent", "unsentShard", "unsentKey"),
        )
    ]


def test_data_is_protected_in_prod_only(program: Program, stack: str) -> None:
    protect = stack == "prod"
    table = program.inputs(TABLE, "tasks")
    assert table["pointInTimeRecovery"] == {"enabled": protect}
    assert table["deletionProtectionEnabled"] is protect
    protected = {resource["name"] for resource in program.resources if resource["protect"]}
    assert protected == ({"tasks", "task-queue", "dead-letter-queue"} if protect else set())


# The queues


def test_queues_are_encrypted_and_named(program: Program, stack: str) -> None:
    queues = {queue["name"]: queue["inputs"] for queue in program.of_type(QUEUE)}
    assert queues.keys() == set(QUEUES)
    for name, queue in queues.items():
        assert queue["name"] == f"tasks-{stack}-{name}"
        assert queue["sqsManagedSseEnabled"] is True


@pytest.mark.parametrize("name", QUEUES)
def test_queues_refuse_plain_http(program: Program, stack: str, name: str) -> None:
    policy = program.inputs(QUEUE_POLICY, name)
    assert policy["queueUrl"] == queue_url(stack, name)
    [statement] = statements(policy["policy"])
    assert statement == {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": queue_arn(stack, name),
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def test_task_queue_moves_messages_to_the_dead_letter_queue_only_as_a_safety_net(
    program: Program, stack: str
) -> None:
    redrive = json.loads(program.inputs(QUEUE, "task-queue")["redrivePolicy"])
    assert redrive == {"deadLetterTargetArn": queue_arn(stack, "dead-letter-queue"), "maxReceiveCount": 100}
    assert "redrivePolicy" not in program.inputs(QUEUE, "dead-letter-queue")


def test_dead_letter_queue_accepts_letters_of_the_task_queue_alone(program: Program, stack: str) -> None:
    [allow] = program.of_type("sqs/redriveAllowPolicy:RedriveAllowPolicy")
    assert allow["inputs"]["queueUrl"] == queue_url(stack, "dead-letter-queue")
    assert json.loads(allow["inputs"]["redriveAllowPolicy"]) == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [queue_arn(stack, "task-queue")],
    }


def test_messages_are_kept_14_days(program: Program) -> None:
    for name in ("task-queue", "dead-letter-queue"):
        assert program.inputs(QUEUE, name)["messageRetentionSeconds"] == 14 * 24 * 60 * 60


def test_a_message_stays_hidden_for_six_invocations(program: Program) -> None:
    for queue, function in (("task-queue", "process-tasks"), ("dead-letter-queue", "monitor-dlq")):
        hidden = program.inputs(QUEUE, queue)["visibilityTimeoutSeconds"]
        assert hidden >= 6 * program.inputs(FUNCTION, function)["timeout"]


# The functions


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_runs_what_the_package_holds(program: Program, stack: str, name: str) -> None:
    function = program.inputs(FUNCTION, name)
    module = name.replace("-", "_")
    assert function["name"] == f"tasks-{stack}-{name}"
    assert function["handler"] == f"{module}.handler"
    assert function["code"] == {"path": "build/functions.zip"}
    assert function["runtime"] == "python3.13"
    assert function["architectures"] == ["arm64"]
    assert "reservedConcurrentExecutions" not in function


def test_there_are_no_other_functions(program: Program) -> None:
    assert {function["name"] for function in program.of_type(FUNCTION)} == set(FUNCTIONS)


def test_time_and_memory(program: Program) -> None:
    size = {f["name"]: (f["inputs"]["timeout"], f["inputs"]["memorySize"]) for f in program.of_type(FUNCTION)}
    assert size == {
        "submit-tasks": (10, 512),
        "read-tasks": (10, 512),
        "process-tasks": (30, 512),
        "monitor-dlq": (60, 256),
        "retry-tasks": (10, 512),
        "cancel-tasks": (10, 512),
        "sweep-tasks": (60, 1_769),
        "notify-clients": (30, 512),
        "track-connections": (10, 512),
        "dashboard": (10, 512),
        "describe-api": (10, 512),
        "issue-tickets": (10, 512),
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_created_after_its_log_group_and_its_rights(
    program: Program, stack: str, name: str
) -> None:
    group = program.one(LOG_GROUP, name)
    assert group["inputs"]["name"] == f"/aws/lambda/tasks-{stack}-{name}"
    assert group["inputs"]["retentionInDays"] == {"dev": 7, "prod": 30, "local": 14}[stack]
    function = program.one(FUNCTION, name)
    assert function["inputs"]["loggingConfig"] == {
        "logFormat": "JSON",
        "applicationLogLevel": "INFO",
        "systemLogLevel": "WARN",
        "logGroup": group["inputs"]["name"],
    }
    assert {group["urn"], program.one(POLICY, name)["urn"]} <= set(function["dependencies"])


def test_environment_carries_the_settings(program: Program, stack: str) -> None:
    config = program.config
    table, connections = {"TASKS_TABLE": f"tasks-{stack}-tasks"}, f"tasks-{stack}-connections"
    tasks, dead_letters = queue_url(stack, "task-queue"), queue_url(stack, "dead-letter-queue")
    own = {
        "submit-tasks": {
            **table,
            "TASK_QUEUE_URL": tasks,
            "LIST_SHARDS": config["listShards"],
            "MESSAGE_RETENTION_DAYS": "14",
            "TASK_RETENTION_DAYS": config["taskRetentionDays"],
        },
        "read-tasks": {**table, "LIST_SHARDS": config["listShards"]},
        "retry-tasks": {
            **table,
            "TASK_QUEUE_URL": tasks,
            "MESSAGE_RETENTION_DAYS": "14",
            "TASK_RETENTION_DAYS": config["taskRetentionDays"],
        },
        "sweep-tasks": {
            **table,
            "TASK_QUEUE_URL": tasks,
            "LIST_SHARDS": config["listShards"],
            "SWEEP_BEHIND_SECONDS": "120",
            "MESSAGE_RETENTION_DAYS": "14",
            "TASK_RETENTION_DAYS": config["taskRetentionDays"],
        },
        "process-tasks": {
            **table,
            "TASK_QUEUE_URL": tasks,
            "DEAD_LETTER_QUEUE_URL": dead_letters,
            "MAX_RETRIES": config["maxRetries"],
            "FAILURE_RATE": {"dev": "0.3", "prod": "0.0", "local": "0.3"}[stack],
            "BACKOFF_BASE_SECONDS": "2",
            "BACKOFF_MAX_SECONDS": "900",
            "BACKOFF_JITTER": "0.1",
            "WORKER_TIMEOUT_SECONDS": "30",
            "VISIBILITY_TIMEOUT_SECONDS": "180",
            "TASK_RETENTION_DAYS": config["taskRetentionDays"],
            "WEBHOOK_ALLOWED_HOSTS": "[]",
            "WEBHOOK_ALLOWED_NETWORKS": '["public"]',
        },
        "monitor-dlq": {
            **table,
            "DEAD_LETTER_QUEUE_URL": dead_letters,
            "TASK_RETENTION_DAYS": config["taskRetentionDays"],
        },
        "cancel-tasks": {**table, "TASK_RETENTION_DAYS": config["taskRetentionDays"]},
        "notify-clients": {
            "CONNECTIONS_TABLE": connections,
            "CONNECTIONS_URL": LIVE_URL.replace("wss", "https"),
        },
        "track-connections": {"CONNECTIONS_TABLE": connections},
        "dashboard": {"WEBSOCKET_URL": LIVE_URL},
        "issue-tickets": {"CONNECTIONS_TABLE": connections, "WEBSOCKET_URL": LIVE_URL},
        "describe-api": {"AUTH": config["auth"]},
    }
    assert own.keys() == set(FUNCTIONS)
    for name, variables in own.items():
        assert program.inputs(FUNCTION, name)["environment"]["variables"] == {
            "POWERTOOLS_SERVICE_NAME": name,
            "POWERTOOLS_LOG_LEVEL": "INFO",
            "POWERTOOLS_METRICS_NAMESPACE": f"tasks-{stack}",
            **variables,
        }


#: AWS measures a function's variables as one JSON object, and takes no more than this:
#: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_ENVIRONMENT_BYTES = 4_096
#: Every setting that a function's environment holds, as long as it can be.
LONGEST = {
    **{"maxRetries": "100", "maxReceiveCount": "1000", "failureRate": "0.12345678901234567"},
    **{"backoffBaseSeconds": "10000", "backoffMaxSeconds": "10000", "backoffJitter": "0.12345678901234567"},
    **{
        "workerTimeoutSeconds": "100",
        "alarmQueueAgeSeconds": "60",
        "visibilityTimeoutSeconds": "43200",
        "taskRetentionDays": "3650",
    },
    **{"listShards": "100", "webhookSecret": f"whsec_{'MfKQ' * 8}"},
}


def hosts_that_take(size: int) -> str:
    """As many hosts as fill so many bytes of an environment, with the networks that are allowed by default."""
    free = size - len(json.dumps(json.dumps(["public"]))) - len(json.dumps(json.dumps([])))
    count, rest = divmod(free + len(", "), 31 + len(r"\"\", "))  # the last one has no comma behind it
    return json.dumps([*["h" * 31] * (count - 1), "h" * (31 + rest)])


def test_the_largest_configuration_fits_into_every_environment() -> None:
    program = evaluate("dev", preview=False, **LONGEST, webhookAllowedHosts=hosts_that_take(3_000))
    assert program.error is None
    for name in FUNCTIONS:
        variables = json.dumps(
            program.inputs(FUNCTION, name)["environment"]["variables"], separators=(",", ":")
        )
        longest = (
            variables.replace("tasks-dev", "t" * 35)  # the longest prefix that the program takes
            .replace("eu-north-1", "ap-southeast-99")
            .replace(".amazonaws.com", ".amazonaws.com.cn")
        )
        assert len(longest.encode()) <= MAX_ENVIRONMENT_BYTES, name


def test_lists_that_do_not_fit_into_an_environment_are_refused_before_anything_is_changed() -> None:
    program = evaluate("dev", preview=False, **LONGEST, webhookAllowedHosts=hosts_that_take(3_001))
    assert program.resources == ()
    assert (program.error or "").splitlines() == [
        "The configuration of stack dev is wrong:",
        "  webhookAllowedHosts and webhookAllowedNetworks: 3001 bytes; allowed: at most 3000 together, because AWS "
        "limits the environment of a function to 4 KB; an entry takes 6 bytes more than it is long",
    ]


# Rights


def test_each_role_allows_exactly_what_its_function_does(program: Program, stack: str) -> None:
    table, tasks = table_arn(stack), queue_arn(stack, "task-queue")
    dead_letters = queue_arn(stack, "dead-letter-queue")
    connections = ARN.format("dynamodb", f"table/tasks-{stack}-connections")
    live = ARN.format("execute-api", f"tasks-{stack}-live-api/live")
    push = {"execute-api:ManageConnections"}
    polling = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
    own = {
        "submit-tasks": {
            table: {"dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:PartiQLInsert"},
            tasks: {"sqs:SendMessage"},
        },
        "read-tasks": {
            table: {"dynamodb:GetItem", "dynamodb:BatchGetItem"},
            f"{table}/index/byCreated": {"dynamodb:Query"},
            f"{table}/index/byFailed": {"dynamodb:Query"},
        },
        "retry-tasks": {
            table: {"dynamodb:GetItem", "dynamodb:UpdateItem", "dynamodb:PartiQLUpdate"},
            tasks: {"sqs:SendMessage"},
        },
        "sweep-tasks": {
            table: {
                "dynamodb:GetItem",
                "dynamodb:BatchGetItem",
                "dynamodb:Query",
                "dynamodb:UpdateItem",
                "dynamodb:DeleteItem",
                "dynamodb:PartiQLUpdate",
            },
            f"{table}/index/byCreated": {"dynamodb:Query"},
            f"{table}/index/byUnsent": {"dynamodb:Query"},
            tasks: {"sqs:SendMessage"},
        },
        "process-tasks": {
            table: {"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:PartiQLUpdate"},
            tasks: {"sqs:ChangeMessageVisibility"} | polling,
            dead_letters: {"sqs:SendMessage"},
        },
        "monitor-dlq": {
            table: {"dynamodb:GetItem", "dynamodb:PartiQLUpdate"},
            dead_letters: {"sqs:ChangeMessageVisibility"} | polling,
        },
        "notify-clients": {
            f"{table}/stream/2026-11-22T00:00:00.000": {
                "dynamodb:DescribeStream",
                "dynamodb:GetRecords",
                "dynamodb:GetShardIterator",
            },
            f"{table}/stream/*": {"dynamodb:ListStreams"},
            connections: {"dynamodb:Query", "dynamodb:DeleteItem"},
            f"{live}/POST/@connections/*": push,
            f"{live}/DELETE/@connections/*": push,
            queue_arn(stack, "untold-updates"): {"sqs:SendMessage"},
        },
        "cancel-tasks": {table: {"dynamodb:GetItem", "dynamodb:PartiQLUpdate"}},
        "track-connections": {
            connections: {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"},
        },
        "issue-tickets": {connections: {"dynamodb:PutItem"}},
        # Everybody reaches these without a token.
        "dashboard": {},
        "describe-api": {},
    }
    assert own.keys() == set(FUNCTIONS)
    for name, grants in own.items():
        logs = ARN.format("logs", f"log-group:/aws/lambda/tasks-{stack}-{name}:*")
        assert granted(program, name) == {**grants, logs: {"logs:CreateLogStream", "logs:PutLogEvents"}}


def test_no_role_has_other_rights_than_its_one_policy(program: Program) -> None:
    roles = program.of_type(ROLE)
    assert len(roles) == len(program.of_type(POLICY)) == len(FUNCTIONS)
    for role in roles:
        assert not role["inputs"].keys() & {"inlinePolicies", "managedPolicyArns"}
        [statement] = statements(role["inputs"]["assumeRolePolicy"])
        assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert not [r for r in program.resources if "olicyAttachment" in r["type"]]


def test_no_wildcard_but_where_names_are_made_later(program: Program, stack: str) -> None:
    """The streams of a log group, of a table; the connections of an API."""
    api = ARN.format("execute-api", f"tasks-{stack}-live-api/live/{{}}/@connections/*")
    for name in FUNCTIONS:
        own_logs = ARN.format("logs", f"log-group:/aws/lambda/{program.inputs(FUNCTION, name)['name']}:*")
        made_later = {own_logs}
        if name == "notify-clients":
            made_later |= {f"{table_arn(stack)}/stream/*", api.format("POST"), api.format("DELETE")}
        grants = granted(program, name)
        assert not [action for actions in grants.values() for action in actions if "*" in action]
        assert {resource for resource in grants if "*" in resource} == made_later
    for permission in program.of_type(PERMISSION):
        assert "*" not in permission["inputs"]["sourceArn"]


def test_nothing_may_scan(program: Program) -> None:
    assert "Scan" not in json.dumps(program.resources)


# Triggers


def test_worker_gets_batches_with_partial_failures_and_limited_concurrency(
    program: Program, stack: str
) -> None:
    source = program.inputs(EVENT_SOURCE, "process-tasks")
    assert source["eventSourceArn"] == queue_arn(stack, "task-queue")
    assert source["functionName"] == ARN.format("lambda", f"function:tasks-{stack}-process-tasks")
    assert source["functionResponseTypes"] == ["ReportBatchItemFailures"]
    assert (source["batchSize"], source["maximumBatchingWindowInSeconds"]) == (10, 0)
    assert source["scalingConfig"] == {"maximumConcurrency": 100 if stack == "prod" else 10}


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_schedule_starts_the_monitor(stack: str) -> None:
    program = evaluate(stack)
    rule = program.inputs(RULE, "monitor-dlq")
    function = ARN.format("lambda", f"function:tasks-{stack}-monitor-dlq")
    assert rule["scheduleExpression"] == "rate(5 minutes)"
    assert program.inputs(TARGET, "monitor-dlq")["rule"] == rule["name"]
    assert program.inputs(TARGET, "monitor-dlq")["arn"] == function
    assert program.inputs(PERMISSION, "monitor-dlq-to-monitor-dlq") == {
        "statementId": "monitor-dlq-to-monitor-dlq",
        "action": "lambda:InvokeFunction",
        "function": f"tasks-{stack}-monitor-dlq",
        "principal": "events.amazonaws.com",
        "sourceArn": ARN.format("events", f"rule/{rule['name']}"),
    }
    assert "monitor-dlq" not in [source["name"] for source in program.of_type(EVENT_SOURCE)]


def test_either_trigger_starts_the_same_monitor_with_the_same_rights() -> None:
    """AWS changes the function first and its triggers after it: for a while both triggers call it."""
    by_schedule, by_queue = evaluate("dev"), evaluate("dev", dlqMonitorTrigger="queue")
    for type_ in (FUNCTION, POLICY):
        assert by_queue.inputs(type_, "monitor-dlq") == by_schedule.inputs(type_, "monitor-dlq")


@pytest.mark.parametrize(
    ("option", "owned"),
    [
        ({"dlqMonitorTrigger": "queue"}, set[str]()),
        ({"snapStart": "true"}, set[str]()),
        ({"apiProvisionedConcurrency": "1", "workerProvisionedConcurrency": "1"}, set[str]()),
        ({"auth": "jwt", "jwtIssuer": "https://id.example.com", "jwtAudience": "tasks"}, set[str]()),
        ({"webhookSecret": f"whsec_{'MfKQ' * 8}"}, {"WEBHOOK_SECRET_PARAMETER", "ssm:GetParameter"}),
        ({"tracing": "true"}, {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}),
    ],
    ids=lambda value: "-".join(sorted(value)) or "none",
)
def test_a_setting_changes_no_handler_and_gives_and_takes_its_own_variables_and_rights_alone(
    option: dict[str, str], owned: set[str]
) -> None:
    """A function, its rights and what calls it change one after the other. docs/deploying.md says how to take the
    secret away."""
    without, with_ = evaluate("dev"), evaluate("dev", preview=False, **option)
    given: set[str] = set()
    for name in FUNCTIONS:
        old, new = without.inputs(FUNCTION, name), with_.inputs(FUNCTION, name)
        assert new["handler"] == old["handler"]
        old_names, new_names = (each["environment"]["variables"].keys() for each in (old, new))
        old_rights, new_rights = (rights(program, name) for program in (without, with_))
        assert old_names <= new_names
        assert old_rights <= new_rights
        given |= (new_names - old_names) | {action for action, _ in new_rights - old_rights}
    assert given == owned


def test_dead_letters_start_the_monitor_in_the_local_stack() -> None:
    program = evaluate("local")
    source = program.inputs(EVENT_SOURCE, "monitor-dlq")
    assert source["eventSourceArn"] == queue_arn("local", "dead-letter-queue")
    assert source["functionName"] == ARN.format("lambda", "function:tasks-local-monitor-dlq")
    assert source["functionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["scalingConfig"] == {"maximumConcurrency": 2}
    assert [rule["name"] for rule in program.of_type(RULE)] == ["sweep-tasks"]


def test_the_sweep_runs_every_minute_and_ends_before_the_next(program: Program, stack: str) -> None:
    assert program.inputs(RULE, "sweep-tasks")["scheduleExpression"] == "rate(1 minute)"
    function = ARN.format("lambda", f"function:tasks-{stack}-sweep-tasks")
    assert program.inputs(TARGET, "sweep-tasks")["arn"] == function
    assert program.inputs(FUNCTION, "sweep-tasks")["timeout"] <= 60


def test_changes_of_records_alone_reach_who_tells_clients(program: Program, stack: str) -> None:
    table = program.inputs(TABLE, "tasks")
    assert (table["streamEnabled"], table["streamViewType"]) == (True, "NEW_IMAGE")
    source = program.inputs(EVENT_SOURCE, "notify-clients")
    assert source["eventSourceArn"] == f"{table_arn(stack)}/stream/2026-11-22T00:00:00.000"
    assert source["functionName"] == ARN.format("lambda", f"function:tasks-{stack}-notify-clients")
    assert (source["startingPosition"], source["batchSize"]) == ("LATEST", 100)
    [pattern] = source["filterCriteria"]["filters"]
    assert json.loads(pattern["pattern"]) == {
        "eventName": ["INSERT", "MODIFY"],
        "dynamodb": {"Keys": {"part": {"S": ["state"]}}},
    }
    assert source["functionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["bisectBatchOnFunctionError"] is True
    assert source["destinationConfig"] == {
        "onFailure": {"destinationArn": queue_arn(stack, "untold-updates")}
    }


def test_no_change_is_given_up_while_a_connection_of_its_time_can_be_there(program: Program) -> None:
    source = program.inputs(EVENT_SOURCE, "notify-clients")
    assert source["maximumRetryAttempts"] == -1
    # The gateway ends a connection after two hours, and the stream keeps a change for a day.
    assert 2 * 3_600 < source["maximumRecordAgeInSeconds"] < 24 * 3_600


def test_no_event_source_breaks_a_rule_of_aws(program: Program) -> None:
    visibility = {
        queue_arn_: queue["visibilityTimeoutSeconds"]
        for queue in (resource["inputs"] for resource in program.of_type(QUEUE))
        for queue_arn_ in [ARN.format("sqs", queue["name"])]
    }
    timeout = {
        ARN.format("lambda", f"function:{function['name']}"): function["timeout"]
        for function in (resource["inputs"] for resource in program.of_type(FUNCTION))
    }
    sources = [resource["inputs"] for resource in program.of_type(EVENT_SOURCE)]
    for source in [source for source in sources if ":sqs:" in source["eventSourceArn"]]:
        window = source["maximumBatchingWindowInSeconds"]
        assert source["batchSize"] <= 10 or window >= 1
        assert 2 <= source["scalingConfig"]["maximumConcurrency"] <= 1000
        assert visibility[source["eventSourceArn"]] >= timeout[source["functionName"]] + window


# The API


def test_routes_call_their_functions(program: Program, stack: str) -> None:
    targets = {
        f"integrations/{integration['name']}-id": integration["inputs"]
        for integration in program.of_type(INTEGRATION)
    }
    # A WebSocket event has but one format.
    live = targets.pop("integrations/track-connections-id")
    routes = {
        route["inputs"]["routeKey"]: targets[route["inputs"]["target"]]["integrationUri"].split("/")[-2]
        for route in program.of_type(ROUTE)
        if route["inputs"]["apiId"] == "api-id"
    }
    read = f"tasks-{stack}-read-tasks"
    assert live["integrationUri"].split("/")[-2] == f"tasks-{stack}-track-connections"
    assert routes == {
        "GET /": f"tasks-{stack}-dashboard",
        "GET /openapi.json": f"tasks-{stack}-describe-api",
        "GET /docs": f"tasks-{stack}-describe-api",
        "POST /live": f"tasks-{stack}-issue-tickets",
        "POST /tasks": f"tasks-{stack}-submit-tasks",
        "POST /tasks/batch": f"tasks-{stack}-submit-tasks",
        "GET /tasks": read,
        "GET /tasks/{taskId}": read,
        "DELETE /tasks/{taskId}": f"tasks-{stack}-cancel-tasks",
        "POST /tasks/{taskId}/retry": f"tasks-{stack}-retry-tasks",
        "$default": read,
    }
    for integration in targets.values():
        assert integration["payloadFormatVersion"] == "2.0"
        assert integration["integrationType"] == "AWS_PROXY"


def test_each_route_may_call_its_function_and_no_other_caller_may(program: Program, stack: str) -> None:
    permissions = {
        permission["inputs"]["sourceArn"]: permission["inputs"]
        for permission in program.of_type(PERMISSION)
        if permission["inputs"]["principal"] == "apigateway.amazonaws.com"
    }
    stage = ARN.format("execute-api", f"tasks-{stack}-api/$default/")
    live = ARN.format("execute-api", f"tasks-{stack}-live-api/live/")
    track = f"tasks-{stack}-track-connections"
    assert {arn.removeprefix(stage): inputs["function"] for arn, inputs in permissions.items()} == {
        f"{live}$connect": track,
        f"{live}$default": track,
        f"{live}$disconnect": track,
        "GET/": f"tasks-{stack}-dashboard",
        "GET/openapi.json": f"tasks-{stack}-describe-api",
        "GET/docs": f"tasks-{stack}-describe-api",
        "POST/live": f"tasks-{stack}-issue-tickets",
        "POST/tasks": f"tasks-{stack}-submit-tasks",
        "POST/tasks/batch": f"tasks-{stack}-submit-tasks",
        "GET/tasks": f"tasks-{stack}-read-tasks",
        "GET/tasks/{taskId}": f"tasks-{stack}-read-tasks",
        "DELETE/tasks/{taskId}": f"tasks-{stack}-cancel-tasks",
        "POST/tasks/{taskId}/retry": f"tasks-{stack}-retry-tasks",
        "$default": f"tasks-{stack}-read-tasks",
    }


def with_tokens(cors_origins: str = "[]") -> Program:
    return evaluate(
        "dev",
        auth="jwt",
        jwtIssuer="https://id.example.com/",
        jwtAudience="tasks",
        corsOrigins=cors_origins,
    )


def guards(program: Program) -> dict[str, tuple[str | None, str | None]]:
    """How callers of each route of the HTTP API are authorized, and by which authorizer."""
    return {
        inputs["routeKey"]: (inputs.get("authorizationType"), inputs.get("authorizerId"))
        for inputs in (route["inputs"] for route in program.of_type(ROUTE))
        if inputs["apiId"] == "api-id"
    }


def test_with_jwt_every_route_but_the_open_ones_wants_a_token() -> None:
    program = with_tokens()
    [authorizer] = program.of_type(AUTHORIZER)
    assert authorizer["inputs"] == {
        "apiId": "api-id",
        "name": "api",
        "authorizerType": "JWT",
        "identitySources": ["$request.header.Authorization"],
        "jwtConfiguration": {"issuer": "https://id.example.com/", "audiences": ["tasks"]},
    }
    routes = guards(program)
    assert routes.keys() > OPEN_ROUTES | {"$default"}
    for route, guard in routes.items():
        assert guard == ((None, None) if route in OPEN_ROUTES else ("JWT", "api-id")), route


def test_prod_wants_tokens_and_the_other_stacks_do_not(program: Program, stack: str) -> None:
    assert len(program.of_type(AUTHORIZER)) == (stack == "prod")
    assert guards(program)["POST /tasks"] == (("JWT", "api-id") if stack == "prod" else (None, None))


def test_a_browser_may_ask_without_a_token_what_a_page_of_another_origin_may_send() -> None:
    program = with_tokens('["https://a.example"]')
    assert guards(program)["OPTIONS /{proxy+}"] == (None, None)
    assert "authorization" in program.inputs(API, "api")["corsConfiguration"]["allowHeaders"]


def test_a_frame_of_a_client_is_answered(program: Program) -> None:
    """The gateway passes an answer on only where the route has a response."""
    api = program.inputs(API, "live-api")
    assert (api["protocolType"], api["routeSelectionExpression"]) == ("WEBSOCKET", "$request.body.action")
    routes = {
        route["inputs"]["routeKey"]: route
        for route in program.of_type(ROUTE)
        if route["inputs"]["apiId"] == "live-api-id"
    }
    assert routes.keys() == {"$connect", "$default", "$disconnect"}
    assert routes["$default"]["inputs"]["routeResponseSelectionExpression"] == "$default"
    [response] = program.of_type(ROUTE_RESPONSE)
    assert response["inputs"]["routeId"] == f"{routes['$default']['name']}-id"
    assert response["inputs"]["routeResponseKey"] == "$default"


def test_connections_are_kept_until_their_time_to_live(program: Program, stack: str) -> None:
    table = program.inputs(TABLE, "connections")
    assert table["name"] == f"tasks-{stack}-connections"
    assert (table["hashKey"], table["rangeKey"]) == ("state", "connectionId")
    assert table["ttl"] == {"attributeName": "expiresAt", "enabled": True}


@pytest.mark.parametrize(("api", "name"), [("api", "$default"), ("live-api", "live")])
def test_stage_deploys_itself_and_throttles(program: Program, api: str, name: str) -> None:
    stage = program.inputs(STAGE, api)
    assert stage["name"] == name
    assert stage["autoDeploy"] is True
    assert stage["defaultRouteSettings"] == {"throttlingRateLimit": 100, "throttlingBurstLimit": 200}


def test_no_other_origin_may_call_the_api_unless_configured(program: Program) -> None:
    assert "corsConfiguration" not in program.inputs(API, "api")


# The stack as a whole


def test_outputs(program: Program, stack: str) -> None:
    assert program.outputs == {
        "dashboardUrl": f"https://tasks-{stack}-api.execute-api.eu-north-1.amazonaws.com/",
        "apiUrl": f"https://tasks-{stack}-api.execute-api.eu-north-1.amazonaws.com",
        "webSocketUrl": LIVE_URL,
        "tasksTableName": f"tasks-{stack}-tasks",
        "taskQueueUrl": queue_url(stack, "task-queue"),
        "deadLetterQueueUrl": queue_url(stack, "dead-letter-queue"),
    }


def test_everything_that_can_be_tagged_is(program: Program, stack: str) -> None:
    taggable = (TABLE, QUEUE, FUNCTION, EVENT_SOURCE, ROLE, LOG_GROUP, API, STAGE, RULE, ALARM, TOPIC, KEY)
    for type_ in taggable:
        for resource in program.of_type(type_):
            assert resource["inputs"]["tags"] == {"project": "tasks", "stack": stack}, resource["urn"]


def test_every_resource_belongs_to_a_component(program: Program) -> None:
    for resource in program.resources:
        if resource["type"].startswith("aws:"):
            assert "tasks:infra:" in resource["parent"], resource["urn"]


def test_settings_reach_what_they_configure() -> None:
    program = evaluate(
        "dev",
        batchSize="20",
        batchWindowSeconds="3",
        corsOrigins='["https://a.example", "http://localhost:5173"]',
        dlqMonitorSchedule="cron(0 8 ? * MON-FRI *)",
        maxReceiveCount="20",
        messageRetentionDays="3",
        workerTimeoutSeconds="60",
        workerMemoryMb="1024",
        apiThrottleRate="7",
        apiThrottleBurst="9",
        apiMemoryMb="2048",
        architecture="x86_64",
    )
    queue, source = program.inputs(QUEUE, "task-queue"), program.inputs(EVENT_SOURCE, "process-tasks")
    worker = program.inputs(FUNCTION, "process-tasks")
    assert (source["batchSize"], source["maximumBatchingWindowInSeconds"]) == (20, 3)
    assert queue["visibilityTimeoutSeconds"] == 6 * 60 + 3
    assert worker["environment"]["variables"]["VISIBILITY_TIMEOUT_SECONDS"] == str(6 * 60 + 3)
    assert (worker["timeout"], worker["memorySize"]) == (60, 1024)
    sizes = {f["name"]: f["inputs"]["memorySize"] for f in program.of_type(FUNCTION)}
    assert {name for name, size in sizes.items() if size == 2048} == {
        "submit-tasks",
        "read-tasks",
        "retry-tasks",
        "cancel-tasks",
        "notify-clients",
        "track-connections",
        "dashboard",
        "describe-api",
        "issue-tickets",
    }
    assert all(f["inputs"]["architectures"] == ["x86_64"] for f in program.of_type(FUNCTION))
    assert queue["messageRetentionSeconds"] == 3 * 24 * 60 * 60
    assert json.loads(queue["redrivePolicy"])["maxReceiveCount"] == 20
    assert program.inputs(RULE, "monitor-dlq")["scheduleExpression"] == "cron(0 8 ? * MON-FRI *)"
    assert program.inputs(STAGE, "api")["defaultRouteSettings"] == {
        "throttlingRateLimit": 7,
        "throttlingBurstLimit": 9,
    }
    cors = program.inputs(API, "api")["corsConfiguration"]
    assert cors["allowOrigins"] == ["https://a.example", "http://localhost:5173"]
    assert "allowCredentials" not in cors
    assert set(cors["allowMethods"]) == {"DELETE", "GET", "POST"}


# The secret of webhooks

#: Two secrets, as while one replaces the other.
SECRETS = f"whsec_{'MfKQ' * 8} whsec_{'C2FV' * 16}"


def with_secret(*, preview: bool = False) -> Program:
    return evaluate("prod", preview=preview, webhookSecret=SECRETS, webhookAllowedHosts='["*.example.com"]')


@pytest.mark.parametrize("preview", [False, True])
def test_the_webhook_secret_is_an_encrypted_parameter_and_nowhere_else(preview: bool) -> None:
    program = with_secret(preview=preview)
    [parameter] = program.of_type(PARAMETER)
    assert parameter["inputs"] == {
        "name": "/tasks-prod/webhook-secret",
        "type": "SecureString",
        "value": SECRETS,
        "description": "What the task type webhook signs its deliveries with",
        "tags": {"project": "tasks", "stack": "prod"},
    }
    assert parameter["secrets"] == ["value"]
    others = [resource for resource in program.resources if resource is not parameter]
    assert "whsec_" not in json.dumps([others, program.outputs])
    holders = [
        function["name"]
        for function in program.of_type(FUNCTION)
        if "WEBHOOK_SECRET_PARAMETER" in function["inputs"]["environment"]["variables"]
    ]
    assert holders == ["process-tasks"]
    variables = program.inputs(FUNCTION, "process-tasks")["environment"]["variables"]
    assert variables["WEBHOOK_SECRET_PARAMETER"] == "/tasks-prod/webhook-secret"
    assert variables["WEBHOOK_ALLOWED_HOSTS"] == '["*.example.com"]'


def test_the_worker_alone_may_read_the_webhook_secret() -> None:
    program = with_secret()
    arn = ARN.format("ssm", "parameter/tasks-prod/webhook-secret")
    rights = {name: granted(program, name).get(arn) for name in FUNCTIONS}
    assert {name: actions for name, actions in rights.items() if actions} == {
        "process-tasks": {"ssm:GetParameter"}
    }


def test_without_a_webhook_secret_there_is_no_parameter(program: Program) -> None:
    assert program.of_type(PARAMETER) == []


# What task types ask for


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The program somewhere else, to add task types to."""
    shutil.copytree(ROOT / "functions", tmp_path / "functions", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "infra", tmp_path / "infra", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "build" / "wheels", tmp_path / "build" / "wheels")
    shutil.copy(ROOT / "__main__.py", tmp_path)
    return tmp_path


def test_grants_of_task_types_are_the_workers(copy: Path) -> None:
    (copy / "functions" / "task_types" / "cats.py").write_text(
        '@task_type("cats", grants={"s3:GetObject": ["arn:{partition}:s3:::{prefix}-cats/*"],\n'
        '    "sns:Publish": ("arn:{partition}:sns:{region}:{account}:cats",)})\n'
        "def cats(data, attempt): ...\n"
    )
    program, plain = evaluate_in(copy, "dev"), evaluate("dev")
    assert program.error is None
    for name in FUNCTIONS:
        more = {
            "arn:aws:s3:::tasks-dev-cats/*": {"s3:GetObject"},
            "arn:aws:sns:eu-north-1:123456789012:cats": {"sns:Publish"},
        }
        assert granted(program, name) == granted(plain, name) | (more if name == "process-tasks" else {})


def test_preview_of_a_new_stack_declares_the_same_with_unknown_outputs() -> None:
    preview, update = evaluate("dev", preview=True), evaluate("dev")
    assert sorted(r["urn"] for r in preview.resources) == sorted(r["urn"] for r in update.resources)
    assert preview.outputs["apiUrl"] == preview.outputs["taskQueueUrl"] == "<unknown>"
    assert preview.outputs["tasksTableName"] == "tasks-dev-tasks"
    # What AWS computes is unknown here, and never null or half a policy.
    assert preview.inputs(POLICY, "read-tasks")["policy"] == "<unknown>"
    assert "null" not in json.dumps(preview.resources)


def test_wrong_configuration_declares_nothing_and_says_why() -> None:
    program = evaluate("dev", maxRetries="-1", failureRate="1.5", listShard="4")
    assert program.resources == ()
    assert program.error is not None
    assert program.error.splitlines() == [
        "The configuration of stack dev is wrong:",
        '  maxRetries: "-1"; allowed: a whole number from 0 to 100',
        '  failureRate: "1.5"; allowed: a number from 0 to 1 as a string, such as "0.3"',
        "  listShard: not a key of this project; did you mean listShards?",
    ]


def test_pulumi_runs_the_program_in_the_environment_that_make_builds() -> None:
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    assert project["name"] == "tasks"
    assert project["runtime"] == {"name": "python", "options": {"toolchain": "pip", "virtualenv": ".venv"}}
