"""What watches a stack: alarms and whom they call, the dashboard, saved queries, traces."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from tasklib import telemetry

from infra import metrics
from infra.settings import Monitor
from tests.infra.aws_metrics import AWS_METRICS
from tests.infra.stacks import Program, evaluate

pytestmark = pytest.mark.xdist_group("infra")

ALARM = "cloudwatch/metricAlarm:MetricAlarm"
DASHBOARD = "cloudwatch/dashboard:Dashboard"
QUERY = "cloudwatch/queryDefinition:QueryDefinition"
METRIC_FILTER = "cloudwatch/logMetricFilter:LogMetricFilter"
TOPIC, TOPIC_POLICY = "sns/topic:Topic", "sns/topicPolicy:TopicPolicy"
SUBSCRIPTION = "sns/topicSubscription:TopicSubscription"
KEY = "kms/key:Key"
FUNCTION, POLICY = "lambda/function:Function", "iam/rolePolicy:RolePolicy"
TOPIC_ARN = "arn:aws:sns:eu-north-1:123456789012:tasks-{}-alarms"

ALWAYS = {
    *("dead-letters", "dead-letters-parked", "damaged-records"),
    *("task-queue-age", "worker-errors", "worker-throttles"),
    *("api-errors", "api-latency", "updates-late", "updates-untold"),
    *("sweep-errors", "sweep-stopped", "monitor-errors"),
}


def alarms(program: Program) -> dict[str, Mapping[str, Any]]:
    return {alarm["name"]: alarm["inputs"] for alarm in program.of_type(ALARM)}


def metrics_of(alarm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Namespace, name, dimensions, statistic and period of each metric that an alarm looks at."""
    if "metricQueries" not in alarm:
        return [alarm]
    return [query["metric"] for query in alarm["metricQueries"] if "metric" in query]


def graphs(program: Program) -> list[Mapping[str, Any]]:
    [dashboard] = program.of_type(DASHBOARD)
    widgets = json.loads(dashboard["inputs"]["dashboardBody"])["widgets"]
    return [widget["properties"] for widget in widgets if widget["type"] == "metric"]


# Alarms


def test_a_monitor_on_a_schedule_has_an_alarm_for_when_it_stops() -> None:
    assert alarms(evaluate("local")).keys() == ALWAYS  # there the queue starts it
    for stack in ("dev", "prod"):
        declared = alarms(evaluate(stack))
        assert declared.keys() == {*ALWAYS, "monitor-stopped"}
        assert declared["monitor-stopped"]["dimensions"] == {"FunctionName": f"tasks-{stack}-monitor-dlq"}


@pytest.mark.parametrize(
    ("schedule", "periods"),
    [
        ("rate(1 minute)", (5, 60)),
        ("rate(2 minutes)", (3, 120)),
        ("rate(5 minutes)", (2, 300)),
        ("rate(12 hours)", (2, 12 * 60 * 60)),
        ("rate(1 day)", None),  # two of them are longer than an alarm may look back
        ("cron(0 8 ? * MON-FRI *)", None),  # nobody can say how often that is
    ],
)
def test_it_may_miss_one_start(schedule: str, periods: tuple[int, int] | None) -> None:
    alarm = alarms(evaluate("dev", dlqMonitorSchedule=schedule)).get("monitor-stopped")
    assert ((alarm["evaluationPeriods"], alarm["period"]) if alarm else None) == periods


@pytest.mark.parametrize(
    ("schedule", "seconds"), [("rate(1 hour)", 3600), ("rate(2 days)", 172_800), ("rate(10 minutes)", 600)]
)
def test_interval_of_a_schedule(schedule: str, seconds: int) -> None:
    assert Monitor("schedule", schedule).interval_seconds == seconds
    assert Monitor("queue", schedule).interval_seconds is None


