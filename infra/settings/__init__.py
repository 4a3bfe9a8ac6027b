"""The stack's configuration as typed values. The only place that reads it.

Pulumi.yaml declares every key with its type, description and default, and the Pulumi CLI fills the defaults
in; ranges, rules between keys and unknown keys are checked here. All that is wrong is reported in one
message.
"""

import re
from collections.abc import Sequence

import pulumi

from infra.settings import cross_checks
from infra.settings.alarms import Alarms, read_alarms
from infra.settings.api import TokenIssuer, read_api
from infra.settings.monitor import Monitor, read_monitor
from infra.settings.processing import read_queue, read_retries, read_worker
from infra.settings.reader import Reader
from infra.settings.stack import Settings
from infra.settings.webhooks import read_webhooks
from infra.task_types import DeclaredTaskType

__all__ = ["Alarms", "Monitor", "Settings", "TokenIssuer", "load"]

#: Names of roles and functions end at 64 characters. This leaves 20 for the thing and 8 for what Pulumi
#: appends.
_MAX_PREFIX_LENGTH = 35
_LOG_RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)


def load(task_types: Sequence[DeclaredTaskType]) -> Settings:
    """Read and check the configuration of the current stack.

    Args:
        task_types: Types whose own retry rules and time limits the queue and the worker must leave room for.

    Raises:
        pulumi.RunError: Something is wrong. The message names every wrong key, its value and what is
            allowed; the value of a secret is not shown. Pulumi prints it without a traceback.
    """
    project, stack = pulumi.get_project(), pulumi.get_stack()
    config = Reader(project)
    retries = read_retries(config)
    worker = read_worker(config)
    settings = Settings(
        prefix=f"{project}-{stack}",
        tags={"project": project, "stack": stack},
        retries=retries,
        worker=worker,
        queue=read_queue(config, worker),
        monitor=read_monitor(config),
        api=read_api(config),
        webhooks=read_webhooks(config),
        architecture=config.choice("architecture", ("arm64", "x86_64")),
        snap_start=config.boolean("snapStart"),
        list_shards=config.integer("listShards", 1, 100),
        task_retention_days=config.integer("taskRetentionDays", 0, 3_650),
        log_retention_days=config.integer_of("logRetentionDays", _LOG_RETENTION_DAYS),
        alarms=read_alarms(config),
        tracing=config.boolean("tracing"),
        protect_data=config.boolean("protectData"),
    )
    cross_checks.check(config, settings, task_types)
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
