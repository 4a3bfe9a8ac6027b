"""What an answer means to the task, and what is kept of it."""

import gzip
import socket
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tests.functions.receiver import OK, Receiver, answer, redirect

from .attempts import attempt, delivered, failed, refused


class TestAnAnswer:
    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    def test_of_2xx_is_a_delivery(self, receiver: Receiver, status: int) -> None:
        receiver.scripts = [f"HTTP/1.1 {status} Fine\r\n\r\n".encode()]
        assert delivered(receiver.url)["status"] == status
        assert len(receiver.connections) == 1

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 413, 422, 451, 499, 600, 999])
    def test_that_cannot_change_is_final(self, receiver: Receiver, status: int) -> None:
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
        "asked",
        [
            *("", "soon", "-5", "1.5", "12345678901", "Mon, 99 Foo 2020 00:00:00 GMT", "٣"),
            "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
            "Mon, 01 Jan 2035 00:00:00 +99999999999999999999",
        ],
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

    def test_that_is_said_to_be_as_it_is_is_text(self, receiver: Receiver) -> None:
        receiver.scripts = [answer("200 OK", b"plain", content_encoding="Identity")]
        assert delivered(receiver.url)["excerpt"] == "plain"

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
