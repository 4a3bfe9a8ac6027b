"""The program's alarms, made true and false as far as the emulator evaluates them: one metric, one period, no gaps.

It evaluates no expressions and no missing data. The alarms of stopped schedules are about missing data alone: Lambda
never writes that there were no invocations. `tests/infra/test_monitoring.py` has what such alarms are made of.
"""

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


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(0, DEFAULT_REGION) as emulator:
        emulator.wait_until_ready()
        yield emulator


def test_each_alarm_is_silent_on_one_side_of_its_threshold_and_calls_on_the_other(emulator: Emulator) -> None:
    evaluated = [
        alarm
        for alarm in evaluate("dev").of_type(ALARM)
        if "metricQueries" not in alarm["inputs"] and alarm["inputs"]["treatMissingData"] != "missing"
    ]
    for number, alarm in enumerate(evaluated):
        name, threshold = alarm["name"], alarm["inputs"]["threshold"]
        # A region for each: the emulator takes all metrics of a name for one, whatever their dimensions.
        created = Created(emulator, f"alarm-{number}", name, alarm["inputs"])
        states = created.state_after(threshold - 1), created.state_after(threshold + 1)
        assert states == ("OK", "ALARM"), name


class Created:
    """One alarm of the program, in a region of the emulator that has no other."""

    def __init__(self, emulator: Emulator, region: str, name: str, inputs: Mapping[str, Any]) -> None:
        self._inputs = inputs
        aws = Aws(emulator.endpoint_url, region)
        RESOURCE_TYPES[f"aws:{ALARM}"].create(Creation(aws, "tasks", name, dict(inputs)))
        clients: Any = boto3
        self._cloudwatch: Any = clients.client(
            "cloudwatch",
            endpoint_url=emulator.endpoint_url,
            region_name=region,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def state_after(self, value: float) -> str:
        """The alarm's state when this is the newest value of its metric."""
        inputs = self._inputs
        dimensions = [{"Name": key, "Value": text} for key, text in inputs.get("dimensions", {}).items()]
        datum = {"MetricName": inputs["metricName"], "Dimensions": dimensions, "Value": value}
        self._cloudwatch.put_metric_data(Namespace=inputs["namespace"], MetricData=[datum])
        (alarm,) = self._cloudwatch.describe_alarms(AlarmNames=[inputs["name"]])["MetricAlarms"]
        return alarm["StateValue"]
