"""Random interleavings of everything that writes a record, by processes that hold what they read long ago.

Hypothesis plays submissions, workers, the monitor, retries and the sweep against one record: each step is one
call that such a process makes, with a view of the record that may be old by then, and on a clock that the
test moves. Beside it a model in plain Python says, from the protocol alone, which calls are made and what the
record is afterwards. In the end, whatever happened, the task must still be able to finish.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from tasklib import clock
from tasklib.store import TaskStore
from tasklib.task import (
    MAX_HISTORY,
    TRANSITIONS,
    Restart,
    Status,
    Task,
    TaskData,
    Verdict,
    created_key,
    judge_delivery,
    judge_letter,
    judge_restart,
)

from .conftest import Stack

MAX_ATTEMPTS = 3
LEASE = 35_000
RETENTION = 7 * clock.DAY

#: The same examples on every run. A failure prints the steps that lead to it.
EXAMPLES = settings(
    max_examples=100,
    stateful_step_count=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@dataclass(slots=True, eq=False)
class Claim:
    """A claim that a worker won: what it got, and how it ended its attempt, if it did."""

    task: Task
    lease_until: int
    settlement: Callable[[], bool] | None = None


@dataclass
class Model:
    """What the record has to be."""

    status: Status = Status.PENDING
    run: int = 1
    attempts: int = 0
    version: int = 1
    claim_id: str | None = None
    lease_until: int | None = None
    not_before: int | None = None
    error: str | None = None
    dead_lettered_at: int | None = None
    failed_shard: str | None = None
    unsent_shard: str | None = None
    unsent_since: int | None = None
    expires_at: int | None = None
    history: list[tuple[int, int, str | None]] = field(default_factory=lambda: [])

    @classmethod
    def of(cls, item: dict[str, Any]) -> Model:
        """The record as it is in the table, read without the store."""
        text = {name: value.get("S") for name, value in item.items()}
        number = {name: int(value["N"]) for name, value in item.items() if "N" in value}
        unsent_key = text.get("unsentKey")
        return cls(
            status=Status(text["status"] or ""),
            run=number["run"],
            attempts=number["attempts"],
            version=number["version"],
            claim_id=text.get("claimId"),
            lease_until=number.get("leaseUntil"),
            not_before=number.get("notBefore"),
            error=text.get("errorMessage"),
            dead_lettered_at=number.get("deadLetteredAt"),
            failed_shard=text.get("failedShard"),
            unsent_shard=text.get("unsentShard"),
            unsent_since=None if unsent_key is None else milliseconds(unsent_key),
            expires_at=number.get("expiresAt"),
            history=[
                (attempt["run"], attempt["attempt"], attempt.get("errorMessage"))
                for attempt in json.loads(text.get("history") or "[]")
            ],
        )

    def write(self, **changes: Any) -> None:
        for name, value in changes.items():
            setattr(self, name, value)
        self.version += 1

    def remember(self, error: str | None) -> None:
        """The current attempt ended, well or with an error."""
        self.history = [*self.history, (self.run, self.attempts, error)][-MAX_HISTORY:]

    def waits(self, run: int, now: int) -> bool:
        """Whether a message of this run may claim the task now."""
        return (
            run == self.run
            and self.status in (Status.PENDING, Status.RETRYING)
            and self.attempts < MAX_ATTEMPTS
            and (self.not_before or 0) <= now
        )

    def claim(self, claim_id: str, now: int) -> None:
        self.write(
            status=Status.PROCESSING,
            attempts=self.attempts + 1,
            claim_id=claim_id,
            lease_until=now + LEASE,
            not_before=None,
            unsent_shard=None,
            unsent_since=None,
        )

    def fail(self, error: str, now: int, **changes: Any) -> None:
        self.write(
            status=Status.FAILED,
            error=error,
            failed_shard="0",
            lease_until=None,
            expires_at=(now + RETENTION) // 1000,
            **changes,
        )


def milliseconds(key: str) -> int:
    """The time at the start of a sort key, by the only way back from text that is needed here."""
    from datetime import datetime

    return round(datetime.fromisoformat(key[:24]).timestamp() * 1000)
