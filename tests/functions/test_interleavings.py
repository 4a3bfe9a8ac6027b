"""Random interleavings of everything that writes a record, by processes that hold what they read long ago.

Hypothesis plays submissions, workers, the monitor, retries, cancellations and the sweep against one record: each step
is one change that such a process makes of a view of the record that may be old by then, on a clock that the test moves.
Beside it a model in plain Python says, from the protocol alone, which changes are written and what the record is
afterwards. In the end, whatever happened, a delivery of its message must still bring the task to its end.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from tasklib import clock
from tasklib.record import to_task
from tasklib.store import Change, Outcome, TaskStore
from tasklib.task import (
    CRASHED,
    MAX_HISTORY,
    TRANSITIONS,
    Cancellation,
    Restart,
    Status,
    Task,
    TaskData,
    Verdict,
    created_key,
    judge_cancellation,
    judge_delivery,
    judge_letter,
    judge_restart,
)

from .conftest import Stack

MAX_ATTEMPTS = 3
BACKOFF = 2_000
RETENTION = 7 * clock.DAY

#: How long an invocation may go on, and how far the clocks of two workers may differ: a lease lasts both.
INVOCATION = 30_000
SKEW = 5_000
LEASE = INVOCATION + SKEW

#: How often a step is tried, where it is possible. All steps are one rule of the machine: Hypothesis leaves out
#: rules at random, and these get far only together.
WEIGHTS = {
    "submit_again": 1,
    "submit_anew": 4,
    "deliver": 8,
    "deliver_again": 6,
    "settle": 8,
    "reclaim": 8,
    "give_up": 8,
    "redrive": 1,
    "mark": 6,
    "restart": 3,
    "sweep": 2,
    "cancel": 3,
    "send_again": 10,
}

#: How much time passes before a step: none, or until 1 ms before the lease or the backoff is over, or until it is.
WAITS = st.sampled_from(["none", "almost", "enough"])

#: How many writes ago, at least, a process read the record by which it writes.
AGES = st.sampled_from([0, 0, 0, 1, 2, 4])

#: The same examples on every run. A failure prints the steps that lead to it.
EXAMPLES = settings(
    max_examples=8,
    stateful_step_count=120,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

#: Nothing leaves them.
FINAL = (Status.COMPLETED, Status.CANCELLED)

ALLOWED = {(change.source, change.target, who) for change in TRANSITIONS for who in change.by.split(" or ")}
#: The sweep notes on a restarted task when its message was sent last; its status stays.
ALLOWED.add((Status.PENDING, Status.PENDING, "sweep"))


@dataclass
class Model:
    """What the record has to be."""

    created_key: str
    status: Status = Status.PENDING
    run: int = 1
    attempts: int = 0
    version: int = 1
    claim_id: str | None = None
    lease_until: int | None = None
    not_before: int | None = None
    error: str | None = None
    result: str | None = None
    dead_lettered_at: int | None = None
    failed_shard: str | None = None
    unsent_shard: str | None = None
    unsent_key: str | None = None
    expires_at: int | None = None
    history: list[tuple[int, int, str | None]] = field(default_factory=lambda: [])

    @classmethod
    def of(cls, item: dict[str, Any]) -> Model:
        """The record as it is in the table, read without the store."""
        text = {name: value["S"] for name, value in item.items() if "S" in value}
        number = {name: int(value["N"]) for name, value in item.items() if "N" in value}
        return cls(
            created_key=text["createdKey"],
            status=Status(text["status"]),
            run=number["run"],
            attempts=number["attempts"],
            version=number["version"],
            claim_id=text.get("claimId"),
            lease_until=number.get("leaseUntil"),
            not_before=number.get("notBefore"),
            error=text.get("errorMessage"),
            result=text.get("result"),
            dead_lettered_at=number.get("deadLetteredAt"),
            failed_shard=text.get("failedShard"),
            unsent_shard=text.get("unsentShard"),
            unsent_key=text.get("unsentKey"),
            expires_at=number.get("expiresAt"),
            history=[
                (attempt["run"], attempt["attempt"], attempt.get("errorMessage"))
                for attempt in json.loads(text.get("history", "[]"))
            ],
        )

    def write(self, **changes: Any) -> None:
        for name, value in changes.items():
            setattr(self, name, value)
        self.version += 1

    def remember(self, error: str | None) -> None:
        """The attempt under way has ended, well or with an error."""
        self.history = [*self.history, (self.run, self.attempts, error)][-MAX_HISTORY:]

    def can_be_claimed(self, run: int, most: int, now: int) -> bool:
        """Whether a message of this run may start the task now."""
        waits = self.status in (Status.PENDING, Status.RETRYING) and (self.not_before or 0) <= now
        died = self.status is Status.PROCESSING and (self.lease_until or 0) <= now
        return (waits or died) and run == self.run and self.attempts < most

    def claim(self, claim_id: str, now: int) -> None:
        if self.status is Status.PROCESSING:
            self.remember(CRASHED)
        self.write(
            status=Status.PROCESSING,
            attempts=self.attempts + 1,
            claim_id=claim_id,
            lease_until=now + LEASE,
            not_before=None,
            unsent_shard=None,
            unsent_key=None,
        )

    def complete(self, now: int) -> None:
        if self.history:  # a task that succeeds at once keeps none
            self.remember(None)
        self.write(
            status=Status.COMPLETED,
            result='"done"',
            error=None,
            lease_until=None,
            expires_at=(now + RETENTION) // 1000,
        )

    def retry_later(self, not_before: int) -> None:
        self.remember("once more")
        self.write(status=Status.RETRYING, error="once more", not_before=not_before, lease_until=None)

    def fail(self, error: str, now: int) -> None:
        self.remember(error)
        self._fail(error, now)

    def give_up(self, error: str, now: int) -> None:
        if self.status is Status.PROCESSING:
            self.remember(CRASHED)
        self._fail(error, now, claim_id=None, not_before=None, unsent_shard=None, unsent_key=None)

    def cancel(self, now: int) -> None:
        if self.status is Status.PROCESSING:
            self.remember(CRASHED)
        self.write(
            status=Status.CANCELLED,
            claim_id=None,
            lease_until=None,
            not_before=None,
            unsent_shard=None,
            unsent_key=None,
            expires_at=(now + RETENTION) // 1000,
        )

    def _fail(self, error: str, now: int, **changes: None) -> None:
        expires_at = (now + RETENTION) // 1000
        self.write(
            status=Status.FAILED,
            error=error,
            lease_until=None,
            failed_shard="0",
            expires_at=expires_at,
            **changes,
        )


@dataclass(slots=True, eq=False)
class Attempt:
    """What a worker does between its claim and the end of its invocation."""

    task: Task  #: as claimed
    invocation_ends: int
    settled: bool = False  #: it has sent its settlement, whatever came of it

    def may_run(self, now: int) -> bool:
        """Whether its code can still be running: not settled, and its worker not yet ended by Lambda."""
        return not self.settled and now < self.invocation_ends


@dataclass(frozen=True, slots=True)
class Sent:
    """A change that somebody sent, and may send again because no answer came."""

    change: Change
    written: bool


class Interleavings(RuleBasedStateMachine):
    """One task, many processes; when it has ended, the next task, or the next of the same ID."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.records: list[Task] = []
        self.stack = stack
        self.store = TaskStore(stack.dynamodb, stack.table, retention=RETENTION)
        self.now = clock.now()
        self.claims = 0

    @initialize()
    def begin(self) -> None:
        """A task, and what this test knows of it."""
        self.task_id = f"t-{uuid.uuid4()}"
        self.seen: Model | None = None
        self.records = []  # every version of the record, as somebody may have read it
        self.attempts: list[Attempt] = []  # every claim that was won
        self.sent: list[Sent] = []  # every change that anybody sent
        self.cancelled: set[str] = set()  # the creation keys of what somebody was told is cancelled
        assert self.submit() is None
        self.check("submit")

    @rule(wait=WAITS, age=AGES, draw=st.data())
    def next(self, wait: str, age: int, draw: st.DataObject) -> None:
        if wait != "none":
            over = self.model.lease_until or self.model.not_before or 0
            self.now = max(self.now, over - (wait == "almost"))
        records = self.records[-7:-1] if age and len(self.records) > 1 else self.records[-1:]
        possible = {step: seen for step, fits in self.steps() if (seen := list(filter(fits, records)))}
        step = draw.draw(st.sampled_from([step for step in possible for _ in range(WEIGHTS[step])]), "step")
        view = possible[step][-min(max(1, age), len(possible[step]))]
        self.check(getattr(self, step)(view, draw))
        if self.model.status in FINAL and draw.draw(st.booleans(), "next task"):
            self.begin()

    def steps(self) -> Iterable[tuple[str, Callable[[Task], bool]]]:
        """What can happen next, and by what a process must have read."""
        yield "deliver", lambda task: self.is_current(task) and self.judge(task) is Verdict.CLAIM
        yield "deliver_again", lambda _: True
        yield "settle", lambda task: any(one.task == task and not one.settled for one in self.attempts)
        yield "reclaim", lambda task: self.judge(task, SKEW) is Verdict.RECLAIM
        yield "give_up", lambda task: self.judge(task) is Verdict.FAIL
        yield "redrive", lambda task: self.judge_letter(task) is Verdict.FAIL
        yield "mark", lambda task: self.judge_letter(task) is Verdict.BURY
        yield "restart", lambda task: judge_restart(task, self.now) is Restart.RESTART
        yield "cancel", lambda _: True
        yield "sweep", lambda task: task.unsent_key is not None
        yield "send_again", lambda task: any(sent.change.before == task for sent in self.sent)
        yield "submit_again", lambda _: True
        yield "submit_anew", lambda task: self.is_current(task) and task.expires_at is not None

    # -- the steps; each returns who made it

    def submit_again(self, _: Task, draw: st.DataObject) -> str:
        """The ID is taken, whatever the content; and by now the record may be anything."""
        existing = self.submit(draw.draw(st.sampled_from(["{}", '{"other":1}'])))
        assert existing is not None
        assert existing.version == self.model.version
        return "submit"

    def submit_anew(self, view: Task, _: st.DataObject) -> str:
        """The record is past its time and counts as absent: its versions come once more."""
        self.now = max(self.now, (view.expires_at or 0) * 1000)
        self.seen = None
        assert self.submit() is None
        return "submit"

    def deliver(self, view: Task, draw: st.DataObject) -> str:
        """A message, perhaps one of an older run, brings a worker to claim by what it has read."""
        run = view.run - draw.draw(st.sampled_from([0, 0, 0, 0, 0, 1, 2]), "runs ago")
        # A worker of another deployment may allow fewer attempts.
        most = draw.draw(st.sampled_from([MAX_ATTEMPTS, 1]), "attempts allowed")
        verdict = judge_delivery(view, run, most, self.now).verdict
        if self.is_current(view):
            claimable = self.model.can_be_claimed(run, most, self.now)
            assert (verdict in (Verdict.CLAIM, Verdict.RECLAIM)) == claimable
            if run == self.model.run and self.running(SKEW):
                assert verdict is Verdict.DEFER
        if verdict in (Verdict.CLAIM, Verdict.RECLAIM):
            self.claim(view)
        return "worker"

    def deliver_again(self, view: Task, draw: st.DataObject) -> str:
        """A copy of a message, whatever has become of its task."""
        return self.deliver(view, draw)

    def reclaim(self, view: Task, _: st.DataObject) -> str:
        """A worker takes over from one that died, as it was told by a clock that may have been ahead."""
        self.claim(view)
        return "worker"

    def settle(self, view: Task, draw: st.DataObject) -> str:
        """A worker settles, in time or long after it lost its lease."""
        (attempt,) = [one for one in self.attempts if one.task == view]
        attempt.settled = True
        ending = draw.draw(
            st.sampled_from(["retry later", "retry later", "retry later", "fail", "fail", "complete"]),
            "ending",
        )
        if ending == "complete":
            after = view.completed('"done"', keep=RETENTION, now=self.now)
            self.write(view, after, partial(Model.complete, now=self.now))
        elif ending == "fail" or view.attempts == MAX_ATTEMPTS:
            after = view.failed("bad", keep=RETENTION, now=self.now)
            self.write(view, after, partial(Model.fail, error="bad", now=self.now))
        else:
            due = self.now + BACKOFF
            after = view.retrying("once more", not_before=due, now=self.now)
            self.write(view, after, partial(Model.retry_later, not_before=due))
        return "worker"

    def send_again(self, view: Task, draw: st.DataObject) -> str:
        """No answer came, and whoever it was sends the change again, whatever has happened since."""
        sent = draw.draw(st.sampled_from([sent for sent in self.sent if sent.change.before == view]), "sent")
        after = sent.change.after
        # It knows its own write again, as long as nobody has written after it.
        expected = sent.written and self.is_current(after)
        (outcome,) = self.store.write([sent.change])
        assert outcome == Outcome(written=expected, record=self.records[-1])
        return "nobody"

    def give_up(self, view: Task, _: st.DataObject) -> str:
        """A worker finds the attempts used up by crashes."""
        self.fail_unclaimed(view)
        return "worker"

    def redrive(self, view: Task, _: st.DataObject) -> str:
        """The queue gave the message up before a worker could claim, or after its worker had died."""
        self.fail_unclaimed(view)
        return "monitor"

    def mark(self, view: Task, _: st.DataObject) -> str:
        """The monitor saw a dead letter."""
        self.write(view, view.dead_lettered(self.now), partial(Model.write, dead_lettered_at=self.now))
        return "monitor"

    def restart(self, view: Task, _: st.DataObject) -> str:
        """Somebody asks for a new run: nothing of the old one stays but its history."""
        self.write(view, view.restarted(self.now), self.begin_new_run)
        return "retry"

    def begin_new_run(self, model: Model) -> None:
        self.model = Model(
            created_key=model.created_key,
            run=model.run + 1,
            version=model.version + 1,
            unsent_shard="0",
            unsent_key=created_key(self.task_id, self.now),
            history=model.history,
        )

    def sweep(self, view: Task, _: st.DataObject) -> str:
        """The message of a restarted task was sent again."""
        # Once it has waited for longer than two minutes, twice as long, or 23 hours.
        pause = min(self.now - view.updated_at, 23 * 3_600_000) - 120_000
        noted = partial(Model.write, unsent_key=created_key(self.task_id, self.now + max(0, pause)))
        self.write(view, view.sent_again(self.now), noted)
        return "sweep"

    def cancel(self, view: Task, _: st.DataObject) -> str:
        """Somebody asks for it, by what was read. Whoever is not heard reads again, which is a step of its own."""
        started = any(
            (one.task.created_key, one.task.run) == (view.created_key, view.run)
            and one.task.version <= view.version
            for one in self.attempts
        )
        match judge_cancellation(view, self.now):
            case Cancellation.CANCEL:
                if self.is_current(view):
                    assert not self.running()
                self.write(
                    view, view.cancelled(keep=RETENTION, now=self.now), partial(Model.cancel, now=self.now)
                )
                if self.sent[-1].written:
                    self.cancelled.add(view.created_key)
            case Cancellation.NOTHING:
                assert view.created_key in self.cancelled
            case Cancellation.REFUSE:
                assert started or view.status is Status.FAILED
                assert not (self.is_current(view) and view.created_key in self.cancelled)
        return "cancel"

    # -- what always holds

    @invariant()
    def one_attempt_runs_at_a_time(self) -> None:
        assert len(self.running()) <= (self.model.created_key not in self.cancelled)

    def check(self, who: str) -> None:
        """The record is as the model says, and what changed it was allowed to `who`."""
        item = self.item()
        before, now = self.seen, Model.of(item)
        self.seen = now
        assert now == self.model
        if now == before:
            return
        self.records.append(to_task(item))
        if before is None:
            return
        assert before.status not in FINAL
        assert now.version == before.version + 1
        assert (before.status, now.status, who) in ALLOWED
        assert (now.run, now.attempts) >= (before.run, before.attempts)
        assert now.attempts <= MAX_ATTEMPTS
        claims = [one.task for one in self.attempts if one.task.created_key == now.created_key]
        assert now.attempts == len([task for task in claims if task.run == now.run])
        assert (now.failed_shard is not None) == (now.status is Status.FAILED)
        assert (now.lease_until is not None) == (now.status is Status.PROCESSING)
        assert (now.expires_at is not None) == (now.status in (*FINAL, Status.FAILED))
        assert now.unsent_shard is None or (now.status is Status.PENDING and now.run > 1)
        assert (now.unsent_shard is None) == (now.unsent_key is None)
        assert now.dead_lettered_at is None or now.status is Status.FAILED

    def teardown(self) -> None:
        """Whatever happened, a delivery of its message can still bring the task to its end."""
        if not self.records:
            return
        self.now += 2 * LEASE
        task = self.records[-1]
        decision = judge_delivery(task, task.run, MAX_ATTEMPTS, self.now)
        match decision.verdict:
            case Verdict.CLAIM | Verdict.RECLAIM:
                self.claim(task)
                claimed = self.attempts[-1].task
                assert self.store.change(claimed, claimed.completed(None, keep=RETENTION, now=self.now))
            case Verdict.FAIL:
                assert self.store.change(task, task.given_up(decision.reason, keep=RETENTION, now=self.now))
            case _:
                assert task.status in (*FINAL, Status.FAILED)

    # -- how the rules speak

    def running(self, ahead: int = 0) -> list[Attempt]:
        """The attempts whose code may be running, by a clock that is so much ahead."""
        return [one for one in self.attempts if one.may_run(self.now + ahead)]

    def is_current(self, view: Task) -> bool:
        """Whether nobody has written the record since this was read."""
        return (view.version, view.created_key) == (self.model.version, self.model.created_key)

    def submit(self, payload: str = "{}") -> Task | None:
        """A submission of the task, or of other content under its ID."""
        data = TaskData("payload", payload)
        task = Task(
            task_id=self.task_id,
            type="echo",
            status=Status.PENDING,
            run=1,
            attempts=0,
            version=1,
            created_key=created_key(self.task_id, self.now),
            list_shard="0",
            updated_at=self.now,
            content_hash=data.content_hash("echo"),
            correlation_id=f"c-{self.now}-{len(self.records)}",
        )
        existing = self.store.create(task, data, data_lifetime=0)
        if existing is None:
            self.model = Model(task.created_key)
        return existing

    def write(self, view: Task, after: Task, change_model: Callable[[Model], None]) -> bool:
        """A change of a view, which is written exactly when the view is what the record is now."""
        expected = self.is_current(view)
        if expected:
            change_model(self.model)
        (outcome,) = self.store.write([Change(view, after)])
        # Two that do the same in the same millisecond pass for one: it does no harm where nobody runs.
        same = after == self.records[-1] and after.status is not Status.PROCESSING
        assert outcome == Outcome(expected or same, record=after if expected else self.records[-1])
        self.sent.append(Sent(Change(view, after), expected or same))
        return expected

    def claim(self, view: Task) -> None:
        self.claims += 1
        claim_id = f"claim-{self.claims}"
        claimed = view.claimed(claim_id, lease_until=self.now + LEASE, now=self.now)
        if self.write(view, claimed, partial(Model.claim, claim_id=claim_id, now=self.now)):
            assert claimed.created_key not in self.cancelled
            self.attempts.append(Attempt(claimed, self.now + INVOCATION))

    def judge(self, task: Task, ahead: int = 0) -> Verdict:
        return judge_delivery(task, task.run, MAX_ATTEMPTS, self.now + ahead).verdict

    def judge_letter(self, task: Task) -> Verdict:
        return judge_letter(task, task.run, self.now, redriven=True).verdict

    def fail_unclaimed(self, view: Task) -> None:
        if self.is_current(view):
            assert not self.running()
        after = view.given_up("given up", keep=RETENTION, now=self.now)
        self.write(view, after, partial(Model.give_up, error="given up", now=self.now))

    def item(self) -> dict[str, Any]:
        """The record as it is in the table."""
        answer = self.stack.dynamodb.get_item(
            TableName=self.stack.table,
            Key={"taskId": {"S": self.task_id}, "part": {"S": "state"}},
            ConsistentRead=True,
        )
        return dict(answer.get("Item", {}))


@pytest.mark.batch_statements
def test_only_what_the_protocol_allows_happens(stack: Stack) -> None:
    class OnThisStack(Interleavings):
        def __init__(self) -> None:
            super().__init__(stack)

    run_state_machine_as_test(OnThisStack, settings=EXAMPLES)
