"""A killer among the innocent: one task ends the process that it runs in, and nobody else pays for it."""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasklib.task import Status

from tests.chaos.checker import Kind
from tests.chaos.plans import Deed, Plan
from tests.chaos.rig import rig

#: What the killer kills: the process that Lambda started, as when memory runs out, or only its own.
VICTIMS: Mapping[str, Deed] = {"worker": Deed.KILL_WORKER, "itself": Deed.KILL_ITSELF}

_PATIENCE = 240


def killer(
    evidence: Path, *, seed: int, victim: str, count: int = 100, max_retries: int = 2
) -> dict[str, Any]:
    """Run one killer among `count` tasks and return the report."""
    config = {
        "workerTimeoutSeconds": 7,
        "visibilityTimeoutSeconds": 7,
        "backoffBaseSeconds": 1,
        "backoffMaxSeconds": 2,
        "workerMaxConcurrency": 2,
    }
    plans = [Plan(f"good-{number}", ((Deed.RETURN,),), seconds=0.5) for number in range(count - 1)]
    # In the middle of a batch, and its neighbours are at work when it strikes.
    plans.insert(count // 2, Plan("killer", ((VICTIMS[victim],),), seconds=0.2))
    began = time.monotonic()
    with rig(evidence, seed, config, max_retries=max_retries) as system:
        system.clients.submit_all(plans)
        system.drain(_PATIENCE)
        system.save(evidence)
        found = Counter(violation.kind for violation in system.check())
        records = system.latest()
        statuses = Counter(record.status for record in records.values())
        attempts = {task_id: record.attempts for task_id, record in records.items()}
        return {
            "seed": seed,
            "seconds": round(time.monotonic() - began, 1),
            "kills": victim,
            "accepted": len(system.clients.promised),
            "completed": statuses[Status.COMPLETED],
            "failed": statuses[Status.FAILED],
            "killerIs": records["killer"].status,
            "killerAttempts": attempts.pop("killer"),
            "killerError": records["killer"].error_message,
            "neighboursHit": sum(number > 1 for number in attempts.values()),
            "mostAttemptsOfANeighbour": max(attempts.values()),
            **{kind.value: found[kind] for kind in Kind},
        }


def is_well(report: Mapping[str, Any], *, max_retries: int = 2) -> bool:
    """Whether the killer alone failed, after all of its attempts, and cost each neighbour one attempt at most."""
    expected = {
        "completed": report["accepted"] - 1,
        "failed": 1,
        "killerIs": Status.FAILED,
        "killerAttempts": max_retries + 1,
    }
    one_at_most = report["mostAttemptsOfANeighbour"] <= 2
    return one_at_most and expected.items() <= report.items() and not any(report[kind] for kind in Kind)
