"""The checker: what must hold of every task after a run, whatever was done to the system.

It knows two witnesses and trusts neither alone: the history of the records, from the table's stream, and the diary,
which the tasks' own code wrote outside of the system. What a record may go through is `tasklib.task.TRANSITIONS`. What
the harness did to a record by hand is no step of its task: it is left out, and nothing else is.
"""

import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

from tasklib.task import TRANSITIONS, Status

from tests.chaos.chaotic_task import FAILURE, work_of
from tests.chaos.diary import Attempt
from tests.chaos.history import Change, History, Snapshot
from tests.chaos.plans import Deed

_LEGAL = {(transition.source, transition.target) for transition in TRANSITIONS}
_FINISHED = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


class Kind(StrEnum):
    """What can be wrong, by its name in the run's report."""

    UNDER_ATTEMPTED = "underAttempted"  #: failed with attempts left, and not for good
    LOST = "lost"  #: accepted, and without record, place in the list, run or the work that its record claims
    STUCK = "stuck"  #: not finished at the end, or failed and its dead letter never seen
    OVER_ATTEMPTED = (
        "overAttempted"  #: more attempts than allowed, or code that ran without a claim, or after it
    )
    ILLEGAL_TRANSITION = "illegalTransitions"  #: a write that the protocol does not know
    RAN_AFTER_COMPLETED = "ranAfterCompleted"  #: code that started or ran later than the COMPLETED write
    CONCURRENT_ATTEMPTS = "concurrentAttempts"  #: two attempts of a task at the same time


@dataclass(frozen=True)
class Violation:
    """One thing that must not be, and the task that it happened to."""

    kind: Kind
    task_id: str
    what: str


def check(
    history: History,
    attempts: Iterable[Attempt],
    promised: Mapping[str, int],
    max_attempts: int,
    *,
    listed: Collection[str],
    hopeless: Collection[str] = (),
) -> list[Violation]:
    """Everything that is wrong.

    Args:
        history: every write of every record, oldest first.
        attempts: the diary.
        promised: of each task that a client got a 2xx for, the latest run that it was promised.
        max_attempts: how often a task may be tried in one run.
        listed: the tasks that the list has shown at the end.
        hopeless: tasks whose records nobody could ever read.
    """
    ran: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        ran[attempt.task_id].append(attempt)
    found: list[Violation] = []
    for task_id in sorted({*history, *ran, *promised}):
        changes = history.get(task_id, ())
        if task_id in hopeless:
            wrong = [*_wrong_hopeless(changes, ran[task_id])]
        else:
            by_functions = [change for change in changes if not change.by_hand]
            wrong = [
                *_wrong_writes(changes, max_attempts),
                *_wrong_end(changes, ran[task_id], promised.get(task_id), task_id in listed),
                *_wrong_failures(by_functions, ran[task_id], max_attempts),
                *_wrong_answers(task_id, by_functions),
                *_wrong_attempts(by_functions, ran[task_id], max_attempts),
                *_wrong_times(by_functions, ran[task_id]),
            ]
        found += [Violation(kind, task_id, what) for kind, what in wrong]
    return found


_Wrong = Iterator[tuple[Kind, str]]


def _wrong_hopeless(changes: Sequence[Change], ran: Sequence[Attempt]) -> _Wrong:
    """What is wrong with a record that was stored so that nobody can read it: it must stay as it is."""
    if len(changes) > 1:
        yield Kind.ILLEGAL_TRANSITION, "a record that nobody can read was written"
    if ran:
        yield Kind.OVER_ATTEMPTED, "a task ran whose record nobody can read"


def _wrong_writes(changes: Sequence[Change], max_attempts: int) -> _Wrong:
    last: Snapshot | None = None
    for change in changes:
        old, new = change.old, change.new
        if new is None:
            yield Kind.ILLEGAL_TRANSITION, "the record was removed, or left so that nobody can read it"
        elif old != last:
            yield Kind.ILLEGAL_TRANSITION, f"version {new.version} does not follow the write before it"
        elif not change.by_hand:
            yield from ((Kind.ILLEGAL_TRANSITION, what) for what in _wrong_write(old, new))
            if new.attempts > max_attempts:
                yield (
                    Kind.OVER_ATTEMPTED,
                    f"{new.attempts} attempts in run {new.run} by version {new.version}",
                )
        last = new


