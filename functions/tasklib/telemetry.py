"""Structured logs and metrics, the same for every function.

One JSON object a line. `correlationId` is on every line that a task causes, so that one id tells its story
from the request through the queue to the dead letter.
"""

import warnings

from aws_lambda_powertools import Logger, Metrics

# An invocation that has nothing to count is no mistake.
warnings.filterwarnings("ignore", "No application metrics to publish")

#: Service and level come from POWERTOOLS_SERVICE_NAME and POWERTOOLS_LOG_LEVEL.
logger = Logger(utc=True, use_rfc3339=True, location=None)

#: Namespace and service come from POWERTOOLS_METRICS_NAMESPACE and POWERTOOLS_SERVICE_NAME.
metrics = Metrics()
