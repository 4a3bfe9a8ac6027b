"""The tasks that the smoke and load tests submit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from client.api import TasksClient
from client.task import Submission, Task


@dataclass(frozen=True, slots=True)
class Work:
    """What each submitted task is.

    Attributes:
        task_type: None for the API's default type.
        payload: the data of every task; None gives each a short `answer` of its own.
    """

    task_type: str | None = None
    payload: Mapping[str, Any] | None = None

    def submission(self, task_id: str, number: int) -> Submission:
        """The task of this number, as it is sent."""
        answer = f"task {number}" if self.payload is None else None
        return Submission(task_id=task_id, task_type=self.task_type, answer=answer, payload=self.payload)

    async def submit(self, client: TasksClient, task_id: str, number: int) -> Task:
        """Submit the task of this number; raises as `TasksClient.submit`."""
        one = self.submission(task_id, number)
        return await client.submit(
            task_id=task_id, task_type=one.task_type, answer=one.answer, payload=one.payload
        )
