"""Requests that schemathesis makes up from the API's description of itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx

from .conftest import LocalStack


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
