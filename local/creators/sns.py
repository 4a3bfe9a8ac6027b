"""SNS."""

from typing import Any

from local.creators.resource_type import Call, Creation, Passed, ResourceType, inside, tag_list


def _topic_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    arn: str = creation.response["TopicArn"]
    return arn, {"arn": arn}


def _policy_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    return creation.request["TopicArn"], {}


def _subscription_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    arn: str = creation.response["SubscriptionArn"]
    return arn, {"arn": arn}


def _name_attribute(creation: Creation) -> None:
    creation.request["AttributeName"] = "Policy"


def _attribute(name: str) -> Passed:
    return inside("Attributes", name)


RESOURCE_TYPES = (
    ResourceType(
        "aws:sns/topic:Topic",
        "sns",
        auto_named="name",
        calls=(
            Call(
                "create_topic",
                {
                    "name": "Name",
                    "displayName": _attribute("DisplayName"),
                    "kmsMasterKeyId": _attribute("KmsMasterKeyId"),
                    "policy": _attribute("Policy"),
                    "tags": Passed("Tags", tag_list),
                },
            ),
        ),
        outputs=_topic_outputs,
    ),
    ResourceType(
        "aws:sns/topicPolicy:TopicPolicy",
        "sns",
        calls=(Call("set_topic_attributes", {"arn": "TopicArn", "policy": "AttributeValue"}),),
        prepare=_name_attribute,
        outputs=_policy_outputs,
    ),
    ResourceType(
        "aws:sns/topicSubscription:TopicSubscription",
        "sns",
        calls=(
            Call(
                "subscribe",
                {
                    "topic": "TopicArn",
                    "protocol": "Protocol",
                    "endpoint": "Endpoint",
                    "filterPolicy": _attribute("FilterPolicy"),
                    "filterPolicyScope": _attribute("FilterPolicyScope"),
                    "rawMessageDelivery": Passed(
                        "Attributes", lambda value: {"RawMessageDelivery": str(value).lower()}
                    ),
                },
            ),
        ),
        outputs=_subscription_outputs,
    ),
)
