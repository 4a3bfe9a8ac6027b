"""Deliveries, to a real receiver that misbehaves in every way; what must not be reached listens, and hears nothing."""

import base64
import gzip
import hashlib
import hmac
import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
import task_types
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from task_types.webhook import sign
from tasklib import execution, outbound, secret_parameters
from tasklib.outbound import Rules
from tasklib.payload import FieldError
from tasklib.secret_parameters import SecretParameters
from tasklib.task_type import REGISTRY, load_all

from .receiver import OK, Receiver, Script, answer, drip, hang_up, redirect, silence, tls_context

load_all(task_types)
WEBHOOK = REGISTRY["webhook"]

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"

#: Answers of the resolver in tests that do not look at them.
Addresses = list[str]


@pytest.fixture(autouse=True)
def rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stack's configuration allows these tests: this machine under one of its many addresses."""
    monkeypatch.setenv("WEBHOOK_ALLOWED_NETWORKS", '["127.0.0.1/32"]')
    monkeypatch.delenv("WEBHOOK_ALLOWED_HOSTS", raising=False)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Makes the system resolve a name to these addresses at the first look, those at the next, the last ever after.

    `behind` is the port there, whatever port is asked for.
    """
    real = socket.getaddrinfo

    def install(*looks: Addresses, behind: int | None = None) -> list[str]:
        asked: list[str] = []

        def getaddrinfo(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
            asked.append(host)
            found: list[Any] = []
            for address in looks[min(len(asked), len(looks)) - 1]:
                found += real(address, behind or port, *args, **options)
            return found

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return asked

    return install


def attempt(
    url: str, secret: str | None = SECRET, task_id: str = "t", run: int = 1, **payload: Any
) -> dict[str, Any]:
    """An attempt as a task process runs it."""
    document: dict[str, Any] = {"url": url, "body": {"order": 7}, "timeoutSeconds": 5} | payload
    value, problems = WEBHOOK.parse(document)
    assert (value is not None, problems) == (True, [])
    secrets = {} if secret is None else {"signing": secret}
    job = {"taskId": task_id, "run": run, "attempt": 1, "correlationId": "c", "kind": "payload"}
    return execution.run(job | {"data": json.dumps(document), "secrets": secrets}, WEBHOOK.function)


def delivered(url: str, **payload: Any) -> dict[str, Any]:
    """The result of a delivery, which must succeed and leave nothing behind."""
    ended = attempt(url, **payload)
    assert "error" not in ended, ended
    assert "request" not in {thread.name for thread in threading.enumerate()}
    return json.loads(ended["result"])


def refused(url: str, **payload: Any) -> str:
    """Why a delivery failed for good."""
    ended = attempt(url, **payload)
    assert ended["permanent"], ended
    assert ended["error"].startswith("PermanentError: ")
    return ended["error"].removeprefix("PermanentError: ")


def failed(url: str, **payload: Any) -> str:
    """Why a delivery failed for now."""
    ended = attempt(url, **payload)
    assert not ended["permanent"], ended
    assert "delay_seconds" not in ended
    assert ended["error"].startswith("DeliveryError: ")
    return ended["error"].removeprefix("DeliveryError: ")


class TestADelivery:
    def test_arrives_as_a_signed_json_request(self, receiver: Receiver) -> None:
        before = int(time.time())
        result = delivered(
            f"{receiver.url}/hooks/a%20b?x=1&y=%2F#part", body={"name": "Käse", "n": [1, None]}, method="PUT"
        )
        assert result.pop("durationMs") < 5000
        assert result == {"status": 200, "excerpt": "ok", "truncated": False}
        (request,) = receiver.received
        assert request.line == "PUT /hooks/a%20b?x=1&y=%2F HTTP/1.1"
        assert request.body == '{"name":"Käse","n":[1,null]}'.encode()
        headers = request.headers
        assert headers["host"] == f"127.0.0.1:{receiver.port}"
        assert headers["content-type"] == "application/json"
        assert headers["user-agent"] == "tasks-webhook"
        identity, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
        assert before <= int(timestamp) <= time.time()
        assert re.fullmatch("msg_[0-9a-f]{32}", identity)
        code = hmac.new(KEY, f"{identity}.{timestamp}.".encode() + request.body, hashlib.sha256).digest()
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(code).decode()}"

    def test_keeps_its_id_in_all_attempts_of_a_run(self, receiver: Receiver) -> None:
        for task_id, run in (("t", 1), ("t", 1), ("t", 2), ("u", 1), ("t.1", 1), ("t", 11), ("t1", 1)):
            delivered(receiver.url, task_id=task_id, run=run)
        first, again, *others = (request.headers["webhook-id"] for request in receiver.received)
        assert first == again
        assert len({first, *others}) == 6

    def test_is_signed_as_others_sign(self) -> None:
        # The example of the specification's reference implementation.
        signed = sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            b'{"test": 2432232314}',
        )
        assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    def test_is_signed_with_both_secrets_while_one_is_replaced(self, receiver: Receiver) -> None:
        other = f"whsec_{base64.b64encode(b'x' * 24).decode()}"
        delivered(receiver.url, secret=f"{SECRET} {other}")
        signatures = receiver.received[0].headers["webhook-signature"].split(" ")
        assert len(signatures) == 2
        assert len({*signatures}) == 2
        assert all(signature.startswith("v1,") for signature in signatures)

    def test_carries_the_headers_of_its_task(self, receiver: Receiver) -> None:
        own = {
            "Authorization": "Bearer x",
            "Content-Type": "application/cloudevents+json",
            "User-Agent": "me",
        }
        delivered(receiver.url, headers=own)
        headers = receiver.received[0].headers
        assert headers["authorization"] == "Bearer x"
        assert headers["content-type"] == "application/cloudevents+json"
        assert headers["user-agent"] == "me"

    def test_of_null_is_a_delivery_too(self, receiver: Receiver) -> None:
        delivered(receiver.url, body=None)
        assert receiver.received[0].body == b"null"

    def test_takes_no_proxy_from_the_environment(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Receiver() as proxy:
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, proxy.url)
            delivered(receiver.url)
        assert proxy.connections == []

    def test_is_not_made_without_a_secret(self, receiver: Receiver) -> None:
        assert "webhookSecret" in refused(receiver.url, secret=None)
        assert receiver.connections == []

    @pytest.mark.parametrize(
        "secret", ["hunter2", "whsec_hunter2", f"whsec_{'QUJD' * 5}", f"whsec_{'QUJD' * 30}"]
    )
    def test_is_not_made_with_a_bad_one_which_stays_secret(self, receiver: Receiver, secret: str) -> None:
        ended = attempt(receiver.url, secret=secret)
        assert ended["permanent"]
        assert "webhookSecret" in ended["error"]
        assert secret not in str(ended)
        assert receiver.connections == []


class TestAPayload:
    @pytest.mark.parametrize(
        "url",
        [
            "ftp://example.com",
            "//example.com",
            "example.com",
            "http://",
            "http:///path",
            "http://user@example.com",
            "http://user:word@example.com/",
            "http://example.com\\@127.0.0.1",
            "http://exa mple.com",
            "http://example.com/\r\nx: y",
            "http://example.com/\x00",
            "file:///etc/passwd",
            f"http://example.com/{'x' * 2048}",
        ],
    )
    def test_with_a_bad_url_is_refused(self, url: str) -> None:
        value, problems = WEBHOOK.parse({"url": url, "body": 1})
        assert value is None
        assert [problem.field for problem in problems] == ["payload.url"]

    @pytest.mark.parametrize(
        "name",
        [
            *(
                "Host",
                "content-length",
                "Transfer-Encoding",
                "Connection",
                "TE",
                "trailer",
                "Upgrade",
                "Expect",
            ),
            *("webhook-id", "Webhook-Signature", "Proxy-Authorization", "keep-alive"),
        ],
    )
    def test_cannot_set_headers_of_ours(self, name: str) -> None:
        _, problems = WEBHOOK.parse({"url": "http://a", "body": 1, "headers": {name: "x"}})
        assert problems == [FieldError(f"payload.headers.{name}", "is a header that a task cannot set")]

    @pytest.mark.parametrize(
        "headers",
        [{"a b": "x"}, {"a:": "x"}, {"": "x"}, {"a\r\nb": "x"}, {"a": "x\r\ny: z"}, {"a": "ü"}, {"a": "\0"}],
    )
    def test_cannot_break_out_of_a_header(self, headers: dict[str, str]) -> None:
        _, problems = WEBHOOK.parse({"url": "http://a", "body": 1, "headers": headers})
        assert len(problems) == 1
        assert problems[0].field.startswith("payload.headers.")

    def test_cannot_set_a_header_twice(self) -> None:
        _, problems = WEBHOOK.parse(
            {"url": "http://a", "body": 1, "headers": {"X-a": "1", "x-A": "2", "b": "3"}}
        )
        assert problems == [
            FieldError("payload.headers.X-a", "is there more than once"),
            FieldError("payload.headers.x-A", "is there more than once"),
        ]

    @pytest.mark.parametrize("seconds", [0, 0.5, 20.5, "5", True])
    def test_bounds_its_time(self, seconds: Any) -> None:
        _, problems = WEBHOOK.parse({"url": "http://a", "body": 1, "timeoutSeconds": seconds})
        assert [problem.field for problem in problems] == ["payload.timeoutSeconds"]


class TestAnAnswer:
    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    def test_of_2xx_is_a_delivery(self, receiver: Receiver, status: int) -> None:
        receiver.scripts = [f"HTTP/1.1 {status} Fine\r\n\r\n".encode()]
        assert delivered(receiver.url)["status"] == status
        assert len(receiver.connections) == 1

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 413, 422, 451, 499])
    def test_of_4xx_is_final(self, receiver: Receiver, status: int) -> None:
        receiver.scripts = [answer(f"{status} Whatever", b"body", retry_after="5")]
        message = refused(receiver.url)
        assert message.startswith(f"127.0.0.1:{receiver.port} answered {status}")
        assert "Whatever" not in message
        assert "body" not in message

    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
    def test_that_may_change_is_asked_for_again(self, receiver: Receiver, status: int) -> None:
        receiver.scripts = [answer(f"{status} Whatever", b"secret body")]
        message = failed(receiver.url)
        assert message.startswith(f"127.0.0.1:{receiver.port} answered {status}")
        assert "body" not in message

    @pytest.mark.parametrize("status", [300, 301, 302, 303, 304])
    def test_of_an_old_redirect_is_final(self, receiver: Receiver, status: int) -> None:
        receiver.scripts = [redirect(status, receiver.url), OK]
        assert "which is not followed" in refused(receiver.url)
        assert len(receiver.connections) == 1

    def test_of_another_protocol_is_final(self, receiver: Receiver) -> None:
        receiver.scripts = [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"]
        assert refused(receiver.url).endswith("answered 101 Switching Protocols")

    @pytest.mark.parametrize("status", [429, 503, 500, 408])
    @pytest.mark.parametrize(("asked", "seconds"), [("120", 120), ("0", 0), ("999999999", 31_622_400)])
    def test_may_ask_for_a_delay_in_seconds(
        self, receiver: Receiver, status: int, asked: str, seconds: float
    ) -> None:
        receiver.scripts = [answer(f"{status} Later", b"", retry_after=asked)]
        ended = attempt(receiver.url)
        assert ended["delay_seconds"] == seconds
        assert not ended["permanent"]
        assert f"answered {status}" in ended["error"]

    @pytest.mark.parametrize(
        "form", ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
    )
    def test_may_ask_for_a_delay_by_a_date(self, receiver: Receiver, form: str) -> None:
        date = datetime.now(UTC) + timedelta(seconds=90)
        receiver.scripts = [answer("503 Later", b"", retry_after=date.strftime(form))]
        assert 85 < attempt(receiver.url)["delay_seconds"] <= 90

    def test_with_a_date_in_the_past_asks_for_no_delay(self, receiver: Receiver) -> None:
        date = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)
        receiver.scripts = [answer("503 Later", b"", retry_after=date)]
        ended = attempt(receiver.url)
        assert ended["delay_seconds"] == 0
        assert ended["error"].endswith("asks to wait 0 s")

    @pytest.mark.parametrize(
        "asked", ["", "soon", "-5", "1.5", "12345678901", "Mon, 99 Foo 2020 00:00:00 GMT", "٣"]
    )
    def test_with_a_delay_that_is_none_is_retried_as_usual(self, receiver: Receiver, asked: str) -> None:
        receiver.scripts = [f"HTTP/1.1 503 x\r\nretry-after: {asked}\r\ncontent-length: 0\r\n\r\n".encode()]
        failed(receiver.url)

    def test_is_the_one_after_interim_ones(self, receiver: Receiver) -> None:
        interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 P\r\n\r\n"
        receiver.scripts = [interim + answer("201 Created", b"made")]
        result = delivered(receiver.url)
        assert (result["status"], result["excerpt"]) == (201, "made")


class TestAnExcerpt:
    def test_is_bounded(self, receiver: Receiver) -> None:
        receiver.scripts = [answer("200 OK", b"x" * 1001)]
        result = delivered(receiver.url)
        assert (result["excerpt"], result["truncated"]) == ("x" * 1000, True)

    def test_of_a_huge_body_costs_no_more_than_its_start(self, receiver: Receiver) -> None:
        sent: list[int] = []

        def flood(connection: socket.socket) -> None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")
            try:
                while sum(sent) < 500_000_000:
                    sent.append(connection.send(b"x" * 65536))
            except OSError:
                return

        receiver.scripts = [flood]
        result = delivered(receiver.url)
        assert (len(result["excerpt"]), result["truncated"]) == (1000, True)
        time.sleep(0.2)
        assert sum(sent) < 20_000_000

    def test_of_a_body_that_goes_on_beyond_what_is_read_says_so(self, receiver: Receiver) -> None:
        receiver.scripts = [b"HTTP/1.0 200 OK\r\n\r\nstart" + b" " * 70_000 + b"end"]
        result = delivered(receiver.url)
        assert (result["excerpt"], result["truncated"]) == ("start", True)

    def test_is_one_line_of_text(self, receiver: Receiver) -> None:
        receiver.scripts = [answer("200 OK", b"a\r\n\tb\0\x1b[31mc\xff\xe2\x80\xaed \xc3\xbc")]
        assert delivered(receiver.url)["excerpt"] == "a b [31mc\ufffd d ü"

    @pytest.mark.parametrize("own", [{}, {"accept-encoding": "gzip"}])
    def test_is_unpacked(self, receiver: Receiver, own: dict[str, str]) -> None:
        receiver.scripts = [answer("200 OK", gzip.compress(b"packed"), content_encoding="gzip")]
        assert delivered(receiver.url, headers=own)["excerpt"] == "packed"
        assert receiver.received[0].headers["accept-encoding"] == own.get("accept-encoding", "identity")

    def test_of_a_bomb_is_bounded(self, receiver: Receiver) -> None:
        bomb = gzip.compress(b"x" * 50_000_000)
        assert len(bomb) < 60_000
        receiver.scripts = [answer("200 OK", bomb, content_encoding="gzip")]
        tracemalloc.start()
        try:
            assert len(delivered(receiver.url)["excerpt"]) == 1000
            assert tracemalloc.get_traced_memory()[1] < 10_000_000
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("encoding", ["gzip", "br"])
    def test_of_what_cannot_be_unpacked_is_empty(self, receiver: Receiver, encoding: str) -> None:
        receiver.scripts = [answer("200 OK", b"not packed", content_encoding=encoding)]
        assert delivered(receiver.url)["excerpt"] == ""

    @pytest.mark.parametrize(
        ("data", "excerpt"),
        [
            (b"content-length: 100\r\n\r\nonly this", "only this"),
            (b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "hello"),
            (b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense\r\n", "hello"),
            (b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\nfffffffffffffff\r\n", "hello"),
            (b"transfer-encoding: chunked\r\n\r\n-5\r\nhello\r\n", "hello"),
        ],
    )
    def test_of_a_body_that_breaks_off_is_what_came(
        self, receiver: Receiver, data: bytes, excerpt: str
    ) -> None:
        receiver.scripts = [b"HTTP/1.1 200 OK\r\n" + data]
        result = delivered(receiver.url)
        assert (result["status"], result["excerpt"], result["truncated"]) == (200, excerpt, True)

    def test_of_a_good_chunked_body_is_whole(self, receiver: Receiver) -> None:
        receiver.scripts = [
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
        ]
        result = delivered(receiver.url)
        assert (result["excerpt"], result["truncated"]) == ("abc", False)

    def test_of_a_body_without_length_is_whole(self, receiver: Receiver) -> None:
        receiver.scripts = [b"HTTP/1.0 200 OK\r\n\r\nto the end"]
        result = delivered(receiver.url)
        assert (result["excerpt"], result["truncated"]) == ("to the end", False)


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
        self, resolver: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
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


class TestARedirect:
    @pytest.mark.parametrize("status", [307, 308])
    def test_repeats_the_request(self, receiver: Receiver, status: int) -> None:
        receiver.scripts = [redirect(status, "/there?x=1"), OK]
        assert delivered(receiver.url, method="PATCH", headers={"x-token": "t"})["status"] == 200
        first, second = receiver.received
        assert (first.line, second.line) == ("PATCH / HTTP/1.1", "PATCH /there?x=1 HTTP/1.1")
        assert first.body == second.body
        assert first.headers == second.headers

    def test_takes_no_headers_of_the_task_elsewhere(self, receiver: Receiver) -> None:
        with Receiver() as other:
            receiver.scripts = [redirect(307, other.url)]
            delivered(receiver.url, headers={"Authorization": "Bearer x", "Content-Type": "text/json"})
        headers = other.received[0].headers
        assert "authorization" not in headers
        assert headers["content-type"] == "text/json"
        assert headers["host"] == f"127.0.0.1:{other.port}"
        assert headers["webhook-signature"] == receiver.received[0].headers["webhook-signature"]

    def test_is_followed_three_times(self, receiver: Receiver) -> None:
        receiver.scripts = [*[redirect(308, f"/{place}") for place in range(3)], OK]
        delivered(receiver.url)
        assert len(receiver.connections) == 4

    def test_in_a_circle_is_given_up(self, receiver: Receiver) -> None:
        receiver.scripts = [redirect(307, "/")]
        assert refused(receiver.url) == f"redirected more than 3 times, at last by 127.0.0.1:{receiver.port}"
        assert len(receiver.connections) == 4

    @pytest.mark.parametrize(
        "location",
        [
            *("http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/", "http://[::ffff:10.0.0.1]/"),
            *(
                "http://[fd00:ec2::254]/",
                "http://127.0.0.2:{port}/",
                "http://2130706434:{port}/",
                "http://0:{port}/",
            ),
            *(
                "file:///etc/passwd",
                "http://user:word@127.0.0.1:{port}/",
                "http://127.0.0.1:{port}\\@x/",
            ),
            *("http://[", "http://127.0.0.1:99999/", "//127.0.0.2:{port}/"),
        ],
    )
    def test_to_where_nobody_may_go_is_not_followed(self, receiver: Receiver, location: str) -> None:
        with Receiver(host="127.0.0.2", port=receiver.port) as secret:
            receiver.scripts = [redirect(307, location.replace("{port}", str(receiver.port))), OK]
            message = refused(receiver.url)
        assert secret.connections == []
        assert len(receiver.connections) == 1
        assert "redirects" in message or "has no address in webhookAllowedNetworks" in message

    def test_without_a_place_is_final(self, receiver: Receiver) -> None:
        receiver.scripts = [answer("307 Elsewhere")]
        assert refused(receiver.url).endswith("redirects without saying where to")

    def test_is_checked_for_its_host(self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WEBHOOK_ALLOWED_HOSTS", '["127.0.0.1"]')
        receiver.scripts = [redirect(307, f"http://localhost:{receiver.port}/")]
        assert refused(receiver.url) == f"localhost:{receiver.port} is not one of webhookAllowedHosts"
        assert len(receiver.connections) == 1

    def test_from_a_name_to_a_name_resolves_each_once(
        self, receiver: Receiver, resolver: Callable[..., list[str]]
    ) -> None:
        asked = resolver(["127.0.0.1"])
        receiver.scripts = [redirect(307, f"http://b.example:{receiver.port}/"), OK]
        delivered(f"http://a.example:{receiver.port}")
        assert asked == ["a.example", "b.example"]

    @pytest.mark.parametrize(
        ("there", "is_trusted"),
        [
            ("http://a.example/x", True),
            ("http://A.example:80", True),
            ("https://a.example", True),
            ("https://a.example:8443", False),
            ("http://a.example:8080", False),
            ("https://b.example", False),
            ("http://x.a.example", False),
        ],
    )
    def test_keeps_the_headers_of_the_task_on_its_own_host(self, there: str, is_trusted: bool) -> None:
        target = outbound._Target  # pyright: ignore[reportPrivateUsage]
        assert target.of("http://a.example/").trusts(target.of(there)) is is_trusted


class TestAForbiddenAddress:
    """It is listened on: what connects to it is seen."""

    @pytest.mark.parametrize(
        "host",
        [
            *(
                "127.0.0.2",
                "2130706434",
                "0x7f000002",
                "0x7f.2",
                "0177.0.0.2",
                "127.2",
                "127.0.2",
                "[::ffff:127.0.0.2]",
            ),
            *(
                "[::ffff:7f00:2]",
                "\uff11\uff12\uff17.\uff10.\uff10.\uff12",
                "127\u30020\u30020\u30022",
                "127.0.0.2.",
            ),
        ],
    )
    def test_is_never_connected_to_however_it_is_written(self, receiver: Receiver, host: str) -> None:
        with Receiver(host="127.0.0.2", port=receiver.port) as secret:
            ended = attempt(f"http://{host}:{receiver.port}/")
        assert secret.connections == []
        assert receiver.connections == []
        assert ended["permanent"] or ended["error"].endswith("cannot be resolved")

    @pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]"])
    def test_is_not_what_an_allowed_one_is_in_an_odd_notation(self, receiver: Receiver, host: str) -> None:
        delivered(f"http://{host}:{receiver.port}/")
        assert receiver.connections in (["127.0.0.1"], ["::ffff:127.0.0.1"])

    @pytest.mark.parametrize("networks", ['["public"]', "[]", '["::1/128"]', '["127.0.0.2/31"]'])
    def test_is_any_but_those_of_the_configuration(
        self, receiver: Receiver, networks: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WEBHOOK_ALLOWED_NETWORKS", networks)
        assert refused(receiver.url) == f"127.0.0.1:{receiver.port} has no address in webhookAllowedNetworks"
        assert receiver.connections == []

    def test_is_any_but_public_ones_by_default(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("WEBHOOK_ALLOWED_NETWORKS")
        refused(receiver.url)
        assert receiver.connections == []

    @pytest.mark.parametrize(
        "address", ["10.0.0.1", "10.255.255.254", "169.254.169.254", "fd00:ec2::254", "::1", "0.0.0.0"]
    )
    def test_of_a_name_is_never_connected_to(
        self, resolver: Callable[..., list[str]], address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        called: list[Any] = []

        def connect(_: socket.socket, address: Any) -> None:
            called.append(address)

        monkeypatch.setattr(socket.socket, "connect", connect)
        resolver([address])
        assert (
            refused("http://innocent.example") == "innocent.example has no address in webhookAllowedNetworks"
        )
        assert called == []

    def test_is_not_reached_by_a_name_that_changes(
        self, receiver: Receiver, resolver: Callable[..., list[str]]
    ) -> None:
        with Receiver(host="127.0.0.2", port=receiver.port) as secret:
            asked = resolver(["127.0.0.1"], ["127.0.0.2"])
            delivered(f"http://changing.example:{receiver.port}")
            assert asked == ["changing.example"]
            assert receiver.received[0].headers["host"] == f"changing.example:{receiver.port}"
            refused(f"http://changing.example:{receiver.port}")
        assert secret.connections == []

    @pytest.mark.parametrize(
        "answers", [["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"], ["::1", "10.0.0.1", "127.0.0.1"]]
    )
    def test_among_others_is_passed_over(
        self, receiver: Receiver, resolver: Callable[..., list[str]], answers: Addresses
    ) -> None:
        with Receiver(host="127.0.0.2", port=receiver.port) as secret:
            resolver(answers)
            delivered(f"http://mixed.example:{receiver.port}")
        assert secret.connections == []
        assert receiver.connections == ["127.0.0.1"]

    def test_is_not_tried_when_the_allowed_ones_do_not_answer(
        self, resolver: Callable[..., list[str]]
    ) -> None:
        with Receiver(host="127.0.0.2") as secret:
            resolver(["127.0.0.1", "127.0.0.2"])
            assert "Connection refused" in failed(f"http://mixed.example:{secret.port}")
        assert secret.connections == []

    def test_is_not_reached_by_a_connection_that_was_lost(self, receiver: Receiver) -> None:
        target = outbound._Target.of(receiver.url)  # pyright: ignore[reportPrivateUsage]
        connection = outbound._Connection(target, socket.socket())  # pyright: ignore[reportPrivateUsage]
        connection.close()
        with pytest.raises(http.client.NotConnected):
            connection.request("POST", "/")
        assert receiver.connections == []

    def test_is_not_why_the_next_allowed_one_is_not_tried(
        self, resolver: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WEBHOOK_ALLOWED_NETWORKS", '["127.0.0.0/8"]')
        with Receiver(host="127.0.0.3") as third:
            resolver(["127.0.0.1", "127.0.0.3"])
            delivered(f"http://many.example:{third.port}")
        assert len(third.connections) == 1


class TestPublicAddresses:
    @pytest.mark.parametrize(
        "address",
        [
            *(
                "0.0.0.0",
                "0.1.2.3",
                "10.0.0.1",
                "100.64.0.1",
                "100.127.255.255",
                "127.0.0.1",
                "127.255.255.255",
            ),
            *("169.254.169.254", "169.254.100.5", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1"),
            *(
                "192.88.99.1",
                "192.168.1.1",
                "198.18.0.1",
                "198.51.100.1",
                "203.0.113.1",
                "224.0.0.1",
                "239.1.1.1",
            ),
            *(
                "240.0.0.1",
                "255.255.255.255",
                "::",
                "::1",
                "fe80::1",
                "fe80::1%1",
                "fc00::1",
                "fd00:ec2::254",
            ),
            *("fec0::1", "ff02::1", "2001:db8::1", "3fff::1", "100::1", "2001:2::1", "2001:10::1", "5f00::1"),
            *(
                "::ffff:10.0.0.1",
                "::ffff:169.254.169.254",
                "::10.0.0.1",
                "64:ff9b::10.0.0.1",
                "64:ff9b:1::8.8.8.8",
            ),
            *(
                "2002:0a00:0001::1",
                "2002:0808:0808::1",
                "2001:0:4136:e378:8000:63bf:3fff:fdd2",
                "::ffff:0:8.8.8.8",
            ),
        ],
    )
    def test_are_no_others(self, address: str) -> None:
        assert not Rules().allow_address(address)

    @pytest.mark.parametrize(
        "address",
        [
            *(
                "1.1.1.1",
                "8.8.8.8",
                "100.63.255.255",
                "100.128.0.1",
                "172.32.0.1",
                "9.255.255.255",
                "11.0.0.1",
            ),
            *("192.0.1.1", "223.255.255.255", "169.253.1.1", "198.20.0.1", "2606:4700::1111", "2a00:1450::1"),
            *("2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"),
        ],
    )
    def test_are_all_the_rest(self, address: str) -> None:
        assert Rules().allow_address(address)

    @given(st.ip_addresses())
    def test_are_none_that_python_knows_to_be_special(self, address: IPv4Address | IPv6Address) -> None:
        special = (
            address.is_private
            or address.is_loopback
            or address.is_link_local
            or address.is_multicast
            or address.is_reserved
            or address.is_unspecified
            or not address.is_global
        )
        embedded = isinstance(address, IPv6Address) and address in IPv6Network("64:ff9b::/96")
        if special and not embedded and not (isinstance(address, IPv6Address) and address.ipv4_mapped):
            assert not Rules().allow_address(str(address))

    @given(st.ip_addresses(v=4))
    def test_are_the_same_in_ipv6_forms(self, address: IPv4Address) -> None:
        allowed = Rules().allow_address(str(address))
        assert Rules().allow_address(f"::ffff:{address}") == allowed
        assert Rules().allow_address(f"64:ff9b::{address}") == allowed

    @given(st.ip_addresses(v=4, network="10.0.0.0/8"))
    def test_are_not_reached_through_tunnels(self, inner: IPv4Address) -> None:
        everything_6 = Rules(networks=(IPv6Network("::/0"),))
        bits = int(inner)
        tunnels = [
            (0x2002 << 112) | (bits << 80) | 1,
            (0x2001 << 112) | (bits << 64) | 1,
            (0x2001 << 112) | (0x08080808 << 64) | (bits ^ 0xFFFFFFFF),
        ]
        for tunnel in tunnels:
            assert not everything_6.allow_address(str(IPv6Address(tunnel)))
        assert everything_6.allow_address("fd00::1")


class TestAllowedHosts:
    RULES = Rules.from_environment(
        {"WEBHOOK_ALLOWED_HOSTS": '["Example.com", "*.hooks.example", "*.bücher.example"]'}
    )

    @pytest.mark.parametrize(
        "host", ["example.com", "a.hooks.example", "a.b.hooks.example", "x.xn--bcher-kva.example"]
    )
    def test_are_those_named(self, host: str) -> None:
        assert self.RULES.allow_host(host)

    @pytest.mark.parametrize(
        "host",
        [
            "a.example.com",
            "hooks.example",
            "xhooks.example",
            "example.com.evil.example",
            "evil-example.com",
            "127.0.0.1",
        ],
    )
    def test_are_no_others(self, host: str) -> None:
        assert not self.RULES.allow_host(host)

    def test_are_all_when_none_is_named(self) -> None:
        assert Rules.from_environment({}).allow_host("anything.example")

    @pytest.mark.parametrize(
        "host", ["EXAMPLE.test", "example.test.", "Bücher.example", "xn--bcher-kva.example"]
    )
    def test_are_known_in_every_spelling(
        self,
        receiver: Receiver,
        resolver: Callable[..., list[str]],
        monkeypatch: pytest.MonkeyPatch,
        host: str,
    ) -> None:
        monkeypatch.setenv("WEBHOOK_ALLOWED_HOSTS", '["example.test", "bücher.example"]')
        asked = resolver(["127.0.0.1"])
        delivered(f"http://{host}:{receiver.port}")
        assert asked[0] in ("example.test", "xn--bcher-kva.example")
        assert receiver.received[0].headers["host"] == f"{asked[0]}:{receiver.port}"

    @pytest.mark.parametrize(
        "host", ["a..example", ".example", "exa%6dple.test", "a℀b.example", f"{'a' * 64}.ü", "[fe80::1%25lo]"]
    )
    def test_are_none_that_are_no_hosts(self, resolver: Callable[..., list[str]], host: str) -> None:
        asked = resolver(["127.0.0.1"])
        assert refused(f"http://{host}/").startswith("the URL ")
        assert asked == []

    def test_have_no_port_0(self, resolver: Callable[..., list[str]]) -> None:
        asked = resolver(["127.0.0.1"])
        assert refused("http://a.example:0/") == "the URL names port 0"
        assert asked == []

    def test_are_checked_before_anything_is_resolved(
        self, resolver: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WEBHOOK_ALLOWED_HOSTS", '["example.test"]')
        asked = resolver(["127.0.0.1"])
        assert refused("http://other.test/") == "other.test is not one of webhookAllowedHosts"
        assert asked == []


class TestTls:
    @pytest.fixture(autouse=True)
    def anew(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
        """The system's certificate authorities, as far as OpenSSL knows them: one of these tests."""
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        outbound._tls.cache_clear()  # pyright: ignore[reportPrivateUsage]
        yield
        outbound._tls.cache_clear()  # pyright: ignore[reportPrivateUsage]

    def test_is_spoken_with_the_name_of_the_host(
        self, resolver: Callable[..., list[str]], tmp_path: Path
    ) -> None:
        named: list[str | None] = []
        context = tls_context(tmp_path, "hooks.example")
        context.sni_callback = lambda _, name, __: named.append(name)
        with Receiver(tls=context) as receiver:
            resolver(["127.0.0.1"])
            delivered(f"https://Hooks.example.:{receiver.port}/x")
        assert named == ["hooks.example"]
        assert receiver.received[0].headers["host"] == f"hooks.example:{receiver.port}"

    def test_is_expected_at_its_own_port(self, resolver: Callable[..., list[str]], tmp_path: Path) -> None:
        with Receiver(tls=tls_context(tmp_path, "hooks.example")) as receiver:
            resolver(["127.0.0.1"], behind=receiver.port)
            delivered("https://hooks.example/x")
        assert receiver.received[0].headers["host"] == "hooks.example"

    def test_is_spoken_with_an_address_that_has_a_certificate(self, tmp_path: Path) -> None:
        with Receiver(tls=tls_context(tmp_path, "127.0.0.1")) as receiver:
            delivered(receiver.url)

    @pytest.mark.parametrize(
        ("name", "lifetime", "cause"),
        [
            ("other.example", timedelta(days=1), "Hostname mismatch"),
            ("hooks.example", timedelta(days=-1), "certificate has expired"),
        ],
    )
    def test_with_a_wrong_certificate_delivers_nothing(
        self, resolver: Callable[..., list[str]], tmp_path: Path, name: str, lifetime: timedelta, cause: str
    ) -> None:
        with Receiver(tls=tls_context(tmp_path, name, lifetime=lifetime)) as receiver:
            resolver(["127.0.0.1"])
            message = failed(f"https://hooks.example:{receiver.port}")
        assert message.startswith(f"hooks.example:{receiver.port} has a bad certificate: {cause}")
        assert receiver.received == []

    def test_with_a_certificate_of_nobody_delivers_nothing(self, tmp_path: Path) -> None:
        context = tls_context(tmp_path, "127.0.0.1")
        (tmp_path / "other").mkdir()
        tls_context(tmp_path / "other", "127.0.0.1")
        (tmp_path / "other" / "ca.pem").replace(tmp_path / "ca.pem")
        with Receiver(tls=context) as receiver:
            assert "has a bad certificate" in failed(receiver.url)
        assert receiver.received == []

    def test_is_not_what_a_plain_receiver_speaks(self, receiver: Receiver, tmp_path: Path) -> None:
        tls_context(tmp_path, "127.0.0.1")
        receiver.reads = "nothing"
        assert failed(receiver.url.replace("http:", "https:")).endswith("does not speak TLS as it should")

    def test_that_is_never_begun_ends_in_time(self, tmp_path: Path) -> None:
        tls_context(tmp_path, "127.0.0.1")
        with socket.create_server(("127.0.0.1", 0)) as mute:
            started = time.monotonic()
            message = failed(f"https://127.0.0.1:{mute.getsockname()[1]}", timeoutSeconds=1)
        assert time.monotonic() - started < 3
        assert "gave no answer within 1 s" in message

    @pytest.mark.parametrize("script", [drip(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000)])
    def test_does_not_help_to_outlast_the_deadline(self, tmp_path: Path, script: Script) -> None:
        with Receiver([script], tls=tls_context(tmp_path, "127.0.0.1")) as receiver:
            started = time.monotonic()
            assert "gave no answer within 1 s" in failed(receiver.url, timeoutSeconds=1)
            assert time.monotonic() - started < 3

    def test_is_not_given_up_for_a_redirect(self, receiver: Receiver, tmp_path: Path) -> None:
        with Receiver([redirect(307, receiver.url)], tls=tls_context(tmp_path, "127.0.0.1")) as secure:
            assert refused(secure.url).endswith("redirects from https to http")
        assert receiver.connections == []


