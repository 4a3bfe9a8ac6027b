"""TLS: whose certificates are taken, and that it has no time of its own."""

import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tasklib import outbound

from tests.functions.receiver import Receiver, Script, drip, redirect, tls_context

from .attempts import delivered, failed, refused
from .conftest import Resolver


class TestTls:
    @pytest.fixture(autouse=True)
    def anew(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
        """The system's certificate authorities, as far as OpenSSL knows them: one of these tests."""
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        outbound._tls.cache_clear()  # pyright: ignore[reportPrivateUsage]
        yield
        outbound._tls.cache_clear()  # pyright: ignore[reportPrivateUsage]

    def test_is_spoken_with_the_name_of_the_host(self, resolver: Resolver, tmp_path: Path) -> None:
        named: list[str | None] = []
        context = tls_context(tmp_path, "hooks.example")
        context.sni_callback = lambda _, name, __: named.append(name)
        with Receiver(tls=context) as receiver:
            resolver(["127.0.0.1"])
            delivered(f"https://Hooks.example.:{receiver.port}/x")
        assert named == ["hooks.example"]
        assert receiver.received[0].headers["host"] == f"hooks.example:{receiver.port}"

    def test_is_expected_at_its_own_port(self, resolver: Resolver, tmp_path: Path) -> None:
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
        self, resolver: Resolver, tmp_path: Path, name: str, lifetime: timedelta, cause: str
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
