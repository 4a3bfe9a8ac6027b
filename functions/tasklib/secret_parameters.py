"""Secrets of task types: SSM parameters (SecureString), read by the worker for its task processes.

The worker reads them because it has boto3 already. A task process that imported it would take 350 ms and 36 MB of
its own for it, ten times over in one worker, and again after each failed attempt, which ends the process.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

#: How long, in seconds, a value is used before it is read again: so long a changed secret takes to arrive.
LIFETIME: Final = 300.0


class SsmClient(Protocol):
    """What is used of boto3's SSM client."""

    def get_parameter(self, *, Name: str, WithDecryption: bool) -> Any: ...  # noqa: N803 - boto3's names


class SecretParameters:
    """Reads parameters once in five minutes. Safe to use from several threads, which wait for one reader.

    `client` makes the SSM client, at the first secret that is wanted; `environment` holds the parameters' names.
    """

    def __init__(self, client: Callable[[], SsmClient], environment: Mapping[str, str]) -> None:
        self._make_client = client
        self._client: SsmClient | None = None
        self._environment = environment
        self._lock = threading.Lock()
        self._values: dict[str, tuple[float, str]] = {}

    def values(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """The values of a type's secrets by its own names for them; without those that the stack does not configure.

        Raises an AWS error when a parameter cannot be read; its text holds no value.
        """
        names = {own: self._environment.get(variable, "") for own, variable in secrets.items()}
        return {own: self._value(parameter) for own, parameter in names.items() if parameter}

    def _value(self, parameter: str) -> str:
        with self._lock:
            read_at, value = self._values.get(parameter, (-LIFETIME, ""))
            if time.monotonic() - read_at >= LIFETIME:
                self._client = self._client or self._make_client()
                value = self._client.get_parameter(Name=parameter, WithDecryption=True)["Parameter"]["Value"]
                self._values[parameter] = time.monotonic(), value
            return value
