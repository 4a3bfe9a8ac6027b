"""The task: its states, the transitions between them, and what a message about it means.

Everything here is a pure function of a record and the time: what a transition makes of a record, and what the
rules decide. The worker and the monitor carry it out; how a change is written is the store's business.
"""

import hashlib
import json
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Self

from tasklib import clock

#: The longest result, in characters of JSON, that a list shows: a page of them has to fit into one answer.
MAX_LISTED_RESULT = 1024

#: Attempts that a record remembers, the last of all runs; and how much of each one's error.
MAX_HISTORY = 5
MAX_PAST_ERROR = 200

#: The error of an attempt whose worker died.
CRASHED = "the worker died"

#: How long before a task is due its message is queued at the earliest, in milliseconds: SQS delays none longer.
QUEUED_AHEAD = 15 * 60_000

#: A task is overdue when it could have started this long ago, in milliseconds, and has not. Its message may be lost,
#: so a person may have another one sent.
OVERDUE = 15 * 60_000

#: The shortest and the longest time, in milliseconds, between two messages that the sweep sends for a task that waits.
#: A message lives for a day at least, and the sweep may be some minutes late, so there is always one.
_FIRST_PAUSE = 2 * 60_000
_LONGEST_PAUSE = clock.DAY - 3_600_000

#: What a task ID is made of.
TASK_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

#: What no client may choose as one: browsers and HTTP clients take them for steps in a URL's path.
NO_TASK_IDS = (".", "..")
TASK_ID_WORDS = "1 to 128 of A-Z a-z 0-9 . _ : -, but not . or .."

_PLACE = re.compile(rf"(\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z)#({TASK_ID.pattern})?", re.ASCII)


