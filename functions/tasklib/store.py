"""The tasks table: every DynamoDB expression of the project, and nothing else.

One table, partition key `taskId`, sort key `part`: the item `state` is the task, the item
`data#<content hash>` holds its data when both together pass 1 KB, because DynamoDB bills an update for the
whole item: data is paid for once, not at each change of state. Index `byCreated` lists all tasks, the sparse
index `byFailed` the failed ones, the sparse index `byUnsent` the restarted ones that no worker has claimed.
Attributes are strings and whole numbers only; payloads and results are
JSON text, kept to the letter.

Every write of a record is one conditional call, so that no two writers can both believe they made it; a
write whose answer was lost and that was sent again recognises its own trace. Methods raise one of
`aws.AWS_ERRORS` when DynamoDB does not answer.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from tasklib import clock
from tasklib.task import CRASHED, Status, Task, TaskData, created_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    Item = Mapping[str, AttributeValueTypeDef]

#: A write of up to this many bytes costs one write unit.
WRITE_UNIT: Final = 1024

#: What claim and settle add to a record: claim id, lease, due time, TTL, a short result. Data goes into the
#: record only when it fits beside them, so that each of those writes stays one unit.
_GROWTH: Final = 160

#: Keys of one BatchGetItem call, at most.
_BATCH: Final = 100

_STATE: Final = "state"

#: Record attributes and the fields of `Task` that they hold, other than the data.
_FIELDS: Final = {
    "taskId": "task_id",
    "type": "type",
    "status": "status",
    "run": "run",
    "attempts": "attempts",
    "version": "version",
    "createdKey": "created_key",
    "listShard": "list_shard",
    "updatedAt": "updated_at",
    "contentHash": "content_hash",
    "correlationId": "correlation_id",
    "claimId": "claim_id",
    "leaseUntil": "lease_until",
    "notBefore": "not_before",
    "errorMessage": "error_message",
    "result": "result",
    "deadLetteredAt": "dead_lettered_at",
    "expiresAt": "expires_at",
    "history": "history",
    "unsentShard": "unsent_shard",
    "unsentKey": "unsent_key",
}


class ListIndex(Enum):
    """The indexes that list tasks by time, as (name, partition key, sort key).

    ALL and FAILED sort by creation; UNSENT, the restarted tasks that no worker has claimed yet, by when their
    message was sent last.
    """

    ALL = ("byCreated", "listShard", "createdKey")
    FAILED = ("byFailed", "failedShard", "createdKey")
    UNSENT = ("byUnsent", "unsentShard", "unsentKey")


@dataclass(frozen=True, slots=True)
class ListEntry:
    """A task's place in an index: `place`, a time and its ID, is what the index sorts by."""

    place: str
    task_id: str


