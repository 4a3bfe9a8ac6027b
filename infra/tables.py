"""The table that holds every task and its data, and the one of the clients that want to hear of them."""

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from infra.grants import BY_PLATFORM, Grant

#: Index of all tasks by time of creation; its partition key is a shard number, so that it can grow.
BY_CREATED = "byCreated"
#: Index of the failed tasks alone: only their items have its partition key.
BY_FAILED = "byFailed"
#: Index of the restarted tasks that no worker has claimed yet.
BY_UNSENT = "byUnsent"

_LIST_STREAMS = "dynamodb:ListStreams"


class TasksTable(pulumi.ComponentResource):
    """The tasks table with its indexes.

    An item is found by ``taskId`` and ``part`` ("state", or "data#" and a hash). Capacity is paid per
    request, items are removed after the time in ``expiresAt``.

    Attributes:
        name: Output, the table's name.
        stream_arn: Output, the ARN of the stream of its changes, which carries each changed item as it is then.
    """

    def __init__(
        self,
        name: str,
        *,
        prefix: str,
        protect: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the table.

        Args:
            name: Logical name; with ``prefix`` also the table's name.
            prefix: Start of all physical names of this stack.
            protect: Keep backups of the last 35 days, and let neither AWS nor Pulumi delete the table.
            opts: Options of the component.
        """
        super().__init__("tasks:infra:TasksTable", name, None, opts)
        self._table = aws.dynamodb.Table(
            name,
            name=f"{prefix}-{name}",
            billing_mode="PAY_PER_REQUEST",
            hash_key="taskId",
            range_key="part",
            attributes=[
                {"name": attribute, "type": "S"}
                for attribute in (
                    *("taskId", "part", "listShard", "failedShard", "createdKey"),
                    *("unsentShard", "unsentKey"),
                )
            ],
            global_secondary_indexes=[
                _index(BY_CREATED, partition="listShard", sort="createdKey"),
                _index(BY_FAILED, partition="failedShard", sort="createdKey"),
                _index(BY_UNSENT, partition="unsentShard", sort="unsentKey"),
            ],
            ttl={"attribute_name": "expiresAt", "enabled": True},
            stream_enabled=True,
            stream_view_type="NEW_IMAGE",
            point_in_time_recovery={"enabled": protect},
            deletion_protection_enabled=protect,
            opts=pulumi.ResourceOptions(parent=self, protect=protect),
        )
        self.arn = self._table.arn
        self.name = self._table.name
        self.stream_arn = self._table.stream_arn
        self.register_outputs({"name": self.name})

    def grant(self, *actions: str) -> Grant:
        """Permission for actions of DynamoDB, such as ``GetItem``, on the table without its indexes."""
        return Grant(tuple(f"dynamodb:{action}" for action in actions), (self._table.arn,))

    def grant_stream(self) -> Sequence[Grant]:
        """Permission for what Lambda does in a function's name to read the stream for it."""
        of_stream = [action for action in BY_PLATFORM["read a stream"] if action != _LIST_STREAMS]
        return (
            Grant(tuple(of_stream), (self.stream_arn,)),
            # AWS knows it for the streams of a table only, not for one of them.
            Grant((_LIST_STREAMS,), (pulumi.Output.concat(self._table.arn, "/stream/*"),)),
        )

    def grant_query(self, *indexes: str) -> Grant:
        """Permission to query these indexes."""
        return Grant(
            ("dynamodb:Query",),
            tuple(pulumi.Output.concat(self._table.arn, "/index/", index) for index in indexes),
        )


class ConnectionsTable(pulumi.ComponentResource):
    """The table of the WebSocket connections that are subscribed, and of the tickets for new ones.

    Nothing in it outlives its connection, or a ticket its seconds.

    An item is found by ``state`` and ``connectionId``.

    Attributes:
        name: Output, the table's name.
    """

    def __init__(self, name: str, *, prefix: str, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the table.

        Args:
            name: Logical name; with ``prefix`` also the table's name.
            prefix: Start of all physical names of this stack.
            opts: Options of the component.
        """
        super().__init__("tasks:infra:ConnectionsTable", name, None, opts)
        self._table = aws.dynamodb.Table(
            name,
            name=f"{prefix}-{name}",
            billing_mode="PAY_PER_REQUEST",
            hash_key="state",
            range_key="connectionId",
            attributes=[{"name": attribute, "type": "S"} for attribute in ("state", "connectionId")],
            ttl={"attribute_name": "expiresAt", "enabled": True},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.name = self._table.name
        self.register_outputs({"name": self.name})

    def grant(self, *actions: str) -> Grant:
        """Permission for actions of DynamoDB, such as ``PutItem``, on the table."""
        return Grant(tuple(f"dynamodb:{action}" for action in actions), (self._table.arn,))


def _index(name: str, *, partition: str, sort: str) -> aws.dynamodb.TableGlobalSecondaryIndexArgsDict:
    """An index by time that holds keys only, since each projected attribute would be paid for again."""
    # The provider deprecates these two keys and recommends key_schemas. But reports say that, with key_schemas, it
    # changes indexes that nobody has changed (https://github.com/hashicorp/terraform-provider-aws/issues/46513, open,
    # and 46335, closed), and rebuilt all of them when one was removed (46601; pull request 46602 mends it). In 48902,
    # key_schemas was refused; it is labelled as a matter of documentation.
    return {"name": name, "hash_key": partition, "range_key": sort, "projection_type": "KEYS_ONLY"}
