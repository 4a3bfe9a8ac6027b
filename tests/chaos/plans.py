"""What each task of a run is going to do, decided from the seed before anything runs."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

#: The name of the task type in `chaotic_task`.
TASK_TYPE = "chaos"


class Deed(StrEnum):
    """What an attempt does once it has worked."""

    RETURN = "return"
    RAISE = "raise"
    GIVE_UP = "give up"  #: raises the error that says that no retry can help
    OVERRUN = "overrun"  #: goes on past its time limit
    KILL_ITSELF = "kill itself"  #: ends its own process, a child of the worker's
    KILL_WORKER = "kill worker"  #: ends the process that Lambda started, with every neighbour in it


class Child(StrEnum):
    """What a process does that an attempt forks before it works."""

    RETURN = "return"  #: comes back from the task's function, with a result of its own
    RAISE = "raise"  #: comes back from it with an error
    EXIT = "exit"  #: calls `sys.exit`
    LIVE_ON = "live on"  #: goes on in a session of its own, and writes down that it does


@dataclass(frozen=True)
class Plan:
    """One task: the deeds of each run's attempts, the seconds that each works, and bytes of ballast in its data.

    With a `child`, each of its attempts forks one, which does its own deed after `child_seconds`.
    """

    task_id: str
    runs: tuple[tuple[Deed, ...], ...]
    seconds: float
    ballast: int = 0
    child: Child | None = None
    child_seconds: float = 0

    def submission(self) -> Mapping[str, Any]:
        """The body of the request that submits this task."""
        payload = {
            "runs": self.runs,
            "seconds": self.seconds,
            "ballast": "x" * self.ballast,
            "child": self.child,
            "childSeconds": self.child_seconds,
        }
        return {"taskId": self.task_id, "type": TASK_TYPE, "payload": payload}


#: Deeds of a first run and their share of all tasks.
_STORIES: Sequence[tuple[float, tuple[Deed, ...]]] = (
    (0.66, (Deed.RETURN,)),
    (0.10, (Deed.RAISE, Deed.RETURN)),
    (0.05, (Deed.RAISE, Deed.RAISE, Deed.RETURN)),
    (0.05, (Deed.RAISE,)),
    (0.03, (Deed.GIVE_UP,)),
    (0.03, (Deed.OVERRUN, Deed.RETURN)),
    (0.01, (Deed.OVERRUN,)),
    (0.04, (Deed.KILL_ITSELF, Deed.RETURN)),
    (0.01, (Deed.KILL_ITSELF,)),
    (0.015, (Deed.KILL_WORKER, Deed.RETURN)),
    (0.005, (Deed.KILL_WORKER,)),
)

#: The share of all tasks that fork.
_FORKING = 0.2


def make_plans(count: int, rng: random.Random) -> list[Plan]:
    """Plans for so many tasks; there is every kind of story and of child if there is room for all."""
    told = [story for _, story in _STORIES][:count]
    shares = [share for share, _ in _STORIES]
    told += rng.choices([story for _, story in _STORIES], shares, k=count - len(told))
    rng.shuffle(told)
    shares = [1 - _FORKING, *[_FORKING / len(Child)] * len(Child)]
    children = [*Child, *rng.choices([None, *Child], shares, k=count)][:count]
    return [
        Plan(
            task_id=f"chaos-{number}",
            # A task that is started anew does well, or fails again.
            runs=(story, rng.choice([(Deed.RETURN,), story])),
            seconds=round(rng.uniform(0, 0.3), 3),
            # Most data fits into the record; some has to go into an item of its own.
            ballast=rng.choice([0, 0, 0, 3_000]),
            child=child,
            # Before its parent ends, at the same time, or after it.
            child_seconds=round(rng.uniform(0, 0.3), 3),
        )
        for number, (story, child) in enumerate(zip(told, children, strict=True))
    ]
