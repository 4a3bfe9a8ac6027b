"""The WebSocket gateway: every call that pushes to a client, or lets go of one."""

from __future__ import annotations

import random
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

#: Clients that are served at once. One that is slow takes one place of these, and the others go on.
CONCURRENCY: Final = 32

#: Milliseconds that letting go of a client takes: a disconnection that gets no answer takes 4 s, and the deletion of
#: a subscription usually a hundredth of a second. It is not begun with less time left.
_TO_LET_GO: Final = 5_000

#: No frame is pushed with less than this left, in milliseconds. A push that gets no answer takes 4 s. After it there
#: is time to let go of this client, and of the clients that were not pushed to, for which a disconnection is quick.
_TO_PUSH: Final = 13_000


class Gateway:
    """Pushes frames to connections. `forget` removes the subscription of a connection that is let go of."""

    def __init__(self, client: ApiGatewayManagementApiClient, forget: Callable[[str], None]) -> None:
        self._client = client
        self._forget = forget
        self._threads = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="push")

    def push(self, frames: Mapping[str, Sequence[bytes]], deadline: Deadline) -> bool:
        """Push to each connection its frames, in their order. What happens to one client does not affect the others.

        A client that cannot be given all of its frames, or not in time, is let go of: it is disconnected, so that it
        connects again and reads what it missed, and its subscription is removed. Where the disconnection fails, the
        answer to the client's next ping says that it is not subscribed. Returns False when a client was neither
        disconnected nor unsubscribed: the batch has to come again.
        """

        def serve(connection_id: str) -> str:
            return self._serve(connection_id, frames[connection_id], deadline)

        # In another order for each batch: if time is short, it is not always the same clients that are let go of.
        in_any_order = random.sample([*frames], len(frames))
        outcomes = Counter(self._threads.map(serve, in_any_order))
        if outcomes.keys() - {"reached"}:
            logger.warning("not every client was reached", extra=dict(outcomes))
        return "untold" not in outcomes

    def _serve(self, connection_id: str, frames: Sequence[bytes], deadline: Deadline) -> str:
        try:
            for frame in frames:
                if deadline.remaining() < _TO_PUSH:
                    return self._let_go(connection_id, deadline)
                self._client.post_to_connection(ConnectionId=connection_id, Data=frame)
        except self._client.exceptions.GoneException:
            self._succeeds(self._forget, connection_id)
            return "gone"
        except Exception:  # noqa: BLE001 - whatever it is, it concerns this client alone
            return self._let_go(connection_id, deadline)
        return "reached"

    def _let_go(self, connection_id: str, deadline: Deadline) -> str:
        if deadline.remaining() < _TO_LET_GO:
            return "untold"
        disconnected = self._succeeds(self._disconnect, connection_id)
        forgotten = self._succeeds(self._forget, connection_id)
        if disconnected:
            return "disconnected"
        return "unsubscribed" if forgotten else "untold"

    def _disconnect(self, connection_id: str) -> None:
        with suppress(self._client.exceptions.GoneException):
            self._client.delete_connection(ConnectionId=connection_id)

    @staticmethod
    def _succeeds(step: Callable[[str], None], connection_id: str) -> bool:
        try:
            step(connection_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this client alone
            facts = {"connectionId": connection_id, "reason": aws.reason(error)}
            logger.warning("a connection could not be let go", extra=facts)
            return False
        return True
