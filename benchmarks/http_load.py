"""Clients of an HTTP API: a closed loop, each sends its next request when its last one was answered.

Plain sockets and threads, because what is measured shares two cores with whoever measures it.
"""

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Reply:
    """One request: when it was sent and when answered, in seconds since 1970, and with what."""

    sent: float
    answered: float
    status: int
    body: bytes

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.answered - self.sent


def post_all(url: str, bodies: Sequence[Mapping[str, Any]], clients: int) -> list[Reply]:
    """POST each body to `url`, `clients` at a time, over a connection each. The replies in the bodies' order.

    Raises:
        RuntimeError: one was not answered with a 2xx.
    """
    address = urlsplit(url)
    replies: list[Reply] = [Reply(0, 0, 0, b"")] * len(bodies)
    left = iter(enumerate(bodies))

    def client(_: int) -> None:
        # Python's resolver may not know the names below localhost that the API answers to.
        connection = HTTPConnection("127.0.0.1", address.port, timeout=60)
        try:
            for place, body in left:
                request = json.dumps(body).encode()
                sent = time.time()
                connection.request(
                    "POST",
                    address.path,
                    request,
                    {"host": address.netloc, "content-type": "application/json"},
                )
                answer = connection.getresponse()
                content = answer.read()
                replies[place] = Reply(sent, time.time(), answer.status, content)
        finally:
            connection.close()

    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(client, range(clients)))
    failed = [reply for reply in replies if not 200 <= reply.status < 300]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(replies)} requests failed: {failed[0]}")
    return replies
