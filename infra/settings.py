"""The stack's configuration as typed values. The only place that reads it.

Pulumi.yaml declares every key with its type, description and default, and the Pulumi CLI fills the defaults
in; ranges, rules between keys and unknown keys are checked here. All that is wrong is reported in one
message.
"""

import base64
import difflib
import ipaddress
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar, cast

import pulumi
import pulumi.runtime.config

from infra.task_types import DeclaredTaskType

T = TypeVar("T")

_DAY_SECONDS = 24 * 60 * 60
#: SQS hides a message for 12 hours at most.
_MAX_VISIBILITY_SECONDS = 12 * 60 * 60
#: The most receives after which SQS can be told to dead-letter a message.
_MAX_RECEIVES = 1_000
#: Lambda delivers more messages than this at once only if it may wait for them.
_MAX_BATCH_WITHOUT_WINDOW = 10
#: What the worker keeps of its time to settle its batch after the last task ended.
_SETTLE_SECONDS = 5
#: Tasks that one worker runs side by side, and what has to be left of its time beyond a task's limit for that task
#: to start.
_SIDE_BY_SIDE = 10
_START_SECONDS = 3
#: A visibility timeout of so many invocations leaves room for throttled ones; AWS recommends it.
_VISIBILITY_IN_TIMEOUTS = 6
#: Names of roles and functions end at 64 characters. This leaves 20 for the thing and 8 for what Pulumi
#: appends.
_MAX_PREFIX_LENGTH = 35
_LOG_RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
_ORIGIN = re.compile(r"https?://(\*|[a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?")
#: Who issues tokens: https, or a test's issuer on this machine, which AWS itself refuses.
_ISSUER = re.compile(
    r"((https://[a-z0-9.-]+|http://(localhost|127\.0\.0\.1))(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?)?"
)
_AUDIENCE = re.compile(r"[!-~]{0,255}")
_HOST = re.compile(
    r"(\*\.)?(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
#: Bytes of a key that signs webhooks, as Standard Webhooks has it.
_SIGNING_KEY_BYTES = range(24, 65)
_RATE = re.compile(r"rate\((1 (minute|hour|day)|([2-9]|[1-9]\d+) (minutes|hours|days))\)")
_UNIT_SECONDS = {"minute": 60, "hour": 60 * 60, "day": _DAY_SECONDS}
_EMAIL = re.compile(r"([^\s@]{1,64}@[A-Za-z0-9.-]{1,190})?")
_ADDRESS = re.compile(r"[^\s#]{1,300}")
_CRON = re.compile(r"cron\((?P<fields>[0-9A-Z*,/?#-]+( [0-9A-Z*,/?#-]+){5})\)")


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


@dataclass(frozen=True)
class Monitor:
    """The dead-letter monitor.

    Attributes:
        trigger: What starts it.
        schedule: When, if the schedule starts it.
    """

    trigger: Literal["schedule", "queue"]
    schedule: str

    @property
    def interval_seconds(self) -> int | None:
        """How often a clock starts it; None if none does, or if its schedule says no interval."""
        rate = _RATE.fullmatch(self.schedule)
        if self.trigger == "queue" or rate is None:
            return None
        number, unit = rate[1].split(" ")
        return int(number) * _UNIT_SECONDS[unit.removesuffix("s")]


@dataclass(frozen=True)
class TokenIssuer:
    """Whose tokens the HTTP API takes.

    Attributes:
        issuer: URL of the issuer, exactly as its tokens have it in ``iss``.
        audience: What its tokens for this API have in ``aud``, or else in ``client_id``.
    """

    issuer: str
    audience: str


@dataclass(frozen=True)
class Api:
    """The HTTP API.

    Attributes:
        tokens: Whose tokens callers have to show; None lets everybody call it.
        throttle_rate: Requests per second in the long run.
        throttle_burst: Requests at one moment.
        cors_origins: Origins whose web pages may call it.
        memory_mb: Memory in MB of each function behind it.
        provisioned_concurrency: Environments that are kept started of each function that all clients call.
    """

    tokens: TokenIssuer | None
    throttle_rate: int
    throttle_burst: int
    cors_origins: tuple[str, ...]
    memory_mb: int
    provisioned_concurrency: int


@dataclass(frozen=True)
class Webhooks:
    """Where tasks of the type ``webhook`` may deliver to, and how their deliveries are signed.

    Attributes:
        allowed_hosts: Host names, or ``*.`` and a domain for its sub-domains; none allows every host.
        allowed_networks: CIDR blocks, and the word ``public`` for all public addresses.
        secret: One signing secret, or two with a space between; None without one. For an encrypted place alone.
    """

    allowed_hosts: tuple[str, ...]
    allowed_networks: tuple[str, ...]
    secret: str | None = field(repr=False)


@dataclass(frozen=True)
class Alarms:
    """Who is called, and from where on.

    Attributes:
        email: Who gets an e-mail; nobody if it is empty.
        runbook_url: Where people find what to do: the address of ``docs/runbook.md``.
        dead_letters: Dead letters in five minutes.
        queue_age_seconds: Age of the oldest task that waits.
        api_errors: Answers of 5xx in five minutes.
        api_latency_ms: Latency of the slowest hundredth of requests, for a quarter of an hour.
    """

    email: str
    runbook_url: str
    dead_letters: int
    queue_age_seconds: int
    api_errors: int
    api_latency_ms: int


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


def load(task_types: Sequence[DeclaredTaskType]) -> Settings:
    """Read and check the configuration of the current stack.

    Args:
        task_types: Types whose own retry rules and time limits the queue and the worker must leave room for.

    Raises:
        pulumi.RunError: Something is wrong. The message names every wrong key, its value and what is
            allowed; the value of a secret is not shown. Pulumi prints it without a traceback.
    """
    project, stack = pulumi.get_project(), pulumi.get_stack()
    config = _Config(project)
    retries = Retries(
        max_retries=config.integer("maxRetries", 0, 100),
        backoff_base_seconds=config.integer("backoffBaseSeconds", 1, _MAX_VISIBILITY_SECONDS),
        backoff_max_seconds=config.integer("backoffMaxSeconds", 1, _MAX_VISIBILITY_SECONDS),
        backoff_jitter=config.fraction("backoffJitter"),
    )
    worker = Worker(
        memory_mb=config.integer("workerMemoryMb", 128, 10_240),
        timeout_seconds=config.integer("workerTimeoutSeconds", _SETTLE_SECONDS + 1, 900),
        max_concurrency=config.integer("workerMaxConcurrency", 2, 1_000),
        batch_size=config.integer("batchSize", 1, 10_000),
        batch_window_seconds=config.integer("batchWindowSeconds", 0, 300),
        failure_rate=config.fraction("failureRate"),
        provisioned_concurrency=config.integer("workerProvisionedConcurrency", 0, 1_000),
    )
    queue = TaskQueue(
        visibility_timeout_seconds=(
            config.integer("visibilityTimeoutSeconds", 0, _MAX_VISIBILITY_SECONDS)
            or _VISIBILITY_IN_TIMEOUTS * worker.timeout_seconds + worker.batch_window_seconds
        ),
        retention_days=config.integer("messageRetentionDays", 1, 14),
        max_receive_count=config.integer("maxReceiveCount", 1, _MAX_RECEIVES),
    )
    settings = Settings(
        prefix=f"{project}-{stack}",
        tags={"project": project, "stack": stack},
        retries=retries,
        worker=worker,
        queue=queue,
        monitor=Monitor(
            trigger=config.choice("dlqMonitorTrigger", ("schedule", "queue")),
            schedule=config.schedule("dlqMonitorSchedule"),
        ),
        api=Api(
            tokens=_tokens(config),
            throttle_rate=config.integer("apiThrottleRate", 1, 100_000),
            throttle_burst=config.integer("apiThrottleBurst", 1, 100_000),
            cors_origins=config.origins("corsOrigins"),
            memory_mb=config.integer("apiMemoryMb", 128, 10_240),
            provisioned_concurrency=config.integer("apiProvisionedConcurrency", 0, 1_000),
        ),
        webhooks=Webhooks(
            allowed_hosts=config.texts(
                "webhookAllowedHosts",
                _is_host,
                'an array of host names in lower case, such as ["hooks.example.com"], or "*.example.com" for all below',
            ),
            allowed_networks=config.texts(
                "webhookAllowedNetworks",
                _is_network,
                'an array of networks such as ["10.1.0.0/16"], and "public" for all public addresses',
            ),
            secret=config.secret(
                "webhookSecret",
                _is_signing_secret,
                "whsec_ and 24 to 64 bytes in Base64, or two of them with a space between",
            ),
        ),
        architecture=config.choice("architecture", ("arm64", "x86_64")),
        snap_start=config.boolean("snapStart"),
        list_shards=config.integer("listShards", 1, 100),
        task_retention_days=config.integer("taskRetentionDays", 0, 3_650),
        log_retention_days=config.integer_of("logRetentionDays", _LOG_RETENTION_DAYS),
        alarms=Alarms(
            email=config.text("alarmEmail", _EMAIL, "an e-mail address, or nothing"),
            runbook_url=config.text("runbookUrl", _ADDRESS, "an address or a path without spaces"),
            dead_letters=config.integer("alarmDeadLetters", 1, 1_000_000),
            queue_age_seconds=config.integer("alarmQueueAgeSeconds", 60, 14 * _DAY_SECONDS),
            api_errors=config.integer("alarmApiErrors", 1, 1_000_000),
            api_latency_ms=config.integer("alarmApiLatencyMs", 1, 30_000),
        ),
        tracing=config.boolean("tracing"),
        protect_data=config.boolean("protectData"),
    )
    _check_anonymous(config, settings)
    _check_worker(config, worker, queue)
    _check_batch(config, worker, task_types)
    _check_cold_starts(config, settings)
    _check_retries(config, settings, task_types)
    config.check_unknown_keys()
    problems = [*_check_stack_name(settings.prefix, stack), *config.problems]
    if problems:
        raise pulumi.RunError("\n  ".join([f"The configuration of stack {stack} is wrong:", *problems]))
    return settings


def _check_stack_name(prefix: str, stack: str) -> list[str]:
    """The stack's name is part of every physical name, and AWS allows fewer names than Pulumi."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", prefix) and len(prefix) <= _MAX_PREFIX_LENGTH:
        return []
    longest = _MAX_PREFIX_LENGTH - (len(prefix) - len(stack))
    return [f'stack name: "{stack}"; allowed: letters, digits, - and _, at most {longest} of them']


def _tokens(config: "_Config") -> TokenIssuer | None:
    """Read whose tokens are taken; an issuer that nobody would ask is reported too."""
    wanted = config.choice("auth", ("none", "jwt")) == "jwt"

    def read(key: str, pattern: re.Pattern[str], allowed: str) -> str:
        value = config.text(key, pattern, allowed)
        config.check(
            ("auth", key), bool(value) or not wanted, f"{key}: not set; allowed with auth jwt: {allowed}"
        )
        config.check(
            ("auth", key), wanted or not value, f"{key}: {json.dumps(value)}; allowed only with auth jwt"
        )
        return value

    issuer = read(
        "jwtIssuer",
        _ISSUER,
        "the https:// URL of who issues the tokens, as they have it in iss (http:// on 127.0.0.1 or localhost only)",
    )
    audience = read("jwtAudience", _AUDIENCE, "what the tokens for this API have in aud, without spaces")
    return TokenIssuer(issuer, audience) if wanted else None


def _check_anonymous(config: "_Config", settings: Settings) -> None:
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


def _check_worker(config: "_Config", worker: Worker, queue: TaskQueue) -> None:
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


def _check_batch(config: "_Config", worker: Worker, task_types: Sequence[DeclaredTaskType]) -> None:
    """Check that every task of a batch can start, even if those before it take all the time that they may.

    One that cannot goes back to the queue, each time at the price of a receive, and ends as a dead letter that never
    ran.
    """
    if worker.batch_size <= _SIDE_BY_SIDE:
        return
    unstated = worker.timeout_seconds - _SETTLE_SECONDS
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


def _check_cold_starts(config: "_Config", settings: Settings) -> None:
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


def _check_retries(config: "_Config", settings: Settings, task_types: Sequence[DeclaredTaskType]) -> None:
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
            limit + _SETTLE_SECONDS <= settings.worker.timeout_seconds,
            f"workerTimeoutSeconds: {settings.worker.timeout_seconds}; allowed: at least the time limit of a task "
            f"+ {_SETTLE_SECONDS} = {limit + _SETTLE_SECONDS:g}{whose}",
        )


def _check_backoffs(
    config: "_Config", settings: Settings, whose: str, base: float, longest: float, retries: float
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
        hidden_seconds <= _MAX_VISIBILITY_SECONDS,
        f"backoffMaxSeconds: {longest:g}; allowed: backoffMaxSeconds x (1 + backoffJitter) + workerTimeoutSeconds "
        f"of at most {_MAX_VISIBILITY_SECONDS}, it is {hidden_seconds:g}{whose}",
    )
    waiting_days = stretch * _sum_of_backoffs(base, longest, int(retries)) / _DAY_SECONDS
    config.check(
        ("maxRetries", "backoffBaseSeconds", "backoffMaxSeconds", "backoffJitter", "messageRetentionDays"),
        waiting_days < queue.retention_days,
        f"messageRetentionDays: {queue.retention_days}; allowed: more than the maxRetries backoffs of a task together, "
        f"{waiting_days:.1f} days{whose}",
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
    for _ in range(min(retries, _MAX_RECEIVES)):
        wait = min(wait, longest)
        total += wait
        wait *= 2
    return total


class _Config:
    """The configuration of one project, read key by key; what is wrong is collected instead of raised.

    A wrong value reads as some allowed one, so that reading goes on.

    Attributes:
        problems: One line for each thing that is wrong.
    """

    def __init__(self, project: str) -> None:
        self.problems: list[str] = []
        self._bag = pulumi.Config(project)
        self._read: set[str] = set()
        self._wrong: set[str] = set()

    def integer(self, key: str, low: int, high: int) -> int:
        def parse(text: str) -> int:
            value = _whole_number(text)
            if not low <= value <= high:
                raise ValueError
            return value

        return self._value(key, parse, f"a whole number from {low} to {high}", instead=low)

    def integer_of(self, key: str, allowed: Sequence[int]) -> int:
        def parse(text: str) -> int:
            return allowed[allowed.index(_whole_number(text))]

        return self._value(key, parse, f"one of {', '.join(map(str, allowed))}", instead=allowed[0])

    def fraction(self, key: str) -> float:
        def parse(text: str) -> float:
            value = float(text)
            if not 0 <= value <= 1:
                raise ValueError
            return value

        return self._value(key, parse, 'a number from 0 to 1 as a string, such as "0.3"', instead=0)

    def boolean(self, key: str) -> bool:
        return self._value(
            key, lambda text: {"true": True, "false": False}[text], "true or false", instead=False
        )

    def choice(self, key: str, allowed: Sequence[T]) -> T:
        def parse(text: str) -> T:
            return next(value for value in allowed if value == text)

        return self._value(key, parse, " or ".join(map(str, allowed)), instead=allowed[0])

    def text(self, key: str, pattern: re.Pattern[str], allowed: str) -> str:
        def parse(text: str) -> str:
            if not pattern.fullmatch(text):
                raise ValueError
            return text

        return self._value(key, parse, allowed, instead="")

    def schedule(self, key: str) -> str:
        def parse(text: str) -> str:
            cron = _CRON.fullmatch(text)
            # Of day-of-month and day-of-week exactly one says when, and the other is a question mark.
            if not _RATE.fullmatch(text) and not (
                cron and [part == "?" for part in cron["fields"].split()[2::2]].count(True) == 1
            ):
                raise ValueError
            return text

        allowed = "rate(5 minutes) or cron(0/5 * * * ? *) in EventBridge's notation"
        return self._value(key, parse, allowed, instead="")

    def texts(self, key: str, is_good: Callable[[str], bool], allowed: str) -> tuple[str, ...]:
        """An array whose items are strings of one kind."""

        def parse(text: str) -> tuple[str, ...]:
            items: object = json.loads(text)
            if not isinstance(items, list):
                raise ValueError
            texts = [item for item in cast("list[object]", items) if isinstance(item, str) and is_good(item)]
            if len(texts) < len(cast("list[object]", items)):
                raise ValueError
            return tuple(texts)

        return self._value(key, parse, allowed, instead=())

    def secret(self, key: str, is_good: Callable[[str], bool], allowed: str) -> str | None:
        """A secret, or None when it is not set. Its value is never shown, even where it stands in plain text."""
        self._read.add(key)
        text = self._bag.get(key)
        if text is None:
            return None
        if not pulumi.runtime.is_config_secret(self._bag.full_key(key)):
            self.problems.append(
                f"{key}: [plain text]; allowed: a secret, set with pulumi config set --secret {key}"
            )
        if not is_good(text):
            self.problems.append(f"{key}: [secret]; allowed: {allowed}")
        return text

    def origins(self, key: str) -> tuple[str, ...]:
        def parse(text: str) -> tuple[str, ...]:
            origins: object = json.loads(text)
            if not isinstance(origins, list):
                raise ValueError
            texts = [str(origin) for origin in cast("list[object]", origins)]
            if texts != ["*"] and not all(_ORIGIN.fullmatch(origin) for origin in texts):
                raise ValueError
            return tuple(texts)

        allowed = 'an array of origins without path, such as ["https://tasks.example.com"], or ["*"]'
        return self._value(key, parse, allowed, instead=())

    def check(self, keys: Sequence[str], holds: bool, problem: str) -> None:
        """Record the problem unless it holds; wrong values among the keys are reported already."""
        if not holds and self._wrong.isdisjoint(keys):
            self.problems.append(problem)

    def check_unknown_keys(self) -> None:
        """Report each key of the project that nothing has read: the CLI lets them pass."""
        for full_key in sorted(pulumi.runtime.config.CONFIG.get()):
            namespace, _, key = full_key.partition(":")
            if namespace == self._bag.name and key not in self._read:
                similar = difflib.get_close_matches(key, self._read, n=1)
                hint = f"; did you mean {similar[0]}?" if similar else ""
                self.problems.append(f"{key}: not a key of this project{hint}")

    def _value(self, key: str, parse: Callable[[str], T], allowed: str, *, instead: T) -> T:
        self._read.add(key)
        text = self._bag.get(key)
        if text is None:
            shown = "not set"
        else:
            try:
                return parse(text)
            except (ValueError, LookupError, StopIteration):
                secret = pulumi.runtime.is_config_secret(self._bag.full_key(key))
                shown = "[secret]" if secret else json.dumps(text)
        self._wrong.add(key)
        self.problems.append(f"{key}: {shown}; allowed: {allowed}")
        return instead


def _whole_number(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise ValueError
    return int(text)


def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text) is not None


def _is_network(text: str) -> bool:
    try:
        return text == "public" or ("/" in text and bool(ipaddress.ip_network(text)))
    except ValueError:
        return False


def _is_signing_secret(text: str) -> bool:
    secrets = text.split(" ")
    return len(secrets) <= 2 and all(
        secret.startswith("whsec_") and _key_bytes(secret.removeprefix("whsec_")) in _SIGNING_KEY_BYTES
        for secret in secrets
    )


def _key_bytes(text: str) -> int:
    try:
        return len(base64.b64decode(text, validate=True))
    except ValueError:
        return 0