def test_what_a_delivery_needs_is_imported_by_the_first() -> None:
    """Every cold start would pay for it otherwise."""
    code = (
        "import sys, task_types; from tasklib.task_type import load_all; load_all(task_types);"
        "print({'tasklib.outbound', 'http.client', 'ssl', 'urllib3', 'boto3', 'botocore'} & {*sys.modules})"
    )
    functions = Path(outbound.__file__).parent.parent
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=functions, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


class TestSecretParameters:
    @pytest.fixture
    def ssm(self, request: pytest.FixtureRequest) -> Any:
        request.getfixturevalue("emulated_aws")
        return cast("Any", boto3).client("ssm")

    @pytest.fixture
    def parameter(self, ssm: Any) -> str:
        name = f"/tests/{uuid.uuid4()}"
        ssm.put_parameter(Name=name, Value=SECRET, Type="SecureString")
        return name

    def test_are_read_from_ssm_and_decrypted(self, ssm: Any, parameter: str) -> None:
        stored = ssm.get_parameter(Name=parameter, WithDecryption=False)["Parameter"]["Value"]
        assert stored != SECRET
        secrets = SecretParameters(lambda: ssm, {"WEBHOOK_SECRET_PARAMETER": parameter})
        assert secrets.values(WEBHOOK.secrets) == {"signing": SECRET}

    def test_are_read_again_after_five_minutes(
        self, ssm: Any, parameter: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [1000.0]
        monkeypatch.setattr(secret_parameters.time, "monotonic", lambda: now[0])
        clients: list[Any] = []
        secrets = SecretParameters(lambda: clients.append(ssm) or ssm, {"P": parameter})
        assert secrets.values({"a": "P"}) == {"a": SECRET}
        ssm.put_parameter(Name=parameter, Value="new", Type="SecureString", Overwrite=True)
        now[0] += 299
        assert secrets.values({"a": "P"}) == {"a": SECRET}
        now[0] += 2
        assert secrets.values({"a": "P"}) == {"a": "new"}
        assert len(clients) == 1

    def test_that_the_stack_does_not_configure_are_absent_and_cost_nothing(self) -> None:
        secrets = SecretParameters(lambda: pytest.fail("no client is wanted"), {"EMPTY": ""})
        assert secrets.values({"a": "EMPTY", "b": "ABSENT"}) == {}
        assert secrets.values({}) == {}

    def test_that_are_gone_raise_and_are_asked_for_again(self, ssm: Any, parameter: str) -> None:
        secrets = SecretParameters(lambda: ssm, {"P": f"{parameter}-later"})
        with pytest.raises(ClientError, match="ParameterNotFound"):
            secrets.values({"a": "P"})
        ssm.put_parameter(Name=f"{parameter}-later", Value="v", Type="SecureString")
        assert secrets.values({"a": "P"}) == {"a": "v"}

    def test_are_read_once_for_all_threads(self, ssm: Any, parameter: str) -> None:
        class Counting:
            calls = 0

            def get_parameter(self, **names: Any) -> Any:
                self.calls += 1
                time.sleep(0.05)
                return ssm.get_parameter(**names)

        client = Counting()
        secrets = SecretParameters(lambda: client, {"P": parameter})
        threads = [threading.Thread(target=secrets.values, args=({"a": "P"},)) for _ in range(5)]
        with ExitStack() as stack:
            for thread in threads:
                stack.callback(thread.join)
                thread.start()
        assert client.calls == 1
