"""What the values of several keys, and the rules of the task types, must keep to together."""

import json
import math
from collections.abc import Sequence

from infra.settings.processing import MAX_RECEIVES, MAX_VISIBILITY_SECONDS, SETTLE_SECONDS, TaskQueue, Worker
from infra.settings.reader import Reader
from infra.settings.stack import Settings
from infra.settings.webhooks import Webhooks
from infra.task_types import DeclaredTaskType

#: Lambda delivers more messages than this at once only if it may wait for them.
_MAX_BATCH_WITHOUT_WINDOW = 10
#: Tasks that one worker runs side by side, and what has to be left of its time beyond a task's limit for that task
#: to start.
_SIDE_BY_SIDE = 10
_START_SECONDS = 3
_DAY_SECONDS = 24 * 60 * 60
#: How long before a task is due its message is queued, at most.
_QUEUED_AHEAD_SECONDS = 15 * 60
#: What the lists of the worker's environment may take of its 4 KB; the rest leaves room for all its other variables.
_MAX_LIST_BYTES = 3_000


def check(config: Reader, settings: Settings, task_types: Sequence[DeclaredTaskType]) -> None:
    """Record in ``config`` what does not go together.

    Args:
        config: Where the settings were read from.
        settings: What was read.
        task_types: Types whose own retry rules and time limits the queue and the worker must leave room for.
    """
    _check_anonymous(config, settings)
    _check_worker(config, settings.worker, settings.queue)
    _check_batch(config, settings.worker, task_types)
    _check_cold_starts(config, settings)
    _check_environment(config, settings.webhooks)
    _check_retries(config, settings, task_types)


def _check_anonymous(config: Reader, settings: Settings) -> None:
    """Check that nobody opens to everybody what is worth protecting without saying so."""
    anonymous = config.boolean("allowAnonymous")
    config.check(
        ("auth", "protectData", "allowAnonymous"),
        settings.api.tokens is not None or not settings.protect_data or anonymous,
        "auth: none; allowed with protectData only if allowAnonymous is true, because whoever knows the URL may then "
        "submit, read and cancel tasks",
    )
    config.check(
        ("auth", "allowAnonymous"),
        settings.api.tokens is None or not anonymous,
        "allowAnonymous: true; allowed only with auth none, because with jwt nobody gets in without a token",
    )


def _check_worker(config: Reader, worker: Worker, queue: TaskQueue) -> None:
    """Check that a batch can be gathered, and stays hidden until it has run."""
    config.check(
        ("batchSize", "batchWindowSeconds"),
        worker.batch_size <= _MAX_BATCH_WITHOUT_WINDOW or worker.batch_window_seconds >= 1,
        f"batchSize: {worker.batch_size}; allowed above {_MAX_BATCH_WITHOUT_WINDOW} only with a batchWindowSeconds "
        "of 1 or more",
    )
    config.check(
        ("visibilityTimeoutSeconds", "workerTimeoutSeconds", "batchWindowSeconds"),
        queue.visibility_timeout_seconds >= worker.timeout_seconds + worker.batch_window_seconds,
        f"visibilityTimeoutSeconds: {queue.visibility_timeout_seconds}; allowed: 0, or at least "
        f"workerTimeoutSeconds + batchWindowSeconds = {worker.timeout_seconds + worker.batch_window_seconds}",
    )


def _check_batch(config: Reader, worker: Worker, task_types: Sequence[DeclaredTaskType]) -> None:
    """Check that every task of a batch can start, even if those before it take all the time that they may.

    One that cannot goes back to the queue, each time at the price of a receive, and ends as a dead letter that never
    ran.
    """
    if worker.batch_size <= _SIDE_BY_SIDE:
        return
    unstated = worker.timeout_seconds - SETTLE_SECONDS
    limits = [
        (unstated, "the limit of a type that states none")
        if each.time_limit_seconds is None
        else (each.time_limit_seconds, f"the limit of task type {each.name} in {each.source}")
        for each in task_types
    ]
    limit, whose = max(limits, default=(unstated, "the limit of a type that states none"))
    needed = math.ceil(worker.batch_size / _SIDE_BY_SIDE) * limit + _START_SECONDS
    config.check(
        ("batchSize", "workerTimeoutSeconds"),
        needed <= worker.timeout_seconds,
        f"batchSize: {worker.batch_size}; allowed above {_SIDE_BY_SIDE} only with a workerTimeoutSeconds of at least "
        f"ceil(batchSize / {_SIDE_BY_SIDE}) x {limit:g} + {_START_SECONDS} = {needed:g}, it is "
        f"{worker.timeout_seconds} ({whose} is {limit:g} s, tasks run {_SIDE_BY_SIDE} at a time, and one that could "
        "not end goes back unrun)",
    )


