"""CloudWatch: alarms and dashboards."""

from collections.abc import Callable, Mapping
from typing import Any

from local.aws import ACCOUNT
from local.creators.resource_type import Call, Creation, Nested, Passed, ResourceType, tag_list


def _pairs(name: str) -> Callable[[Mapping[str, str]], list[dict[str, str]]]:
    return lambda values: [{name: key, "Value": value} for key, value in values.items()]


def _metric_stat(metric: Mapping[str, Any]) -> dict[str, Any]:
    """One metric of an expression: flat in the program, its metric and its statistic apart in AWS's API."""
    named = {"Namespace": metric["namespace"], "MetricName": metric["metricName"]}
    dimensions = _pairs("Name")(metric.get("dimensions", {}))
    unit = {"Unit": metric["unit"]} if "unit" in metric else {}
    return {
        "Metric": {**named, "Dimensions": dimensions},
        "Period": metric["period"],
        "Stat": metric["stat"],
        **unit,
    }


def _alarm_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    name: str = creation.request["AlarmName"]
    return name, {"arn": creation.aws.arn("cloudwatch", f"alarm:{name}")}


def _dashboard_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    name: str = creation.request["DashboardName"]
    return name, {"dashboardArn": f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/{name}"}


_STATISTIC: Mapping[str, str | Passed] = {
    "namespace": "Namespace",
    "metricName": "MetricName",
    "dimensions": Passed("Dimensions", _pairs("Name")),
}

RESOURCE_TYPES = (
    ResourceType(
        "aws:cloudwatch/metricAlarm:MetricAlarm",
        "cloudwatch",
        auto_named="name",
        calls=(
            Call(
                "put_metric_alarm",
                {
                    "name": "AlarmName",
                    "alarmDescription": "AlarmDescription",
                    "actionsEnabled": "ActionsEnabled",
                    "alarmActions": "AlarmActions",
                    "okActions": "OKActions",
                    "insufficientDataActions": "InsufficientDataActions",
                    **_STATISTIC,
                    "statistic": "Statistic",
                    "extendedStatistic": "ExtendedStatistic",
                    "evaluateLowSampleCountPercentiles": "EvaluateLowSampleCountPercentile",
                    "comparisonOperator": "ComparisonOperator",
                    "threshold": "Threshold",
                    "thresholdMetricId": "ThresholdMetricId",
                    "period": "Period",
                    "evaluationPeriods": "EvaluationPeriods",
                    "datapointsToAlarm": "DatapointsToAlarm",
                    "treatMissingData": "TreatMissingData",
                    "unit": "Unit",
                    "metricQueries": Nested(
                        "Metrics",
                        {
                            "id": "Id",
                            "metric": Passed("MetricStat", _metric_stat),
                            "accountId": "AccountId",
                            "expression": "Expression",
                            "label": "Label",
                            "period": "Period",
                            "returnData": "ReturnData",
                        },
                    ),
                    "tags": Passed("Tags", tag_list),
                },
            ),
        ),
        outputs=_alarm_outputs,
    ),
    ResourceType(
        "aws:cloudwatch/dashboard:Dashboard",
        "cloudwatch",
        calls=(Call("put_dashboard", {"dashboardName": "DashboardName", "dashboardBody": "DashboardBody"}),),
        outputs=_dashboard_outputs,
    ),
)
