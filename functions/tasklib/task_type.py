"""Task types: the functions that do a task's work, and what each states about itself.

    @task_type("resize", max_retries=5, time_limit_seconds=20)
    def resize(data, attempt):
        return {"width": 100}

A function gets the task's data (the `answer` string or the `payload` object) and the `Attempt`, and returns
what JSON can hold. Any exception fails the attempt; `PermanentError` fails the task at once. An attempt can be
repeated after a crash even though it did its work, so the work has to be idempotent: task ID and run tell one
execution from another.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple


class PermanentError(Exception):
    """Raise it in a task's function when no retry can help: the task is FAILED and dead-lettered at once."""


class Attempt(NamedTuple):
    """Which execution this is: `number` counts the attempts of this `run` from 1."""

    task_id: str
    run: int
    number: int
    correlation_id: str


class TaskType(NamedTuple):
    """A registered type. `retry` holds what it states of its own retry policy, by field name of RetryPolicy;
    `time_limit_seconds` is None where the stack's limit holds."""

    name: str
    function: Callable[[Any, Attempt], Any]
    retry: Mapping[str, float]
    time_limit_seconds: float | None


#: Every type that was registered, by name.
REGISTRY: dict[str, TaskType] = {}

#: The type of a task that names none.
DEFAULT_TYPE = "simulate"


def task_type(
    name: str,
    *,
    max_retries: int | None = None,
    backoff_base_seconds: float | None = None,
    backoff_max_seconds: float | None = None,
    time_limit_seconds: float | None = None,
) -> Callable[[Callable[[Any, Attempt], Any]], Callable[[Any, Attempt], Any]]:
    """Registers a function as the task type `name`.

    Write the arguments as literals: the Pulumi program reads them without importing the code. What is left
    out is as the stack's configuration says; the time limit is then the worker's time-out less 5 s.

    Raises:
        ValueError: two functions have the same name.
    """
    retry = {
        "max_retries": max_retries,
        "backoff_base_seconds": backoff_base_seconds,
        "backoff_max_seconds": backoff_max_seconds,
    }

    def register(function: Callable[[Any, Attempt], Any]) -> Callable[[Any, Attempt], Any]:
        if name in REGISTRY:
            raise ValueError(f"task type {name!r} is registered twice")
        stated = {field: value for field, value in retry.items() if value is not None}
        REGISTRY[name] = TaskType(name, function, stated, time_limit_seconds)
        return function

    return register


def load_all(package: ModuleType) -> Mapping[str, TaskType]:
    """Imports every module of the package, so that its types register, and returns them all by name."""
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return REGISTRY