class TaskStore:
    """Reads and writes the records of tasks.

    `retention` is how long finished tasks are kept, in milliseconds; 0 keeps them for ever.
    """

    def __init__(self, client: DynamoDBClient, table: str, *, retention: int = 0) -> None:
        self._client = client
        self._table = table
        self._retention = retention

    # -- submission

    def create(self, task: Task, data: TaskData, *, data_lifetime: int) -> Task | None:
        """Write a new task, unless its ID is taken.

        Large data is written first, in its own item, so that a record never points at nothing. It outlives
        any run of the task: `data_lifetime` (ms) matters only where finished tasks expire.

        Returns None when the task was written, else the task that has the ID. A record past its time to live
        counts as absent and is replaced.
        """
        inline = replace(task, data=data)
        item = _to_item(inline)
        separate = _size(item) + _GROWTH > WRITE_UNIT
        if separate:
            item = _to_item(task)
            self._put_data(task, data, data_lifetime)
        existing = self._put_new(item, task)
        if existing is None or not separate or self._retention or existing.content_hash == task.content_hash:
            return existing
        # Without a TTL nothing else would ever remove the data of a submission that was refused.
        self._client.delete_item(TableName=self._table, Key=_key(task.task_id, _data_part(task)))
        return existing

    def _put_data(self, task: Task, data: TaskData, lifetime: int) -> None:
        item: dict[str, str | int] = {"taskId": task.task_id, "part": _data_part(task), data.kind: data.text}
        if self._retention:
            item["expiresAt"] = (task.updated_at + lifetime + self._retention) // 1000
        self._client.put_item(TableName=self._table, Item=_encode(item))

    def _put_new(self, item: Item, task: Task) -> Task | None:
        try:
            self._client.put_item(
                TableName=self._table,
                Item=item,
                ConditionExpression="attribute_not_exists(taskId) OR expiresAt <= :now",
                ExpressionAttributeValues=_encode({":now": task.updated_at // 1000}),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as failure:
            existing = _to_task(_item_of(failure))
            # Our own record, whose answer was lost and which botocore sent again. Two clients that send the same
            # content in the same millisecond pass for one, which does no harm.
            return None if _submission(existing) == _submission(task) else existing
        return None

    # -- reading

    def get(self, task_id: str) -> Task | None:
        """The task's record as it is now (a consistent read), or None."""
        answer = self._client.get_item(TableName=self._table, Key=_key(task_id, _STATE), ConsistentRead=True)
        task = _to_task(answer["Item"]) if "Item" in answer else None
        return None if task is None or task.has_expired(clock.now()) else task

    def load_data(self, task: Task) -> TaskData | None:
        """The data of a task, from its record or its own item (a consistent read); None when it is gone."""
        if task.data is not None:
            return task.data
        answer = self._client.get_item(
            TableName=self._table, Key=_key(task.task_id, _data_part(task)), ConsistentRead=True
        )
        return _data_in(answer["Item"]) if "Item" in answer else None

    def get_many(self, task_ids: Sequence[str], *, consistent: bool) -> list[Task]:
        """The records of these tasks, in this order; those that are gone are left out.

        A `consistent` read sees every write that was answered before it and costs twice as much.
        """
        found: dict[str, Task] = {}
        now = clock.now()
        distinct = [*dict.fromkeys(task_ids)]
        for start in range(0, len(distinct), _BATCH):
            for item in self._batch_get(distinct[start : start + _BATCH], consistent):
                task = _to_task(item)
                if not task.has_expired(now):
                    found[task.task_id] = task
        return [found[task_id] for task_id in task_ids if task_id in found]

    def entries(self, index: ListIndex, shards: int, before: str | None, size: int) -> Iterator[ListEntry]:
        """Places in an index, newest first, below the place `before`; read `size` at a time per shard."""
        # No place is as late as "~".
        pages = [
            self._query(index, shard, "#place < :end", {":end": before or "~"}, forward=False, size=size)
            for shard in range(shards)
        ]
        return heapq.merge(*pages, key=lambda entry: entry.place, reverse=True)

    def entries_between(
        self, index: ListIndex, shard: int, after: str, before: str, size: int
    ) -> Iterator[ListEntry]:
        """Places in one shard of an index, oldest first, after one place and before another."""
        # BETWEEN takes both of its ends in, so the caller's first place is skipped here.
        between = self._query(
            index,
            shard,
            "#place BETWEEN :start AND :end",
            {":start": after or "0", ":end": before},
            forward=True,
            size=size,
        )
        return (entry for entry in between if entry.place != after)

    def _query(
        self,
        index: ListIndex,
        shard: int,
        condition: str,
        places: Mapping[str, str],
        *,
        forward: bool,
        size: int,
    ) -> Iterator[ListEntry]:
        name, partition, place = index.value
        start: dict[str, Any] = {}
        while True:
            answer = self._client.query(
                TableName=self._table,
                IndexName=name,
                KeyConditionExpression=f"#partition = :shard AND {condition}",
                ExpressionAttributeNames={"#partition": partition, "#place": place},
                ExpressionAttributeValues=_encode({":shard": str(shard), **places}),
                ScanIndexForward=forward,
                Limit=size,
                **start,
            )
            # Whoever wants more than the first page wanted more than was asked for: what follows goes faster.
            size = max(size, _BATCH)
            for item in answer["Items"]:
                yield ListEntry(item[place].get("S", ""), item["taskId"].get("S", ""))
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    # -- the worker's writes

    def claim(
        self, task_id: str, run: int, *, claim_id: str, max_attempts: int, lease_until: int, now: int
    ) -> tuple[bool, Task | None]:
        """Claim a task that waits for a worker: PENDING or RETRYING, due, with attempts left.

        Returns whether the claim was won, and the record: the claimed one, or the one in the way (None: there
        is no record).
        """
        return self._claim(
            task_id,
            claim_id=claim_id,
            lease_until=lease_until,
            now=now,
            condition="#run = :run AND #status IN (:pending, :retrying) AND attempts < :max"
            " AND (attribute_not_exists(notBefore) OR notBefore <= :now)",
            values={
                ":run": run,
                ":pending": Status.PENDING,
                ":retrying": Status.RETRYING,
                ":max": max_attempts,
            },
        )

    def reclaim(self, lapsed: Task, *, claim_id: str, lease_until: int, now: int) -> tuple[bool, Task | None]:
        """Claim a task whose lease ran out, if nobody wrote its record since. Returns as `claim`."""
        return self._claim(
            lapsed.task_id,
            claim_id=claim_id,
            lease_until=lease_until,
            now=now,
            condition="version = :version AND #run = :run AND leaseUntil <= :now",
            values={":version": lapsed.version, ":run": lapsed.run},
            history=lapsed.history_with(now, CRASHED, crashed=True),
        )

    def _claim(
        self,
        task_id: str,
        *,
        claim_id: str,
        lease_until: int,
        now: int,
        condition: str,
        values: Mapping[str, str | int],
        history: str | None = None,
    ) -> tuple[bool, Task | None]:
        values = values if history is None else {**values, ":history": history}
        remember = "" if history is None else ", history = :history"
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=_key(task_id, _STATE),
                UpdateExpression="SET #status = :processing, attempts = attempts + :one, version = version + :one,"
                f" claimId = :claim, leaseUntil = :lease, updatedAt = :now{remember}"
                " REMOVE notBefore, unsentShard, unsentKey",
                ConditionExpression=condition,
                ExpressionAttributeNames={"#status": "status", "#run": "run"},
                ExpressionAttributeValues=_encode(
                    {
                        ":processing": Status.PROCESSING,
                        ":one": 1,
                        ":claim": claim_id,
                        ":lease": lease_until,
                        ":now": now,
                        **values,
                    }
                ),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as failure:
            old = _item_of(failure)
            task = _to_task(old) if old else None
            # Our own claim, whose answer was lost and which botocore sent again.
            won = task is not None and task.claim_id == claim_id and task.status is Status.PROCESSING
            return won, task
        return True, _to_task(answer["Attributes"])

    def complete(self, claimed: Task, result: str | None, now: int) -> bool:
        """Settle as COMPLETED with its result as JSON text. Returns False when the claim was taken over."""
        changes: dict[str, str | int] = {"status": Status.COMPLETED, **self._expiry(now)}
        if result is not None:
            changes["result"] = result
        if claimed.history is not None:
            changes["history"] = claimed.history_with(now, None)
        return self._settle(claimed, changes, remove=["errorMessage"], now=now)

    def retry_later(self, claimed: Task, error: str, not_before: int, now: int) -> bool:
        """Settle as RETRYING, due at `not_before`. Returns False when the claim was taken over."""
        changes: dict[str, str | int] = {
            "status": Status.RETRYING,
            "errorMessage": error,
            "notBefore": not_before,
            "history": claimed.history_with(now, error),
        }
        return self._settle(claimed, changes, remove=[], now=now)

    def fail(self, claimed: Task, error: str, now: int) -> bool:
        """Settle as FAILED. Returns False when the claim was taken over."""
        changes = self._failed(claimed, error, now) | {"history": claimed.history_with(now, error)}
        return self._settle(claimed, changes, remove=[], now=now)

    def _settle(
        self, claimed: Task, changes: Mapping[str, str | int], *, remove: Sequence[str], now: int
    ) -> bool:
        # The claim id stays: by it this very write is known again when its answer was lost.
        expected = {"version": claimed.version, "claimId": claimed.claim_id or ""}
        old = self._update(claimed, changes, remove=["leaseUntil", *remove], expected=expected, now=now)
        if not old:
            return old is None
        task = _to_task(old)
        return task.claim_id == claimed.claim_id and task.status is not Status.PROCESSING

    # -- writes without a claim

    def fail_unclaimed(self, seen: Task, error: str, now: int) -> bool:
        """Mark FAILED a task that can never run, if nobody wrote its record since it was read.

        Takes the claim id away, so that a worker that lost its lease cannot take this write for its own.
        Returns whether the record was written.
        """
        changes = self._failed(seen, error, now)
        if seen.status is Status.PROCESSING:
            changes["history"] = seen.history_with(now, CRASHED, crashed=True)
        expected = {"version": seen.version, "run": seen.run}
        remove = ["claimId", "leaseUntil", "notBefore", "unsentShard", "unsentKey"]
        return self._update(seen, changes, remove=remove, expected=expected, now=now) is None

    def mark_dead_lettered(self, seen: Task, now: int) -> bool:
        """Note on a FAILED task that its dead letter was seen, if nobody wrote its record since it was read.

        Returns whether the record was written.
        """
        expected = {"version": seen.version, "run": seen.run, "status": Status.FAILED}
        return self._update(seen, {"deadLetteredAt": now}, remove=[], expected=expected, now=now) is None

    # -- an explicit retry, and what makes up for messages that were never sent

    def restart(self, failed: Task, now: int) -> bool:
        """Start a FAILED task anew: a new run with no attempts, listed as unsent until a worker claims it.

        Returns whether the record was written; not when somebody wrote it since it was read.
        """
        changes: dict[str, str | int] = {
            "status": Status.PENDING,
            "run": failed.run + 1,
            "attempts": 0,
            "unsentShard": failed.list_shard,
            "unsentKey": created_key(failed.task_id, now),
        }
        remove = ["deadLetteredAt", "notBefore", "leaseUntil", "claimId"]
        remove += ["errorMessage", "failedShard", "expiresAt"]
        expected = {"version": failed.version, "run": failed.run, "status": Status.FAILED}
        return self._update(failed, changes, remove=remove, expected=expected, now=now) is None

    def keep_data(self, task: Task, *, until: int, at_least: int) -> bool:
        """Make sure that the data of a task lives on: to `until` (ms), when it would end before `at_least`.

        Returns False when the data is gone.
        """
        if task.data is not None:
            return True
        key = _key(task.task_id, _data_part(task))
        answer = self._client.get_item(
            TableName=self._table, Key=key, ConsistentRead=True, ProjectionExpression="taskId, expiresAt"
        )
        if "Item" not in answer:
            return False
        expires_at = _decode(answer["Item"]).get("expiresAt")
        if expires_at is None or expires_at * 1000 >= at_least:
            return True
        try:
            self._client.update_item(
                TableName=self._table,
                Key=key,
                UpdateExpression="SET expiresAt = :until",
                ConditionExpression="attribute_exists(taskId)",
                ExpressionAttributeValues=_encode({":until": until // 1000}),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def note_sent(self, task: Task, now: int) -> bool:
        """Note that the message of a task that is listed as unsent was sent again now.

        Returns whether the record was written; not when somebody wrote it since it was read.
        """
        changes = {"unsentKey": created_key(task.task_id, now)}
        expected = {"version": task.version, "run": task.run}
        return self._update(task, changes, remove=[], expected=expected, now=task.updated_at) is None

    def cursor(self, shard: int) -> str:
        """How far the sweep has come in a shard of the listing: a place, "" before the first."""
        answer = self._client.get_item(TableName=self._table, Key=_cursor_key(shard), ConsistentRead=True)
        return _decode(answer["Item"])["place"] if "Item" in answer else ""

    def move_cursor(self, shard: int, place: str) -> None:
        """Move the sweep's cursor on; one that is further already stays."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_cursor_key(shard),
                UpdateExpression="SET place = :place",
                ConditionExpression="attribute_not_exists(place) OR place < :place",
                ExpressionAttributeValues=_encode({":place": place}),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def _update(
        self,
        task: Task,
        changes: Mapping[str, str | int],
        *,
        remove: Sequence[str],
        expected: Mapping[str, str | int],
        now: int,
    ) -> Item | None:
        """Change a record that still has the `expected` attributes, and count its version up.

        Returns None when it was written, else the record in the way, empty when there is none.
        """
        changes = {**changes, "version": task.version + 1, "updatedAt": now}
        sets = ", ".join(f"#{name} = :new_{name}" for name in changes)
        removes = f" REMOVE {', '.join(f'#{name}' for name in remove)}" if remove else ""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_key(task.task_id, _STATE),
                UpdateExpression=f"SET {sets}{removes}",
                ConditionExpression=" AND ".join(f"#{name} = :old_{name}" for name in expected),
                # Some names are words of DynamoDB's own, so all go by an alias.
                ExpressionAttributeNames={f"#{name}": name for name in (*changes, *remove, *expected)},
                ExpressionAttributeValues=_encode(
                    {f":new_{name}": value for name, value in changes.items()}
                    | {f":old_{name}": value for name, value in expected.items()}
                ),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as failure:
            return _item_of(failure)
        return None

    def _failed(self, task: Task, error: str, now: int) -> dict[str, str | int]:
        return {
            "status": Status.FAILED,
            "errorMessage": error,
            "failedShard": task.list_shard,
            **self._expiry(now),
        }

    def _expiry(self, now: int) -> dict[str, str | int]:
        return {"expiresAt": (now + self._retention) // 1000} if self._retention else {}

    def _batch_get(self, task_ids: Sequence[str], consistent: bool) -> Iterator[Item]:
        keys = [_key(task_id, _STATE) for task_id in task_ids]
        request: Any = {self._table: {"Keys": keys, "ConsistentRead": consistent}}
        pause = 0.05
        while True:
            answer = self._client.batch_get_item(RequestItems=request)
            yield from answer["Responses"].get(self._table, [])
            # DynamoDB leaves out what exceeds 16 MB or its throughput; asking again, later, is the protocol.
            request = answer.get("UnprocessedKeys")
            if not request:
                return
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - no secret
            pause = min(2 * pause, 1.0)


def _key(task_id: str, part: str) -> dict[str, AttributeValueTypeDef]:
    return _encode({"taskId": task_id, "part": part})


def _cursor_key(shard: int) -> dict[str, AttributeValueTypeDef]:
    # No task ID has a "#".
    return _key("#sweep", f"cursor#{shard}")


def _data_part(task: Task) -> str:
    return f"data#{task.content_hash}"


def _encode(values: Mapping[str, str | int]) -> dict[str, AttributeValueTypeDef]:
    return {
        name: {"N": str(value)} if isinstance(value, int) else {"S": str(value)}
        for name, value in values.items()
    }


def _decode(item: Item) -> dict[str, Any]:
    return {name: int(value["N"]) if "N" in value else value.get("S", "") for name, value in item.items()}


def _to_item(task: Task) -> dict[str, AttributeValueTypeDef]:
    values = {name: getattr(task, field) for name, field in _FIELDS.items()}
    item: dict[str, str | int] = {name: value for name, value in values.items() if value is not None}
    item["part"] = _STATE
    if task.data is not None:
        item[task.data.kind] = task.data.text
    return _encode(item)


def _to_task(item: Item) -> Task:
    values = _decode(item)
    fields = {field: values.get(name) for name, field in _FIELDS.items()}
    return Task(**fields | {"status": Status(values["status"]), "data": _data_in(item)})  # pyright: ignore[reportArgumentType]


def _data_in(item: Item) -> TaskData | None:
    for kind in ("answer", "payload"):
        if kind in item:
            return TaskData(kind, item[kind].get("S", ""))
    return None


def _size(item: Item) -> int:
    """The bytes that DynamoDB bills: names and text in UTF-8, a number as half its digits plus 1."""
    return sum(
        len(name) + ((len(value["N"]) + 1) // 2 + 1 if "N" in value else len(value.get("S", "").encode()))
        for name, value in item.items()
    )


def _submission(task: Task) -> tuple[str, str, str]:
    return task.created_key, task.correlation_id, task.content_hash


def _item_of(failure: Any) -> Item:
    """The record that a failed condition met, empty when there was none."""
    return failure.response.get("Item", {})
