"""The tasks of the API as data: what is sent to have one, and what it shows of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self, cast

from client.fields import fields_of, optional, optional_time, required, required_list, required_time


class Status(StrEnum):
    """The statuses of a task that are known here; a later API may have more."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    RETRYING = "RETRYING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


#: Those that a task does not leave by itself.
FINISHED_STATUSES = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A task to be submitted. The API checks it; here only what no JSON can say is refused.

    Attributes:
        task_id: the client makes one when None. Keep one ID over repeats, and they make one task.
        task_type: the API's default type when None.
        answer: the task's data as a string; either this or `payload`.
        payload: the task's data as an object.
        delay_seconds: it starts so many seconds after its acceptance, 0 to 31,622,400 (a year); either this or
            `run_at`, or at once.
        run_at: it starts then: a moment with its zone, within a year. One in the past is at once.

    Raises:
        ValueError: `run_at` has no zone.
    """

    task_id: str | None = None
    task_type: str | None = None
    answer: str | None = None
    payload: Mapping[str, Any] | None = None
    delay_seconds: float | None = None
    run_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.run_at is not None and self.run_at.tzinfo is None:
            raise ValueError(f"run_at {self.run_at} has no zone")

    def as_json(self) -> dict[str, Any]:
        """The task's fields in a request; what is None is not among them."""
        given = {
            "taskId": self.task_id,
            "type": self.task_type,
            "answer": self.answer,
            "payload": self.payload,
            "delaySeconds": self.delay_seconds,
            "runAt": self.run_at and iso(self.run_at),
        }
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class PastAttempt:
    """An attempt that ended, as a task's history tells it.

    Attributes:
        run: the run that it was part of.
        attempt: its number within that run, from 1.
        started_at: when it was claimed.
        duration_seconds: how long it took; None when its worker died, and nobody saw when.
        error_message: the start of its error; None when it ended well.
    """

    run: int
    attempt: int
    started_at: datetime
    duration_seconds: float | None = None
    error_message: str | None = None

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read an attempt from the API's JSON; raises as `Task.from_json`."""
        fields = fields_of(value)
        milliseconds = optional(fields, "durationMs", int)
        return cls(
            run=required(fields, "run", int),
            attempt=required(fields, "attempt", int),
            started_at=required_time(fields, "startedAt"),
            duration_seconds=None if milliseconds is None else milliseconds / 1000,
            error_message=optional(fields, "errorMessage", str),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task as the API showed it at one moment.

    Attributes:
        task_id: its name, chosen by who submitted it.
        type: which function runs it.
        status: PENDING, PROCESSING, RETRYING, COMPLETED, FAILED or CANCELLED. A later API may know more.
        attempts: attempts begun in this run.
        retries: attempts after the first.
        run: how often it was started anew, from 1.
        version: grows with every change, so of two answers the one with the larger is the newer.
        created_at: when it was accepted.
        updated_at: when it last changed.
        run_at: when it was to start, if not at once.
        answer: its data, when that is a string.
        payload: its data, when that is an object. A list or batch leaves large data out: neither is there then.
        error_message: the error of its last failed attempt.
        result: what its function returned.
        history: the last attempts that ended, over all runs, the oldest first. The API keeps a few, and
            none of a task that succeeded at once.
        fields: its JSON as the API sent it, with what is not known here.
    """

    task_id: str
    type: str
    status: str
    attempts: int
    retries: int
    run: int
    version: int
    created_at: datetime
    updated_at: datetime
    run_at: datetime | None = None
    answer: str | None = None
    payload: Mapping[str, Any] | None = None
    error_message: str | None = None
    result: object = None
    history: Sequence[PastAttempt] = ()
    fields: Mapping[str, object] = field(default_factory=dict[str, object], repr=False, compare=False)

    @property
    def finished(self) -> bool:
        """True when it is COMPLETED, FAILED or CANCELLED: nothing changes unless somebody retries it."""
        return self.status in FINISHED_STATUSES

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a task from the API's JSON; fields that are not known here stay in `fields` alone.

        Raises:
            ValueError: a field is missing or of another type; the message names it.
        """
        fields = fields_of(value)
        return cls(
            task_id=required(fields, "taskId", str),
            type=required(fields, "type", str),
            status=required(fields, "status", str),
            attempts=required(fields, "attempts", int),
            retries=required(fields, "retries", int),
            run=required(fields, "run", int),
            version=required(fields, "version", int),
            created_at=required_time(fields, "createdAt"),
            updated_at=required_time(fields, "updatedAt"),
            run_at=optional_time(fields, "runAt"),
            answer=optional(fields, "answer", str),
            payload=cast("dict[str, Any] | None", optional(fields, "payload", dict)),
            error_message=optional(fields, "errorMessage", str),
            result=fields.get("result"),
            history=tuple(
                map(PastAttempt.from_json, cast("list[object]", optional(fields, "history", list) or []))
            ),
            fields=fields,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some tasks of a list, the newest first, and where it goes on; `next_cursor` is None at its end.

    A page can be short, or empty, and not be the last.
    """

    tasks: Sequence[Task]
    next_cursor: str | None

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a page from the API's JSON; raises as `Task.from_json`."""
        fields = fields_of(value)
        return cls(
            tasks=tuple(map(Task.from_json, required_list(fields, "tasks"))),
            next_cursor=optional(fields, "nextCursor", str),
        )


def iso(moment: datetime) -> str:
    """A moment as the API writes it: UTC, milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