def test_alarms_look_at_metrics_that_exist(program: Program, stack: str) -> None:
    ours = f"tasks-{stack}"
    for name, metric in (
        (name, each) for name, alarm in alarms(program).items() for each in metrics_of(alarm)
    ):
        where = metric["namespace"], tuple(metric.get("dimensions", {}))
        if metric["namespace"] == ours:
            # Compared with what the functions write in tests/e2e/test_alarms.py.
            assert where == (ours, ())
            over_all_types = (metrics.DEAD_LETTERS, metrics.DEAD_LETTERS_PARKED, metrics.DAMAGED_RECORDS)
            assert metric["metricName"] in over_all_types, name
        else:
            assert metric["metricName"] in AWS_METRICS[where], name


def test_alarms_look_at_what_they_are_named_for(program: Program, stack: str) -> None:
    seen = {
        name: (*metric.get("dimensions", {}).values(), metric["metricName"])
        for name, alarm in alarms(program).items()
        for metric in metrics_of(alarm)[:1]
    }
    seen.pop("monitor-stopped", None)
    start = f"tasks-{stack}-"
    assert seen == {
        "dead-letters": ("DeadLetters",),
        "dead-letters-parked": ("DeadLettersParked",),
        "damaged-records": ("DamagedRecords",),
        "task-queue-age": (f"{start}task-queue", "ApproximateAgeOfOldestMessage"),
        "worker-errors": (f"{start}process-tasks", "Errors"),
        "worker-throttles": (f"{start}process-tasks", "Throttles"),
        "api-errors": ("api-id", "5xx"),
        "api-latency": ("api-id", "Latency"),
        "updates-late": (f"{start}notify-clients", "IteratorAge"),
        "updates-untold": (f"{start}untold-updates", "ApproximateNumberOfMessagesVisible"),
        "sweep-errors": (f"{start}sweep-tasks", "Errors"),
        "sweep-stopped": (f"{start}sweep-tasks", "Invocations"),
        "monitor-errors": (f"{start}monitor-dlq", "Errors"),
    }


def test_alarms_call_when_something_is_wrong_and_when_it_is_right_again(program: Program, stack: str) -> None:
    for name, alarm in alarms(program).items():
        assert alarm["name"] == f"tasks-{stack}-{name}"
        assert alarm["alarmActions"] == alarm["okActions"] == [TOPIC_ARN.format(stack)], name
        assert alarm["alarmDescription"].endswith(f" docs/runbook.md#{name}")
        assert len(alarm["alarmDescription"]) <= 1024


def test_silence_is_reported_of_scheduled_functions_alone_and_not_before_the_first_run(
    program: Program,
) -> None:
    """A new alarm has insufficient data, and sends a message when it comes into a state from another one. If missing
    data were breaching, it would be in ALARM until the first run, which may be 12 hours away."""
    for name, alarm in alarms(program).items():
        stopped = name.endswith("-stopped")
        assert alarm["treatMissingData"] == ("missing" if stopped else "notBreaching"), name
        assert alarm.get("insufficientDataActions", []) == (alarm["alarmActions"] if stopped else []), name
        expected = "LessThanThreshold" if stopped else "GreaterThanOrEqualToThreshold"
        assert alarm["comparisonOperator"] == expected


def test_the_age_of_the_queue_counts_only_while_messages_wait_to_be_taken(
    program: Program, stack: str
) -> None:
    """SQS may count messages in backoff too; those are in flight, not visible."""
    alarm = alarms(program)["task-queue-age"]
    queries = {query["id"]: query for query in alarm["metricQueries"]}
    [result] = [query for query in queries.values() if query.get("returnData")]
    assert result["expression"] == "IF(condition > 0, value, 0)"
    measured = {
        id_: (query["metric"]["metricName"], query["metric"]["stat"])
        for id_, query in queries.items()
        if "metric" in query
    }
    assert measured == {
        "value": ("ApproximateAgeOfOldestMessage", "Maximum"),
        "condition": ("ApproximateNumberOfMessagesVisible", "Minimum"),
    }
    assert {
        query["metric"]["dimensions"]["QueueName"] for query in queries.values() if "metric" in query
    } == {f"tasks-{stack}-task-queue"}
    assert {query["metric"]["period"] for query in queries.values() if "metric" in query} == {300}


