"""The history of every task's record, from the table's stream: what was written, in the order of the writes."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasklib.task import Status

from tests.chaos.stack import Stack, aws_client


@dataclass(frozen=True)
class Snapshot:
    """A record at one moment. Times are milliseconds since 1970; `text` is the whole record, for people."""

    status: Status
    run: int
    attempts: int
    version: int
    updated_at: int
    claim_id: str | None = None
    lease_until: int | None = None
    not_before: int | None = None
    error_message: str | None = None
    dead_lettered_at: int | None = None
    unsent_key: str | None = None
    text: str = ""


@dataclass(frozen=True)
class Change:
    """One write of a record: from None when it was new, to None when it was removed."""

    old: Snapshot | None
    new: Snapshot | None


#: The changes of every task's record, oldest first, by task ID.
History = Mapping[str, Sequence[Change]]


class HistoryReader:
    """Follows a stream from its beginning; each reading goes on where the last one ended."""

    def __init__(self, stack: Stack, stream_arn: str) -> None:
        self._client = aws_client("dynamodbstreams", stack.endpoint)
        self._history: dict[str, list[Change]] = defaultdict(list)
        self._arn = stream_arn
        self._after: dict[str, str] = {}

    def read(self) -> History:
        """Everything that was written until now."""
        shards = self._client.describe_stream(StreamArn=self._arn)["StreamDescription"]["Shards"]
        for shard in shards:
            self._read_shard(shard["ShardId"])
        return self._history

    def _read_shard(self, shard: str) -> None:
        last = self._after.get(shard)
        where: dict[str, Any] = (
            {"ShardIteratorType": "TRIM_HORIZON"}
            if last is None
            else {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": last}
        )
        answer = self._client.get_shard_iterator(StreamArn=self._arn, ShardId=shard, **where)
        iterator = answer["ShardIterator"]
        while iterator and (answer := self._client.get_records(ShardIterator=iterator))["Records"]:
            for record in answer["Records"]:
                self._note(record["dynamodb"])
                self._after[shard] = record["dynamodb"]["SequenceNumber"]
            iterator = answer.get("NextShardIterator")

    def _note(self, record: Mapping[str, Any]) -> None:
        # A task's data and the sweep's cursor are items of their own, without a state.
        if record["Keys"]["part"]["S"] == "state":
            change = Change(_snapshot(record.get("OldImage")), _snapshot(record.get("NewImage")))
            self._history[record["Keys"]["taskId"]["S"]].append(change)


def save(history: History, path: Path) -> None:
    """Keep a history as lines of JSON, one a write."""
    with path.open("w") as file:
        for task_id, changes in history.items():
            for change in changes:
                record = json.loads(change.new.text) if change.new else None
                file.write(json.dumps({"taskId": task_id, "record": record}) + "\n")


def _snapshot(image: Mapping[str, Mapping[str, str]] | None) -> Snapshot | None:
    if not image:
        return None
    values: dict[str, Any] = {
        name: int(value["N"]) if "N" in value else value.get("S")
        for name, value in image.items()
        if name not in ("payload", "answer")
    }
    return Snapshot(
        status=Status(values["status"]),
        run=values["run"],
        attempts=values["attempts"],
        version=values["version"],
        updated_at=values["updatedAt"],
        claim_id=values.get("claimId"),
        lease_until=values.get("leaseUntil"),
        not_before=values.get("notBefore"),
        error_message=values.get("errorMessage"),
        dead_lettered_at=values.get("deadLetteredAt"),
        unsent_key=values.get("unsentKey"),
        text=json.dumps(values),
    )
