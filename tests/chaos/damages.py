"""Records that somebody damages by hand, and mends again some seconds later.

They are mended as docs/runbook.md says: the attribute as it was, and a `version` that is one higher. Both writes are
conditional on the record that was read, so neither undoes what a function has written. Some further records are damaged
for good: nobody was promised anything of them, and every reader of the lists meets them.
"""

import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasklib.record import key_of, to_item
from tasklib.task import Status, Task, TaskData, created_key

from tests.chaos.plans import TASK_TYPE
from tests.chaos.stack import Stack

#: An item, and the value of an attribute, as DynamoDB writes them.
Item = Mapping[str, Any]
Value = Mapping[str, Any]

#: What is done to a record: the attribute, and what it is made; None: it is removed.
DAMAGES: Sequence[tuple[str, Value | None]] = (
    *(("status", value) for value in (None, {"N": "1"}, {"S": "PAUSED"})),
    *(("updatedAt", value) for value in (None, {"S": "yesterday"}, {"N": "-1"})),
    *(("attempts", value) for value in (None, {"S": "1"}, {"N": "-1"})),
    *(("version", value) for value in (None, {"S": "1"}, {"N": "0.5"})),
    *(("history", value) for value in ({"N": "1"}, {"S": "{"})),
    *(("leaseUntil", value) for value in ({"S": "soon"}, {"N": "-1"})),
    ("contentHash", None),
    ("correlationId", {"BOOL": True}),
    ("type", {"S": ""}),
)

#: Seconds that a record stays damaged: from less than an attempt takes to more than a message takes to come back.
_SECONDS = (0.2, 1.0, 4.0, 8.0)

#: Records that are looked at to find one in the state that is wanted.
_SAMPLE = 40


@dataclass(frozen=True)
class Damage:
    """What was done to a record. `good` is what the attribute was before, None when the record was without it."""

    name: str
    good: Value | None
    bad: Value | None

    def done_to(self, item: Item) -> Item:
        """The record with the damage."""
        return _with(item, self.name, self.bad)

    def undone_in(self, item: Item) -> Item:
        """The record without the damage; as it is when a function has written the attribute since."""
        return _with(item, self.name, self.good) if item.get(self.name) == self.bad else item

    def mended_in(self, item: Item) -> Item:
        """The record after somebody has mended it by hand."""
        whole = self.undone_in(item)
        return _with(whole, "version", {"N": str(int(whole["version"]["N"]) + 1)})

    def explains(self, old: Item, new: Item) -> bool:
        """Whether a write did this damage or mended it, and nothing else."""
        if old.get(self.name) == self.bad:
            return new == self.mended_in(old)
        return new == self.done_to(old)


class Damages:
    """Does damage to records of a stack, to each at most once, and knows what was done to which.

    Attributes:
        hopeless: the tasks whose records were damaged from the start and for good.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._done: dict[str, Damage] = {}
        self._due: dict[str, float] = {}
        self.hopeless: frozenset[str] = frozenset()

    def of(self, task_id: str) -> Damage | None:
        """What was done, or is about to be done, to a task's record."""
        return self._done.get(task_id)

    def plant(self, seconds: float, rng: random.Random) -> None:
        """Store records that are damaged for good, in all lists of each shard, and of any time in these seconds."""
        now = time.time()
        for number, (name, bad) in enumerate(DAMAGES):
            for shard in map(str, range(self._stack.shards)):
                task_id = f"hopeless-{number}-{shard}"
                self.hopeless |= {task_id}
                at = round((now + rng.uniform(0, seconds)) * 1000)
                item = _with(to_item(_restarted(task_id, shard, at)), name, bad)
                self._stack.dynamodb.put_item(TableName=self._stack.table, Item=item)

    def damage(self, task_ids: Sequence[str], rng: random.Random) -> Status | None:
        """Damage one of these tasks' records, if there is a whole one. Returns the status that it had."""
        untouched = [task_id for task_id in task_ids if task_id not in self._done]
        by_status: dict[str, list[Item]] = defaultdict(list)
        for item in self._read(rng.sample(untouched, min(_SAMPLE, len(untouched)))):
            by_status[item["status"]["S"]].append(item)
        if not by_status:
            return None
        status = rng.choice(sorted(by_status))
        item = rng.choice(by_status[status])
        task_id = item["taskId"]["S"]
        name, bad = rng.choice(DAMAGES)
        damage = Damage(name, item.get(name), bad)
        # Noted before it is done, since the history may be read at once.
        self._done[task_id] = damage
        if not self._replace(item, damage.done_to(item)):
            del self._done[task_id]
            return None
        self._due[task_id] = time.monotonic() + rng.choice(_SECONDS)
        return Status(status)

    def mend_due(self) -> None:
        """Mend the records that have been damaged for long enough."""
        for task_id, due in [*self._due.items()]:
            if due <= time.monotonic():
                self._mend(task_id)

    def mend_all(self) -> None:
        """Mend every record, but for those that are damaged for good."""
        for task_id in [*self._due]:
            self._mend(task_id)

    def _mend(self, task_id: str) -> None:
        damage = self._done[task_id]
        while True:
            (item,) = self._read([task_id])
            if damage.undone_in(item) == item or self._replace(item, damage.mended_in(item)):
                del self._due[task_id]
                return

    def _read(self, task_ids: Sequence[str]) -> Sequence[Item]:
        if not task_ids:
            return []
        request: Any = {"Keys": [key_of(task_id, "state") for task_id in task_ids], "ConsistentRead": True}
        answer = self._stack.dynamodb.batch_get_item(RequestItems={self._stack.table: request})
        return answer["Responses"][self._stack.table]

    def _replace(self, old: Item, new: Item) -> bool:
        """Write a record, unless somebody has written it since it was read: each write changes its version."""
        request: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(version)"}
        if "version" in old:
            request = {
                "ConditionExpression": "version = :version",
                "ExpressionAttributeValues": {":version": old["version"]},
            }
        try:
            self._stack.dynamodb.put_item(TableName=self._stack.table, Item=new, **request)
        except self._stack.dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _restarted(task_id: str, shard: str, at: int) -> Task:
    """A restarted task that waits for its claim, and is in every list: of all tasks, of failed ones, of unsent ones."""
    data = TaskData("payload", "{}")
    place = created_key(task_id, at)
    return Task(
        task_id=task_id,
        type=TASK_TYPE,
        status=Status.PENDING,
        run=2,
        attempts=0,
        version=5,
        created_key=place,
        list_shard=shard,
        updated_at=at,
        content_hash=data.content_hash(TASK_TYPE),
        correlation_id=task_id,
        data=data,
        failed_shard=shard,
        unsent_shard=shard,
        unsent_key=place,
    )


def _with(item: Item, name: str, value: Value | None) -> dict[str, Any]:
    others = {other: held for other, held in item.items() if other != name}
    return others if value is None else others | {name: value}
