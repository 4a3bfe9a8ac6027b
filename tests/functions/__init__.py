"""Tests of the functions, on an emulator of AWS; what task code does is done by real processes."""

import os

#: A function's environment, as the program declares it.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "POWERTOOLS_SERVICE_NAME": "tests",
    "POWERTOOLS_METRICS_NAMESPACE": "tests",
    "AUTH": "none",
    "LIST_SHARDS": "3",
    "MESSAGE_RETENTION_DAYS": "14",
    "TASK_RETENTION_DAYS": "0",
    "MAX_RETRIES": "2",
    "FAILURE_RATE": "0",
    "BACKOFF_BASE_SECONDS": "2",
    "BACKOFF_MAX_SECONDS": "900",
    "BACKOFF_JITTER": "0.1",
    "WORKER_TIMEOUT_SECONDS": "30",
    "VISIBILITY_TIMEOUT_SECONDS": "180",
    "SWEEP_BEHIND_SECONDS": "120",
}
# Powertools reads its settings when `tasklib.telemetry` is imported.
os.environ.update(ENVIRONMENT)
