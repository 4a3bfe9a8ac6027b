"""An HTTP client that sends what it is given: nothing is escaped, normalised or refused."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from urllib.parse import urlsplit

from tests.waiting import PATIENCE_SECONDS

from .answers import Exchange
from .bad_requests import BadRequest


class RawClient:
    """Sends requests to the API at `url`, over kept connections to this machine, one for each thread."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        assert address.port
        self._host = address.netloc
        self._port = address.port
        self._of_thread = threading.local()

    def exchange_all(self, requests: Iterable[BadRequest], concurrency: int) -> list[Exchange]:
        """Sends them all, so many at a time; the answers come in the order of the requests."""
        with ThreadPoolExecutor(concurrency) as threads:
            return [*threads.map(self.exchange, requests)]

    def exchange(self, request: BadRequest) -> Exchange:
        """Sends a request and waits for its answer. Raises OSError or HTTPException when none comes."""
        wire = _wire(request, self._host)
        connection: socket.socket | None = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = socket.create_connection(("127.0.0.1", self._port), PATIENCE_SECONDS)
        self._of_thread.connection = None
        connection.sendall(wire)
        answer = HTTPResponse(connection, method=request.method)
        answer.begin()
        body = answer.read()
        if answer.will_close:
            connection.close()
        else:
            self._of_thread.connection = connection
        headers = [(name.lower(), value) for name, value in answer.getheaders()]
        return Exchange(str(request), request.method, wire, answer.status, headers, body)


def _wire(request: BadRequest, host: str) -> bytes:
    own: Sequence[tuple[str, bytes]] = (
        ("host", host.encode()),
        *request.headers,
        ("content-length", str(len(request.body)).encode()),
    )
    lines = [b"%s %s HTTP/1.1" % (request.method.encode(), request.target)]
    lines += [b"%s: %s" % (name.encode(), value) for name, value in own]
    return b"\r\n".join(lines) + b"\r\n\r\n" + request.body
