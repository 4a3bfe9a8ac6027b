"""The environment of the Lambda runtime is made with the Python that this machine has, and again if that changes."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infra.stacks import ROOT

#: Makes environments that have a copy of it, and says so.
PYTHON = """#!/bin/sh
case "$*" in
    "-m venv "*) for folder; do :; done; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python"; echo "made by {name}";;
    --version) echo {name};;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clone whose own environment is made."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "infra").mkdir()
    shutil.copy(ROOT / "infra" / "function.py", tmp_path / "infra")
    for path in ROOT.glob("requirements*.txt"):
        shutil.copy(path, tmp_path)
    python(tmp_path / ".venv" / "bin", "own")
    return tmp_path


def python(folder: Path, name: str) -> Path:
    """An interpreter of this name."""
    folder.mkdir(parents=True)
    path = folder / "python"
    path.write_text(PYTHON.format(name=name))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("target", [".venv/.runtime", ".venv/.runtime-tests"])
def test_it_is_made_again_with_another_python(folder: Path, target: str) -> None:
    def make(interpreter: Path) -> list[str]:
        done = subprocess.run(
            ("make", "--no-print-directory", target, f"RUNTIME_PYTHON={interpreter}"),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [line for line in done.stdout.splitlines() if line.startswith("made by")]

    older, newer = python(folder / "old one", "older"), python(folder / "new one", "newer")
    assert make(older) == ["made by older"]
    assert make(older) == []
    assert make(newer) == ["made by newer"]
    # An upgrade in place.
    newer.write_text(PYTHON.format(name="newest"))
    assert make(newer) == ["made by newest"]
    assert make(newer) == []


def test_a_python_that_comes_later_is_used(folder: Path) -> None:
    def make(interpreter: str) -> str:
        command = ("make", "--no-print-directory", ".venv/.runtime", f"RUNTIME_PYTHON={interpreter}")
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout

    assert "made by own" in make("")
    assert "made by later" in make(str(python(folder / "later", "later")))
