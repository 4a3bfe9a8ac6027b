"""SQS."""

import json
from collections.abc import Mapping
from typing import Any, cast

from local.aws import Aws
from local.creators.resource_type import Call, Creation, Passed, ResourceType, inside


def _text(value: Any) -> str:
    """A queue attribute's value: SQS takes texts only."""
    return value if isinstance(value, str) else json.dumps(value)


def _attribute(name: str) -> Passed:
    return inside("Attributes", name, _text)


def _without_tls_rule(policy: str) -> str:
    """The policy without its denials of plain HTTP, which is all that there is locally; empty if nothing is left."""
    document: dict[str, Any] = json.loads(policy)
    declared: Any = document.get("Statement", [])
    statements = cast("list[dict[str, Any]]", declared if isinstance(declared, list) else [declared])
    kept = [statement for statement in statements if not _denies_plain_http(statement)]
    return json.dumps({**document, "Statement": kept}) if kept else ""


def _denies_plain_http(statement: Mapping[str, Any]) -> bool:
    condition: dict[str, Any] = statement.get("Condition", {})
    secure: Any = condition.get("Bool", {}).get("aws:SecureTransport")
    return statement.get("Effect") == "Deny" and len(condition) == 1 and str(secure).lower() == "false"


def _arn(aws: Aws, queue_url: str) -> str:
    attributes = aws.call(
        "sqs", "get_queue_attributes", {"QueueUrl": queue_url, "AttributeNames": ["QueueArn"]}
    )
    return attributes["Attributes"]["QueueArn"]


def _queue_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    url: str = creation.response["QueueUrl"]
    return url, {"url": url, "arn": _arn(creation.aws, url)}


def _same_queue(creation: Creation) -> tuple[str, dict[str, Any]]:
    return creation.request["QueueUrl"], {}


def _policy_of_queue(kind: str, attribute: Passed) -> ResourceType:
    """A resource that is one attribute of a queue, such as `RedrivePolicy`."""
    property_name = kind[0].lower() + kind[1:]
    return ResourceType(
        f"aws:sqs/{property_name}:{kind}",
        "sqs",
        calls=(Call("set_queue_attributes", {"queueUrl": "QueueUrl", property_name: attribute}),),
        outputs=_same_queue,
    )


RESOURCE_TYPES = (
    ResourceType(
        "aws:sqs/queue:Queue",
        "sqs",
        auto_named="name",
        calls=(
            Call(
                "create_queue",
                {
                    "name": "QueueName",
                    "delaySeconds": _attribute("DelaySeconds"),
                    "maxMessageSize": _attribute("MaximumMessageSize"),
                    "messageRetentionSeconds": _attribute("MessageRetentionPeriod"),
                    "receiveWaitTimeSeconds": _attribute("ReceiveMessageWaitTimeSeconds"),
                    "visibilityTimeoutSeconds": _attribute("VisibilityTimeout"),
                    "redrivePolicy": _attribute("RedrivePolicy"),
                    "redriveAllowPolicy": _attribute("RedriveAllowPolicy"),
                    "sqsManagedSseEnabled": _attribute("SqsManagedSseEnabled"),
                    "kmsMasterKeyId": _attribute("KmsMasterKeyId"),
                    "kmsDataKeyReusePeriodSeconds": _attribute("KmsDataKeyReusePeriodSeconds"),
                    "fifoQueue": _attribute("FifoQueue"),
                    "contentBasedDeduplication": _attribute("ContentBasedDeduplication"),
                    "deduplicationScope": _attribute("DeduplicationScope"),
                    "fifoThroughputLimit": _attribute("FifoThroughputLimit"),
                    "tags": "tags",
                },
            ),
        ),
        outputs=_queue_outputs,
    ),
    ResourceType(
        "aws:sqs/queuePolicy:QueuePolicy",
        "sqs",
        calls=(
            Call(
                "set_queue_attributes",
                # A TLS-only rule has no meaning over plain HTTP: it would deny everybody everything.
                {"queueUrl": "QueueUrl", "policy": inside("Attributes", "Policy", _without_tls_rule)},
            ),
        ),
        outputs=_same_queue,
    ),
    _policy_of_queue("RedrivePolicy", _attribute("RedrivePolicy")),
    _policy_of_queue("RedriveAllowPolicy", _attribute("RedriveAllowPolicy")),
)
