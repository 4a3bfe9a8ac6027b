"""CloudWatch Logs."""

from collections.abc import Mapping
from typing import Any

from local.creators.resource_type import Call, Creation, ResourceType


def _group_name(creation: Creation) -> Mapping[str, Any]:
    return {"logGroupName": creation.request["logGroupName"]}


def _group_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    name: str = creation.request["logGroupName"]
    return name, {"arn": creation.aws.arn("logs", f"log-group:{name}")}


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
)
