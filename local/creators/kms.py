"""KMS: keys. Nothing is encrypted here."""

from collections.abc import Mapping
from typing import Any

from local.creators.resource_type import Call, Creation, Passed, ResourceType


def _tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"TagKey": key, "TagValue": value} for key, value in tags.items()]


def _key_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    key: dict[str, Any] = creation.response["KeyMetadata"]
    return key["KeyId"], {"arn": key["Arn"], "keyId": key["KeyId"]}


RESOURCE_TYPES = (
    ResourceType(
        "aws:kms/key:Key",
        "kms",
        calls=(
            Call(
                "create_key",
                {
                    "description": "Description",
                    "policy": "Policy",
                    "keyUsage": "KeyUsage",
                    "customerMasterKeySpec": "KeySpec",
                    "multiRegion": "MultiRegion",
                    "tags": Passed("Tags", _tag_list),
                },
            ),
        ),
        outputs=_key_outputs,
        ignored={
            "enableKeyRotation": "a key lives as long as its local stack, and rotates after a year",
            "deletionWindowInDays": "says how to delete; a local stack ends as a whole",
        },
    ),
)
