"""The environment variables that Lambda can change while the worker runs.

A task process inherits the environment that the fork server had at its start. After a restore from a snapshot that is
the environment of another time. So each job brings these variables as the worker has them now. Their values are
secrets: they are never logged.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Final

#: Where boto3 finds the credentials of the function's role. With SnapStart Lambda sets those of a container.
CREDENTIALS: Final = (
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)

#: All of them. The last one names the trace of the invocation.
NAMES: Final = frozenset((*CREDENTIALS, "_X_AMZN_TRACE_ID"))


def current(names: Iterable[str] = NAMES) -> dict[str, str]:
    """The values of those that are set."""
    return {name: os.environ[name] for name in names if name in os.environ}


def adopt(values: Mapping[str, str]) -> None:
    """Sets this process's variables to these values. Those without a value are removed."""
    for name in NAMES:
        if name in values:
            os.environ[name] = values[name]
        else:
            os.environ.pop(name, None)
