"""What the harness does to a record by hand is told from what a function writes."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from tasklib.record import DamagedRecordError, to_item, to_task
from tasklib.task import Status, Task, TaskData, created_key

from tests.chaos.damages import DAMAGES, Damage, Item
from tests.chaos.history import change_of

NOW = 1_700_000_000_000

TASK = Task(
    task_id="t",
    type="chaos",
    status=Status.PENDING,
    run=1,
    attempts=0,
    version=1,
    created_key=created_key("t", NOW),
    list_shard="0",
    updated_at=NOW,
    content_hash="h",
    correlation_id="c",
    data=TaskData("payload", "{}"),
)
CLAIMED = TASK.claimed("claim", lease_until=NOW + 5_000, now=NOW + 1)
RETRYING = CLAIMED.retrying("bad", not_before=NOW + 9, now=NOW + 2)

EACH = pytest.mark.parametrize(("name", "bad"), DAMAGES)


def damage_of(task: Task, name: str, bad: Any) -> tuple[Item, Damage]:
    """A record and a damage that fits it."""
    item = to_item(task)
    return item, Damage(name, item.get(name), bad)


@EACH
@pytest.mark.parametrize("task", [TASK, CLAIMED, RETRYING], ids=lambda task: task.status)
def test_a_damage_makes_a_record_unreadable_and_mending_undoes_it(task: Task, name: str, bad: Any) -> None:
    item, damage = damage_of(task, name, bad)
    damaged = damage.done_to(item)
    with pytest.raises(DamagedRecordError, match=f"^{name}: "):
        to_task(damaged)
    assert to_task(damage.mended_in(damaged)) == replace(task, version=task.version + 1)


@EACH
def test_damage_and_mending_are_seen_as_done_by_hand(name: str, bad: Any) -> None:
    item, damage = damage_of(CLAIMED, name, bad)
    damaged = damage.done_to(item)
    records: Sequence[Item] = [item, damaged, damage.mended_in(damaged)]
    done, mended = (change_of(old, new, damage) for old, new in pairwise(records))
    assert done.by_hand
    assert mended.by_hand
    assert done.old == done.new == mended.old
    assert mended.new is not None
    assert mended.new.version == CLAIMED.version + 1


@EACH
def test_a_write_of_a_function_over_the_damage_is_judged_by_the_whole_record(name: str, bad: Any) -> None:
    item, damage = damage_of(CLAIMED, name, bad)
    settled = to_item(RETRYING)
    # A function writes what differs, and so may leave the damage.
    left = settled if settled.get(name) != item.get(name) else damage.done_to(settled)
    change = change_of(damage.done_to(item), left, damage)
    assert not change.by_hand
    assert change == change_of(item, settled, None)


def test_a_write_that_does_more_than_mend_is_not_by_hand() -> None:
    item, damage = damage_of(CLAIMED, "status", None)
    mended = damage.mended_in(damage.done_to(item))
    assert not change_of(damage.done_to(item), {**mended, "attempts": {"N": "2"}}, damage).by_hand
    assert not change_of(item, {**item, "attempts": {"N": "2"}}, damage).by_hand


def test_a_record_that_the_harness_has_not_damaged_and_that_cannot_be_read_is_none() -> None:
    item, damage = damage_of(CLAIMED, "status", None)
    damaged = damage.done_to(item)
    assert change_of(item, damaged, None).new is None
    assert change_of(item, damaged, Damage("version", item["version"], None)).new is None
