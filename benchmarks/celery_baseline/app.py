"""The Celery application: what `celery --app benchmarks.celery_baseline.app worker` loads.

Where its queue and its table are, it is told by its environment.
"""

import importlib
import os
from typing import Any

from benchmarks.celery_baseline.settings import settings

# Celery is not where the type checker looks, and has no types.
celery: Any = importlib.import_module("celery")
platforms: Any = importlib.import_module("celery.platforms")

app = celery.Celery("celery_baseline")
app.conf.update(
    settings(os.environ["AWS_ENDPOINT_URL"], os.environ["TASK_QUEUE_URL"], os.environ["RESULTS_TABLE"])
)


@app.task
def no_operation(payload: dict[str, Any]) -> None:
    """A task with the work removed."""


@celery.signals.worker_init.connect
def _end_with_parent(**_: Any) -> None:  # pyright: ignore[reportUnusedFunction] - the signal calls it
    """Leave no worker behind when the benchmark is killed; its processes end with it in the same way."""
    platforms.set_pdeathsig("SIGKILL")
