"""The deployed package, unpacked, and the stack that its functions work on."""

import zipfile
from collections.abc import Generator
from pathlib import Path

import pytest

from infra import package
from tests.functions.conftest import (
    emulated_aws,  # noqa: F401 # pyright: ignore[reportUnusedImport]
    stack,  # noqa: F401 # pyright: ignore[reportUnusedImport]
)
from tests.functions.websocket_gateway import WebSocketGateway
from tests.infra.stacks import ROOT


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the code, as Lambda makes it from the zip that is deployed."""
    folder = tmp_path_factory.mktemp("task")
    with zipfile.ZipFile(ROOT / package.build(ROOT)) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def gateway() -> Generator[WebSocketGateway]:
    """Where updates are pushed to."""
    gateway = WebSocketGateway()
    yield gateway
    gateway.close()
