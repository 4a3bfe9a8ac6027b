"""The files that a stack is made of, and which of them change."""

import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

_FOLDERS = ("functions", "infra")

#: Seconds between two looks, at some eighty files: a few milliseconds of work a second. Files that look the same twice
#: in a row are complete: a burst of writes is one change.
_PAUSE_SECONDS = 0.2

#: What tells a file from the one that it was: time of change, size, inode (a new file under an old name).
_Look = Mapping[str, tuple[int, int, int]]


class ProgramFiles:
    """A program's files as they were when they were last taken.

    Args:
        directory: the program's.
        stack: the stack's name.
    """

    def __init__(self, directory: Path, stack: str) -> None:
        self.directory = directory
        self.stack = stack
        self._taken = self._look()
        self._seen = self._taken

    def next_change(self, wait: Callable[[float], bool]) -> "Change | None":
        """Wait until the files are others than at the last call, and complete.

        Args:
            wait: waits for so many seconds; True ends the wait for a change.

        Returns:
            The change since files were last taken; None when `wait` said so.
        """
        before = self._seen
        began: float | None = None
        while not wait(_PAUSE_SECONDS):
            now = self._look()
            if now == before:
                if began is not None and now != self._seen:
                    self._seen = now
                    return Change(_differing(self._taken, now), began)
                began = None
            elif began is None:
                began = time.monotonic()
            before = now
        return None

    def take(self) -> None:
        """The files as the last change left them are what runs now."""
        self._taken = self._seen

    def _look(self) -> _Look:
        return {
            path.relative_to(self.directory).as_posix(): (status.st_mtime_ns, status.st_size, status.st_ino)
            for path, status in self._files()
        }

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        names = ("__main__.py", "Pulumi.yaml", f"Pulumi.{self.stack}.yaml")
        paths = [self.directory / name for name in names]
        for folder in _FOLDERS:
            for place, folders, files in os.walk(self.directory / folder):
                folders[:] = [name for name in folders if not _is_noise(name)]
                paths += [Path(place, name) for name in files if not _is_noise(name)]
        for path in paths:
            try:
                status = path.stat()
            except OSError:  # gone since it was listed
                continue
            if stat.S_ISREG(status.st_mode):
                yield path, status


class Change:
    """Files that differ.

    Attributes:
        paths: relative to the program's directory, sorted.
        began: when it was noticed, by `time.monotonic`.
    """

    def __init__(self, paths: list[str], began: float) -> None:
        self.paths = paths
        self.began = began

    def __str__(self) -> str:
        named = ", ".join(self.paths[:3])
        return named if len(self.paths) <= 3 else f"{named} and {len(self.paths) - 3} more"


def _differing(before: _Look, after: _Look) -> list[str]:
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def _is_noise(name: str) -> bool:
    """What Python and editors leave beside the files: hidden, caches, back-ups."""
    return name.startswith((".", "#")) or name.endswith(("~", ".pyc")) or name == "__pycache__"
