"""The WebSocket gateway: every call that pushes to a client, or lets go of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tasklib import aws
from tasklib.clock import Deadline
from tasklib.telemetry import logger

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

#: Clients that are pushed to at once. One that is slow takes one place of these, and the others go on.
CONCURRENCY: Final = 32

#: No client is begun with when this much, in milliseconds, is left: a push and a disconnection that get no answer
#: take 4 s each.
_LAST_CALL: Final = 9_000


class Gateway:
    """Pushes frames to connections. `forget` is called for each connection that is not to be pushed to any more."""

    def __init__(self, client: ApiGatewayManagementApiClient, forget: Callable[[str], None]) -> None:
        self._client = client
        self._forget = forget
        self._threads = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="push")

    def push(self, frames: Mapping[str, Sequence[bytes]], deadline: Deadline) -> bool:
        """Push to each connection its frames, in their order; what befalls one is nothing to the others.

        A client that cannot be given all of them is forgotten and disconnected: the next batch does not wait for it,
        and it comes back and reads what it has missed. Returns False when the time was too short for some clients:
        the batch is to come again.
        """

        def push(connection_id: str) -> str:
            return self._push(connection_id, frames[connection_id], deadline)

        outcomes = Counter(self._threads.map(push, frames))
        if outcomes.keys() - {"reached"}:
            logger.warning("not every client was reached", extra=dict(outcomes))
        return "late" not in outcomes

    def _push(self, connection_id: str, frames: Sequence[bytes], deadline: Deadline) -> str:
        if deadline.remaining() < _LAST_CALL:
            return "late"
        try:
            for frame in frames:
                self._client.post_to_connection(ConnectionId=connection_id, Data=frame)
        except self._client.exceptions.GoneException:
            self._let_go(self._forget, connection_id)
            return "gone"
        except Exception:  # noqa: BLE001 - whatever it is, it is this client's alone
            self._let_go(self._forget, connection_id)
            self._let_go(self._disconnect, connection_id)
            return "disconnected"
        return "reached"

    def _disconnect(self, connection_id: str) -> None:
        with suppress(self._client.exceptions.GoneException):
            self._client.delete_connection(ConnectionId=connection_id)

    @staticmethod
    def _let_go(step: Callable[[str], None], connection_id: str) -> None:
        try:
            step(connection_id)
        except aws.AWS_ERRORS as error:
            facts = {"connectionId": connection_id, "reason": aws.reason(error)}
            logger.warning("a connection could not be let go", extra=facts)
