"""The checker sees each kind of violation, and nothing in a history that is as it should be."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from tasklib.task import Status

from tests.chaos.chaotic_task import FAILURE, work_of
from tests.chaos.checker import Kind, check
from tests.chaos.diary import Attempt
from tests.chaos.history import Change, Snapshot

PENDING = Snapshot(Status.PENDING, run=1, attempts=0, version=1, updated_at=1_000)


def after(old: Snapshot, status: Status, milliseconds: int = 1_000, **changes: Any) -> Snapshot:
    """The record one legal write later."""
    if status is Status.PROCESSING:
        changes = {
            "attempts": old.attempts + 1,
            "claim_id": f"claim-{old.version}",
            "lease_until": old.updated_at + milliseconds + 5_000,
            "not_before": None,
        } | changes
    else:
        changes = {"lease_until": None} | changes
    now = old.updated_at + milliseconds
    return replace(old, **({"status": status, "version": old.version + 1, "updated_at": now} | changes))


def claim(old: Snapshot, milliseconds: int = 1_000, **changes: Any) -> Snapshot:
    return after(old, Status.PROCESSING, milliseconds, **changes)


def reclaim(old: Snapshot) -> Snapshot:
    return claim(old, 6_000)


def retry_later(old: Snapshot, **changes: Any) -> Snapshot:
    return after(old, Status.RETRYING, **({"not_before": old.updated_at + 2_000} | changes))


def complete(old: Snapshot, **changes: Any) -> Snapshot:
    result = json.dumps({"workOf": work_of("t", old.run, old.attempts)})
    fields: dict[str, Any] = {"result": result} | changes
    return after(old, Status.COMPLETED, **fields)


def fail(old: Snapshot, **changes: Any) -> Snapshot:
    return after(old, Status.FAILED, **changes)


def cancel(old: Snapshot, **changes: Any) -> Snapshot:
    fields: dict[str, Any] = {"not_before": None, "claim_id": None} | changes
    return after(old, Status.CANCELLED, **fields)


def mark(old: Snapshot, **changes: Any) -> Snapshot:
    return after(old, Status.FAILED, **({"dead_lettered_at": 9} | changes))


def restart(old: Snapshot, **changes: Any) -> Snapshot:
    fresh: dict[str, Any] = {
        "run": old.run + 1,
        "attempts": 0,
        "claim_id": None,
        "dead_lettered_at": None,
        "unsent_key": "a",
    }
    return after(old, Status.PENDING, **(fresh | changes))


def story(*writes: Any, start: Snapshot = PENDING) -> list[Snapshot]:
    """The records that these writes make, one after the other."""
    records = [start]
    for write in writes:
        records.append(write(records[-1]))
    return records


def attempt(record: Snapshot, deed: str | None = "return", **changes: Any) -> Attempt:
    """The execution that belongs to a claim: it starts 10 ms after it and takes 100 ms."""
    started = record.updated_at / 1000 + 0.01
    made = Attempt("t", record.run, record.attempts, 7, 6, started, started * 1000, deed, started + 0.1)
    return replace(made, **({"seen_at": started * 1000 + 50} | changes))


def executions(records: Sequence[Snapshot], *deeds: str | None) -> list[Attempt]:
    claims = [record for record in records if record.status is Status.PROCESSING]
    return [attempt(record, deed) for record, deed in zip(claims, deeds, strict=True)]


def judge(
    records: Sequence[Snapshot],
    ran: Sequence[Attempt],
    promised: int | None = 1,
    *,
    by_hand: Sequence[Snapshot] = (),
    listed: bool = True,
) -> list[Kind]:
    """The kinds of what is wrong with a task of these records, of which some were written `by_hand`."""
    changes = [Change(None, records[0])] if records else []
    changes += [Change(old, new, new in by_hand) for old, new in pairwise(records)]
    history = {"t": changes} if changes else {}
    found = check(
        history,
        ran,
        {} if promised is None else {"t": promised},
        max_attempts=2,
        listed=["t"] if listed else [],
    )
    return [violation.kind for violation in found]


def test_a_task_that_goes_through_everything_legal_is_accepted() -> None:
    records = story(claim, retry_later, claim, fail, mark, restart, claim, reclaim, complete)
    assert judge(records, executions(records, "raise", "raise", None, "return"), promised=2) == []


def test_a_task_failed_in_place_of_its_dead_worker_is_accepted() -> None:
    lapsed = story(claim, reclaim)
    records = [*lapsed, fail(lapsed[-1], milliseconds=9_000, claim_id=None)]
    records.append(mark(records[-1]))
    assert judge(records, executions(lapsed, None, None)) == []


def test_a_task_cancelled_before_it_starts_or_starts_again_is_accepted() -> None:
    assert judge(story(cancel), []) == []
    records = story(claim, retry_later, cancel)
    assert judge(records, executions(records, "raise")) == []


def test_a_task_cancelled_after_its_worker_died_is_accepted() -> None:
    records = story(claim, partial(cancel, milliseconds=6_000))
    assert judge(records, executions(records, None)) == []


def test_a_permanent_error_needs_no_more_attempts() -> None:
    records = story(claim, fail, mark)
    assert judge(records, executions(records, "give up")) == []


def test_the_sweeps_note_is_no_transition() -> None:
    records = story(claim, retry_later, claim, fail, mark, restart)
    note = replace(records[-1], version=records[-1].version + 1, unsent_key="b")
    records = [*records, note, *story(claim, complete, start=note)[1:]]
    assert judge(records, executions(records, "raise", "raise", "return"), promised=2) == []


def mend(old: Snapshot) -> Snapshot:
    """What somebody who mends a record leaves: this and the version, without the damage."""
    return replace(old, version=old.version + 1)


def test_a_record_damaged_and_mended_while_it_waits_is_as_it_was() -> None:
    damaged = replace(PENDING, text="damaged")
    mended = mend(damaged)
    records = [PENDING, damaged, *story(claim, complete, start=mended)]
    assert judge(records, executions(records, "return"), by_hand=[damaged, mended]) == []


def test_a_record_damaged_and_mended_under_a_claim_costs_that_attempt() -> None:
    claimed = claim(PENDING)
    mended = mend(claimed)
    records = [PENDING, claimed, *story(reclaim, complete, start=mended)]
    ran = executions([claimed, records[3]], "return", "return")
    assert judge(records, ran, by_hand=[mended]) == []


def test_only_what_was_done_by_hand_is_left_out() -> None:
    mended = mend(PENDING)
    records = [PENDING, *story(claim, complete, start=mended)]
    assert judge(records, executions(records, "return")) == [Kind.ILLEGAL_TRANSITION]


def test_what_follows_a_mended_record_is_judged_by_it() -> None:
    claimed = claim(PENDING)
    mended = mend(claimed)
    settled_by_the_old_claim = complete(claimed)
    records = [PENDING, claimed, mended, settled_by_the_old_claim]
    found = judge(records, executions([claimed], "return"), by_hand=[mended])
    assert found == [Kind.ILLEGAL_TRANSITION]


def test_a_record_that_a_function_leaves_unreadable_is_illegal() -> None:
    history = {"t": [Change(None, PENDING), Change(PENDING, None)]}
    kinds = [violation.kind for violation in check(history, [], {}, max_attempts=2, listed=[])]
    assert Kind.ILLEGAL_TRANSITION in kinds


def test_a_record_that_nobody_can_read_stays_as_it_is_and_never_runs() -> None:
    stored, written = Change(None, None), Change(None, PENDING)
    ran = attempt(claim(PENDING))

    def judge_hopeless(changes: Sequence[Change], attempts: Sequence[Attempt]) -> list[Kind]:
        found = check({"t": changes}, attempts, {}, max_attempts=2, listed=[], hopeless=["t"])
        return [violation.kind for violation in found]

    assert judge_hopeless([stored], []) == []
    assert judge_hopeless([stored, written], []) == [Kind.ILLEGAL_TRANSITION]
    assert judge_hopeless([stored], [ran]) == [Kind.OVER_ATTEMPTED]


def test_a_task_that_the_list_does_not_show_is_lost() -> None:
    records = story(claim, complete)
    assert judge(records, executions(records, "return"), listed=False) == [Kind.LOST]


def test_a_task_without_a_record_is_lost() -> None:
    assert judge([], []) == [Kind.LOST]


def test_a_task_that_nobody_was_promised_may_be_absent() -> None:
    assert check({}, [], {}, max_attempts=2, listed=[]) == []


def test_a_run_that_was_promised_and_never_began_is_lost() -> None:
    records = story(claim, retry_later, claim, fail, mark)
    assert judge(records, executions(records, "raise", "raise"), promised=2) == [Kind.LOST]


def test_a_task_completed_without_its_work_done_is_lost() -> None:
    records = story(claim, complete)
    assert judge(records, executions(records, None)) == [Kind.LOST]


@pytest.mark.parametrize("result", [None, "{}", json.dumps({"workOf": f"a child of {work_of('t', 1, 1)}"})])
def test_a_task_completed_with_the_result_of_something_else_is_lost(result: str | None) -> None:
    records = story(claim, partial(complete, result=result))
    assert judge(records, executions(records, "return")) == [Kind.LOST]


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (f"RuntimeError: {FAILURE} {work_of('t', 1, 1)}", []),
        ("ProcessDied: the task's process was ended by SIGKILL", []),
        (f"RuntimeError: {FAILURE} a child of {work_of('t', 1, 1)}", [Kind.ILLEGAL_TRANSITION]),
        (f"SystemExit: {FAILURE} a child of {work_of('t', 1, 1)}", [Kind.ILLEGAL_TRANSITION]),
        (f"RuntimeError: {FAILURE} {work_of('another', 1, 1)}", [Kind.ILLEGAL_TRANSITION]),
    ],
)
def test_an_attempt_fails_by_its_own_error(error: str, found: list[Kind]) -> None:
    records = story(claim, partial(retry_later, error_message=error), claim, complete)
    assert judge(records, executions(records, "raise", "return")) == found


@pytest.mark.parametrize("writes", [(), (claim,), (claim, retry_later)])
def test_a_task_that_is_not_finished_is_stuck_promised_or_not(writes: Sequence[Any]) -> None:
    records = story(*writes)
    ran = executions(
        records, *["raise"] * len([each for each in records if each.status is Status.PROCESSING])
    )
    assert judge(records, ran) == judge(records, ran, promised=None) == [Kind.STUCK]


def test_a_failed_task_whose_dead_letter_was_not_seen_is_stuck() -> None:
    records = story(claim, retry_later, claim, fail)
    assert judge(records, executions(records, "raise", "raise")) == [Kind.STUCK]


def test_a_third_attempt_of_two_is_one_too_many() -> None:
    records = story(claim, retry_later, claim, retry_later, claim, complete)
    found = judge(records, executions(records, "raise", "raise", "return"))
    assert set(found) == {Kind.OVER_ATTEMPTED}


def test_an_attempt_that_ran_twice_is_one_too_many() -> None:
    records = story(claim, complete)
    (ran,) = executions(records, "return")
    again = replace(ran, started=ran.started + 0.2, started_at=ran.started_at + 200, ended=ran.started + 0.3)
    assert judge(records, [ran, again]) == [Kind.OVER_ATTEMPTED]


def test_an_attempt_without_a_claim_is_one_too_many() -> None:
    records = story(claim, complete)
    stray = attempt(records[1], started=1.5, started_at=1_500, ended=1.6, number=2)
    assert judge(records, [*executions(records, "return"), stray]) == [Kind.OVER_ATTEMPTED]


def test_a_task_failed_with_attempts_left_was_attempted_too_little() -> None:
    records = story(claim, fail, mark)
    assert judge(records, executions(records, "raise")) == [Kind.UNDER_ATTEMPTED]


def test_a_start_after_the_end_is_seen() -> None:
    records = story(claim, reclaim, complete)
    first, second = executions(records, None, "return")
    late = replace(first, started=20.0, started_at=20_000, ended=20.1)
    assert judge(records, [second, late]) == [Kind.RAN_AFTER_COMPLETED]


@pytest.mark.parametrize(("started_at", "found"), [(3_000.9, []), (3_001.0, [Kind.RAN_AFTER_COMPLETED])])
def test_a_start_counts_as_late_from_the_next_millisecond_on(started_at: float, found: list[Kind]) -> None:
    records = story(claim, complete)
    assert records[-1].updated_at == 3_000
    (ran,) = executions(records, "return")
    assert judge(records, [replace(ran, started_at=started_at)]) == found


@pytest.mark.parametrize(
    ("end", "found"), [(complete, Kind.RAN_AFTER_COMPLETED), (retry_later, Kind.OVER_ATTEMPTED)]
)
@pytest.mark.parametrize("late", [False, True])
def test_what_an_attempt_has_started_ends_before_it_is_settled(end: Any, found: Kind, late: bool) -> None:
    records = story(claim, end)
    records += [] if end is complete else story(claim, complete, start=records[-1])[1:]
    ran = executions(records, *["return"] * (len(records) // 2))
    # The child lives on for as long as the connection tells, but for what it writes down.
    ran[0] = replace(ran[0], seen_at=records[2].updated_at + (1.0 if late else 0.9))
    assert judge(records, ran) == ([found] if late else [])


def test_two_attempts_at_once_are_seen() -> None:
    records = story(claim, reclaim, complete)
    first, second = executions(records, None, "return")
    assert judge(records, [replace(first, ended=second.started + 0.01), second]) == [Kind.CONCURRENT_ATTEMPTS]


def test_an_attempt_that_goes_on_beside_two_others_is_seen_twice() -> None:
    records = story(claim, reclaim, retry_later)
    first, second = executions(records, None, "raise")
    third = replace(first, started=second.started + 1, started_at=second.started_at + 1_000, ended=20.0)
    kinds = judge([*records, complete(claim(records[-1]))], [replace(first, ended=19.0), second, third])
    assert kinds.count(Kind.CONCURRENT_ATTEMPTS) == 2


def test_an_attempt_that_nobody_saw_end_runs_beside_the_next() -> None:
    records = story(claim, reclaim, complete)
    first, second = executions(records, None, "return")
    assert judge(records, [replace(first, ended=None), second]) == [Kind.CONCURRENT_ATTEMPTS]


_CLAIMED = story(claim)[-1]
_RETRYING = story(claim, retry_later)[-1]
_FAILED = story(claim, retry_later, claim, fail)[-1]

ILLEGAL = {
    "a status skipped": [*story(), complete(PENDING)],
    "COMPLETED left": [*story(claim, complete), claim(story(claim, complete)[-1])],
    "CANCELLED left": [*story(cancel), claim(story(cancel)[-1])],
    "a running task cancelled": [*story(claim), cancel(_CLAIMED)],
    "a running task cancelled under its claim": [*story(claim), cancel(_CLAIMED, claim_id=_CLAIMED.claim_id)],
    "a version skipped": [*story(), claim(PENDING, version=3)],
    "a version repeated": [*story(), claim(PENDING, version=1)],
    "a first record that is not new": [replace(PENDING, version=4)],
    "a claim that does not count": [*story(), claim(PENDING, attempts=0)],
    "a settle that counts": [*story(claim), complete(_CLAIMED, attempts=2)],
    "a claim without id": [*story(), claim(PENDING, claim_id=None)],
    "a claim without lease": [*story(), claim(PENDING, lease_until=None)],
    "a live lease taken over": [*story(claim), claim(_CLAIMED, 3_000)],
    "a claim before it was due": [*story(claim, retry_later), claim(_RETRYING, 500)],
    "a settle with another claim": [*story(claim), complete(_CLAIMED, claim_id="stranger")],
    "a failure in place of a live worker": [*story(claim), fail(_CLAIMED, claim_id=None)],
    "a run changed by a worker": [*story(claim), complete(_CLAIMED, run=2)],
    "a restart in the same run": [*story(claim, retry_later, claim, fail), restart(_FAILED, run=1)],
    "a restart that keeps its attempts": [
        *story(claim, retry_later, claim, fail),
        restart(_FAILED, attempts=2),
    ],
    "a failure written twice": [*story(claim, retry_later, claim, fail), fail(_FAILED)],
    "a write that changes nothing": [*story(), after(PENDING, Status.PENDING)],
}


@pytest.mark.parametrize("records", ILLEGAL.values(), ids=ILLEGAL)
def test_a_write_that_the_protocol_does_not_know_is_illegal(records: Sequence[Snapshot]) -> None:
    assert Kind.ILLEGAL_TRANSITION in judge(records, [])


def test_a_removed_record_and_a_hole_in_the_history_are_illegal() -> None:
    first, second, third = story(claim, complete)
    removed = {"t": [Change(None, first), Change(first, None)]}
    hole = {"t": [Change(None, first), Change(second, third)]}
    for history in (removed, hole):
        kinds = [violation.kind for violation in check(history, [], {}, max_attempts=2, listed=[])]
        assert Kind.ILLEGAL_TRANSITION in kinds