def _wrong_write(old: Snapshot | None, new: Snapshot) -> Iterator[str]:
    """What is wrong with one write; nothing for a legal one."""
    step = f"{old.status if old else None} -> {new.status} (version {new.version})"
    if old is not None and _is_note(old, new):
        return
    if (old.status if old else None, new.status) not in _LEGAL:
        yield f"{step} is no transition"
    if old is None:
        if (new.version, new.run, new.attempts) != (1, 1, 0):
            yield f"{step} starts with run {new.run} and {new.attempts} attempts"
        return
    if new.version != old.version + 1:
        yield f"{step} follows version {old.version}"
    restarted = (old.status, new.status) == (Status.FAILED, Status.PENDING)
    if new.run != old.run + restarted:
        yield f"{step} leads from run {old.run} to run {new.run}"
    claimed = new.status is Status.PROCESSING
    if new.attempts != (0 if restarted else old.attempts + claimed):
        yield f"{step} leads from {old.attempts} to {new.attempts} attempts"
    if claimed:
        yield from _wrong_claim(old, new, step)
    elif old.status is Status.PROCESSING and not _may_settle(old, new):
        yield f"{step} was written without the claim"
    if new.status is old.status is Status.FAILED and not (new.dead_lettered_at and not old.dead_lettered_at):
        yield f"{step} marks nothing"


def _wrong_claim(old: Snapshot, new: Snapshot, step: str) -> Iterator[str]:
    if new.claim_id is None or new.claim_id == old.claim_id:
        yield f"{step} has no claim of its own"
    if (new.lease_until or 0) <= new.updated_at:
        yield f"{step} has no lease"
    if old.status is Status.PROCESSING and not _lease_is_over(old, new):
        yield f"{step} took over a lease that was live"
    if (old.not_before or 0) > new.updated_at:
        yield f"{step} came {(old.not_before or 0) - new.updated_at} ms before it was due"


def _may_settle(old: Snapshot, new: Snapshot) -> bool:
    # The worker that settles keeps its claim. Others fail the task in its place, or cancel it, when its lease is over.
    by_worker = new.claim_id == old.claim_id and new.status is not Status.CANCELLED
    return by_worker or (new.claim_id is None and _lease_is_over(old, new))


def _is_note(old: Snapshot, new: Snapshot) -> bool:
    """Whether a write moved nothing but the sweep's own entry, which is no transition of the task."""
    as_before = {"version": old.version + 1, "updated_at": new.updated_at, "unsent_key": new.unsent_key}
    moved = old.unsent_key is not None and old.unsent_key != new.unsent_key
    return moved and replace(old, text=new.text, **as_before) == new


def _lease_is_over(old: Snapshot, new: Snapshot) -> bool:
    return (old.lease_until or 0) <= new.updated_at


def _wrong_end(
    changes: Sequence[Change], ran: Sequence[Attempt], promised: int | None, is_listed: bool
) -> _Wrong:
    last = changes[-1].new if changes else None
    if last is None:
        if promised is not None or ran:
            yield Kind.LOST, "there is no record"
        return
    if last.status not in _FINISHED:
        yield Kind.STUCK, f"{last.status} at the end, after {last.attempts} attempts of run {last.run}"
    elif last.status is Status.FAILED and last.dead_lettered_at is None:
        yield Kind.STUCK, "FAILED, and its dead letter was never seen"
    if promised is not None and last.run < promised:
        yield Kind.LOST, f"run {promised} was promised, run {last.run} is the last"
    if promised is not None and not is_listed:
        yield Kind.LOST, "it is not in the list of tasks"
    returned = {(attempt.run, attempt.number) for attempt in ran if attempt.deed == Deed.RETURN}
    if last.status is Status.COMPLETED and (last.run, last.attempts) not in returned:
        yield Kind.LOST, f"COMPLETED, but attempt {last.attempts} of run {last.run} never did its work"


