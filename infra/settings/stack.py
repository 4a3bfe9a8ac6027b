"""Everything that differs between stacks, as one value."""

from dataclasses import dataclass
from typing import Literal

from infra.settings.alarms import Alarms
from infra.settings.api import Api
from infra.settings.monitor import Monitor
from infra.settings.processing import Retries, TaskQueue, Worker
from infra.settings.webhooks import Webhooks


@dataclass(frozen=True)
class Settings:
    """Everything that differs between stacks.

    Attributes:
        prefix: Start of all physical names: project and stack.
        tags: What every resource is tagged with.
        retries: How a failed task is tried again.
        worker: The function that runs tasks.
        queue: The queue of tasks to run.
        monitor: The dead-letter monitor.
        api: The HTTP API.
        webhooks: The task type that delivers to URLs.
        architecture: Processor of all functions.
        snap_start: Start the functions that somebody waits for from a snapshot.
        list_shards: Partitions of the task list.
        task_retention_days: Days that finished tasks are kept; 0 for ever.
        log_retention_days: Days that logs are kept.
        alarms: Who is called, and from where on.
        tracing: Send traces of the functions to X-Ray.
        protect_data: Keep backups, and refuse to delete the table and the queues.
    """

    prefix: str
    tags: dict[str, str]
    retries: Retries
    worker: Worker
    queue: TaskQueue
    monitor: Monitor
    api: Api
    webhooks: Webhooks
    architecture: Literal["arm64", "x86_64"]
    snap_start: bool
    list_shards: int
    task_retention_days: int
    log_retention_days: int
    alarms: Alarms
    tracing: bool
    protect_data: bool