def _check_cold_starts(config: Reader, settings: Settings) -> None:
    """Check that cold starts are avoided in one way alone, and for no more workers than may run."""
    api, worker = settings.api, settings.worker
    config.check(
        ("snapStart", "apiProvisionedConcurrency", "workerProvisionedConcurrency"),
        not settings.snap_start or api.provisioned_concurrency == worker.provisioned_concurrency == 0,
        "snapStart: true; allowed only with an apiProvisionedConcurrency and a workerProvisionedConcurrency of 0, "
        "because AWS offers a function one or the other",
    )
    config.check(
        ("workerProvisionedConcurrency", "workerMaxConcurrency"),
        worker.provisioned_concurrency <= worker.max_concurrency,
        f"workerProvisionedConcurrency: {worker.provisioned_concurrency}; allowed: at most workerMaxConcurrency = "
        f"{worker.max_concurrency}",
    )


def _check_environment(config: Reader, webhooks: Webhooks) -> None:
    """Check that the lists fit into the worker's environment, which AWS measures as JSON with JSON in it."""
    size = sum(
        len(json.dumps(json.dumps(texts))) for texts in (webhooks.allowed_hosts, webhooks.allowed_networks)
    )
    config.check(
        ("webhookAllowedHosts", "webhookAllowedNetworks"),
        size <= _MAX_LIST_BYTES,
        f"webhookAllowedHosts and webhookAllowedNetworks: {size} bytes; allowed: at most {_MAX_LIST_BYTES} together, "
        "because AWS limits the environment of a function to 4 KB; an entry takes 6 bytes more than it is long",
    )


def _check_retries(config: Reader, settings: Settings, task_types: Sequence[DeclaredTaskType]) -> None:
    """Check the stack's retry rules, then those of each type that has its own."""
    stack = (
        settings.retries.backoff_base_seconds,
        settings.retries.backoff_max_seconds,
        settings.retries.max_retries,
    )
    _check_backoffs(config, settings, "", *stack)
    for task_type in task_types:
        whose = f" (task type {task_type.name} in {task_type.source})"
        own = (task_type.backoff_base_seconds, task_type.backoff_max_seconds, task_type.max_retries)
        rules = tuple(ours if theirs is None else theirs for theirs, ours in zip(own, stack, strict=True))
        if rules != stack:
            _check_backoffs(config, settings, whose, *rules)
        limit = task_type.time_limit_seconds or 0
        config.check(
            ("workerTimeoutSeconds",),
            limit + SETTLE_SECONDS <= settings.worker.timeout_seconds,
            f"workerTimeoutSeconds: {settings.worker.timeout_seconds}; allowed: at least the time limit of a task "
            f"+ {SETTLE_SECONDS} = {limit + SETTLE_SECONDS:g}{whose}",
        )


def _check_backoffs(
    config: Reader, settings: Settings, whose: str, base: float, longest: float, retries: float
) -> None:
    """Check that the queue can hold a task back for as long, and be asked as often, as its retries need."""
    worker, queue = settings.worker, settings.queue
    stretch = 1 + settings.retries.backoff_jitter
    config.check(
        ("backoffBaseSeconds", "backoffMaxSeconds"),
        base <= longest,
        f"backoffBaseSeconds: {base:g}; allowed: at most backoffMaxSeconds = {longest:g}{whose}",
    )
    hidden_seconds = longest * stretch + worker.timeout_seconds
    config.check(
        ("backoffMaxSeconds", "backoffJitter", "workerTimeoutSeconds"),
        hidden_seconds <= MAX_VISIBILITY_SECONDS,
        f"backoffMaxSeconds: {longest:g}; allowed: backoffMaxSeconds x (1 + backoffJitter) + workerTimeoutSeconds "
        f"of at most {MAX_VISIBILITY_SECONDS}, it is {hidden_seconds:g}{whose}",
    )
    backoffs = stretch * _sum_of_backoffs(base, longest, int(retries))
    each = settings.alarms.queue_age_seconds + worker.timeout_seconds
    days = (_QUEUED_AHEAD_SECONDS + (int(retries) + 1) * each + backoffs) / _DAY_SECONDS
    config.check(
        (
            *("maxRetries", "backoffBaseSeconds", "backoffMaxSeconds", "backoffJitter"),
            *("messageRetentionDays", "alarmQueueAgeSeconds", "workerTimeoutSeconds"),
        ),
        days < queue.retention_days,
        f"messageRetentionDays: {queue.retention_days}; allowed: more than the attempts of a task can take together, "
        "with workerTimeoutSeconds for each, alarmQueueAgeSeconds in the queue before each and the backoffs between "
        f"them, {days:.1f} days{whose}",
    )
    config.check(
        ("maxReceiveCount", "maxRetries"),
        queue.max_receive_count >= 2 * (retries + 1),
        f"maxReceiveCount: {queue.max_receive_count}; allowed: at least 2 x (maxRetries + 1) = "
        f"{2 * (retries + 1):g}{whose}",
    )


def _sum_of_backoffs(base: float, longest: float, retries: int) -> float:
    """Seconds that a run waits between its attempts, before jitter."""
    wait, total = base, 0.0
    for _ in range(min(retries, MAX_RECEIVES)):
        wait = min(wait, longest)
        total += wait
        wait *= 2
    return total
