"""Each right of each function is needed: a person misses something as soon as a role lacks it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Final, TypeVar

import pytest
from websockets.exceptions import ConnectionClosed

from tests.waiting import wait_for

from . import rights, scenarios
from .conftest import LocalStack, running
from .live_client import ask, connected
from .scenarios import Scenario, Wait
from .webhook_receiver import SECRET

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("removed-rights")]

#: After a refusal, a scenario may still come true for the seconds that it takes with all rights, and these.
LEAST_RESPITE: Final = 2.0

Found = TypeVar("Found")


TASKS: Final = "table/tasks"
PUSH: Final = ("notify-clients", "execute-api:ManageConnections", "tasks-live/live/POST/@connections/*")


def clients_that_cannot_be_told_are_disconnected(stack: LocalStack, wait: Wait) -> None:
    """A client that misses an update is disconnected: so it learns that it has to read anew."""
    task_id = scenarios.new_id()
    function, right = "notify-clients", granted_as(stack, PUSH)
    with rights.taken_away(stack, function, right), connected(stack) as connection:
        ask(connection, action="subscribe", taskIds=[task_id])
        stack.submit(task_id)

        def is_closed() -> bool:
            try:
                scenarios.received(connection)
            except ConnectionClosed:
                return True
            return False

        wait(is_closed, "the end of a connection")


#: A function, an action and its resource, and a scenario that fails when the function's role lacks it.
NEEDED: Final[Mapping[tuple[str, str, str], Scenario]] = {
    ("submit-tasks", "dynamodb:PutItem", TASKS): scenarios.tasks_run_at_once,
    ("submit-tasks", "sqs:SendMessage", "task-queue"): scenarios.tasks_run_at_once,
    ("submit-tasks", "dynamodb:PartiQLInsert", TASKS): scenarios.batches_are_stored_together,
    ("submit-tasks", "dynamodb:DeleteItem", TASKS): scenarios.conflicts_are_told,
    ("read-tasks", "dynamodb:GetItem", TASKS): scenarios.tasks_are_shown,
    ("read-tasks", "dynamodb:BatchGetItem", TASKS): scenarios.tasks_are_listed,
    ("read-tasks", "dynamodb:Query", f"{TASKS}/index/byCreated"): scenarios.tasks_are_listed,
    ("read-tasks", "dynamodb:Query", f"{TASKS}/index/byFailed"): scenarios.failed_tasks_are_listed,
    ("process-tasks", "dynamodb:BatchGetItem", TASKS): scenarios.tasks_run_at_once,
    ("process-tasks", "dynamodb:PartiQLUpdate", TASKS): scenarios.tasks_run_at_once,
    ("process-tasks", "dynamodb:GetItem", TASKS): scenarios.large_tasks_run,
    (
        "process-tasks",
        "sqs:ChangeMessageVisibility",
        "task-queue",
    ): scenarios.failed_attempts_are_repeated_in_time,
    ("process-tasks", "sqs:SendMessage", "dead-letter-queue"): scenarios.dead_letters_are_reported,
    ("process-tasks", "ssm:GetParameter", "parameter/webhook-secret"): scenarios.webhooks_are_delivered,
    ("monitor-dlq", "sqs:ReceiveMessage", "dead-letter-queue"): scenarios.dead_letters_are_reported,
    ("monitor-dlq", "dynamodb:GetItem", TASKS): scenarios.dead_letters_are_reported,
    ("monitor-dlq", "dynamodb:PartiQLUpdate", TASKS): scenarios.reported_tasks_are_marked,
    ("monitor-dlq", "sqs:DeleteMessage", "dead-letter-queue"): scenarios.reported_letters_are_deleted,
    (
        "monitor-dlq",
        "sqs:ChangeMessageVisibility",
        "dead-letter-queue",
    ): scenarios.letters_of_running_tasks_are_examined_in_time,
    ("retry-tasks", "dynamodb:GetItem", TASKS): scenarios.failed_tasks_are_retried,
    ("retry-tasks", "dynamodb:PartiQLUpdate", TASKS): scenarios.failed_tasks_are_retried,
    ("retry-tasks", "sqs:SendMessage", "task-queue"): scenarios.failed_tasks_are_retried,
    ("retry-tasks", "dynamodb:UpdateItem", TASKS): scenarios.data_outlives_a_retry,
    ("cancel-tasks", "dynamodb:GetItem", TASKS): scenarios.waiting_tasks_are_cancelled,
    ("cancel-tasks", "dynamodb:PartiQLUpdate", TASKS): scenarios.waiting_tasks_are_cancelled,
    ("sweep-tasks", "dynamodb:GetItem", TASKS): scenarios.unsent_messages_are_sent,
    ("sweep-tasks", "dynamodb:BatchGetItem", TASKS): scenarios.unsent_messages_are_sent,
    ("sweep-tasks", "dynamodb:UpdateItem", TASKS): scenarios.unsent_messages_are_sent,
    ("sweep-tasks", "dynamodb:Query", f"{TASKS}/index/byCreated"): scenarios.unsent_messages_are_sent,
    ("sweep-tasks", "sqs:SendMessage", "task-queue"): scenarios.unsent_messages_are_sent,
    ("sweep-tasks", "dynamodb:Query", f"{TASKS}/index/byUnsent"): scenarios.lost_messages_are_sent_again,
    ("sweep-tasks", "dynamodb:PartiQLUpdate", TASKS): scenarios.lost_messages_are_sent_again,
    ("sweep-tasks", "dynamodb:Query", TASKS): scenarios.dropped_messages_are_replaced,
    ("sweep-tasks", "dynamodb:DeleteItem", TASKS): scenarios.dropped_messages_are_replaced,
    ("track-connections", "dynamodb:GetItem", "table/connections"): scenarios.pings_tell_who_is_subscribed,
    ("track-connections", "dynamodb:PutItem", "table/connections"): scenarios.clients_subscribe,
    ("track-connections", "dynamodb:DeleteItem", "table/connections"): scenarios.clients_are_let_in,
    ("issue-tickets", "dynamodb:PutItem", "table/connections"): scenarios.clients_are_let_in,
    ("notify-clients", "dynamodb:Query", "table/connections"): scenarios.clients_hear_of_tasks,
    PUSH: scenarios.clients_hear_of_tasks,
    ("notify-clients", "dynamodb:DeleteItem", "table/connections"): scenarios.clients_that_left_are_forgotten,
    (
        "notify-clients",
        "execute-api:ManageConnections",
        "tasks-live/live/DELETE/@connections/*",
    ): clients_that_cannot_be_told_are_disconnected,
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Generator[LocalStack]:
    """One on which every function has all rights that it can have.

    The monitor is called by its schedule, which never comes: so it receives and deletes by itself. Where the queue
    calls it, it has all its other rights for the same.
    """
    config = (
        *("failureRate=0", "maxRetries=1", "backoffBaseSeconds=1"),
        *("dlqMonitorTrigger=schedule", "dlqMonitorSchedule=rate(1 day)"),
        *('webhookAllowedNetworks=["127.0.0.1/32"]', "webhookSecret"),
    )
    log = tmp_path_factory.mktemp("removed-rights") / "log"
    with running(log, *config, environment={"webhookSecret": SECRET}, roles_enforced=True) as stack:
        yield stack


@pytest.fixture(scope="module")
def seconds_of(stack: LocalStack) -> Callable[[Scenario], float]:
    """Sees a scenario come true with all rights, once, and tells how long that took."""
    took: dict[Scenario, float] = {}

    def hold(scenario: Scenario) -> float:
        if scenario not in took:
            began = time.monotonic()
            scenario(stack, wait_for)
            took[scenario] = time.monotonic() - began
        return took[scenario]

    return hold


def test_each_right_has_its_scenario(stack: LocalStack) -> None:
    there = {(function, right[0], named(right[1])) for function, right in own_rights(stack)}
    here = "NEEDED in tests/e2e/test_removed_rights.py"
    new = "".join(
        f"\n    {row}: <a scenario that fails without it>," for row in sorted(there - NEEDED.keys())
    )
    assert not new, f"Granted, and not known to be needed. Grant it no more, or add to {here}:{new}"
    old = "".join(f"\n    {row}" for row in sorted(NEEDED.keys() - there))
    assert not old, f"Not granted any more. Take out of {here}:{old}"


@pytest.mark.parametrize("needed", NEEDED, ids=" ".join)
def test_without_it_something_is_missed(
    stack: LocalStack, seconds_of: Callable[[Scenario], float], needed: tuple[str, str, str]
) -> None:
    scenario, function, right = NEEDED[needed], needed[0], granted_as(stack, needed)
    respite = LEAST_RESPITE + seconds_of(scenario)
    with rights.taken_away(stack, function, right):
        with pytest.raises(AssertionError):
            scenario(stack, partial(wait_after_refusal, stack, function, right, respite))
        # It was that, and not something else, that failed.
        assert is_refused(stack, function, right)


def own_rights(stack: LocalStack) -> list[tuple[str, rights.Right]]:
    """Each function with each right of its own."""
    return [(function, right) for function, all_of_it in rights.granted(stack).items() for right in all_of_it]


def granted_as(stack: LocalStack, needed: tuple[str, str, str]) -> rights.Right:
    """The right of a row of NEEDED, as the stack grants it."""
    [right] = [
        right for function, right in own_rights(stack) if (function, right[0], named(right[1])) == needed
    ]
    return right


def named(resource: str) -> str:
    """A resource without what is the same for all of a stack: `table/tasks`, `task-queue`."""
    return resource.split(":", 5)[5].replace("tasks-local-", "").replace("tasks-local/", "")


def is_refused(stack: LocalStack, function: str, right: rights.Right) -> bool:
    return rights.is_among(right, rights.noted(stack, "refused").get(function, ()))


def wait_after_refusal(
    stack: LocalStack,
    function: str,
    right: rights.Right,
    respite: float,
    look: Callable[[], Found | None],
    what: str,
) -> Found:
    """Waits patiently until the function was refused this, or `look` comes true all the same; then for `respite`."""
    wait_for(lambda: is_refused(stack, function, right) or look(), f"a refusal of {right}")
    return wait_for(look, what, respite)
