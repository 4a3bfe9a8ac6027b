"""DynamoDB."""

from collections.abc import Callable, Mapping
from typing import Any

from local.creators.resource_type import Call, Creation, Nested, Passed, ResourceType, inside, tag_list


def _key(key_type: str) -> Callable[[str], list[dict[str, str]]]:
    return lambda attribute: [{"AttributeName": attribute, "KeyType": key_type}]


_PROJECTION = {
    "projectionType": inside("Projection", "ProjectionType"),
    "nonKeyAttributes": inside("Projection", "NonKeyAttributes"),
}


def _table_name(creation: Creation) -> Mapping[str, Any]:
    return {"TableName": creation.request["TableName"]}


def _share_hash_key(creation: Creation) -> None:
    """Local indexes have the table's hash key, which they do not declare."""
    for index in creation.request.get("LocalSecondaryIndexes", []):
        index["KeySchema"] = [*_key("HASH")(creation.inputs["hashKey"]), *index["KeySchema"]]


def _table_outputs(creation: Creation) -> tuple[str, dict[str, Any]]:
    table: dict[str, Any] = creation.response["TableDescription"]
    return table["TableName"], {
        "arn": table["TableArn"],
        "streamArn": table.get("LatestStreamArn", ""),
        "streamLabel": table.get("LatestStreamLabel", ""),
    }


RESOURCE_TYPES = (
    ResourceType(
        "aws:dynamodb/table:Table",
        "dynamodb",
        auto_named="name",
        calls=(
            Call(
                "create_table",
                {
                    "name": "TableName",
                    "billingMode": "BillingMode",
                    "readCapacity": inside("ProvisionedThroughput", "ReadCapacityUnits"),
                    "writeCapacity": inside("ProvisionedThroughput", "WriteCapacityUnits"),
                    "hashKey": Passed("KeySchema", _key("HASH")),
                    "rangeKey": Passed("KeySchema", _key("RANGE")),
                    "attributes": Nested(
                        "AttributeDefinitions", {"name": "AttributeName", "type": "AttributeType"}
                    ),
                    "globalSecondaryIndexes": Nested(
                        "GlobalSecondaryIndexes",
                        {
                            "name": "IndexName",
                            "hashKey": Passed("KeySchema", _key("HASH")),
                            "rangeKey": Passed("KeySchema", _key("RANGE")),
                            "keySchemas": Nested(
                                "KeySchema", {"attributeName": "AttributeName", "keyType": "KeyType"}
                            ),
                            **_PROJECTION,
                        },
                    ),
                    "localSecondaryIndexes": Nested(
                        "LocalSecondaryIndexes",
                        {"name": "IndexName", "rangeKey": Passed("KeySchema", _key("RANGE")), **_PROJECTION},
                    ),
                    "streamEnabled": inside("StreamSpecification", "StreamEnabled"),
                    "streamViewType": inside("StreamSpecification", "StreamViewType"),
                    "deletionProtectionEnabled": "DeletionProtectionEnabled",
                    "tableClass": "TableClass",
                    "tags": Passed("Tags", tag_list),
                },
            ),
            Call(
                "update_time_to_live",
                {
                    "ttl": Nested(
                        "TimeToLiveSpecification", {"attributeName": "AttributeName", "enabled": "Enabled"}
                    )
                },
                address=_table_name,
                # A new table has none; AWS refuses to switch off what is off.
                needed=lambda request: request["TimeToLiveSpecification"].get("Enabled", True),
            ),
            Call(
                "update_continuous_backups",
                {
                    "pointInTimeRecovery": Nested(
                        "PointInTimeRecoverySpecification",
                        {
                            "enabled": "PointInTimeRecoveryEnabled",
                            "recoveryPeriodInDays": "RecoveryPeriodInDays",
                        },
                    )
                },
                address=_table_name,
            ),
        ),
        prepare=_share_hash_key,
        outputs=_table_outputs,
    ),
)
