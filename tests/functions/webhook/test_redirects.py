"""Which redirects are followed, and what is sent there."""

import pytest
from tasklib import outbound

from tests.functions.receiver import OK, Receiver, answer, redirect

from .attempts import delivered, refused
from .conftest import Resolver


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

    def test_from_a_name_to_a_name_resolves_each_once(self, receiver: Receiver, resolver: Resolver) -> None:
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