def test_no_alarm_breaks_a_rule_of_aws(program: Program) -> None:
    of_one_metric = {"namespace", "metricName", "dimensions", "statistic", "extendedStatistic", "period"}
    for name, alarm in alarms(program).items():
        for metric in metrics_of(alarm):
            assert metric["period"] % 60 == 0, name
            assert metric["period"] * alarm["evaluationPeriods"] <= 24 * 60 * 60, name
        if "metricQueries" in alarm:
            assert not of_one_metric & alarm.keys(), name
            # AWS takes what does not say so for a result, and allows one.
            assert sum(query["returnData"] for query in alarm["metricQueries"]) == 1, name
        else:
            assert ("statistic" in alarm) is not ("extendedStatistic" in alarm), name
            assert ("extendedStatistic" in alarm) is ("evaluateLowSampleCountPercentiles" in alarm), name


def test_thresholds_come_from_the_configuration() -> None:
    declared = alarms(
        evaluate(
            "dev",
            alarmDeadLetters="7",
            alarmQueueAgeSeconds="77",
            alarmApiErrors="777",
            alarmApiLatencyMs="7777",
            runbookUrl="https://wiki.example.com/runbook",
        )
    )
    keys = ("dead-letters", "task-queue-age", "api-errors", "api-latency")
    assert [declared[name]["threshold"] for name in keys] == [7, 77, 777, 7777]
    assert declared["api-latency"]["alarmDescription"].endswith(
        " https://wiki.example.com/runbook#api-latency"
    )


# The topic


def test_an_address_that_is_configured_is_called_by_email() -> None:
    assert evaluate("dev").of_type(SUBSCRIPTION) == []
    [subscription] = evaluate("dev", alarmEmail="oncall@example.com").of_type(SUBSCRIPTION)
    assert subscription["inputs"] == {
        "topic": TOPIC_ARN.format("dev"),
        "protocol": "email",
        "endpoint": "oncall@example.com",
    }


