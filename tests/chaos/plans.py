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


@dataclass(frozen=True)
class Plan:
    """One task: the deeds of each run's attempts, the seconds that each works, and bytes of ballast in its data."""

    task_id: str
    runs: tuple[tuple[Deed, ...], ...]
    seconds: float
    ballast: int = 0

    def submission(self) -> Mapping[str, Any]:
        """The body of the request that submits this task."""
        payload = {"runs": self.runs, "seconds": self.seconds, "ballast": "x" * self.ballast}
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


def make_plans(count: int, rng: random.Random) -> list[Plan]:
    """Plans for so many tasks; every kind of story is told at least once if there is room for all."""
    told = [story for _, story in _STORIES][:count]
    shares = [share for share, _ in _STORIES]
    told += rng.choices([story for _, story in _STORIES], shares, k=count - len(told))
    rng.shuffle(told)
    return [
        Plan(
            task_id=f"chaos-{number}",
            # A task that is started anew does well, or fails again.
            runs=(story, rng.choice([(Deed.RETURN,), story])),
            seconds=round(rng.uniform(0, 0.3), 3),
            # Most data fits into the record; some has to go into an item of its own.
            ballast=rng.choice([0, 0, 0, 3_000]),
        )
        for number, story in enumerate(told)
    ]
