"""The program's alarms, made true and false as far as the emulator evaluates them: one metric, one period, no gaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest

from local.aws import Aws
from local.config import DEFAULT_REGION
from local.creators import RESOURCE_TYPES
from local.creators.resource_type import Creation
from local.emulator import Emulator
from tests.infra.stacks import evaluate

ALARM = "cloudwatch/metricAlarm:MetricAlarm"
ALARMS: Mapping[str, Mapping[str, Any]] = {
    alarm["name"]: alarm["inputs"] for alarm in evaluate("dev").of_type(ALARM)
}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(0, DEFAULT_REGION) as emulator:
        emulator.wait_until_ready()
        yield emulator


@pytest.mark.parametrize("name", sorted(ALARMS))
def test_an_alarm_is_silent_on_one_side_of_its_threshold_and_calls_on_the_other(
    emulator: Emulator, name: str
) -> None:
    # A region for each: the emulator takes all metrics of a name for one, whatever their dimensions.
    region = f"alarm-{sorted(ALARMS).index(name)}"
    inputs = ALARMS[name]
    aws = Aws(emulator.endpoint_url, region)
    RESOURCE_TYPES[f"aws:{ALARM}"].create(Creation(aws, "tasks", name, dict(inputs)))
    clients: Any = boto3
    cloudwatch: Any = clients.client(
        "cloudwatch",
        endpoint_url=emulator.endpoint_url,
        region_name=region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )

    def state_after(value: float) -> str:
        dimensions = [{"Name": key, "Value": text} for key, text in inputs.get("dimensions", {}).items()]
        datum = {"MetricName": inputs["metricName"], "Dimensions": dimensions, "Value": value}
        cloudwatch.put_metric_data(Namespace=inputs["namespace"], MetricData=[datum])
        (alarm,) = cloudwatch.describe_alarms(AlarmNames=[inputs["name"]])["MetricAlarms"]
        return alarm["StateValue"]

    threshold = inputs["threshold"]
    above = "OK" if inputs["comparisonOperator"] == "LessThanThreshold" else "ALARM"
    below = "ALARM" if above == "OK" else "OK"
    assert state_after(threshold - 1) == below
    assert state_after(threshold + 1) == above
