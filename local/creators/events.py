"""EventBridge, which pulumi-aws calls by its former name, CloudWatch Events."""

from typing import Any

from local.creators.resource_type import Call, Creation, Nested, Passed, ResourceType, inside, tag_list
from local.errors import LocalError


def _target(key: str) -> Passed:
    """A property of the one target that the call puts."""
    return inside("Target", key)


#: Objects within a target; the rules give them parameters of their own, the request moves them into the target.
_TARGET_OBJECTS = ("InputTransformer", "RetryPolicy", "DeadLetterConfig")


def _put_as_list(creation: Creation) -> None:
    request = creation.request
    objects = {name: request.pop(name) for name in _TARGET_OBJECTS if name in request}
    request["Targets"] = [{**request.pop("Target"), **objects}]


def _rule_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    return creation.request["Name"], {"arn": creation.response["RuleArn"]}


def _target_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    if creation.response.get("FailedEntryCount"):
        raise LocalError(f"events put_targets: {creation.response['FailedEntries']}")
    rule, target = creation.request["Rule"], creation.inputs["targetId"]
    return f"{rule}-{target}", {}


RESOURCE_TYPES = (
    ResourceType(
        "aws:cloudwatch/eventRule:EventRule",
        "events",
        auto_named="name",
        calls=(
            Call(
                "put_rule",
                {
                    "name": "Name",
                    "description": "Description",
                    "eventBusName": "EventBusName",
                    "eventPattern": "EventPattern",
                    "scheduleExpression": "ScheduleExpression",
                    "state": "State",
                    "roleArn": "RoleArn",
                    "tags": Passed("Tags", tag_list),
                },
            ),
        ),
        outputs=_rule_outputs,
        ignored={"forceDestroy": "says how to delete; a local stack ends as a whole"},
    ),
    ResourceType(
        "aws:cloudwatch/eventTarget:EventTarget",
        "events",
        auto_named="targetId",
        calls=(
            Call(
                "put_targets",
                {
                    "rule": "Rule",
                    "eventBusName": "EventBusName",
                    "targetId": _target("Id"),
                    "arn": _target("Arn"),
                    "roleArn": _target("RoleArn"),
                    "input": _target("Input"),
                    "inputPath": _target("InputPath"),
                    "inputTransformer": Nested(
                        "InputTransformer",
                        {"inputPaths": "InputPathsMap", "inputTemplate": "InputTemplate"},
                    ),
                    "retryPolicy": Nested(
                        "RetryPolicy",
                        {
                            "maximumEventAgeInSeconds": "MaximumEventAgeInSeconds",
                            "maximumRetryAttempts": "MaximumRetryAttempts",
                        },
                    ),
                    "deadLetterConfig": Nested("DeadLetterConfig", {"arn": "Arn"}),
                },
            ),
        ),
        prepare=_put_as_list,
        outputs=_target_outputs,
        ignored={"forceDestroy": "says how to delete; a local stack ends as a whole"},
    ),
)