class Status(StrEnum):
    """Where a task stands. COMPLETED and CANCELLED are final; FAILED leaves only by an explicit retry."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    RETRYING = "RETRYING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Transition(NamedTuple):
    """One legal change of a record: from a status (None: no record) to a status, by whom and when."""

    source: Status | None
    target: Status
    by: str
    when: str


#: Every change of status that a record can make; anything else is a defect.
TRANSITIONS: tuple[Transition, ...] = (
    Transition(None, Status.PENDING, "submit", "accepted"),
    Transition(Status.PENDING, Status.PROCESSING, "worker", "claim"),
    Transition(Status.RETRYING, Status.PROCESSING, "worker", "claim"),
    Transition(Status.PROCESSING, Status.PROCESSING, "worker", "claim after the lease ran out"),
    Transition(Status.PROCESSING, Status.COMPLETED, "worker", "the function returned"),
    Transition(Status.PROCESSING, Status.RETRYING, "worker", "failed, attempts are left"),
    Transition(Status.PROCESSING, Status.FAILED, "worker or monitor", "failed for good"),
    Transition(Status.PENDING, Status.FAILED, "worker or monitor", "can never run"),
    Transition(Status.RETRYING, Status.FAILED, "worker or monitor", "can never run"),
    Transition(Status.FAILED, Status.FAILED, "monitor", "dead letter seen"),
    Transition(Status.FAILED, Status.PENDING, "retry", "asked for, a new run"),
    Transition(Status.PENDING, Status.CANCELLED, "cancel", "asked for"),
    Transition(Status.RETRYING, Status.CANCELLED, "cancel", "asked for"),
    Transition(Status.PROCESSING, Status.CANCELLED, "cancel", "asked for after the lease ran out"),
)

#: The statuses in which nothing happens any more to a task, whatever message speaks of it.
_FINAL = frozenset({Status.COMPLETED, Status.CANCELLED})

#: The statuses of a task that has an attempt to come, or under way.
_WAITING = frozenset({Status.PENDING, Status.PROCESSING, Status.RETRYING})


class TaskData(NamedTuple):
    """What a task works on: `answer`, a non-empty string, or `payload`, a JSON object as compact text."""

    kind: Literal["answer", "payload"]
    text: str

    @property
    def value(self) -> str | dict[str, Any]:
        """The data as the client sent it and as the task's function gets it."""
        return self.text if self.kind == "answer" else json.loads(self.text)

    def content_hash(self, task_type: str) -> str:
        """128 bits over type and data: two submissions with the same hash have the same content.

        Key order and white space of a payload do not count, and equal numbers are the same: 1, 1.0 and 10e-1.
        """
        value = self.text if self.kind == "answer" else json.loads(self.text, parse_float=_canonical_number)
        canonical = json.dumps(
            [task_type, self.kind, value], sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        digest = hashlib.sha256(canonical.encode()).digest()
        return urlsafe_b64encode(digest[:16]).decode().rstrip("=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task's record. Times are milliseconds since 1970; `expires_at` is seconds, as DynamoDB's TTL wants.

    A method named for a transition (`claimed`, `completed`, ...) returns the record as it is afterwards; the store
    writes it only over the version that it was made from.

    `attempts` counts the claims of the current run; `run` counts how often the task was started anew;
    `version` counts the writes of the record and fences them. `data` is None when the record is too large to
    hold it: it is in an item of its own then, found by `content_hash`. `history` holds the last attempts that
    ended, as JSON text. `run_at` is when the client wants it started, `not_before` when its next attempt may start.
    `failed_shard` lists a failed task; `unsent_shard` and `unsent_key` list one that is restarted, or due later,
    until a worker claims it: the key's time is when its message was sent last, or is to be queued.
    """

    task_id: str
    type: str
    status: Status
    run: int
    attempts: int
    version: int
    created_key: str
    list_shard: str
    updated_at: int
    content_hash: str
    correlation_id: str
    data: TaskData | None = None
    claim_id: str | None = None
    lease_until: int | None = None
    not_before: int | None = None
    error_message: str | None = None
    result: str | None = None
    dead_lettered_at: int | None = None
    expires_at: int | None = None
    history: str | None = None
    failed_shard: str | None = None
    unsent_shard: str | None = None
    unsent_key: str | None = None
    run_at: int | None = None

    @property
    def created_at(self) -> str:
        """When the task was accepted, in ISO 8601."""
        return self.created_key[:24]

    @property
    def retries(self) -> int:
        """Attempts of the current run after its first."""
        return max(0, self.attempts - 1)

    @property
    def startable_at(self) -> int:
        """When it was accepted or, if that is later, wanted to start."""
        return max(clock.from_iso(self.created_at), self.run_at or 0)

    @property
    def due_at(self) -> int:
        """When an attempt of a task that waits for one, or whose worker died, could start."""
        if self.status is Status.PROCESSING:
            return self.lease_until or self.updated_at
        # Without a time to wait for: since it was accepted or restarted, which wrote its record last.
        return self.not_before or self.updated_at

    def lease_is_live(self, now: int) -> bool:
        """Whether a worker may still be running this task."""
        return self.status is Status.PROCESSING and (self.lease_until or 0) > now

    def has_expired(self, now: int) -> bool:
        """Whether the record's time to live is over; it counts as absent though DynamoDB deletes it later."""
        return self.expires_at is not None and self.expires_at * 1000 <= now

    def is_queued(self, now: int) -> bool:
        """Whether its message belongs on the queue; that of a task due later is sent by the sweep."""
        return (self.not_before or 0) - now <= QUEUED_AHEAD

    def is_overdue(self, now: int) -> bool:
        """Whether an attempt could have started `OVERDUE` ago, and no worker has it."""
        return self.status in _WAITING and self.due_at + OVERDUE <= now

    @property
    def needs_message(self) -> bool:
        """Whether a message of its run has something left to bring: an attempt, or its dead letter."""
        return self.status in _WAITING or (self.status is Status.FAILED and self.dead_lettered_at is None)

    # -- transitions

    def put_off(self, run_at: int, now: int) -> Self:
        """A new task that is not to start before `run_at`; one that is due already starts at once."""
        if run_at <= now:
            return replace(self, run_at=run_at)
        # Should its message get lost, or not be sent by now, the sweep comes across it at this time.
        place = run_at if run_at - now <= QUEUED_AHEAD else run_at - QUEUED_AHEAD
        return replace(
            self,
            run_at=run_at,
            not_before=run_at,
            unsent_shard=self.list_shard,
            unsent_key=created_key(self.task_id, place),
        )

    def claimed(self, claim_id: str, *, lease_until: int, now: int) -> Self:
        """A worker has it, until `lease_until` at the latest. `claim_id` is fresh for each claim."""
        return self._changed(
            now,
            status=Status.PROCESSING,
            attempts=self.attempts + 1,
            claim_id=claim_id,
            lease_until=lease_until,
            not_before=None,
            unsent_shard=None,
            unsent_key=None,
            history=self._history_of_a_crash(now),
        )

    def completed(self, result: str | None, *, keep: int, now: int) -> Self:
        """Its function returned `result`, JSON text or None. The record lives for `keep` ms; 0: for ever."""
        return self._changed(
            now,
            status=Status.COMPLETED,
            result=result,
            # A task that succeeds at once keeps no history.
            history=None if self.history is None else self._history_with(now, None),
            error_message=None,
            lease_until=None,
            expires_at=_expiry(keep, now),
        )

    def retrying(self, error: str, *, not_before: int, now: int) -> Self:
        """Its attempt failed; the next may start at `not_before`."""
        return self._changed(
            now,
            status=Status.RETRYING,
            error_message=error,
            not_before=not_before,
            history=self._history_with(now, error),
            lease_until=None,
        )

    def failed(self, error: str, *, keep: int, now: int) -> Self:
        """Its last attempt failed. The record lives for `keep` ms; 0: for ever."""
        return self._changed(
            now,
            status=Status.FAILED,
            error_message=error,
            history=self._history_with(now, error),
            lease_until=None,
            failed_shard=self.list_shard,
            expires_at=_expiry(keep, now),
        )

    def given_up(self, error: str, *, keep: int, now: int) -> Self:
        """It can never run. Takes the claim id away: a worker that lost its lease must not know it again."""
        return self._changed(
            now,
            status=Status.FAILED,
            error_message=error,
            history=self._history_of_a_crash(now),
            claim_id=None,
            lease_until=None,
            not_before=None,
            unsent_shard=None,
            unsent_key=None,
            failed_shard=self.list_shard,
            expires_at=_expiry(keep, now),
        )

    def cancelled(self, *, keep: int, now: int) -> Self:
        """It is not to run, and does not. The record lives for `keep` ms; 0: for ever.

        Takes the claim id of a dead worker away, as `given_up` does.
        """
        return self._changed(
            now,
            status=Status.CANCELLED,
            history=self._history_of_a_crash(now),
            claim_id=None,
            lease_until=None,
            not_before=None,
            unsent_shard=None,
            unsent_key=None,
            expires_at=_expiry(keep, now),
        )

    def dead_lettered(self, now: int) -> Self:
        """It has failed, and its dead letter was seen."""
        return self._changed(now, dead_lettered_at=now)

    def restarted(self, now: int) -> Self:
        """A new run with no attempts; nothing of the old one stays but its history."""
        return self._changed(
            now,
            status=Status.PENDING,
            run=self.run + 1,
            attempts=0,
            claim_id=None,
            lease_until=None,
            not_before=None,
            error_message=None,
            dead_lettered_at=None,
            failed_shard=None,
            expires_at=None,
            unsent_shard=self.list_shard,
            unsent_key=created_key(self.task_id, now),
        )

    def sent_again(self, now: int) -> Self:
        """The message of a task that is listed as unsent was sent; for its client nothing has changed.

        One that is due later comes up again when it should have started. One that is due comes up again when it has
        waited twice as long, or nearly a day later: messages and writes are a dozen at first, and one a day then.
        """
        place = self.not_before or 0
        if place <= now:
            place = now + max(0, min(now - self.due_at, _LONGEST_PAUSE) - _FIRST_PAUSE)
        return self._changed(self.updated_at, unsent_key=created_key(self.task_id, place))

    def _changed(self, now: int, **changes: Any) -> Self:
        return replace(self, version=self.version + 1, updated_at=now, **changes)

    def _history_of_a_crash(self, now: int) -> str | None:
        """The history of a record whose worker, if it has one, died."""
        return (
            self._history_with(now, CRASHED, crashed=True)
            if self.status is Status.PROCESSING
            else self.history
        )

    def _history_with(self, now: int, error: str | None, *, crashed: bool = False) -> str:
        """The history with the attempt that ends now (`error` None: well), or that `crashed` some time ago.

        A record that is claimed was last written by its claim, which is when the attempt began.
        """
        attempt: dict[str, Any] = {
            "run": self.run,
            "attempt": self.attempts,
            "startedAt": clock.to_iso(self.updated_at),
        }
        if not crashed:
            attempt["durationMs"] = now - self.updated_at
        if error is not None:
            attempt["errorMessage"] = error[:MAX_PAST_ERROR]
        attempts = [*json.loads(self.history or "[]"), attempt][-MAX_HISTORY:]
        return json.dumps(attempts, separators=(",", ":"), ensure_ascii=False)

    def public(self, data: TaskData | None) -> dict[str, Any]:
        """The task as the API shows it, with its data; without it, as in a list, it says `truncated`."""
        shown: dict[str, Any] = {"taskId": self.task_id, "type": self.type}
        if data is None:
            shown["truncated"] = True
        else:
            shown[data.kind] = data.value
        shown |= {"status": self.status, "attempts": self.attempts, "retries": self.retries}
        if self.error_message is not None:
            shown["errorMessage"] = self.error_message
        if self.result is not None:
            shown["result"] = json.loads(self.result)
        if self.history is not None:
            shown["history"] = json.loads(self.history)
        if self.run_at is not None:
            shown["runAt"] = clock.to_iso(self.run_at)
        return shown | {
            "run": self.run,
            "version": self.version,
            "createdAt": self.created_at,
            "updatedAt": clock.to_iso(self.updated_at),
        }

    def update(self) -> dict[str, Any]:
        """The task as a live update shows it: where it stands, without its data and result."""
        shown: dict[str, Any] = {
            "taskId": self.task_id,
            "type": self.type,
            "status": self.status,
            "run": self.run,
            "attempts": self.attempts,
        }
        if self.error_message is not None:
            shown["errorMessage"] = self.error_message[:MAX_PAST_ERROR]
        return shown | {
            "version": self.version,
            "createdAt": self.created_at,
            "updatedAt": clock.to_iso(self.updated_at),
        }

    def summary(self) -> dict[str, Any]:
        """The task as a list shows it: with the data that its record holds, without a long result."""
        shown = self.public(self.data)
        if self.result is not None and len(self.result) > MAX_LISTED_RESULT:
            del shown["result"]
            shown["truncated"] = True
        return shown


def _canonical_number(text: str) -> float | int:
    """The number that stands for all that are equal: a whole one without a point, in all of its digits."""
    number = float(text)
    # By its text: the double nearest to 1e23 is not the whole number 1e23.
    return int(Decimal(text)) if number.is_integer() else number


def _expiry(keep: int, now: int) -> int | None:
    return (now + keep) // 1000 if keep else None


def created_key(task_id: str, now: int) -> str:
    """The sort key of the listing: creation time, then task ID, so that no two tasks share one."""
    return f"{clock.to_iso(now)}#{task_id}"


def place_time(place: str) -> int | None:
    """The time, in milliseconds, of a text such as `created_key` makes; None when it is no such text."""
    match = _PLACE.fullmatch(place)
    try:
        return clock.from_iso(match[1]) if match else None
    except ValueError:
        return None


def list_shard(task_id: str, shards: int) -> str:
    """The listing partition of a task, the same for every submission of its ID."""
    return str(int.from_bytes(hashlib.sha256(task_id.encode()).digest()[:4]) % shards)


class Verdict(StrEnum):
    """What becomes of a message, once the record that it speaks of is known."""

    CLAIM = "claim"  #: due and free: claim it
    RECLAIM = "reclaim"  #: its last worker died: claim it alone, after the batch's fresh tasks
    DISCARD = "discard"  #: nothing is left to do: delete the message
    DEFER = "defer"  #: not now: the message becomes visible again at `until`
    FAIL = "fail"  #: it can never run: mark the record FAILED, then bury
    BURY = "bury"  #: the record is FAILED: send it to the dead-letter queue
    REJECT = "reject"  #: no record: the message itself goes to the dead-letter queue


class Decision(NamedTuple):
    """A verdict with its reason in words and, for DEFER, the time in milliseconds at which to look again."""

    verdict: Verdict
    reason: str
    until: int = 0


def judge_delivery(task: Task | None, run: int, max_attempts: int, now: int) -> Decision:
    """What to do with a task message of the given run, by the record. The first rule that fits decides."""
    if task is None:
        return Decision(Verdict.REJECT, "no such task")
    if task.run != run:
        return Decision(Verdict.DISCARD, "a message of another run")
    if task.status in _FINAL or task.dead_lettered_at is not None:
        return Decision(Verdict.DISCARD, "the task has ended")
    if task.status is Status.FAILED:
        return Decision(Verdict.BURY, task.error_message or "failed")
    if task.lease_is_live(now):
        return Decision(Verdict.DEFER, "another worker holds the lease", until=task.lease_until or 0)
    if (task.not_before or 0) > now:
        return Decision(Verdict.DEFER, "not due yet", until=task.not_before or 0)
    if task.attempts >= max_attempts:
        return Decision(Verdict.FAIL, _last_words(task))
    if task.status is Status.PROCESSING:
        return Decision(Verdict.RECLAIM, "its lease ran out")
    return Decision(Verdict.CLAIM, "due")


def _last_words(task: Task) -> str:
    if task.status is Status.PROCESSING:
        return f"the worker died during attempt {task.attempts}, and no attempts are left"
    return task.error_message or "no attempts are left"


def judge_letter(task: Task | None, run: int, now: int, *, redriven: bool) -> Decision:
    """What the monitor does with a dead letter of the given run. The first rule that fits decides.

    `redriven`: the letter is a task message that the queue gave up. A worker's own letter follows a record that
    is FAILED, or that was not there: then a task of this ID that can run now is none of its business.
    """
    if task is None:
        return Decision(Verdict.REJECT, "no such task")
    if task.run != run:
        return Decision(Verdict.DISCARD, "superseded by another run")
    if task.status in _FINAL or task.dead_lettered_at is not None:
        return Decision(Verdict.DISCARD, "already dealt with")
    if task.lease_is_live(now):
        return Decision(Verdict.DEFER, "another worker holds the lease", until=task.lease_until or 0)
    if task.status is Status.FAILED:
        return Decision(Verdict.BURY, task.error_message or "failed")
    if not redriven:
        return Decision(Verdict.DISCARD, "it is about a task that was not there")
    if task.status is Status.PROCESSING:
        died = f"the worker died during attempt {task.attempts}"
        return Decision(Verdict.FAIL, f"{died}, and the queue gave the task up")
    return Decision(Verdict.FAIL, "the queue gave it up before a worker could claim it")


class Cancellation(StrEnum):
    """What an explicit cancellation does."""

    CANCEL = "cancel"  #: take the task out before it starts, or starts again
    NOTHING = "nothing"  #: it is cancelled already
    REFUSE = "refuse"  #: a worker has it, or it has ended


def judge_cancellation(task: Task, now: int) -> Cancellation:
    """What an explicit cancellation of this task does."""
    match task.status:
        case Status.PENDING | Status.RETRYING:
            return Cancellation.CANCEL
        case Status.PROCESSING if not task.lease_is_live(now):
            return Cancellation.CANCEL
        case Status.CANCELLED:
            return Cancellation.NOTHING
        case _:
            return Cancellation.REFUSE


class Restart(StrEnum):
    """What an explicit retry does."""

    RESTART = "restart"  #: start a new run
    RESEND = "resend"  #: a new run that waits for its first claim, or a task that is overdue: send its message again
    REFUSE = "refuse"  #: the task has neither failed nor lost its message, as far as its record says


def judge_restart(task: Task, now: int) -> Restart:
    """What an explicit retry of this task does."""
    if task.status is Status.FAILED:
        return Restart.RESTART
    waits_for_its_first_claim = task.status is Status.PENDING and task.attempts == 0
    if (waits_for_its_first_claim and task.run > 1) or task.is_overdue(now):
        return Restart.RESEND
    return Restart.REFUSE
