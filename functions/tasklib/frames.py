"""JSON messages over a stream socket between the worker and its task processes, each with its length before it."""

import json
import socket
import struct
import time
from typing import Any, cast

_LENGTH = struct.Struct("!I")

#: More than any job or answer of ours; a longer one means that the stream holds something else.
_LARGEST = 4 * 1024 * 1024


class BadFrameError(Exception):
    """The other side sent what is no message."""


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Sends one message. Raises OSError when the other side is gone."""
    body = json.dumps(message).encode()
    connection.sendall(_LENGTH.pack(len(body)) + body)


def receive(connection: socket.socket, deadline: float | None = None) -> dict[str, Any] | None:
    """Waits for one message until `deadline` (of `time.monotonic`, None: for ever).

    Returns None when the other side is gone. Raises TimeoutError, or BadFrameError for what is no message.
    """
    header = _read(connection, _LENGTH.size, deadline)
    if header is None:
        return None
    (length,) = _LENGTH.unpack(header)
    if length > _LARGEST:
        raise BadFrameError
    body = _read(connection, length, deadline)
    if body is None:
        return None
    try:
        message: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadFrameError from error
    if not isinstance(message, dict):
        raise BadFrameError
    return cast("dict[str, Any]", message)


def _read(connection: socket.socket, size: int, deadline: float | None) -> bytes | None:
    chunks = bytearray()
    while len(chunks) < size:
        if deadline is not None:
            # 0 would mean non-blocking: a deadline that has passed still takes what has already come.
            connection.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            chunk = connection.recv(size - len(chunks))
        except ConnectionError:
            return None
        if not chunk:
            return None
        chunks += chunk
    return bytes(chunks)
