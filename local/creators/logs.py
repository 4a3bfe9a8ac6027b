"""CloudWatch Logs."""

from collections.abc import Mapping
from typing import Any

from local.creators.resource_type import Call, Creation, Nested, ResourceType


def _group_name(creation: Creation) -> Mapping[str, Any]:
    return {"logGroupName": creation.request["logGroupName"]}


def _group_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    name: str = creation.request["logGroupName"]
    return name, {"arn": creation.aws.arn("logs", f"log-group:{name}")}


def _filter_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    return creation.request["filterName"], {}


def _as_list(creation: Creation) -> None:
    """AWS wants a list of transformations, Pulumi the only one that there may be."""
    creation.request["metricTransformations"] = [creation.request["metricTransformations"]]


def _query_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    return creation.inputs["name"], {"queryDefinitionId": creation.inputs["name"]}


#: The emulator has no call for it.
_NO_QUERIES = "the emulator has no saved queries: none is created"


RESOURCE_TYPES = (
    ResourceType(
        "aws:cloudwatch/logGroup:LogGroup",
        "logs",
        auto_named="name",
        calls=(
            Call(
                "create_log_group",
                {
                    "name": "logGroupName",
                    "kmsKeyId": "kmsKeyId",
                    "logGroupClass": "logGroupClass",
                    "deletionProtectionEnabled": "deletionProtectionEnabled",
                    "tags": "tags",
                },
            ),
            Call(
                "put_retention_policy",
                {"retentionInDays": "retentionInDays"},
                address=_group_name,
                # 0 is Pulumi's word for logs that never expire, which is how a group starts.
                needed=lambda request: bool(request["retentionInDays"]),
            ),
        ),
        outputs=_group_outputs,
        ignored={"skipDestroy": "says how to delete; a local stack ends as a whole"},
    ),
    ResourceType(
        "aws:cloudwatch/logMetricFilter:LogMetricFilter",
        "logs",
        auto_named="name",
        calls=(
            Call(
                "put_metric_filter",
                {
                    "name": "filterName",
                    "logGroupName": "logGroupName",
                    "pattern": "filterPattern",
                    "metricTransformation": Nested(
                        "metricTransformations",
                        {
                            "name": "metricName",
                            "namespace": "metricNamespace",
                            "value": "metricValue",
                            "defaultValue": "defaultValue",
                            "dimensions": "dimensions",
                            "unit": "unit",
                        },
                    ),
                },
            ),
        ),
        prepare=_as_list,
        outputs=_filter_outputs,
    ),
    ResourceType(
        "aws:cloudwatch/queryDefinition:QueryDefinition",
        "logs",
        auto_named="name",
        calls=(),
        outputs=_query_outputs,
        ignored=dict.fromkeys(("name", "queryString", "logGroupNames"), _NO_QUERIES),
    ),
)
