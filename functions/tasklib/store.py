"""The tasks table: every DynamoDB expression of the project, and nothing else.

One table, partition key `taskId`, sort key `part`: the item `state` is the task, the item
`data#<content hash>` holds its data when both together pass 1 KB, because DynamoDB bills an update for the
whole item: data is paid for once, not at each change of state. Index `byCreated` lists all tasks, the sparse
index `byFailed` the failed ones, the sparse index `byUnsent` those that were restarted or are due later, until a
worker claims them. How an item looks is in `record`. The sweep has items of its own: a cursor for each shard, and
rechecks, which name tasks to look at again at a later time.

A record that cannot be read is left out where many are read, and raises `DamagedRecordError` where one is. It is logged
and counted here, once for each time that it is met.

Every write of a record is conditional, so that no two writers can both believe they made it; a write whose
answer was lost and that was sent again recognises its own trace. Records are changed in batches of PartiQL
statements: a call costs a worker several times what a statement in it does. Methods raise one of
`aws.AWS_ERRORS` when DynamoDB does not answer.
"""

from __future__ import annotations

import hashlib
import heapq
import random
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from botocore.exceptions import ClientError

from tasklib import aws, clock
from tasklib.damage import read_task, report
from tasklib.record import (
    FIELDS,
    STATE,
    DamagedRecordError,
    attribute,
    data_in,
    data_part,
    encode,
    id_in,
    key_of,
    to_item,
    with_data,
)
from tasklib.task import TASK_ID, Task, TaskData, created_key, place_time

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import (
        AttributeValueTypeDef,
        BatchStatementErrorTypeDef,
        BatchStatementRequestTypeDef,
    )

    from tasklib.record import Item

#: Statements of one BatchExecuteStatement call, at most; and keys of one BatchGetItem call.
STATEMENTS: Final = 25
_BATCH: Final = 100


class ListIndex(Enum):
    """The indexes that list tasks by time, as (name, partition key, sort key).

    ALL and FAILED sort by creation; UNSENT, the tasks that were restarted or are due later and that no worker has
    claimed yet, by when their message was sent last or is to be queued.
    """

    ALL = ("byCreated", "listShard", "createdKey")
    FAILED = ("byFailed", "failedShard", "createdKey")
    UNSENT = ("byUnsent", "unsentShard", "unsentKey")


class ListEntry(NamedTuple):
    """A task's place in an index: `place`, a time and its ID, is what the index sorts by."""

    place: str
    task_id: str

    @property
    def is_damaged(self) -> bool:
        """Whether its place is none, and so its record cannot be read either."""
        return place_time(self.place) is None


class Records(NamedTuple):
    """What was found of many tasks: those that can be read, and the IDs of those whose records are damaged."""

    tasks: Sequence[Task]
    damaged: Sequence[str]