def test_the_topic_is_encrypted_with_a_key_that_cloudwatch_may_use(program: Program) -> None:
    [key], [topic] = program.of_type(KEY), program.of_type(TOPIC)
    assert topic["inputs"]["kmsMasterKeyId"].endswith("key/alarms-id")
    assert key["inputs"]["enableKeyRotation"] is True
    owner, cloudwatch = json.loads(key["inputs"]["policy"])["Statement"]
    assert owner["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    assert cloudwatch["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert set(cloudwatch["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey*"}


def test_the_topic_takes_calls_of_this_stacks_alarms_alone(program: Program, stack: str) -> None:
    [policy] = program.of_type(TOPIC_POLICY)
    [statement] = json.loads(policy["inputs"]["policy"])["Statement"]
    assert statement == {
        "Sid": "AlarmsOfThisStack",
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": TOPIC_ARN.format(stack),
        "Condition": {
            "StringEquals": {"aws:SourceAccount": "123456789012"},
            "ArnLike": {"aws:SourceArn": f"arn:aws:cloudwatch:eu-north-1:123456789012:alarm:tasks-{stack}-*"},
        },
    }


# The dashboard


def test_the_dashboard_is_named_for_its_region(program: Program, stack: str) -> None:
    """A dashboard's name is taken in all regions, and PutDashboard overwrites that of a stack in another region."""
    [dashboard] = program.of_type(DASHBOARD)
    assert dashboard["inputs"]["dashboardName"] == f"tasks-{stack}-eu-north-1"


def test_the_dashboard_shows_metrics_that_exist(program: Program, stack: str) -> None:
    ours = {value for name, value in vars(metrics).items() if name.isupper() and name != "TYPE"}
    searched: set[str] = set()
    for graph in graphs(program):
        assert graph["region"] == "eu-north-1"
        for metric in graph["metrics"]:
            if len(metric) == 1:
                search = re.search(
                    r"""SEARCH\('\{"(.*)","type"\} MetricName="(\w+)"', '(\w+)'\)""", metric[0]["expression"]
                )
                assert search
                assert search[1] == f"tasks-{stack}"
                searched.add(search[2])
            else:
                namespace, name, dimension, value, options = metric
                assert name in AWS_METRICS[namespace, (dimension,)]
                assert value in ("api-id", f"tasks-{stack}-tasks") or value.split("/")[-1].startswith(
                    f"tasks-{stack}-"
                )
                assert options["stat"] in ("Sum", "Maximum", "p99")
    assert searched == ours - {metrics.DEAD_LETTERS_PARKED, metrics.DAMAGED_RECORDS}


def test_the_dashboard_fits_the_grid_and_shows_every_alarm(program: Program) -> None:
    [dashboard] = program.of_type(DASHBOARD)
    widgets = json.loads(dashboard["inputs"]["dashboardBody"])["widgets"]
    cells = [
        (x, y)
        for widget in widgets
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert len(cells) == len(set(cells)), "widgets overlap"
    assert max(x for x, _ in cells) < 24
    [shown] = [widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm"]
    assert {arn.rpartition(":")[2] for arn in shown} == {a["name"] for a in alarms(program).values()}


def test_names_of_metrics_are_those_that_the_functions_write() -> None:
    ours = {value for name, value in vars(metrics).items() if name.isupper() and name != "TYPE"}
    assert ours == {*map(str, telemetry.Metric), metrics.SUBMITTED}


def test_submissions_are_counted_from_their_log_lines(program: Program, stack: str) -> None:
    [filter_] = program.of_type(METRIC_FILTER)
    assert filter_["inputs"]["logGroupName"] == f"/aws/lambda/tasks-{stack}-submit-tasks"
    assert filter_["inputs"]["metricTransformation"] == {
        "namespace": f"tasks-{stack}",
        "name": "Submitted",
        "value": "$.submitted",
        "unit": "Count",
        "dimensions": {"type": "$.type"},
    }


# Saved queries


def test_saved_queries_ask_logs_that_exist(program: Program, stack: str) -> None:
    queries = {query["name"]: query["inputs"] for query in program.of_type(QUERY)}
    assert queries.keys() == {"dead-letters", "story-of-a-task", "slowest-tasks", "errors-by-type", "errors"}
    groups = {f"/aws/lambda/{function['inputs']['name']}" for function in program.of_type(FUNCTION)}
    for name, query in queries.items():
        assert query["name"] == f"tasks-{stack}/{name}"
        assert set(query["logGroupNames"]) <= groups
    assert set(queries["story-of-a-task"]["logGroupNames"]) == groups
    fields = "eventType, taskId, type, attempts, retryCount, errorMessage, correlationId"
    assert fields in queries["dead-letters"]["queryString"]


# Traces


def test_functions_are_traced_only_if_asked_to() -> None:
    plain, traced = evaluate("dev"), evaluate("dev", tracing="true")
    names = [function["name"] for function in plain.of_type(FUNCTION)]
    for name in names:
        assert "tracingConfig" not in plain.inputs(FUNCTION, name)
        assert traced.inputs(FUNCTION, name)["tracingConfig"] == {"mode": "Active"}
        before, after = (json.loads(p.inputs(POLICY, name)["policy"])["Statement"] for p in (plain, traced))
        assert "xray" not in json.dumps(before)
        [more] = [statement for statement in after if statement not in before]
        assert more == {
            "Effect": "Allow",
            "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
            "Resource": ["*"],
        }
