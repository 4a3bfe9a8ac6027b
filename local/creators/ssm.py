"""Systems Manager: parameters."""

from typing import Any

from local.creators.resource_type import Call, Creation, Passed, ResourceType, tag_list


def _parameter_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    name: str = creation.request["Name"]
    arn = creation.aws.arn("ssm", f"parameter/{name.removeprefix('/')}")
    return name, {"arn": arn, "version": creation.response["Version"]}


RESOURCE_TYPES = (
    ResourceType(
        "aws:ssm/parameter:Parameter",
        "ssm",
        auto_named="name",
        calls=(
            Call(
                "put_parameter",
                {
                    "name": "Name",
                    "type": "Type",
                    "value": "Value",
                    "insecureValue": "Value",
                    "description": "Description",
                    "allowedPattern": "AllowedPattern",
                    "dataType": "DataType",
                    "keyId": "KeyId",
                    "overwrite": "Overwrite",
                    "tier": "Tier",
                    "tags": Passed("Tags", tag_list),
                },
            ),
        ),
        outputs=_parameter_outputs,
    ),
)
