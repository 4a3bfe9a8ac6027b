"""What a task of this type may ask for."""

from typing import Any

import pytest
from tasklib.payload import FieldError

from .attempts import WEBHOOK


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