class Recheck(NamedTuple):
    """Tasks of a shard to look at again. `place` is a time, and a text that tells rechecks of that time apart."""

    shard: str
    place: str
    task_ids: Sequence[str]

    @classmethod
    def at(cls, time: int, shard: str, task_ids: Sequence[str]) -> Self:
        """A recheck at the first midnight (UTC) from this time on, in ms.

        The same tasks have one recheck a day at most, however often they are noted.
        """
        digest = hashlib.sha256("\n".join(task_ids).encode()).hexdigest()[:32]
        return cls(shard, created_key(digest, -(-time // clock.DAY) * clock.DAY), task_ids)


class Change(NamedTuple):
    """A record as it was read, and as it shall be: the task model's transition of it."""

    before: Task
    after: Task


class Outcome(NamedTuple):
    """What became of a change.

    `record` is the record now: as the change made it if `written`, else what was in the way (None: nothing). With
    an `error`, one of `aws.AWS_ERRORS`, the record was not seen, and may have been written all the same.
    """

    written: bool
    record: Task | None
    error: Exception | None = None


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
        stored = with_data(task, data)
        if stored.data is not None:
            return self._put_new(stored)
        if self._retention:
            self._put_data_that_expires(task, data, data_lifetime)
            return self._put_new(stored)
        # Nothing but this would remove the data of a submission that is refused.
        writer = uuid.uuid4().hex
        self._put_data(task, data, writer)
        existing = self._put_new(stored)
        if existing is not None and existing.content_hash != task.content_hash:
            self._remove_data(task, writer)
        return existing

    def insert(self, tasks: Sequence[Task]) -> list[bool]:
        """Write up to 25 new tasks of distinct IDs, whose records hold their data, in one call.

        Returns which were written. Of the others nothing is known, and `create` is to be asked: their ID may be
        taken, by whatever or by a record that has expired, or there was no answer.
        """
        answer = self._client.batch_execute_statement(Statements=[*map(self._insertion, tasks)])
        errors = [response.get("Error") for response in answer["Responses"]]
        for error in errors:
            if error and error.get("Code") == "AccessDenied":
                raise _client_error("AccessDenied", error.get("Message", ""))
        return [error is None for error in errors]

    def _insertion(self, task: Task) -> BatchStatementRequestTypeDef:
        item = to_item(task)
        places = ", ".join(f"'{name}': ?" for name in item)
        return {
            "Statement": f'INSERT INTO "{self._table}" VALUE {{{places}}}',
            "Parameters": [*item.values()],
        }

    def _put_data(self, task: Task, data: TaskData, writer: str) -> None:
        """Write the data of a task for good. All that write an item write the same; the last one is its `writer`."""
        item = key_of(task.task_id, data_part(task)) | encode({data.kind: data.text, "writer": writer})
        self._client.put_item(TableName=self._table, Item=item)

    def _remove_data(self, task: Task, writer: str) -> None:
        """Remove the data of a refused submission, unless another one has written it since and may need it."""
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.delete_item(
                TableName=self._table,
                Key=key_of(task.task_id, data_part(task)),
                ConditionExpression="writer = :writer",
                ExpressionAttributeValues=encode({":writer": writer}),
            )

    def _put_data_that_expires(self, task: Task, data: TaskData, lifetime: int) -> None:
        """Write the data of a task, unless it is there and lives as long: an earlier submission may need it later."""
        begin = max(task.updated_at, task.run_at or 0)
        until = encode({":until": (begin + lifetime + self._retention) // 1000})
        item = key_of(task.task_id, data_part(task)) | encode({data.kind: data.text})
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.put_item(
                TableName=self._table,
                Item=item | {"expiresAt": until[":until"]},
                ConditionExpression="attribute_not_exists(taskId) OR expiresAt < :until",
                ExpressionAttributeValues=until,
            )

    def _put_new(self, task: Task) -> Task | None:
        try:
            self._client.put_item(
                TableName=self._table,
                Item=to_item(task),
                ConditionExpression="attribute_not_exists(taskId) OR expiresAt <= :now",
                ExpressionAttributeValues=encode({":now": task.updated_at // 1000}),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as failure:
            existing = read_task(_item_of(failure))
            # Our own record, whose answer was lost and which botocore sent again. Two clients that send the same
            # content in the same millisecond pass for one, which does no harm.
            return None if _submission(existing) == _submission(task) else existing
        return None

    # -- reading

    def get(self, task_id: str) -> Task | None:
        """The task's record as it is now (a consistent read), or None. Raises DamagedRecordError."""
        answer = self._client.get_item(TableName=self._table, Key=key_of(task_id, STATE), ConsistentRead=True)
        task = read_task(answer["Item"]) if "Item" in answer else None
        return None if task is None or task.has_expired(clock.now()) else task

    def load_data(self, task: Task) -> TaskData | None:
        """As `read_data`; None also when it is damaged."""
        try:
            return self.read_data(task)
        except DamagedRecordError:
            return None

    def read_data(self, task: Task) -> TaskData | None:
        """The data of a task, from its record or its own item (a consistent read); None when it is gone.

        Raises DamagedRecordError.
        """
        if task.data is not None:
            return task.data
        answer = self._client.get_item(
            TableName=self._table, Key=key_of(task.task_id, data_part(task)), ConsistentRead=True
        )
        if "Item" not in answer:
            return None
        try:
            return data_in(answer["Item"])
        except DamagedRecordError as error:
            report(error)
            raise

    def get_many(self, task_ids: Sequence[str], *, consistent: bool) -> Records:
        """The records of these tasks, in this order; those that are gone are left out.

        A `consistent` read sees every write that was answered before it and costs twice as much.
        """
        found: dict[str, Task] = {}
        damaged: list[str] = []
        now = clock.now()
        distinct = [*dict.fromkeys(task_ids)]
        for start in range(0, len(distinct), _BATCH):
            for item in self._batch_get(distinct[start : start + _BATCH], consistent):
                try:
                    task = read_task(item)
                except DamagedRecordError as error:
                    damaged.append(error.task_id)
                    continue
                if not task.has_expired(now):
                    found[task.task_id] = task
        return Records([found[task_id] for task_id in task_ids if task_id in found], damaged)

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
        if after >= before:
            return iter(())
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
                ExpressionAttributeValues=encode({":shard": str(shard), **places}),
                ScanIndexForward=forward,
                Limit=size,
                **start,
            )
            # A caller that takes more than the first page takes many: larger pages are faster.
            size = max(size, _BATCH)
            for item in answer["Items"]:
                yield ListEntry(item[place].get("S", ""), id_in(item))
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    # -- changes of a record

    def write(self, changes: Sequence[Change]) -> list[Outcome]:
        """Change records, each only if nobody has written it since it was read; no record twice.

        The version fences a record against everybody else's writes; the time of its creation, against the version
        numbers of an expired record of the same ID. A record that is just as its change would leave it counts as
        written by it: its answer was lost, and it was sent again. (Or somebody else wrote the very same in the same
        millisecond, which no claim can be, since each has an ID of its own, and which does no harm elsewhere.)
        Never raises; an error is part of the outcome.
        """
        outcomes: list[Outcome] = []
        for start in range(0, len(changes), STATEMENTS):
            outcomes += self._write(changes[start : start + STATEMENTS])
        return outcomes

    def change(self, before: Task, after: Task) -> bool:
        """Change one record, as `write`. Returns whether it was written; raises when that is not known.

        Raises DamagedRecordError, too.
        """
        (outcome,) = self.write([Change(before, after)])
        if outcome.error is not None:
            raise outcome.error
        return outcome.written

    def _write(self, changes: Sequence[Change]) -> list[Outcome]:
        try:
            answer = self._client.batch_execute_statement(Statements=[*map(self._update, changes)])
        except aws.AWS_ERRORS as error:
            if len(changes) > 1 and not aws.may_pass(error):
                # One of them is refused: alone, it does not take the others with it.
                return [outcome for change in changes for outcome in self._write([change])]
            return [Outcome(written=False, record=None, error=error) for _ in changes]
        return [
            _outcome(change, response.get("Error"))
            for change, response in zip(changes, answer["Responses"], strict=True)
        ]

    def _update(self, change: Change) -> BatchStatementRequestTypeDef:
        """What differs is set or removed."""
        before, after = change
        values: list[str | int] = []
        sets, removes = "", ""
        for name, field in FIELDS.items():
            value = getattr(after, field)
            if value == getattr(before, field):
                continue
            if value is None:
                removes += f' REMOVE "{name}"'
            else:
                sets += f' SET "{name}" = ?'
                values.append(value)
        where = ""
        for name, value in (
            ("taskId", before.task_id),
            ("part", STATE),
            ("version", before.version),
            ("createdKey", before.created_key),
        ):
            where += f' AND "{name}" = ?' if where else f'"{name}" = ?'
            values.append(value)
        return {
            "Statement": f'UPDATE "{self._table}"{sets}{removes} WHERE {where}',
            "Parameters": [*map(attribute, values)],
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    # -- what a retry needs, and the sweep

    def keep_data(self, task: Task, *, until: int, at_least: int) -> bool:
        """Make sure that the data of a task lives on: to `until` (ms), when it would end before `at_least`.

        Returns False when the data is gone.
        """
        if task.data is not None:
            return True
        key = key_of(task.task_id, data_part(task))
        answer = self._client.get_item(
            TableName=self._table, Key=key, ConsistentRead=True, ProjectionExpression="taskId, expiresAt"
        )
        if "Item" not in answer:
            return False
        expires_at = answer["Item"].get("expiresAt", {}).get("N")
        if expires_at is None or float(expires_at) * 1000 >= at_least:
            return True
        try:
            self._client.update_item(
                TableName=self._table,
                Key=key,
                UpdateExpression="SET expiresAt = :until",
                ConditionExpression="attribute_exists(taskId) AND expiresAt < :until",
                ExpressionAttributeValues=encode({":until": until // 1000}),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as failure:
            # Gone, or somebody else has made it live longer.
            return bool(_item_of(failure))
        return True

    def cursor(self, shard: int) -> str:
        """How far the sweep has come in a shard of the listing: a place, "" before the first.

        Raises DamagedRecordError.
        """
        answer = self._client.get_item(TableName=self._table, Key=_cursor_key(shard), ConsistentRead=True)
        if "Item" not in answer:
            return ""
        place = answer["Item"].get("place", {}).get("S", "")
        time = place_time(place)
        if time is None or time > clock.now() + clock.DAY:
            error = DamagedRecordError(_SWEEP, f"cursor of shard {shard}: not what this code writes")
            report(error)
            raise error
        return place

    def move_cursor(self, shard: int, place: str) -> None:
        """Move the sweep's cursor on; one that is further already stays."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_cursor_key(shard),
                UpdateExpression="SET place = :place",
                ConditionExpression="attribute_not_exists(place) OR place < :place",
                ExpressionAttributeValues=encode({":place": place}),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def add_recheck(self, recheck: Recheck) -> None:
        """Have these tasks looked at again at the time of `place`; done twice, it is done once."""
        self._client.update_item(
            TableName=self._table,
            Key=_recheck_key(recheck),
            UpdateExpression="SET taskIds = :ids",
            ExpressionAttributeValues=encode({":ids": ",".join(recheck.task_ids)}),
        )

    def rechecks(self, shard: str, before: str) -> Iterator[Recheck]:
        """The rechecks of a shard whose time is before this place, the oldest first. A damaged one is reported."""
        start: dict[str, Any] = {}
        while True:
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression="taskId = :rechecks AND part < :before",
                ExpressionAttributeValues=encode({":rechecks": _rechecks(shard), ":before": before}),
                **start,
            )
            for item in answer["Items"]:
                task_ids = item.get("taskIds", {}).get("S", "").split(",")
                if all(map(TASK_ID.fullmatch, task_ids)):
                    yield Recheck(shard, item["part"].get("S", ""), task_ids)
                else:
                    report(DamagedRecordError(id_in(item), "taskIds: not what this code writes"))
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def remove_recheck(self, recheck: Recheck) -> None:
        """These tasks have been looked at."""
        self._client.delete_item(TableName=self._table, Key=_recheck_key(recheck))

    def _batch_get(self, task_ids: Sequence[str], consistent: bool) -> Iterator[Item]:
        keys = [key_of(task_id, STATE) for task_id in task_ids]
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


#: The sweep's own items. No task ID has a "#".
_SWEEP: Final = "#sweep"


def _cursor_key(shard: int) -> dict[str, AttributeValueTypeDef]:
    return key_of(_SWEEP, f"cursor#{shard}")


def _rechecks(shard: str) -> str:
    return f"#recheck#{shard}"


def _recheck_key(recheck: Recheck) -> dict[str, AttributeValueTypeDef]:
    return key_of(_rechecks(recheck.shard), recheck.place)


def _outcome(change: Change, error: BatchStatementErrorTypeDef | None) -> Outcome:
    if error is None:
        return Outcome(written=True, record=change.after)
    code = error.get("Code", "")
    if code == "ConditionalCheckFailed":
        try:
            record = read_task(error["Item"]) if "Item" in error else None
        except DamagedRecordError as damage:
            return Outcome(written=False, record=None, error=damage)
        return Outcome(written=record == change.after, record=record)
    # Inside a 200, and botocore retries none of them.
    return _failed(code, error.get("Message", ""))


def _failed(code: str, message: str) -> Outcome:
    return Outcome(written=False, record=None, error=_client_error(code, message))


def _client_error(code: str, message: str) -> ClientError:
    """What botocore would raise, were the answer about one statement the answer to the call."""
    answer: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": 500 if code == "InternalServerError" else 400},
    }
    return ClientError(answer, "BatchExecuteStatement")


def _submission(task: Task) -> tuple[str, str, str]:
    return task.created_key, task.correlation_id, task.content_hash


def _item_of(failure: Any) -> Item:
    """The record that a failed condition met, empty when there was none."""
    return failure.response.get("Item", {})
