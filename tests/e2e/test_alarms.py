"""What a running stack measures, and whom it calls."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from typing import Any

import boto3
import pytest
from tasklib.queue import DeadLetter

from infra.saved_queries import SAVED_QUERIES
from tests.metric_lines import Key, data_points
from tests.waiting import wait_for

from .conftest import LocalStack

pytestmark = pytest.mark.xdist_group("failing")

PREFIX = "tasks-local"


def client(stack: LocalStack, service: str) -> Any:
    clients: Any = boto3
    return clients.client(service, **stack.credentials)


def measured(stack: LocalStack) -> set[Key]:
    """The metrics that the stack's functions have written so far."""
    return {metric for line in stack.logs() if "_aws" in line for metric in data_points(line)}


@pytest.fixture
def unreadable(failing: LocalStack) -> Generator[str]:
    """A task whose record nobody can read; letters about it come back every second."""
    key: Any = {"taskId": {"S": "unreadable"}, "part": {"S": "state"}}
    queue = failing.dead_letter_queue_url
    failing.wait_until_idle()
    before = failing.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])[
        "Attributes"
    ]
    failing.dynamodb.put_item(TableName=failing.table, Item=key)
    failing.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "1"})
    yield "unreadable"
    failing.sqs.set_queue_attributes(QueueUrl=queue, Attributes=before)
    failing.dynamodb.delete_item(TableName=failing.table, Key=key)
    failing.sqs.purge_queue(QueueUrl=queue)


def test_a_dead_letter_calls(failing: LocalStack) -> None:
    sns, sqs = client(failing, "sns"), failing.sqs
    inbox = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    inbox_arn = sqs.get_queue_attributes(QueueUrl=inbox, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    # As AWS wants it; the emulator does when it enforces roles.
    from_topics = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": inbox_arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [from_topics]})
    sqs.set_queue_attributes(QueueUrl=inbox, Attributes={"Policy": policy})
    alarms = {
        alarm["AlarmName"]: alarm for alarm in client(failing, "cloudwatch").describe_alarms()["MetricAlarms"]
    }
    dead_letters = alarms[f"{PREFIX}-dead-letters"]
    (topic,) = dead_letters["AlarmActions"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=inbox_arn)
    # Silent until a task dies here, whatever died before.
    client(failing, "cloudwatch").set_alarm_state(
        AlarmName=dead_letters["AlarmName"], StateValue="OK", StateReason="test"
    )
    failing.submit("called-for")

    def call() -> dict[str, Any] | None:
        for message in sqs.receive_message(QueueUrl=inbox, MaxNumberOfMessages=10).get("Messages", []):
            said = json.loads(json.loads(message.get("Body", ""))["Message"])
            if said["AlarmName"] == dead_letters["AlarmName"] and said["NewStateValue"] == "ALARM":
                return said
        return None

    said = wait_for(call, "the call of the alarm")
    assert said["AlarmDescription"].endswith(" docs/runbook.md#dead-letters")


def test_every_alarm_on_our_metrics_finds_its_metric(failing: LocalStack, unreadable: str) -> None:
    failing.submit("measured-by-alarms")
    letter = DeadLetter(unreadable, 1, "its record cannot be read", "c").body()
    failing.sqs.send_message(QueueUrl=failing.dead_letter_queue_url, MessageBody=letter)
    alarms = client(failing, "cloudwatch").describe_alarms()["MetricAlarms"]
    ours = [alarm for alarm in alarms if alarm.get("Namespace") == PREFIX]
    assert {alarm["AlarmName"] for alarm in ours} == {
        f"{PREFIX}-dead-letters",
        f"{PREFIX}-dead-letters-parked",
        f"{PREFIX}-damaged-records",
    }
    for alarm in ours:
        dimensions = tuple((each["Name"], each["Value"]) for each in alarm["Dimensions"])
        metric: Key = (alarm["MetricName"], dimensions)
        wait_for(lambda metric=metric: metric in measured(failing), f"a line with {metric}")


@pytest.mark.long
def test_every_metric_of_the_dashboard_is_one_that_functions_write(failing: LocalStack) -> None:
    failing.submit("measured")
    failing.finished("measured")
    failing.wait_until_idle()
    name = f"{PREFIX}-{failing.credentials['region_name']}"
    body = client(failing, "cloudwatch").get_dashboard(DashboardName=name)["DashboardBody"]
    shown = set(re.findall(r'MetricName=\\"(\w+)\\"', body))
    # Nothing completes on this stack, and AWS counts submissions from log lines.
    expected: set[Key] = {
        (name, (("type", "simulate"),)) for name in shown - {"Completed", "TimeToCompletion", "Submitted"}
    }
    wait_for(lambda: expected <= measured(failing), f"lines with {expected}")
    assert {metric for metric in measured(failing) if metric[1]} == expected
    accepted = [line for line in failing.logs() if "submitted" in line]
    assert all((line["type"], line["submitted"]) == ("simulate", 1) for line in accepted)
    assert accepted


@pytest.mark.long
def test_the_saved_query_shows_what_dead_letters_say(failing: LocalStack) -> None:
    failing.submit("asked-about")
    failing.finished("asked-about")

    def letter() -> dict[str, Any] | None:
        lines = [line for line in failing.logs() if line.get("eventType") == "DLQ_MESSAGE"]
        return next((line for line in lines if line["taskId"] == "asked-about"), None)

    line = wait_for(letter, "the line of the dead letter")
    fields = SAVED_QUERIES["dead-letters"].text.partition("\n")[0].removeprefix("fields ").split(", ")
    assert {field for field in fields if not field.startswith("@")} <= line.keys()
