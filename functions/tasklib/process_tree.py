"""The processes of the machine, as far as `/proc` shows them. Where there is none, no process is seen."""

import os
from contextlib import suppress
from typing import NamedTuple


class Process(NamedTuple):
    """One process. A zombie has ended, and its parent has not noticed yet."""

    parent: int
    is_zombie: bool


def processes() -> dict[int, Process]:
    """Every process by its ID."""
    found: dict[int, Process] = {}
    with suppress(FileNotFoundError):
        for name in os.listdir("/proc"):  # noqa: PTH208 - with paths it takes three times as long
            # A process may end at any time.
            with suppress(FileNotFoundError, ProcessLookupError):
                if name.isdecimal():
                    found[int(name)] = _read(name)
    return found


def _read(name: str) -> Process:
    descriptor = os.open(f"/proc/{name}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        # "pid (command) state parent ...". The command may contain anything.
        state, parent, *_ = os.read(descriptor, 4096).rpartition(b")")[2].split()
    finally:
        os.close(descriptor)
    return Process(int(parent), state == b"Z")


def children(parent: int) -> list[int]:
    """The children of a process, zombies included."""
    return [pid for pid, process in processes().items() if process.parent == parent]


def descendants(ancestor: int) -> set[int]:
    """The children of a process and theirs, without zombies."""
    everything = processes()
    found: set[int] = set()
    generation = {ancestor}
    while generation:
        generation = {pid for pid, process in everything.items() if process.parent in generation}
        found |= generation
    return {pid for pid in found if not everything[pid].is_zombie}


def has_ended(pid: int) -> bool:
    """Whether a process is gone or a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    process = processes().get(pid)
    return process is not None and process.is_zombie
