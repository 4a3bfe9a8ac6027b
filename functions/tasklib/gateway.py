"""The WebSocket gateway: every call that pushes to a client, or lets go of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from tasklib import aws
from tasklib.clock import Deadline
from tasklib.telemetry import logger

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

#: Clients that are pushed to at once. One that is slow takes one place of these, and the others go on.
CONCURRENCY: Final = 32

#: No client is begun with when this much, in milliseconds, is left: two calls that get no answer take 6 s.
_LAST_CALL: Final = 7_000


class Gateway:
    """Pushes frames to connections. `gone` is told of each connection that is no more."""

    def __init__(self, client: ApiGatewayManagementApiClient, gone: Callable[[str], None]) -> None:
        self._client = client
        self._gone = gone
        self._threads = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="push")

    def push(self, frames: Mapping[str, Sequence[bytes]], deadline: Deadline) -> None:
        """Push to each connection its frames, in their order; what befalls one is nothing to the others.

        A client that cannot be given all of them is disconnected: it comes back and reads what it has missed.
        """

        def push(connection_id: str) -> str:
            return self._push(connection_id, frames[connection_id], deadline)

        outcomes = Counter(self._threads.map(push, frames))
        if outcomes.keys() - {"reached"}:
            logger.warning("not every client was reached", extra=dict(outcomes))

    def _push(self, connection_id: str, frames: Sequence[bytes], deadline: Deadline) -> str:
        try:
            for frame in frames:
                if deadline.remaining() < _LAST_CALL:
                    return "late"
                self._client.post_to_connection(ConnectionId=connection_id, Data=frame)
        except self._client.exceptions.GoneException:
            return self._forget(connection_id, "gone")
        except aws.AWS_ERRORS:
            return self._disconnect(connection_id)
        return "reached"

    def _disconnect(self, connection_id: str) -> str:
        try:
            self._client.delete_connection(ConnectionId=connection_id)
        except self._client.exceptions.GoneException:
            pass
        except aws.AWS_ERRORS:
            return "failed"
        return self._forget(connection_id, "disconnected")

    def _forget(self, connection_id: str, outcome: str) -> str:
        try:
            self._gone(connection_id)
        except aws.AWS_ERRORS:
            # The next push finds it gone once more.
            logger.warning("a connection could not be forgotten", extra={"connectionId": connection_id})
        return outcome
