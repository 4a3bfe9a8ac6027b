"""AWS clients, and in one place what botocore does when a call fails."""

import gc
import importlib
import logging
import random
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, cast


@contextmanager
def _kept() -> Generator[None]:
    """What is made in here lives as long as the process, and the garbage collector never looks at it.

    botocore and its clients are hundreds of thousands of objects: looking through them again and again took a fifth
    of a cold start, and a tenth of the worker's CPU.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


with _kept():
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

    from tasklib.secret_parameters import SsmClient

# At DEBUG it writes whole requests and answers: tasks' data, secrets, signatures. At INFO it writes where it found its
# credentials and endpoints, at every cold start. These lines stay out of the log at every level of the function.
logging.getLogger("botocore").setLevel(logging.WARNING)

#: What a call to AWS raises when it did not do its work, or did it and its answer was lost.
AWS_ERRORS = (BotoCoreError, ClientError)

#: The longest reason, in characters.
MAX_REASON: Final = 500

_DENIED = frozenset({"AccessDenied", "AccessDeniedException"})

#: The last four are what single statements of a batch are answered.
_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestThrottled",
        "ThrottlingException",
        "TransactionInProgressException",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "ThrottlingError",
        "TransactionConflict",
    }
)


def may_pass(error: Exception) -> bool:
    """Whether a failed call can succeed when it is repeated; a refusal (rights, validation) stays one."""
    if not isinstance(error, ClientError):
        return isinstance(error, BotoCoreError)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    return status >= 500 or status == 429 or error.response.get("Error", {}).get("Code") in _THROTTLED


def reason(error: Exception) -> str:
    """Why a call failed, for logs and records: without AWS's own words, which may quote the values of the call.

    Refused rights are the exception: their words name who, what and where, and nobody could mend them without.
    """
    match error:
        case ClientError():
            fault = error.response.get("Error", {})
            code, message = fault.get("Code", "Unknown"), fault.get("Message", "")
            words = f": {message}" if code in _DENIED and message else ""
            return f"{code} on {error.operation_name}{words}"[:MAX_REASON]
        case BotoCoreError() if "endpoint_url" in error.kwargs:
            return f"{type(error).__name__} at {error.kwargs['endpoint_url']}"[:MAX_REASON]
        case _:
            return type(error).__name__


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
    # Both together are two fifths of a call's CPU: botocore checks again what the type checker has seen and AWS
    # refuses by itself, and composes its User-Agent anew for each call.
    parameter_validation=False,
    user_agent=f"tasks boto3/{boto3.__version__}",
)


# SnapStart restores many processes from one, which must not wait equally long before they try again. Only Lambda's
# runtime has this module.
with suppress(ImportError):
    importlib.import_module("snapshot_restore_py").register_after_restore(random.seed)


def dynamodb() -> "DynamoDBClient":
    """A DynamoDB client; endpoint, region and credentials come from the environment, as Lambda sets them."""
    with _kept():
        return boto3.client("dynamodb", config=_CONFIG)


def sqs() -> "SQSClient":
    """An SQS client."""
    with _kept():
        return boto3.client("sqs", config=_CONFIG)


def ssm() -> "SsmClient":
    """An SSM client. Whoever may not need one makes it late: making it takes about 50 ms."""
    with _kept():
        # There are no stubs of it here.
        return cast("Any", boto3).client("ssm", config=_CONFIG)


def websocket_connections(url: str) -> "ApiGatewayManagementApiClient":
    """A client for pushing to the connections of the WebSocket API at this URL (`https://.../stage`).

    It tries once, for 3 s: whoever cannot be reached by then is not waited for. It keeps as many connections as there
    are pushes at once.
    """
    once = Config(
        retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=3, max_pool_connections=32
    )
    config = _CONFIG.merge(once)
    with _kept():
        return boto3.client("apigatewaymanagementapi", endpoint_url=url, config=config)
