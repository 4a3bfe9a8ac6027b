"""Least privilege: with nothing but its role, each function does all it is there for, and uses the whole role."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from . import rights
from .conftest import REPOSITORY

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("rights")]

#: A client that cannot be pushed to is disconnected, and the emulator's gateway can always push to one that is there.
#: `test_removed_rights` sees it.
UNSEEN = {("notify-clients", "execute-api:ManageConnections", "tasks-live/live/DELETE/@connections/*")}


def test_each_function_may_do_what_it_was_seen_to_do_and_nothing_else(tmp_path: Path) -> None:
    """The end-to-end tests, with roles enforced."""
    others = ("tests/e2e/page", "tests/e2e/test_rights.py", "tests/e2e/test_removed_rights.py")
    options = (*(f"--ignore={path}" for path in others), "-m", "long or not long")
    command = (sys.executable, "-m", "pytest", "tests/e2e", *options, "-n", "2", "--dist", "loadgroup")
    environment = {**os.environ, "RIGHTS_DIR": str(tmp_path)}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:]
    granted: dict[str, set[rights.Right]] = {}
    used: dict[str, set[rights.Right]] = {}
    for report in tmp_path.glob("*.json"):
        content: dict[str, Any] = json.loads(report.read_text())
        for kind, of in (("granted", granted), ("used", used)):
            for function, pairs in content[kind].items():
                of.setdefault(function, set()).update((action, resource) for action, resource in pairs)
    unused = {
        (function, *right)
        for function, all_of_it in granted.items()
        for right in all_of_it
        if not rights.is_among(right, used.get(function, ()))
    }
    assert {
        (function, action, resource.rpartition(":")[2]) for function, action, resource in unused
    } == UNSEEN
