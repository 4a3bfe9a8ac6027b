"""The history of every task's record, from the table's stream: what was written, in the order of the writes."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasklib.record import FIELDS, DamagedRecordError, to_task
from tasklib.task import Status

from tests.chaos.damages import Damage, Damages, Item
from tests.chaos.stack import Stack, aws_client


@dataclass(frozen=True)
class Snapshot:
    """A record at one moment. Times are milliseconds since 1970; `text` is the whole record, for people.

    Damage that the harness has done to a record is not seen: it is as it would be without.
    """

    status: Status
    run: int
    attempts: int
    version: int
    updated_at: int
    claim_id: str | None = None
    lease_until: int | None = None
    not_before: int | None = None
    error_message: str | None = None
    result: str | None = None
    dead_lettered_at: int | None = None
    unsent_key: str | None = None
    text: str = ""


@dataclass(frozen=True)
class Change:
    """One write of a record: from None when it was new, to None when it was removed or left so that nobody can read it.

    `by_hand` marks damage that the harness did, and its mending.
    """

    old: Snapshot | None
    new: Snapshot | None
    by_hand: bool = False


#: The changes of every task's record, oldest first, by task ID.
History = Mapping[str, Sequence[Change]]


class HistoryReader:
    """Follows a stream from its beginning; each reading goes on where the last one ended."""

    def __init__(self, stack: Stack, stream_arn: str, damages: Damages) -> None:
        self._damages = damages
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
            task_id = record["Keys"]["taskId"]["S"]
            self._history[task_id].append(
                change_of(record.get("OldImage"), record.get("NewImage"), self._damages.of(task_id))
            )


def change_of(old: Item | None, new: Item | None, damage: Damage | None) -> Change:
    """One write, by the record before and after it, of a task to whose record the harness may have done damage."""
    if damage is None:
        return Change(_snapshot(old), _snapshot(new))
    by_hand = bool(old and new and damage.explains(old, new))
    old, new = (damage.undone_in(item) if item else None for item in (old, new))
    return Change(_snapshot(old), _snapshot(new), by_hand)


def save(history: History, path: Path) -> None:
    """Keep a history as lines of JSON, one a write."""
    with path.open("w") as file:
        for task_id, changes in history.items():
            for change in changes:
                record = json.loads(change.new.text) if change.new else None
                line = {"taskId": task_id, "byHand": change.by_hand, "record": record}
                file.write(json.dumps(line) + "\n")


def _snapshot(item: Item | None) -> Snapshot | None:
    if not item:
        return None
    try:
        task = to_task(item)
    except DamagedRecordError:
        return None
    values = {name: getattr(task, field) for name, field in FIELDS.items()}
    return Snapshot(
        status=task.status,
        run=task.run,
        attempts=task.attempts,
        version=task.version,
        updated_at=task.updated_at,
        claim_id=task.claim_id,
        lease_until=task.lease_until,
        not_before=task.not_before,
        error_message=task.error_message,
        result=task.result,
        dead_lettered_at=task.dead_lettered_at,
        unsent_key=task.unsent_key,
        text=json.dumps({name: value for name, value in values.items() if value is not None}),
    )
