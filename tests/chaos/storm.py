"""The chaos run: many tasks under every fault at once, then calm, then the reckoning."""

import random
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasklib.task import Status

from tests.chaos.checker import Kind
from tests.chaos.faults import Faults
from tests.chaos.live import LiveClient
from tests.chaos.plans import Child, Deed, make_plans
from tests.chaos.rig import Rig, rig, tell

#: Short times, so that a task that lost its worker twice is not waited for longer than needed. The type's time limit
#: is 2 s, and the program demands 5 s more.
_CONFIG: Mapping[str, str | int] = {
    "workerTimeoutSeconds": 7,
    "visibilityTimeoutSeconds": 7,
    "backoffBaseSeconds": 1,
    "backoffMaxSeconds": 2,
    "workerMaxConcurrency": 4,
    "listShards": 3,
}

#: Share of the tasks that are submitted twice.
_TWICE = 0.05

#: Share of the failed tasks that somebody starts anew.
_RETRIED = 0.6

#: The faults go on until this share of the tasks is finished, at most for so many seconds and so many more a task.
_ENOUGH = 0.9
_LONG_ENOUGH = 60
_LONGER = 0.2

#: Seconds that the system gets to finish once the faults have stopped, and for each task more.
_PATIENCE = 240
_PATIENCE_PER_TASK = 0.1


def storm(count: int, seed: int, evidence: Path, *, max_retries: int = 2) -> dict[str, Any]:
    """Run `count` tasks and return the report; its values of the kinds of violation are all 0 if all is well.

    Args:
        count: how many tasks.
        seed: what each task does and what is done to it are drawn from it.
        evidence: directory for what was seen.
        max_retries: retries that every task has.
    """
    rng = random.Random(seed)
    plans = make_plans(count, rng)
    # The second submission comes soon after the first, so that both may be under way at once.
    submissions = [each for plan in plans for each in [plan] * (2 if rng.random() < _TWICE else 1)]
    began = time.monotonic()
    with (
        rig(evidence, seed, _CONFIG, max_retries=max_retries) as system,
        LiveClient(system.stack) as live,
        system.clients.submitting(submissions) as submission,
    ):
        tell(f"{count} tasks, seed {seed}")
        system.damages.plant(_LONG_ENOUGH + _LONGER * count, rng)
        with Faults(system, rng) as faults:
            end = time.monotonic() + _LONG_ENOUGH + _LONGER * count
            seen: set[str] = set()
            while time.monotonic() < end and (_share(system) < _ENOUGH or not submission.done()):
                _start_anew(system, seen, rng)
                time.sleep(1)
        tell("the faults have stopped")
        calm = time.monotonic()
        submission.result(_PATIENCE)
        system.drain(_PATIENCE + _PATIENCE_PER_TASK * count)
        ended = time.monotonic()
        statuses = Counter(task.status for task in system.latest().values())
        system.save(evidence)
        found = Counter(violation.kind for violation in system.check())
        return {
            "seed": seed,
            "seconds": round(ended - began, 1),
            "secondsToDrain": round(ended - calm, 1),
            "accepted": len(system.clients.promised),
            "completed": statuses[Status.COMPLETED],
            "failed": statuses[Status.FAILED],
            "startedAnew": system.clients.retried,
            "toldLive": len(live.told),
            "attempts": len(system.diary.attempts()),
            "faultsFired": {"duplicated submission": len(submissions) - count} | _fired(system, faults),
            **{kind.value: found[kind] for kind in Kind},
        }


def _share(system: Rig) -> float:
    """Of the tasks that were accepted, the share that is finished."""
    return 1 - system.unfinished() / max(1, len(system.clients.promised))


def _start_anew(system: Rig, seen: set[str], rng: random.Random) -> None:
    """Retry some of the tasks that have failed since the last time; each failure is looked at once."""
    failed = {
        f"{task_id} {task.run}": task_id
        for task_id, task in system.latest().items()
        if task.status is Status.FAILED
    }
    new = sorted(failed.keys() - seen)
    seen.update(new)
    system.clients.retry(failed[each] for each in new if rng.random() < _RETRIED)


def _fired(system: Rig, faults: Faults) -> dict[str, int]:
    """Every fault that was made, by kind: the proxy's, the harness's and the tasks' own."""
    deeds = Counter(attempt.deed for attempt in system.diary.attempts())
    children = Counter(attempt.child for attempt in system.diary.attempts())
    made = system.proxy.fired() + faults.made
    made["damaged record: for good"] = len(system.damages.hopeless)
    for child in Child:
        made[f"task forked a child: {child}"] = children[child]
    made["task killed its worker"] = deeds[Deed.KILL_WORKER]
    made["task killed itself"] = deeds[Deed.KILL_ITSELF]
    made["task overran"] = deeds[Deed.OVERRUN]
    return dict(sorted(made.items()))
