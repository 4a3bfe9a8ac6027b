"""The API keeps to its own description, and so do its answers to what the description does not allow."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from .conftest import LocalStack, running

pytestmark = pytest.mark.xdist_group("openapi")


@pytest.fixture(scope="module")
def reliable(tmp_path_factory: pytest.TempPathFactory) -> Generator[LocalStack]:
    """A stack of this module's own: whoever reads the log of one waits for all that was ever called in it."""
    with running(
        tmp_path_factory.mktemp("openapi") / "log", "failureRate=0", "backoffBaseSeconds=1"
    ) as stack:
        yield stack


def check_made_up_requests(stack: LocalStack, directory: Path, *options: str) -> str:
    """Has requests made up from the description, checks the answers against it, and returns what was said of them."""
    description = directory / "openapi.json"
    answer = stack.http.get("/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    description.write_bytes(answer.content)
    address = httpx.URL(stack.url)
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "run", description),
            *("--url", str(address.copy_with(host="127.0.0.1"))),
            *("--header", f"Host: {address.netloc.decode()}"),
            *("--seed", "1", "--no-color"),
            # Not all of it can be said by a schema: whether a cursor is one of ours, or what fields mean together.
            *("--exclude-checks", "positive_data_acceptance"),
            *options,
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


def test_some_requests_are_answered_as_the_description_says(reliable: LocalStack, tmp_path: Path) -> None:
    options = ("--phases", "examples,fuzzing", "--max-examples", "5")
    assert "Tested: 10" in check_made_up_requests(reliable, tmp_path, *options)


@pytest.mark.long
def test_many_good_requests_are_answered_as_the_description_says(tmp_path: Path) -> None:
    """The bad ones are in test_hostile_input.py."""
    options = ("--mode", "positive", "--max-examples", "30")
    with running(tmp_path / "log", "failureRate=0") as stack:
        assert "Tested: 10" in check_made_up_requests(stack, tmp_path, *options)


def test_it_describes_every_route_and_every_type(reliable: LocalStack) -> None:
    description = reliable.http.get("/openapi.json").json()
    assert sorted(
        f"{method.upper()} {path}" for path, methods in description["paths"].items() for method in methods
    ) == [
        "DELETE /tasks/{taskId}",
        "GET /",
        "GET /docs",
        "GET /openapi.json",
        "GET /tasks",
        "GET /tasks/{taskId}",
        "POST /live",
        "POST /tasks",
        "POST /tasks/batch",
        "POST /tasks/{taskId}/retry",
    ]
    titles = [each["title"] for each in description["components"]["schemas"]["Submission"]["anyOf"]]
    types = sorted(path.stem for path in Path("functions/task_types").glob("[a-z]*.py"))
    assert titles == types


def test_its_examples_are_what_the_api_takes(reliable: LocalStack) -> None:
    description = reliable.http.get("/openapi.json").json()
    for path in ("/tasks", "/tasks/batch"):
        content = description["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        for example in content["examples"].values():
            answer = reliable.http.post(path, json=example["value"])
            assert answer.status_code in (200, 202, 207), answer.text
            assert "problem" not in json.dumps(answer.json())
