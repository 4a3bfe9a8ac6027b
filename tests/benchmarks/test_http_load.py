"""The clients that the benchmark loads an API with."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.http_load import post_all


class Api(BaseHTTPRequestHandler):
    """Answers a request with the body that it brought, and with the status that it asks for."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(json.loads(body).get("status", 202))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def url() -> Generator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://api.localhost:{server.server_port}/tasks"
        server.shutdown()


def test_every_body_is_sent_once_and_its_reply_is_in_its_place(url: str) -> None:
    replies = post_all(url, [{"number": number} for number in range(30)], clients=4)
    assert [json.loads(reply.body)["number"] for reply in replies] == list(range(30))
    assert all(0 < reply.seconds < 10 for reply in replies)


def test_a_failure_is_no_figure(url: str) -> None:
    with pytest.raises(RuntimeError, match="1 of 2 requests failed"):
        post_all(url, [{}, {"status": 503}], clients=1)
