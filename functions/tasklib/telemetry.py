"""Structured logs and metrics, the same for every function.

One JSON object a line. `correlationId` is on every line that a task causes, so that one id tells its story
from the request through the queue to the dead letter.
"""

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

#: Service and level come from POWERTOOLS_SERVICE_NAME and POWERTOOLS_LOG_LEVEL.
logger = Logger(utc=True, use_rfc3339=True, location=None)

#: Namespace and service come from POWERTOOLS_METRICS_NAMESPACE and POWERTOOLS_SERVICE_NAME.
_metrics = Metrics()


def count(name: str) -> None:
    """Counts one event, at once: what an alarm stands on must not wait for the end of the invocation."""
    _metrics.add_metric(name, MetricUnit.Count, 1)
    _metrics.flush_metrics()
