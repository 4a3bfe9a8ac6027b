"""Structured logs and metrics, the same for every function.

One JSON object a line. `correlationId` is on every line that a task causes, so that one id tells its story
from the request through the queue to the dead letter.
"""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NotRequired


def _unmarked(*_: object, **__: object) -> Callable[[Any], Any]:
    return lambda function: function


# Powertools takes two names from typing_extensions: 4,000 lines, which Lambda, where packages have no bytecode, would
# compile at every cold start, a tenth of it. It gets these two; whoever imports it after this gets it whole.
_stand_in = ModuleType("typing_extensions")
_stand_in.__dict__["NotRequired"] = NotRequired
_stand_in.__dict__["deprecated"] = _unmarked
_is_stand_in = sys.modules.setdefault("typing_extensions", _stand_in) is _stand_in

from aws_lambda_powertools import Logger, Metrics  # noqa: E402
from aws_lambda_powertools.metrics import MetricUnit  # noqa: E402

if _is_stand_in:
    del sys.modules["typing_extensions"]

#: Service and level come from POWERTOOLS_SERVICE_NAME and POWERTOOLS_LOG_LEVEL.
logger = Logger(utc=True, use_rfc3339=True, location=None)

#: Namespace and service come from POWERTOOLS_METRICS_NAMESPACE and POWERTOOLS_SERVICE_NAME.
_metrics = Metrics()


def count(name: str) -> None:
    """Counts one event, at once: what an alarm stands on must not wait for the end of the invocation."""
    _metrics.add_metric(name, MetricUnit.Count, 1)
    _metrics.flush_metrics()
