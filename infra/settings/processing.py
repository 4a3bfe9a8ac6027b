"""How tasks are queued, run and retried."""

from dataclasses import dataclass

from infra.settings.reader import Reader

#: SQS hides a message for 12 hours at most.
MAX_VISIBILITY_SECONDS = 12 * 60 * 60
#: The most receives after which SQS can be told to dead-letter a message.
MAX_RECEIVES = 1_000
#: What the worker keeps of its time to settle its batch after the last task ended.
SETTLE_SECONDS = 5
#: A visibility timeout of so many invocations leaves room for throttled ones; AWS recommends it.
_VISIBILITY_IN_TIMEOUTS = 6


@dataclass(frozen=True)
class Retries:
    """How a failed task is tried again, unless its type has rules of its own.

    Attributes:
        max_retries: Retries after the first attempt.
        backoff_base_seconds: Seconds before the first retry, doubled for each further one.
        backoff_max_seconds: Most seconds before any retry, before jitter.
        backoff_jitter: Random part of each backoff, 0 to 1.
    """

    max_retries: int
    backoff_base_seconds: int
    backoff_max_seconds: int
    backoff_jitter: float


@dataclass(frozen=True)
class Worker:
    """The function that runs tasks.

    Attributes:
        memory_mb: Its memory in MB.
        timeout_seconds: Its longest invocation in seconds.
        max_concurrency: Most invocations at once.
        batch_size: Most tasks in one invocation.
        batch_window_seconds: Seconds to wait for a batch to fill.
        failure_rate: Share of simulated tasks that fail, 0 to 1.
        provisioned_concurrency: Environments that are kept started.
    """

    memory_mb: int
    timeout_seconds: int
    max_concurrency: int
    batch_size: int
    batch_window_seconds: int
    failure_rate: float
    provisioned_concurrency: int


@dataclass(frozen=True)
class TaskQueue:
    """The queue of tasks to run.

    Attributes:
        visibility_timeout_seconds: Seconds for which a delivered task is hidden; never 0.
        retention_days: Days until SQS drops a task that no worker finished.
        max_receive_count: Deliveries after which SQS itself dead-letters a task.
    """

    visibility_timeout_seconds: int
    retention_days: int
    max_receive_count: int


def read_retries(config: Reader) -> Retries:
    """Read how a failed task is tried again."""
    return Retries(
        max_retries=config.integer("maxRetries", 0, 100),
        backoff_base_seconds=config.integer("backoffBaseSeconds", 1, MAX_VISIBILITY_SECONDS),
        backoff_max_seconds=config.integer("backoffMaxSeconds", 1, MAX_VISIBILITY_SECONDS),
        backoff_jitter=config.fraction("backoffJitter"),
    )


def read_worker(config: Reader) -> Worker:
    """Read what runs tasks."""
    return Worker(
        memory_mb=config.integer("workerMemoryMb", 128, 10_240),
        timeout_seconds=config.integer("workerTimeoutSeconds", SETTLE_SECONDS + 1, 900),
        max_concurrency=config.integer("workerMaxConcurrency", 2, 1_000),
        batch_size=config.integer("batchSize", 1, 10_000),
        batch_window_seconds=config.integer("batchWindowSeconds", 0, 300),
        failure_rate=config.fraction("failureRate"),
        provisioned_concurrency=config.integer("workerProvisionedConcurrency", 0, 1_000),
    )


def read_queue(config: Reader, worker: Worker) -> TaskQueue:
    """Read what tasks wait in; a visibility timeout of 0 becomes one that fits the worker."""
    return TaskQueue(
        visibility_timeout_seconds=(
            config.integer("visibilityTimeoutSeconds", 0, MAX_VISIBILITY_SECONDS)
            or _VISIBILITY_IN_TIMEOUTS * worker.timeout_seconds + worker.batch_window_seconds
        ),
        retention_days=config.integer("messageRetentionDays", 1, 14),
        max_receive_count=config.integer("maxReceiveCount", 1, MAX_RECEIVES),
    )
