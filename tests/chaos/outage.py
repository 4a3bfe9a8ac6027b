"""The outage: DynamoDB is down for a while in the middle of a run, and no task pays for it."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasklib.task import Status

from tests.chaos.checker import Kind
from tests.chaos.history import Change, History
from tests.chaos.plans import Deed, Plan
from tests.chaos.proxy import Rule
from tests.chaos.rig import rig, tell

#: Half of the calls find nobody there, half are told that nobody is well.
_DOWN: Mapping[str, Rule] = {
    "dynamodb reset": {"service": "dynamodb", "probability": 0.5, "reset": True},
    "dynamodb failed": {"service": "dynamodb", "error": {"code": "InternalServerError", "status": 500}},
}

#: Share of the tasks that are finished when it begins.
_BEFORE = 0.2

#: Seconds that the system gets to finish afterwards.
_PATIENCE = 400


def outage(
    evidence: Path, *, seed: int, worker_timeout: int, count: int = 200, seconds: float = 60
) -> dict[str, Any]:
    """Take DynamoDB away for `seconds` in the middle of `count` tasks of a second each, and return the report.

    `attemptsCounted` are the attempts that tasks were charged for the outage without having been claimed before it.
    With time enough in an invocation (`worker_timeout`, in seconds) to wait for its end, nobody is charged, not even
    those: `attemptsCounted` counts them too then.
    """
    config = {
        "workerTimeoutSeconds": worker_timeout,
        "visibilityTimeoutSeconds": worker_timeout,
        "backoffBaseSeconds": 1,
        "backoffMaxSeconds": 2,
        # Slow enough for a middle: twenty tasks a second.
        "workerMaxConcurrency": 2,
    }
    plans = [Plan(f"outage-{number}", ((Deed.RETURN,),), seconds=1.0) for number in range(count)]
    with rig(evidence, seed, config) as system, system.clients.submitting(plans) as submission:
        while sum(task.status is Status.COMPLETED for task in system.latest().values()) < _BEFORE * count:
            time.sleep(0.2)
        system.proxy.set_rules(_DOWN)
        began = time.time() * 1000
        tell("DynamoDB is down")
        time.sleep(seconds)
        finished_before = count - system.unfinished()
        system.proxy.set_rules({})
        back = time.monotonic()
        tell("DynamoDB is back")
        submission.result(_PATIENCE)
        system.drain(_PATIENCE)
        recovery = time.monotonic() - back
        system.save(evidence)
        found = Counter(violation.kind for violation in system.check())
        history = system.history()
        statuses = Counter(task.status for task in system.latest().values())
        held = claimed_before(history, began) if worker_timeout < seconds else set[str]()
        extra = {task_id: task.attempts - 1 for task_id, task in system.latest().items()}
        return {
            "seed": seed,
            "workerTimeoutSeconds": worker_timeout,
            "outageSeconds": seconds,
            "finishedBefore": finished_before,
            "secondsToRecover": round(recovery, 1),
            "accepted": len(system.clients.promised),
            "completed": statuses[Status.COMPLETED],
            "failed": statuses[Status.FAILED],
            "faultsFired": dict(system.proxy.fired()),
            "claimedBeforeAndNotSettled": len(held),
            "attemptsCrashed": sum(extra.values()),
            "attemptsCounted": sum(
                max(0, attempts - (task_id in held)) for task_id, attempts in extra.items()
            ),
            **{kind.value: found[kind] for kind in Kind},
        }


def is_well(report: Mapping[str, Any]) -> bool:
    """Whether an outage cost nobody anything that it must not cost."""
    nothing = ("failed", "attemptsCounted", *Kind)
    return report["completed"] == report["accepted"] and not any(report[name] for name in nothing)


def claimed_before(history: History, began: float) -> set[str]:
    """The tasks that a worker held when the outage began (ms since 1970)."""
    return {
        task_id for task_id, changes in history.items() if _status_at(changes, began) is Status.PROCESSING
    }


def _status_at(changes: Sequence[Change], moment: float) -> Status | None:
    records: Iterable[Any] = (change.new for change in changes if change.new)
    return next((each.status for each in reversed([*records]) if each.updated_at <= moment), None)
