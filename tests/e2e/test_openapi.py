"""The API keeps to its own description, and so do its answers to what the description does not allow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import LocalStack, running
from .made_up_requests import check_made_up_requests

pytestmark = pytest.mark.xdist_group("reliable")


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
