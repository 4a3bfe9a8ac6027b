"""Tells other programs of this machine of a running stack: a file in `build/local-stacks/`, named by its port.

It holds what `--json` prints and stays locked while the stack runs, however that ends: a file that is not locked is
that of a run that was killed.
"""

import fcntl
import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_FOLDER = Path("build", "local-stacks")


@contextmanager
def told(project: Path, port: int, known: Mapping[str, Any]) -> Generator[None]:
    """Within, the file is there, for its owner alone: whole from its beginning, gone at its end.

    Args:
        project: the folder of the program, under which the file is.
        port: of the stack.
        known: what `--json` prints.
    """
    folder = project / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{port}.json"
    draft = folder / f"{port}.{os.getpid()}.draft"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json.dumps(known) + "\n")
            file.flush()
            draft.replace(path)
        except BaseException:  # also a signal in the middle: no draft stays behind
            draft.unlink(missing_ok=True)
            raise
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
