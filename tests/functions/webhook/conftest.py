"""A receiver, and what tells where deliveries go: the stack's rules and the resolver of names."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.functions.receiver import Receiver

#: Takes the addresses of a name, look by look; returns the names that are asked for from then on.
Resolver = Callable[..., list[str]]


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
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """Makes the system resolve a name to these addresses at the first look, those at the next, the last ever after.

    `behind` is the port there, whatever port is asked for.
    """
    real = socket.getaddrinfo

    def install(*looks: list[str], behind: int | None = None) -> list[str]:
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
