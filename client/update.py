"""Where a task stands, as a live update or a read of the API tells it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from client.fields import fields_of, optional, required, required_time
from client.task import FINISHED_STATUSES, Task, iso


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A task's state at one moment, without its data and result. The fields are those of `client.task.Task`.

    A live update may shorten `error_message`.
    """

    task_id: str
    type: str
    status: str
    run: int
    attempts: int
    version: int
    created_at: datetime
    updated_at: datetime
    error_message: str | None = None

    @property
    def finished(self) -> bool:
        """True when the task is COMPLETED, FAILED or CANCELLED: nothing changes unless somebody retries it."""
        return self.status in FINISHED_STATUSES

    def newer_than(self, other: Update) -> bool:
        """Whether this one replaces `other`, of the same task ID.

        An ID that is used anew, after its first task has expired, starts again at version 1.
        """
        return (self.created_at, self.version) > (other.created_at, other.version)

    def moved_from(self, other: Update) -> bool:
        """Whether anything happened to the task since `other`: some versions are bookkeeping alone."""
        return (self.created_at, self.run, self.status, self.attempts) != (
            other.created_at,
            other.run,
            other.status,
            other.attempts,
        )

    def as_json(self) -> dict[str, Any]:
        """The fields as the API sends them."""
        error = {} if self.error_message is None else {"errorMessage": self.error_message}
        return {
            "taskId": self.task_id,
            "type": self.type,
            "status": self.status,
            "run": self.run,
            "attempts": self.attempts,
            **error,
            "version": self.version,
            "createdAt": iso(self.created_at),
            "updatedAt": iso(self.updated_at),
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read one from the API's JSON; fields that are not known here are passed over.

        Raises:
            ValueError: a field is missing or of another type; the message names it.
        """
        fields = fields_of(value)
        return cls(
            task_id=required(fields, "taskId", str),
            type=required(fields, "type", str),
            status=required(fields, "status", str),
            run=required(fields, "run", int),
            attempts=required(fields, "attempts", int),
            version=required(fields, "version", int),
            created_at=required_time(fields, "createdAt"),
            updated_at=required_time(fields, "updatedAt"),
            error_message=optional(fields, "errorMessage", str),
        )

    @classmethod
    def of(cls, task: Task) -> Self:
        """What an update would say of a task that was read."""
        return cls(
            task_id=task.task_id,
            type=task.type,
            status=task.status,
            run=task.run,
            attempts=task.attempts,
            version=task.version,
            created_at=task.created_at,
            updated_at=task.updated_at,
            error_message=task.error_message,
        )
