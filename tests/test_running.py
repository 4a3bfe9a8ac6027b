"""How the tests themselves are run."""

import os

import pytest


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all")
@pytest.mark.xdist_group("together")
def test_a_group_runs_on_one_worker(request: pytest.FixtureRequest) -> None:
    # What pytest-xdist tells groups by. Without it each group's stacks start on every worker.
    assert request.node.nodeid.endswith("@together")
