"""What a run hands back: how it ended, what it did and measured, what to exit with."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from client.errors import NoAnswerError, TasksError, first_of
from client.measure import Latencies

#: Single tasks that the text of a report names; the JSON has them all.
NAMED_TASKS = 3

#: Called with the name of a progress bar whenever one more of its steps is done.
Advance = Callable[[str], None]


class Outcome(StrEnum):
    """How a run ended."""

    OK = "ok"
    INCOMPLETE = "incomplete"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"

    @property
    def exit_code(self) -> int:
        """For the shell. 2 is left to wrong usage; 130 is what shells give for Ctrl-C."""
        return {"ok": 0, "incomplete": 1, "unreachable": 3, "refused": 4, "interrupted": 130}[self]


class Run(ABC):
    """How one run of a command goes.

    Attributes:
        url: of the API.
        elapsed: seconds that it took.
        error: what ended it before its time, if anything did.
        interrupted: True when a person did.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.elapsed = 0.0
        self.error: TasksError | None = None
        self.interrupted = False

    @property
    @abstractmethod
    def complete(self) -> bool:
        """True when everything that was asked for has happened."""

    @property
    def outcome(self) -> Outcome:
        """How the run ended."""
        if self.interrupted:
            return Outcome.INTERRUPTED
        if self.error is not None:
            return Outcome.UNREACHABLE if isinstance(self.error, NoAnswerError) else Outcome.REFUSED
        return Outcome.OK if self.complete else Outcome.INCOMPLETE

    @contextmanager
    def running(self) -> Generator[None]:
        """Around the run: takes its time, and keeps the error that a task group ended with."""
        started = time.perf_counter()
        try:
            yield
        except* TasksError as errors:
            self.error = first_of(errors)
        finally:
            self.elapsed = time.perf_counter() - started


class Report(Run):
    """What one run did, filled in while it goes on: an interrupted run has its report too.

    Attributes:
        count: tasks asked for.
        errors: failed requests by kind, those that were sent again with success included.
    """

    def __init__(self, url: str, count: int) -> None:
        super().__init__(url)
        self.count = count
        self.errors: Counter[str] = Counter()

    @property
    @abstractmethod
    def bars(self) -> Mapping[str, int | None]:
        """The progress bars of this run: names, and the number of steps of each, None while it is not known."""

    @property
    @abstractmethod
    def headline(self) -> str:
        """The result in one line."""

    @property
    @abstractmethod
    def facts(self) -> Mapping[str, str]:
        """Further lines: what each tells and its text; an empty text has nothing to tell."""

    @property
    @abstractmethod
    def latencies(self) -> Mapping[str, Latencies | None]:
        """Percentiles by what was measured; None where nothing was."""

    @property
    @abstractmethod
    def details(self) -> Mapping[str, Any]:
        """What the JSON of this kind of run has besides the fields of every report."""

    @property
    def has_content(self) -> bool:
        """True when there is something to show besides an error that ended the run."""
        return any(self.latencies.values())

    def count_error(self, error: TasksError) -> None:
        """Note a failed request."""
        self.errors[error.kind] += 1

    def as_json(self) -> dict[str, Any]:
        """Everything measured, in fields that scripts can rely on; times are in seconds."""
        return {
            "url": self.url,
            "outcome": self.outcome,
            "error": None if self.error is None else str(self.error),
            "count": self.count,
            "elapsedSeconds": round(self.elapsed, 6),
            "latencySeconds": {
                name: None if measured is None else measured.as_json()
                for name, measured in self.latencies.items()
            },
            "errors": dict(self.errors),
            **self.details,
        }


def counts(counter: Mapping[Any, int]) -> str:
    """Names with their numbers, as one line."""
    return ", ".join(f"{name}: {number}" for name, number in counter.items())


def first(names: Sequence[str]) -> str:
    """The first few of many, as one line that says how many more there are."""
    more = len(names) - NAMED_TASKS
    return "; ".join(names[:NAMED_TASKS]) + (f"; and {more} more" if more > 0 else "")
