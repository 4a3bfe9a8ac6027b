"""Every stack, one after the other, and what the program declares for it."""

import pytest

from tests.infra.stacks import STACKS, Program, evaluate


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def program(stack: str) -> Program:
    return evaluate(stack)
