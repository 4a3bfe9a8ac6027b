"""AWS clients, and in one place what botocore does when a call fails."""

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

#: What a call to AWS raises when it did not do its work, or did it and its answer was lost.
AWS_ERRORS = (BotoCoreError, ClientError)

_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "ThrottlingException",
        "TransactionInProgressException",
    }
)


def may_pass(error: Exception) -> bool:
    """Whether a failed call can succeed when it is repeated; a refusal (rights, validation) stays one."""
    if not isinstance(error, ClientError):
        return True
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    return status >= 500 or status == 429 or error.response.get("Error", {}).get("Code") in _THROTTLED


#: `standard` retries throttling, 5xx, resets and time-outs with jittered exponential backoff. One try
#: lasts at most 1 s to connect and 2 s to answer, and three tries with their backoff (up to 1 s, then 2 s)
#: at most 12 s: under the 30 s of the worker, and longer than that nobody waits for an HTTP answer. Whoever
#: may wait longer (the worker, settling) repeats the call itself until its own deadline.
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 3},
    connect_timeout=1,
    read_timeout=2,
    max_pool_connections=16,  # every thread of the worker keeps a connection
    tcp_keepalive=True,
)


def dynamodb() -> "DynamoDBClient":
    """A DynamoDB client; endpoint, region and credentials come from the environment, as Lambda sets them."""
    return boto3.client("dynamodb", config=_CONFIG)


def sqs() -> "SQSClient":
    """An SQS client."""
    return boto3.client("sqs", config=_CONFIG)