def _wrong_failures(changes: Sequence[Change], ran: Sequence[Attempt], max_attempts: int) -> _Wrong:
    given_up = {(attempt.run, attempt.number) for attempt in ran if attempt.deed == Deed.GIVE_UP}
    for change in changes:
        old, new = change.old, change.new
        if old is None or new is None or new.status is not Status.FAILED or old.status is Status.FAILED:
            continue
        if new.attempts < max_attempts and (new.run, new.attempts) not in given_up:
            yield (
                Kind.UNDER_ATTEMPTED,
                f"run {new.run} failed after {new.attempts} attempts: {new.error_message}",
            )


def _wrong_answers(task_id: str, changes: Sequence[Change]) -> _Wrong:
    """Attempts that were settled with what another process said: a child, or another attempt."""
    for change in changes:
        old, new = change.old, change.new
        if old is None or new is None or old.status is not Status.PROCESSING:
            continue
        work = work_of(task_id, new.run, new.attempts)
        if new.status is Status.COMPLETED and json.loads(new.result or "null") != {"workOf": work}:
            yield Kind.LOST, f"COMPLETED, but {new.result} is not what {work} returned"
        has_failed = new.status in (Status.RETRYING, Status.FAILED)
        said = new.error_message or ""
        if has_failed and FAILURE in said and not said.endswith(f"Error: {FAILURE} {work}"):
            yield (
                Kind.ILLEGAL_TRANSITION,
                f"version {new.version} has an error that {work} did not raise: {said}",
            )


def _wrong_attempts(changes: Sequence[Change], ran: Sequence[Attempt], max_attempts: int) -> _Wrong:
    claims = {
        (change.new.run, change.new.attempts)
        for change in changes
        if change.new and change.new.status is Status.PROCESSING
    }
    starts: dict[int, list[int]] = defaultdict(list)
    for attempt in ran:
        starts[attempt.run].append(attempt.number)
        if (attempt.run, attempt.number) not in claims:
            yield Kind.OVER_ATTEMPTED, f"attempt {attempt.number} of run {attempt.run} ran without a claim"
    for run, numbers in starts.items():
        if len(numbers) > max_attempts or len(numbers) != len(set(numbers)):
            yield Kind.OVER_ATTEMPTED, f"run {run} started attempts {sorted(numbers)}"


def _wrong_times(changes: Sequence[Change], ran: Sequence[Attempt]) -> _Wrong:
    completed = [change.new for change in changes if change.new and change.new.status is Status.COMPLETED]
    for attempt in ran:
        # A settle bears the time just before it was written: nothing may start from then on. Records know whole
        # milliseconds only, cut off, and an attempt can start and be settled within one.
        if any(int(attempt.started_at) > record.updated_at for record in completed):
            yield (
                Kind.RAN_AFTER_COMPLETED,
                f"attempt {attempt.number} of run {attempt.run}, process {attempt.pid}",
            )
    ends = _ends_of_claims(changes)
    for attempt in ran:
        end = ends.get((attempt.run, attempt.number))
        if end is not None and int(attempt.seen_at) > end.updated_at:
            kind = Kind.RAN_AFTER_COMPLETED if end.status is Status.COMPLETED else Kind.OVER_ATTEMPTED
            late = int(attempt.seen_at) - end.updated_at
            yield (
                kind,
                f"attempt {attempt.number} of run {attempt.run} ran on for {late} ms after {end.status}",
            )
    last: Attempt | None = None  # of those seen so far, the one that ended last
    for attempt in sorted(ran, key=lambda attempt: attempt.started):
        if last is not None and attempt.started < _end(last):
            names = " and ".join(f"{each.run}.{each.number}" for each in (last, attempt))
            yield Kind.CONCURRENT_ATTEMPTS, f"attempts {names} overlapped"
        if last is None or _end(attempt) > _end(last):
            last = attempt


def _ends_of_claims(changes: Sequence[Change]) -> Mapping[tuple[int, int], Snapshot]:
    """What was written after the claim of each attempt, by run and number: its code must have ended by then."""
    ends: dict[tuple[int, int], Snapshot] = {}
    for claim, end in pairwise(change.new for change in changes):
        if claim and end and claim.status is Status.PROCESSING:
            ends[claim.run, claim.attempts] = end
    return ends


def _end(attempt: Attempt) -> float:
    return math.inf if attempt.ended is None else attempt.ended
