"""One WebSocket connection to the API: what is sent, what comes, and whether the other side is still there.

It knows nothing of tasks beyond their updates; `client.live` keeps a subscription over many of these.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from client import address
from client.errors import NoAnswerError, StatusError, TasksError, excerpt, from_problem, from_web_socket
from client.update import Update

#: Bytes of a frame that are taken. The API sends 32 KB at most and the gateway lets 128 KB through.
MAX_FRAME_BYTES = 128 * 1024

#: Seconds for the goodbye: long enough for a server that is there.
CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How patient a connection is, in seconds.

    Attributes:
        ping: between two pings, and between two reads that find what was lost on the way. The gateway ends
            a connection that is idle for 10 minutes.
        answer: for a connection to be made, for a subscription to be answered, and for any frame after a ping.
        reconnect: the longest wait before the first new connection; doubled for each further one.
        reconnect_longest: the longest wait of all.
    """

    ping: float = 60.0
    answer: float = 10.0
    reconnect: float = 1.0
    reconnect_longest: float = 30.0


@dataclass(frozen=True, slots=True)
class Updates:
    """A frame that tells where some tasks stand."""

    updates: Sequence[Update]


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The answer to a subscription."""


@dataclass(frozen=True, slots=True)
class NotSubscribed:
    """The answer to a ping of a connection that is not subscribed, or not any more."""


#: A frame from the server: updates, an answer to a subscription or to a ping, the error that answers any frame; None
#: for all else, a ping's answer with nothing to say among it.
Frame: TypeAlias = Updates | Subscribed | NotSubscribed | StatusError | None


class Channel:
    """A connection that is open. Made by `open_channel`.

    Every method raises NoAnswerError when the connection has ended.
    """

    def __init__(self, connection: ClientConnection, url: str, timing: Timing) -> None:
        self._connection = connection
        self._url = url
        self._timing = timing
        self._ping_at = asyncio.get_running_loop().time() + timing.ping
        self._answer_by: float | None = None

    async def subscribe(self, task_ids: Sequence[str] | None) -> None:
        """Ask for updates of these tasks, None for all; replaces what was asked for before."""
        tasks = {} if task_ids is None else {"taskIds": list(task_ids)}
        with failures_at(self._url):
            await self._send({"action": "subscribe", **tasks})

    def failures(self) -> AbstractContextManager[None]:
        """For a block that judges what comes: its errors are this connection's."""
        return failures_at(self._url)

    async def receive(self) -> Frame:
        """The next frame; meanwhile pings when it is time to.

        Raises:
            NoAnswerError: the connection has ended, or a ping was followed by nothing.
        """
        with failures_at(self._url):
            while True:
                try:
                    async with asyncio.timeout_at(self._answer_by or self._ping_at):
                        message = await self._connection.recv()
                except TimeoutError:
                    if self._answer_by is not None:
                        silence = f"nothing within {self._timing.answer:g} s of a ping"
                        raise NoAnswerError("timeout", silence) from None
                    await self._ping()
                else:
                    self._answer_by = None
                    return read_frame(message)

    async def _ping(self) -> None:
        await self._send({"action": "ping"})
        now = asyncio.get_running_loop().time()
        self._ping_at = now + self._timing.ping
        self._answer_by = now + self._timing.answer

    async def _send(self, frame: Mapping[str, Any]) -> None:
        await self._connection.send(json.dumps(frame))


@asynccontextmanager
async def open_channel(url: str, tls: ssl.SSLContext, timing: Timing) -> AsyncGenerator[Channel]:
    """A connection to the WebSocket API at `url`, closed at the end of the block.

    Raises:
        NoAnswerError: nothing answers there.
        StatusError: the connection is refused.
        BadAnswerError: it is no WebSocket URL, or another service answers there.
    """
    with failures_at(url):
        connection = await _connect(url, tls, timing)
    try:
        yield Channel(connection, url, timing)
    finally:
        await connection.close()


async def _connect(url: str, tls: ssl.SSLContext, timing: Timing) -> ClientConnection:
    route = address.web_socket_route(url)
    options: dict[str, Any] = {} if route.host is None else {"host": route.host}
    if url.startswith("wss:"):
        options["ssl"] = tls
    return await _Connect(
        url,
        proxy=route.proxy,
        user_agent_header="tasks-client",
        compression=None,  # frames are small, and the gateway has none
        open_timeout=timing.answer,
        ping_interval=None,  # the API has a ping of its own, which the gateway counts as traffic
        close_timeout=CLOSE_SECONDS,
        max_size=MAX_FRAME_BYTES,
        **options,
    )


class _Connect(connect):
    """A connection to where the API sends, and nowhere else: that address can hold a ticket."""

    def process_redirect(self, exc: Exception) -> Exception:
        """Follow none."""
        return exc


@contextmanager
def failures_at(url: str) -> Generator[None]:
    """Around the use of a connection: errors of the websockets library become ours, and each gets the URL."""
    try:
        try:
            yield
        except (OSError, ValueError, ImportError, WebSocketException) as error:
            raise from_web_socket(error) from error
    except TasksError as error:
        error.live_url = excerpt(url.partition("?")[0])  # the query is nobody's business: it can be a ticket
        raise


def read_frame(message: str | bytes) -> Frame:
    """What a frame says. Whatever is not the API's is passed over, and so is an update that cannot be read."""
    try:
        value = json.loads(message) if isinstance(message, str) else None
    except (ValueError, RecursionError):
        return None
    fields = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    match fields:
        case {"updates": list()}:
            return Updates(list(_updates(cast("list[object]", fields["updates"]))))
        case {"subscribed": _}:
            return Subscribed()
        case {"pong": True, "isSubscribed": False}:
            return NotSubscribed()
        case {"problem": {"status": int(status)}}:
            return from_problem(status, cast("dict[str, object]", fields["problem"]), None)
        case {"message": str(message), "connectionId": str()}:  # the gateway's: the function behind it failed
            return StatusError(500, excerpt(message))
        case _:
            return None


def _updates(values: list[object]) -> Generator[Update]:
    for value in values:
        try:
            yield Update.from_json(value)
        except ValueError:
            continue
