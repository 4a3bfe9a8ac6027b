"""Receivers that do not answer, not in time, or not in HTTP."""

import socket
import threading
import time
from contextlib import ExitStack

import pytest

from tests.functions.receiver import Receiver, Script, answer, drip, hang_up, redirect, silence

from .attempts import attempt, delivered, failed, refused
from .conftest import Resolver


class TestNoAnswer:
    @pytest.mark.parametrize(
        ("script", "cause"),
        [
            (b"", "closed the connection without an answer"),
            (b"HTTP/1.1 200 OK\r\nx: y", "closed the connection without an answer"),
            (b"HTTP/1.1 200 OK\r\nx: y\r\n", "closed the connection without an answer"),
            (hang_up, "closed the connection without an answer"),
            (b"SSH-2.0-OpenSSH_9.6\r\n", "answered something that is not HTTP"),
            (b"\x00\xff\x15garbage secret", "answered something that is not HTTP"),
            (b"HTTP/1.1 abc secret\r\n\r\n", "answered something that is not HTTP"),
            (b"HTTP/1.1 99999 secret\r\n\r\n", "answered something that is not HTTP"),
            (b"HTTP/2 200\r\nsecret\r\n", "answered something that is not HTTP"),
            (b"HTTP/1.1 200 OK\r\n" + b"secret: x\r\n" * 200, "answered something that is not HTTP"),
            (b"HTTP/1.1 200 OK\r\nsecret: " + b"x" * 70_000, "answered something that is not HTTP"),
        ],
    )
    def test_is_retried_and_named(
        self, receiver: Receiver, script: bytes | Script, cause: str | None
    ) -> None:
        receiver.scripts = [script]
        ended = attempt(receiver.url)
        assert not ended["permanent"]
        assert ended["error"] == f"DeliveryError: 127.0.0.1:{receiver.port} {cause}"
        assert "secret" not in ended["trace"].replace("hook.secrets", "")

    def test_where_nobody_listens(self) -> None:
        with Receiver() as gone:
            url = gone.url
        assert failed(url) == f"127.0.0.1:{gone.port} cannot be reached: Connection refused"

    def test_of_a_name_that_nobody_has(self) -> None:
        assert failed("http://nobody.invalid/path?token=x") == "nobody.invalid cannot be resolved"

    @pytest.mark.parametrize(
        ("script", "stage"),
        [
            (silence, "waiting for its answer"),
            (drip(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000), "waiting for its answer"),
            (drip(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000), "waiting for its answer"),
        ],
    )
    def test_in_time_is_none_however_it_drips(self, receiver: Receiver, script: Script, stage: str) -> None:
        receiver.scripts = [script]
        started = time.monotonic()
        message = failed(receiver.url, timeoutSeconds=1)
        assert 0.9 < time.monotonic() - started < 3
        assert message == f"127.0.0.1:{receiver.port} gave no answer within 1 s (while {stage})"

    def test_of_the_resolver_in_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        over = threading.Event()

        def getaddrinfo(*_: object, **__: object) -> None:
            over.wait(10)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        started = time.monotonic()
        message = failed("http://slow.example", timeoutSeconds=1)
        over.set()
        assert time.monotonic() - started < 3
        assert message == "slow.example gave no answer within 1 s (while resolving its name)"

    def test_cannot_outlast_the_deadline_by_redirects(self, receiver: Receiver) -> None:
        def slowly(connection: socket.socket) -> None:
            time.sleep(0.9)
            connection.sendall(redirect(307, receiver.url))

        receiver.scripts = [slowly]
        started = time.monotonic()
        assert "gave no answer within 1 s" in failed(receiver.url, timeoutSeconds=1)
        assert time.monotonic() - started < 3

    def test_in_time_after_a_status_is_a_delivery(self, receiver: Receiver) -> None:
        receiver.scripts = [drip(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n" + b"x" * 900, 0.01)]
        started = time.monotonic()
        result = delivered(receiver.url, timeoutSeconds=1)
        assert time.monotonic() - started < 3
        assert result["truncated"]
        assert 0 < len(result["excerpt"]) < 900

    def test_in_time_is_not_the_end_of_a_body_without_length(self, receiver: Receiver) -> None:
        receiver.scripts = [drip(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 900, 0.01)]
        result = delivered(receiver.url, timeoutSeconds=1)
        assert result["truncated"]
        assert 0 < len(result["excerpt"]) < 900

    def test_to_one_who_does_not_read(self, receiver: Receiver) -> None:
        receiver.reads = "head"
        receiver.scripts = [lambda _: time.sleep(3)]
        message = failed(receiver.url, body="x" * 8_000_000, timeoutSeconds=1)
        assert "within 1 s" in message

    def test_is_not_what_an_early_answer_is(self, receiver: Receiver) -> None:
        receiver.reads = "head"

        def early(connection: socket.socket) -> None:
            connection.sendall(answer("413 Too Large", b"no"))
            connection.shutdown(socket.SHUT_WR)
            silence(connection)

        receiver.scripts = [early]
        assert refused(receiver.url, body="x" * 2_000_000).startswith(
            f"127.0.0.1:{receiver.port} answered 413"
        )

    def test_is_not_what_an_early_answer_is_when_its_sender_hangs_up(self, receiver: Receiver) -> None:
        receiver.reads = "head"

        def early(connection: socket.socket) -> None:
            connection.sendall(answer("413 Too Large", b"no"))
            connection.shutdown(socket.SHUT_WR)
            time.sleep(0.2)

        receiver.scripts = [early]
        assert "answered 413" in refused(receiver.url, body="x" * 16_000_000)

    def test_of_one_address_leaves_time_for_the_next(
        self, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WEBHOOK_ALLOWED_NETWORKS", '["127.0.0.0/8"]')
        with ExitStack() as stack:
            full = stack.enter_context(socket.create_server(("127.0.0.4", 0), backlog=0))
            for _ in range(4):
                # Once its queue is full, nobody gets through to it, and nobody is told so.
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(full.getsockname())
            port = full.getsockname()[1]
            stack.enter_context(Receiver(host="127.0.0.3", port=port))
            resolver(["127.0.0.4", "127.0.0.3"])
            assert delivered(f"http://many.example:{port}", timeoutSeconds=2)["durationMs"] > 900
