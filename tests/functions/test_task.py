"""The rules of the life of a task, as the records show them."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from tasklib.task import (
    CRASHED,
    MAX_HISTORY,
    TRANSITIONS,
    Status,
    Task,
    TaskData,
    Verdict,
    created_key,
    judge_delivery,
    judge_letter,
    list_shard,
)

NOW = 1_800_000_000_000

TASK = Task(
    task_id="t",
    type="simulate",
    status=Status.PENDING,
    run=2,
    attempts=0,
    version=1,
    created_key=created_key("t", NOW),
    list_shard="0",
    updated_at=NOW,
    content_hash="h",
    correlation_id="c",
)

PROCESSING = {"status": Status.PROCESSING, "attempts": 1}
LIVE = PROCESSING | {"lease_until": NOW + 1}
LAPSED = PROCESSING | {"lease_until": NOW}


@pytest.mark.parametrize(
    ("fields", "run", "verdict"),
    [
        ({}, 2, Verdict.CLAIM),
        ({"status": Status.RETRYING, "attempts": 1, "not_before": NOW}, 2, Verdict.CLAIM),
        ({"status": Status.RETRYING, "attempts": 1, "not_before": NOW + 1}, 2, Verdict.DEFER),
        ({"not_before": NOW + 1}, 2, Verdict.DEFER),
        ({}, 1, Verdict.DISCARD),
        (LIVE, 1, Verdict.DISCARD),
        (LIVE, 2, Verdict.DEFER),
        (LAPSED, 2, Verdict.RECLAIM),
        (LAPSED | {"attempts": 3}, 2, Verdict.FAIL),
        (LIVE | {"attempts": 3}, 2, Verdict.DEFER),
        ({"status": Status.RETRYING, "attempts": 3}, 2, Verdict.FAIL),
        ({"status": Status.COMPLETED, "attempts": 3}, 2, Verdict.DISCARD),
        ({"status": Status.FAILED, "attempts": 3}, 2, Verdict.BURY),
        ({"status": Status.FAILED, "attempts": 3, "dead_lettered_at": NOW}, 2, Verdict.DISCARD),
    ],
)
def test_a_delivery_is_judged_by_its_record(fields: dict[str, Any], run: int, verdict: Verdict) -> None:
    task = replace(TASK, **fields)
    decision = judge_delivery(task, run, max_attempts=3, now=NOW)
    assert decision.verdict is verdict
    if verdict is Verdict.DEFER:
        assert decision.until == NOW + 1


@pytest.mark.parametrize(
    ("fields", "run", "verdict"),
    [
        ({}, 1, Verdict.DISCARD),
        ({"status": Status.COMPLETED}, 2, Verdict.DISCARD),
        ({"status": Status.FAILED, "dead_lettered_at": NOW}, 2, Verdict.DISCARD),
        (LIVE, 2, Verdict.DEFER),
        ({"status": Status.FAILED}, 2, Verdict.BURY),
        ({}, 2, Verdict.FAIL),
        ({"status": Status.RETRYING, "attempts": 1, "not_before": NOW + 1}, 2, Verdict.FAIL),
        (LAPSED, 2, Verdict.FAIL),
    ],
)
def test_a_dead_letter_is_judged_by_its_record(fields: dict[str, Any], run: int, verdict: Verdict) -> None:
    assert judge_letter(replace(TASK, **fields), run, NOW, redriven=True).verdict is verdict


def test_a_worker_s_own_letter_fails_no_task_that_can_run() -> None:
    """It was written when the task was not there; one of the same ID was submitted since."""
    assert judge_letter(TASK, 2, NOW, redriven=False).verdict is Verdict.DISCARD
    failed = replace(TASK, status=Status.FAILED)
    assert judge_letter(failed, 2, NOW, redriven=False).verdict is Verdict.BURY


def test_messages_about_nothing_are_rejected() -> None:
    assert judge_delivery(None, 1, 3, NOW).verdict is Verdict.REJECT
    assert judge_letter(None, 1, NOW, redriven=True).verdict is Verdict.REJECT


def test_completed_is_final() -> None:
    assert not [transition for transition in TRANSITIONS if transition.source is Status.COMPLETED]


LATER = NOW + 5_000
DAY = 86_400_000

#: A record with everything on it that a record can have, so that whatever a transition leaves behind shows.
FULL = replace(
    TASK,
    status=Status.PROCESSING,
    attempts=2,
    version=7,
    data=TaskData("answer", "x"),
    claim_id="old claim",
    lease_until=NOW + 1,
    not_before=NOW,
    error_message="old error",
    result='"old"',
    dead_lettered_at=NOW,
    expires_at=NOW,
    history='[{"run":1}]',
    failed_shard="0",
    unsent_shard="0",
    unsent_key="old key",
)

#: Of each transition, what it changes about that record; None: it takes it away. Everything else stays.
CHANGES: dict[str, tuple[Callable[[Task], Task], dict[str, Any]]] = {
    "claimed": (
        lambda task: task.claimed("new", lease_until=LATER + 30_000, now=LATER),
        {
            "attempts": 3,
            "claim_id": "new",
            "lease_until": LATER + 30_000,
            "not_before": None,
            "unsent_shard": None,
            "unsent_key": None,
            "history": [{"run": 1}, {"run": 2, "attempt": 2, "errorMessage": CRASHED}],
        },
    ),
    "completed": (
        lambda task: task.completed('"new"', keep=7 * DAY, now=LATER),
        {
            "status": Status.COMPLETED,
            "result": '"new"',
            "error_message": None,
            "lease_until": None,
            "expires_at": LATER // 1000 + 7 * 86_400,
            "history": [{"run": 1}, {"run": 2, "attempt": 2, "durationMs": 5_000}],
        },
    ),
    "retrying": (
        lambda task: task.retrying("new error", not_before=LATER + 2_000, now=LATER),
        {
            "status": Status.RETRYING,
            "error_message": "new error",
            "not_before": LATER + 2_000,
            "lease_until": None,
            "history": [
                {"run": 1},
                {"run": 2, "attempt": 2, "durationMs": 5_000, "errorMessage": "new error"},
            ],
        },
    ),
    "failed": (
        lambda task: task.failed("new error", keep=7 * DAY, now=LATER),
        {
            "status": Status.FAILED,
            "error_message": "new error",
            "lease_until": None,
            "failed_shard": "0",
            "expires_at": LATER // 1000 + 7 * 86_400,
            "history": [
                {"run": 1},
                {"run": 2, "attempt": 2, "durationMs": 5_000, "errorMessage": "new error"},
            ],
        },
    ),
    "given up": (
        lambda task: task.given_up("new error", keep=0, now=LATER),
        {
            "status": Status.FAILED,
            "error_message": "new error",
            "claim_id": None,
            "lease_until": None,
            "not_before": None,
            "unsent_shard": None,
            "unsent_key": None,
            "failed_shard": "0",
            "expires_at": None,
            "history": [{"run": 1}, {"run": 2, "attempt": 2, "errorMessage": CRASHED}],
        },
    ),
    "dead-lettered": (lambda task: task.dead_lettered(LATER), {"dead_lettered_at": LATER}),
    "restarted": (
        lambda task: task.restarted(LATER),
        {
            "status": Status.PENDING,
            "run": 3,
            "attempts": 0,
            "claim_id": None,
            "lease_until": None,
            "not_before": None,
            "error_message": None,
            "dead_lettered_at": None,
            "failed_shard": None,
            "expires_at": None,
            "unsent_shard": "0",
            "unsent_key": created_key("t", LATER),
        },
    ),
    "sent again": (
        lambda task: task.sent_again(LATER),
        {"unsent_key": created_key("t", LATER), "updated_at": NOW},
    ),
}


@pytest.mark.parametrize(("transition", "changes"), CHANGES.values(), ids=CHANGES)
def test_a_transition_changes_what_it_says_and_nothing_else(
    transition: Callable[[Task], Task], changes: dict[str, Any]
) -> None:
    after = transition(FULL)
    history = json.loads(after.history or "[]")
    for attempt in history:
        assert attempt.pop("startedAt", "2027-01-15T08:00:00.000Z") == "2027-01-15T08:00:00.000Z"
    expected = asdict(FULL) | {"version": 8, "updated_at": LATER, "history": [{"run": 1}]} | changes
    assert asdict(after) | {"history": history} == expected


def test_a_claim_of_a_task_that_nobody_ran_keeps_no_history() -> None:
    assert TASK.claimed("c", lease_until=LATER, now=NOW).history is None
    assert TASK.given_up("bad", keep=0, now=NOW).history is None


def test_a_success_is_remembered_only_after_an_attempt_that_was_none() -> None:
    claimed = TASK.claimed("c", lease_until=LATER, now=NOW)
    assert claimed.completed(None, keep=0, now=LATER).history is None
    again = claimed.retrying("bad", not_before=NOW, now=NOW).claimed("d", lease_until=LATER, now=NOW)
    history = json.loads(again.completed(None, keep=0, now=LATER).history or "")
    assert [attempt.get("errorMessage") for attempt in history] == ["bad", None]


def test_a_record_remembers_its_last_attempts_and_the_beginning_of_their_errors() -> None:
    task = TASK
    for number in range(MAX_HISTORY + 2):
        claimed = task.claimed("c", lease_until=LATER, now=NOW)
        task = claimed.retrying(f"{number} " + "x" * 5000, not_before=NOW, now=NOW)
    history = json.loads(task.history or "")
    assert [attempt["attempt"] for attempt in history] == [3, 4, 5, 6, 7]
    assert {len(attempt["errorMessage"]) for attempt in history} == {200}


def test_finished_tasks_are_kept_for_ever_when_nothing_else_is_asked_for() -> None:
    assert FULL.completed(None, keep=0, now=LATER).expires_at is None
    assert FULL.failed("bad", keep=0, now=LATER).expires_at is None


def test_content_is_compared_by_meaning() -> None:
    one = TaskData("payload", '{"a":1,"b":{"c":2,"d":3}}').content_hash("simulate")
    assert TaskData("payload", '{"b": {"d": 3, "c": 2}, "a": 1}').content_hash("simulate") == one
    assert TaskData("payload", '{"a":1,"b":{"c":2,"d":4}}').content_hash("simulate") != one
    assert TaskData("payload", '{"a":1,"b":{"c":2,"d":3}}').content_hash("other") != one
    assert TaskData("answer", "x").content_hash("a") != TaskData("payload", '"x"').content_hash("a")


@pytest.mark.parametrize(
    ("data", "content_hash"),
    [
        (TaskData("answer", "42"), "X22_XEHydRL6vuYbL8qnlQ"),
        (TaskData("answer", "1.0"), "Lc4EQg5NflmVsqm_kY3FuQ"),
        (TaskData("payload", "{}"), "tFAo7gUdlZruaszVe-nbWA"),
        (
            TaskData("payload", '{"b":[1,-2,0.5,1e-07,true,null],"a":{"ü":"1.0","n":12345678901234567890}}'),
            "M8sKcHE8BpGqmm274y6zgw",
        ),
    ],
)
def test_the_hash_of_a_record_that_exists_stays_what_it_is(data: TaskData, content_hash: str) -> None:
    assert data.content_hash("simulate") == content_hash


def test_places_in_the_list_sort_by_time_then_id() -> None:
    places = [created_key("b", NOW), created_key("a", NOW + 1), created_key("a", NOW)]
    assert sorted(places) == [created_key("a", NOW), created_key("b", NOW), created_key("a", NOW + 1)]


def test_shards_take_equal_shares() -> None:
    shards = [list_shard(f"task-{n}", 4) for n in range(4000)]
    assert all(900 < shards.count(str(shard)) < 1100 for shard in range(4))


def test_the_public_task_counts_retries_from_the_second_attempt() -> None:
    data = TaskData("payload", '{"a":1}')
    shown = replace(TASK, attempts=3, error_message="bad", result='{"x":1}').public(data)
    assert shown == {
        "taskId": "t",
        "type": "simulate",
        "payload": {"a": 1},
        "status": "PENDING",
        "attempts": 3,
        "retries": 2,
        "errorMessage": "bad",
        "result": {"x": 1},
        "run": 2,
        "version": 1,
        "createdAt": "2027-01-15T08:00:00.000Z",
        "updatedAt": "2027-01-15T08:00:00.000Z",
    }
    assert TASK.public(None)["truncated"] is True


def test_a_list_leaves_long_results_out() -> None:
    long = replace(TASK, data=TaskData("answer", "x"), result='"' + "x" * 2000 + '"')
    assert long.summary()["truncated"] is True
    assert "result" not in long.summary()
    assert "result" in long.public(long.data)
