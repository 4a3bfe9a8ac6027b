"""The sweep: whatever was stored and never queued, is queued."""

import json
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from tasklib import clock
from tasklib.task import Status, created_key, list_shard

from .conftest import Stack, lambda_context
from .wire import Wire

Sweep = Callable[..., int]


@pytest.fixture
def sweep(stack: Stack, load: Callable[[str], ModuleType]) -> Sweep:
    module = load("sweep_tasks")

    def sweep(milliseconds: int = 60_000) -> int:
        return module.handler({}, lambda_context(milliseconds))["sent"]

    return sweep


def stored(stack: Stack, task_id: str, seconds_ago: float, **fields: Any) -> None:
    place = created_key(task_id, clock.now() - round(seconds_ago * 1000))
    stack.submit(task_id, created_key=place, list_shard=list_shard(task_id, 3), **fields)


def queued(stack: Stack) -> list[str]:
    ids: list[str] = []
    while deliveries := stack.receive(stack.task_queue_url):
        ids += [json.loads(delivery.body)["taskId"] for delivery in deliveries]
    return sorted(ids)


def test_a_task_whose_message_was_never_sent_is_queued_once(stack: Stack, sweep: Sweep) -> None:
    stored(stack, "stranded", seconds_ago=130)
    assert sweep() == 1
    assert sweep() == 0
    assert queued(stack) == ["stranded"]


def test_a_task_that_may_still_be_in_submission_is_left_alone_until_it_is_not(
    stack: Stack, sweep: Sweep
) -> None:
    stored(stack, "new", seconds_ago=119)
    assert sweep() == 0
    # Its index entry may also have come late, behind newer ones that the sweep has not passed yet.
    stored(stack, "late", seconds_ago=121)
    assert sweep() == 1
    assert queued(stack) == ["late"]


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.RETRYING, Status.COMPLETED, Status.FAILED])
def test_a_task_that_a_worker_has_seen_is_left_alone(stack: Stack, sweep: Sweep, status: Status) -> None:
    stored(stack, "t", seconds_ago=600, status=status, attempts=1)
    assert sweep() == 0


def test_every_task_of_every_shard_is_found(stack: Stack, sweep: Sweep) -> None:
    for number in range(130):
        stored(stack, f"t{number}", seconds_ago=500 - number)
    assert sweep() == 130
    assert len(queued(stack)) == 130
    assert sweep() == 0


def test_the_cursor_waits_until_the_queue_has_taken_everything(stack: Stack, sweep: Sweep) -> None:
    stored(stack, "t", seconds_ago=130)
    stack.sqs.delete_queue(QueueUrl=stack.task_queue_url)
    with pytest.raises(Exception, match="NonExistentQueue"):
        sweep()
    name = stack.task_queue_url.rpartition("/")[2]
    stack.sqs.create_queue(QueueName=name)
    assert sweep() == 1


def test_a_run_that_is_out_of_time_leaves_the_rest_to_the_next(stack: Stack, sweep: Sweep) -> None:
    stored(stack, "t", seconds_ago=130)
    assert sweep(milliseconds=10_000) == 0
    assert sweep() == 1


@pytest.mark.batch_statements
def test_a_restarted_task_is_queued_again_until_a_worker_claims_it(stack: Stack, sweep: Sweep) -> None:
    stored(stack, "t", seconds_ago=6000, status=Status.FAILED, attempts=3)
    assert sweep() == 0
    failed = stack.record("t")
    restarted = failed.restarted(clock.now() - 130_000)
    assert stack.store.change(failed, restarted)
    assert sweep() == 1
    # Not every minute: its turn comes again when the time that the sweep stays behind has passed.
    assert sweep() == 0
    noted = stack.record("t")
    assert stack.store.change(noted, noted.sent_again(clock.now() - 130_000))
    assert sweep() == 1
    waiting, now = stack.record("t"), clock.now()
    assert stack.store.change(waiting, waiting.claimed("c", lease_until=now + 1000, now=now))
    assert sweep() == 0


