"""The Pulumi CLI as the client sees it: a program that prints what the test says, and notes how it was called."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class FakePulumi:
    """A program named pulumi in a folder; there is none until the test says what it does."""

    def __init__(self, folder: Path) -> None:
        self._program = folder / "pulumi"
        self._calls = folder / "calls"

    def prints(self, stdout: str, stderr: str = "", code: int = 0) -> None:
        self._program.write_text(
            f"#!{sys.executable}\n"
            "import json, os, sys\n"
            f"with open({str(self._calls)!r}, 'a') as calls:\n"
            "    calls.write(json.dumps([os.getcwd(), *sys.argv[1:]]) + '\\n')\n"
            f"sys.stdout.write({stdout!r})\nsys.stderr.write({stderr!r})\nsys.exit({code})\n"
        )
        self._program.chmod(0o755)

    def puts_out(self, outputs: Mapping[str, Any]) -> None:
        """Let the stack have these outputs."""
        self.prints(json.dumps(outputs, indent=2))

    @property
    def calls(self) -> list[list[str]]:
        """Working directory and arguments of each call."""
        return [json.loads(line) for line in self._calls.read_text().splitlines()]
