"""The sweep: whatever was stored and never queued, is queued."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from tasklib import clock
from tasklib.task import Status, created_key, list_shard

from .conftest import Stack, lambda_context

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
