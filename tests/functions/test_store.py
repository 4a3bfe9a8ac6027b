"""The store's writes, each of which must be made by one writer at most, and what they cost."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tasklib import clock
from tasklib.store import ListIndex, TaskStore
from tasklib.task import Status, Task, TaskData

from .conftest import Stack

LARGE = TaskData("payload", '{"text":"' + "x" * 2000 + '"}')


def claim(stack: Stack, task: Task, claim_id: str = "claim", now: int = 0) -> tuple[bool, Task | None]:
    return stack.store.claim(
        task.task_id,
        task.run,
        claim_id=claim_id,
        max_attempts=3,
        lease_until=clock.now() + 1000,
        now=now or clock.now(),
    )


def claimed(stack: Stack, task_id: str = "t") -> Task:
    won, task = claim(stack, stack.submit(task_id))
    assert won
    assert task
    return task


class TestSubmission:
    def test_of_an_id_that_is_taken_changes_nothing(self, stack: Stack) -> None:
        task = stack.submit("t", payload='{"a":1}')
        other = replace(task, content_hash="other", correlation_id="other")
        existing = stack.store.create(other, TaskData("payload", '{"a":2}'), data_lifetime=0)
        assert existing
        assert existing.content_hash == task.content_hash
        assert stack.record("t").data == TaskData("payload", '{"a":1}')

    def test_whose_answer_was_lost_knows_its_own_record(self, stack: Stack) -> None:
        task = stack.submit("t")
        assert stack.store.create(task, TaskData("payload", "{}"), data_lifetime=0) is None

    def test_by_two_clients_at_the_same_moment_is_won_by_one(self, stack: Stack) -> None:
        task = stack.submit("t")  # same millisecond, same correlation id
        existing = stack.store.create(
            replace(task, content_hash="other"), TaskData("payload", "[]"), data_lifetime=0
        )
        assert existing == stack.record("t")

    def test_keeps_large_data_in_an_item_of_its_own(self, stack: Stack) -> None:
        task = stack.submit("t", payload=LARGE.text)
        assert sorted(item["part"]["S"] for item in stack.items()) == [f"data#{task.content_hash}", "state"]
        record = stack.record("t")
        assert record.data is None
        assert stack.store.load_data(record) == LARGE

    @pytest.mark.parametrize("length", [*range(380, 520, 10), 700])
    def test_keeps_a_record_within_one_write_unit_until_it_is_completed(
        self, stack: Stack, length: int
    ) -> None:
        text = '{"t":"' + "x" * length + '"}'
        won, task = claim(stack, stack.submit("t" * 36, payload=text, correlation_id="c" * 36), "c" * 22)
        assert won
        assert task
        stack.store.complete(task, '{"workedSeconds":1.0}', clock.now())
        (state,) = [item for item in stack.items() if item["part"]["S"] == "state"]
        size = sum(len(name) + len(next(iter(value.values()))) for name, value in state.items())
        assert size <= 1024

    def test_that_is_refused_leaves_no_data_behind(self, stack: Stack) -> None:
        task = stack.submit("t", payload='{"a":1}')
        refused = replace(task, content_hash=LARGE.content_hash("echo"), correlation_id="other")
        assert stack.store.create(refused, LARGE, data_lifetime=0)
        assert [item["part"]["S"] for item in stack.items()] == ["state"]

    def test_sent_again_keeps_the_data(self, stack: Stack) -> None:
        task = stack.submit("t", payload=LARGE.text)
        again = replace(task, correlation_id="other")
        assert stack.store.create(again, LARGE, data_lifetime=0)
        assert stack.store.load_data(stack.record("t")) == LARGE

    def test_replaces_a_record_whose_time_is_over(self, stack: Stack) -> None:
        stack.submit("t", status=Status.COMPLETED, version=3, expires_at=clock.now() // 1000 - 1)
        assert stack.store.get("t") is None
        task = stack.submit("t", correlation_id="new")
        assert stack.record("t").status is Status.PENDING
        assert stack.record("t").correlation_id == task.correlation_id


class TestAClaim:
    def test_is_won_once(self, stack: Stack) -> None:
        task = stack.submit("t")
        assert claim(stack, task, "one")[0]
        won, in_the_way = claim(stack, task, "two")
        assert not won
        assert in_the_way
        assert in_the_way.claim_id == "one"

    def test_whose_answer_was_lost_is_known_again(self, stack: Stack) -> None:
        task = stack.submit("t")
        claim(stack, task, "one")
        won, record = claim(stack, task, "one")
        assert won
        assert record
        assert record.attempts == 1

    @pytest.mark.parametrize(
        "fields",
        [
            {"run": 2},
            {"attempts": 3},
            {"status": Status.RETRYING, "not_before": 2**50},
            {"status": Status.COMPLETED},
            {"status": Status.FAILED},
            {"status": Status.PROCESSING, "lease_until": 1},
        ],
    )
    def test_is_refused_to_a_task_that_does_not_wait_for_one(
        self, stack: Stack, fields: dict[str, Any]
    ) -> None:
        task = stack.submit("t", **fields)
        won, in_the_way = claim(stack, replace(task, run=1))
        assert not won
        assert in_the_way == stack.record("t")

    def test_of_nothing_finds_nothing(self, stack: Stack) -> None:
        assert stack.store.claim(
            "nobody", 1, claim_id="c", max_attempts=3, lease_until=1, now=clock.now()
        ) == (False, None)

    def test_after_a_crash_is_won_once(self, stack: Stack) -> None:
        lapsed = stack.submit("t", status=Status.PROCESSING, attempts=1, lease_until=1, claim_id="dead")
        lease = clock.now() + 1000
        assert stack.store.reclaim(lapsed, claim_id="one", lease_until=lease, now=clock.now())[0]
        assert not stack.store.reclaim(lapsed, claim_id="two", lease_until=lease, now=clock.now())[0]
        assert stack.record("t").attempts == 2


SETTLEMENTS: list[Callable[[TaskStore, Task], bool]] = [
    lambda store, task: store.complete(task, None, clock.now()),
    lambda store, task: store.retry_later(task, "bad", clock.now(), clock.now()),
    lambda store, task: store.fail(task, "bad", clock.now()),
]


@pytest.mark.parametrize("settle", SETTLEMENTS)
class TestASettlement:
    def test_whose_answer_was_lost_is_known_again(
        self, stack: Stack, settle: Callable[[TaskStore, Task], bool]
    ) -> None:
        task = claimed(stack)
        assert settle(stack.store, task)
        before = stack.record("t")
        assert settle(stack.store, task)
        assert stack.record("t") == before
        assert before.version == task.version + 1

    def test_is_refused_when_the_claim_was_taken_over(
        self, stack: Stack, settle: Callable[[TaskStore, Task], bool]
    ) -> None:
        task = claimed(stack)
        stack.store.reclaim(task, claim_id="other", lease_until=2**50, now=2**49)
        before = stack.record("t")
        assert not settle(stack.store, task)
        assert stack.record("t") == before

    def test_is_refused_when_the_task_was_failed_meanwhile(
        self, stack: Stack, settle: Callable[[TaskStore, Task], bool]
    ) -> None:
        task = claimed(stack)
        assert stack.store.fail_unclaimed(task, "given up", clock.now())
        assert not settle(stack.store, task)
        assert stack.record("t").error_message == "given up"


def test_a_write_over_a_record_that_changed_is_refused(stack: Stack) -> None:
    seen = stack.submit("t")
    claim(stack, seen)
    assert not stack.store.fail_unclaimed(seen, "bad", clock.now())
    failed = stack.submit("f", status=Status.FAILED)
    assert stack.store.mark_dead_lettered(failed, clock.now())
    assert not stack.store.mark_dead_lettered(failed, clock.now())


def test_finished_tasks_expire_when_retention_is_configured(stack: Stack) -> None:
    store = TaskStore(stack.dynamodb, stack.table, retention=7 * clock.DAY)
    now = clock.now()
    store.complete(claimed(stack, "done"), None, now)
    store.fail(claimed(stack, "dead"), "bad", now)
    assert {stack.record(task_id).expires_at for task_id in ("done", "dead")} == {now // 1000 + 7 * 86_400}
    big = replace(stack.submit("small"), task_id="big", updated_at=now)
    store.create(big, LARGE, data_lifetime=17 * clock.DAY)
    (data,) = [item for item in stack.items() if item["part"]["S"].startswith("data#")]
    assert int(data["expiresAt"]["N"]) == now // 1000 + 24 * 86_400


class TestTheListing:
    def test_is_newest_first_over_all_shards(self, stack: Stack) -> None:
        tasks = [
            stack.submit(f"t{n}", created_key=f"2026-01-01T00:00:00.{n:03d}Z#t{n}", list_shard=str(n % 3))
            for n in range(30)
        ]
        listed = list(stack.store.entries(ListIndex.ALL, 3, None, 4))
        assert [entry.task_id for entry in listed] == [task.task_id for task in reversed(tasks)]
        below = stack.store.entries(ListIndex.ALL, 3, tasks[10].created_key, 4)
        assert [entry.task_id for entry in below] == [f"t{n}" for n in range(9, -1, -1)]

    def test_of_failed_tasks_holds_only_those(self, stack: Stack) -> None:
        stack.submit("fine")
        stack.store.fail(claimed(stack, "bad"), "bad", clock.now())
        assert [entry.task_id for entry in stack.store.entries(ListIndex.FAILED, 1, None, 10)] == ["bad"]

    def test_reads_many_records_in_the_order_asked(self, stack: Stack) -> None:
        for n in range(120):
            stack.submit(f"t{n}")
        ids = [f"t{n}" for n in range(119, -1, -1)]
        assert [task.task_id for task in stack.store.get_many([*ids, "nobody"], consistent=True)] == ids
