"""Task types: the functions that do a task's work, and what each states about itself.

    @dataclass(frozen=True)
    class Resize:
        url: Annotated[str, Limits(1, 2048), "Where the picture is."]
        width: Annotated[int, Limits(1, 4000), "Its new width in pixels."] = 100

    @task_type("resize", payload=Resize, max_retries=5, time_limit_seconds=20)
    def resize(picture: Resize, attempt: Attempt):
        return {"width": picture.width}

A function gets the task's data and the `Attempt`, and returns what JSON can hold. Its data is an instance of the
dataclass that it states as its payload (`tasklib.payload` has the rules); without one, it is the `answer` string or the
`payload` object as it came. Any exception fails the attempt; `PermanentError` fails the task at once; `RetryLaterError`
says when to try again. An attempt can be repeated after a crash even though it did its work, so the work has to be
idempotent: `attempt.idempotency_key` is the same in all attempts of a run, and in nothing else.
"""

import hashlib
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple, TypeVar

from tasklib.payload import FieldError, Model

P = TypeVar("P")
R = TypeVar("R")

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class PermanentError(Exception):
    """Raise it in a task's function when no retry can help: the task is FAILED and dead-lettered at once."""


class RetryLaterError(Exception):
    """Raise it to fail the attempt and say, in seconds, how long to wait before the next one.

    That is the next delay instead of the backoff, up to the type's `backoff_max_seconds`; the number of retries stays.
    """

    def __init__(self, message: str, delay_seconds: float) -> None:
        super().__init__(message)
        # Not a number counts as 0, and nothing is asked for beyond a year.
        self.delay_seconds = min(max(0.0, delay_seconds), 366 * 86_400.0)


class Attempt(NamedTuple):
    """Which execution this is: `number` counts the attempts of this `run` from 1.

    `secrets` has the values of the type's secrets by the names that it gave them; those that the stack does not
    configure are absent. `created_at` is when the task was accepted, in ISO 8601.
    """

    task_id: str
    run: int
    number: int
    correlation_id: str
    secrets: Mapping[str, str] = _NOTHING
    created_at: str = ""

    @property
    def idempotency_key(self) -> str:
        """32 hexadecimal digits that name this run of this task, for what is to happen once in all of its attempts.

        Another task that gets the same ID, after this one has expired, has other keys.
        """
        name = f"{self.task_id}\n{self.created_at}\n{self.run}"
        return hashlib.sha256(name.encode()).hexdigest()[:32]

    def __repr__(self) -> str:
        return f"Attempt({self.task_id!r}, run={self.run}, number={self.number})"


class TaskType(NamedTuple):
    """A registered type. `retry` holds what it states of its own retry policy, by field name of RetryPolicy;
    `time_limit_seconds` is None where the stack's limit holds; `function` takes a task's data as it is stored."""

    name: str
    function: Callable[[Any, Attempt], Any]
    retry: Mapping[str, float]
    time_limit_seconds: float | None
    payload: Model | None = None
    takes_answer: bool = True
    secrets: Mapping[str, str] = _NOTHING
    packages: Sequence[str] = ()
    grants: Mapping[str, Sequence[str]] = _NOTHING

    def parse(self, data: Any) -> tuple[Any, list[FieldError]]:
        """What the function gets for the data of a task (a string is its `answer`), or None and every problem."""
        if self.payload is None or (isinstance(data, str) and self.takes_answer):
            return data, []
        if isinstance(data, str):
            fields = ", ".join(self.payload.fields)
            return None, [
                FieldError("answer", f"is nothing for a task of type {self.name}; send a payload of {fields}")
            ]
        return self.payload.parse(data)


#: Every type that was registered, by name.
REGISTRY: dict[str, TaskType] = {}

#: The type of a task that names none.
DEFAULT_TYPE = "simulate"


def task_type(
    name: str,
    *,
    payload: type[P] | None = None,
    takes_answer: bool | None = None,
    max_retries: int | None = None,
    backoff_base_seconds: float | None = None,
    backoff_max_seconds: float | None = None,
    time_limit_seconds: float | None = None,
    secrets: Mapping[str, str] = _NOTHING,
    packages: Sequence[str] = (),
    grants: Mapping[str, Sequence[str]] = _NOTHING,
) -> Callable[[Callable[[P, Attempt], R]], Callable[[P, Attempt], R]]:
    """Registers a function as the task type `name`.

    Write the arguments, all but `payload`, as literals: the Pulumi program reads them without importing the code.
    What is left out is as the stack's configuration says; the time limit is then the worker's time-out less 5 s.

    Args:
        name: What clients send as `type`.
        payload: Dataclass that a task's payload must fit, checked when it is submitted and again when it runs.
        takes_answer: Whether a task may have an `answer` string instead of a payload, which the function then gets as
            it is. By default only where no `payload` is stated.
        max_retries: Retries after the first attempt.
        backoff_base_seconds: Seconds before the first retry, doubled for each further one.
        backoff_max_seconds: Most seconds before any retry.
        time_limit_seconds: Seconds after which an attempt is ended.
        secrets: What the function finds in `attempt.secrets`: each name with the environment variable of the worker
            that holds the name of its SSM parameter.
        packages: Packages beyond boto3, each `name==version --hash=sha256:...`, pure Python.
        grants: What the function's calls to AWS may do: IAM actions, each with the ARNs of its resources, in which
            `{partition}`, `{region}`, `{account}` and `{prefix}` (project and stack) are filled in.

    Raises:
        ValueError: two functions have the same name.
        TypeError: `payload` is no dataclass, or has a field of a type that no payload can have.
    """
    retry = {
        "max_retries": max_retries,
        "backoff_base_seconds": backoff_base_seconds,
        "backoff_max_seconds": backoff_max_seconds,
    }
    model = None if payload is None else Model(payload)

    def register(function: Callable[[P, Attempt], R]) -> Callable[[P, Attempt], R]:
        if name in REGISTRY:
            raise ValueError(f"task type {name!r} is registered twice")

        def run(data: Any, attempt: Attempt) -> R:
            value, problems = registered.parse(data)
            if model and problems:
                raise PermanentError(model.without_names(problems))
            return function(value, attempt)

        registered = REGISTRY[name] = TaskType(
            name,
            run if model else function,
            {field: value for field, value in retry.items() if value is not None},
            time_limit_seconds,
            model,
            model is None if takes_answer is None else takes_answer,
            secrets,
            packages,
            grants,
        )
        return function

    return register


def load_all(package: ModuleType) -> Mapping[str, TaskType]:
    """Imports every module of the package, so that its types register, and returns them all by name."""
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return REGISTRY
