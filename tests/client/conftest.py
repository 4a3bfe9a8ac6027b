"""A server for each test, and no proxy or colour setting of this machine in the way."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from client import backoff, stack
from local.emulator import Emulator
from local.running import told
from tests.client.fake_api import FakeApi
from tests.client.fake_live import FakeLive
from tests.client.fake_pulumi import FakePulumi

#: Of the emulator.
REGION = "eu-west-1"

#: A stack that runs at a port, with what it tells of itself.
LocalStacks = Callable[[int, Mapping[str, Any]], AbstractContextManager[None]]


@pytest.fixture
def api() -> Iterator[FakeApi]:
    server = FakeApi()
    yield server
    server.close()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine that refuses connections."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's pauses between tries are so short that nobody waits for them."""
    monkeypatch.setattr(backoff, "BASE_SECONDS", 0.002)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # No certificate authority is needed here, and reading them all costs each client 30 ms.
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "TASKS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # never AWS itself


@pytest.fixture
def live(api: FakeApi) -> Iterator[FakeLive]:
    """The API with live updates, on which tasks move by `api.change` alone."""
    server = FakeLive()
    api.live_url = server.url
    api.polls_to_finish = None
    yield server
    server.close()


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """AWS, as the local stack has it."""
    with Emulator(0, REGION) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture
def local_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStacks:
    """Lets stacks run on this machine, as far as the client can see: none to begin with."""
    monkeypatch.setattr(stack, "LOCAL_STACKS", tmp_path / "build" / "local-stacks")
    return lambda port, known: told(tmp_path, port, known)


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePulumi:
    """The Pulumi CLI: a program of that name, the only one on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return FakePulumi(folder)