@pytest.mark.batch_statements
def test_a_cursor_ahead_of_the_sweep_waits_for_it(stack: Stack, sweep: Sweep) -> None:
    """Another sweep was further, or the sweep stays further behind than it did."""
    stored(stack, "t", seconds_ago=130)
    stack.submit("restarted", run=2, unsent_shard="0", unsent_key=created_key("", clock.now() - 600_000))
    for shard in range(3):
        stack.store.move_cursor(shard, created_key("", clock.now() + 60_000))
    assert sweep() == 1
    assert queued(stack) == ["restarted"]


def strides(wire: Wire) -> list[int]:
    """The shards in the order in which the sweep's cursors moved."""
    places = [call["Key"]["part"]["S"] for call in wire.bodies("UpdateItem")]
    return [int(place.removeprefix("cursor#")) for place in places if place.startswith("cursor#")]


def backlog(stack: Stack, shard: int, count: int, **fields: Any) -> list[str]:
    """Tasks of one shard that nobody has queued."""
    long_ago = clock.now() - 600_000
    ids = [f"s{shard}-{number:03}" for number in range(count)]
    for task_id in ids:
        place = {"created_key": created_key(task_id, long_ago), "list_shard": str(shard)}
        stack.submit_many("echo", [task_id], **(place | fields))
    return ids


class TestABacklog:
    def test_of_one_shard_leaves_each_other_its_share_of_the_time(
        self, stack: Stack, wire: Wire, sweep: Sweep
    ) -> None:
        for shard, count in enumerate([310, 120, 1]):
            backlog(stack, shard, count)
        assert sweep() == 431
        first = strides(wire)
        assert sorted(first[:3]) == [0, 1, 2]
        assert sorted(first[3:5]) == [0, 1]
        assert first[5:] == [0, 0]

    def test_is_begun_at_another_shard_each_minute(
        self, stack: Stack, wire: Wire, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        minute, firsts = 60 * 10**9, list[int]()
        began = time.time_ns()
        for number in range(4):
            for shard in range(3):
                place = created_key(f"t{shard}{number}", clock.now() - 600_000 + 1000 * number)
                stack.submit(f"t{shard}{number}", created_key=place, list_shard=str(shard))
            monkeypatch.setattr(time, "time_ns", lambda at=began + number * minute: at)
            assert sweep() == 3
            firsts.append(strides(wire)[-3])
        assert sorted(firsts[:3]) == [0, 1, 2]
        assert firsts[3] == firsts[0]

    @pytest.mark.batch_statements
    def test_does_not_hold_up_restarted_tasks(self, stack: Stack, wire: Wire, sweep: Sweep) -> None:
        backlog(stack, 0, 120)
        long_ago = created_key("", clock.now() - 600_000)
        for shard in range(3):
            restarted: dict[str, Any] = {
                "run": 2,
                "unsent_shard": str(shard),
                "unsent_key": f"{long_ago}r{shard}",
            }
            stack.submit(f"r{shard}", list_shard=str(shard), **restarted)
        assert sweep() == 123
        messages = [
            entry["MessageBody"] for call in wire.bodies("SendMessageBatch") for entry in call["Entries"]
        ]
        assert {json.loads(message)["taskId"] for message in messages[:3]} == {"r0", "r1", "r2"}

    @pytest.mark.batch_statements
    def test_of_restarted_tasks_does_not_hold_up_the_others(
        self, stack: Stack, wire: Wire, sweep: Sweep
    ) -> None:
        long_ago = created_key("", clock.now() - 600_000)
        for number in range(210):
            restarted: dict[str, Any] = {
                "run": 2,
                "unsent_shard": "0",
                "unsent_key": f"{long_ago}r{number:03}",
            }
            stack.submit_many("echo", [f"r{number:03}"], **restarted)
        stored(stack, "stranded", seconds_ago=600)
        assert sweep() == 211
        messages = [
            entry["MessageBody"] for call in wire.bodies("SendMessageBatch") for entry in call["Entries"]
        ]
        assert json.loads(messages[100])["taskId"] == "stranded"
        # Moved to the end of their list by the batch.
        assert wire.calls()["BatchExecuteStatement"] == 4 + 4 + 1
